"""`./build.py demo`: two Linux clients reach the internet through the image, on a real Xen, and one is cut off by a rule.

It all happens on a computer whose clock goes by instructions (emulator.py): it shows the same on every machine,
slow, busy or fast. Each step either shows what it is for or raises Wrong; the table at the end is made of what they return.
"""
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from . import topping
from .domu_netvm import DomuNetvm
from .errors import LabError
from .follow import Follower
from .lab import Lab
from .site import CLIENTS, Site
from .steps import payload

from qubesfirewall import draw, model  # found by topping

WORK, CHAT = ("work", CLIENTS[0]), ("chat", CLIENTS[1])
RULES = {"work": ["action=accept"],
         "chat": ["action=accept specialtarget=dns", "action=accept proto=tcp dst4=192.0.2.0/24 dstports=80-80", "action=drop"]}
STREAMS = ("192.0.2.1", "192.0.2.2")
DENY_SECOND = ["action=drop dst4=%s/32" % STREAMS[1], "action=accept"]
DOWNLOAD = 10000000  # octets
COLOURS = {"title": "bold", "heading": "bold", "head": "cyan", "bar": "green", "spark": "green", "bad": "bold red"}
BARS = " ▁▂▃▄▅▆▇█"
_LONG = 60  # s of the lab's clock, for what takes a few
_console = Console(highlight=False)


class Wrong(Exception):
    """A step did not show what it is for."""


class Demo:
    def __init__(self):
        self.results = []  # (what, result, s of the user's clock, s of the lab's)
        self.lab = self.netvm = self.site = self.work = self.chat = self.follower = None

    def step(self, title, action, shows=False):
        """Do something that takes long; show that it runs, how long it took and what came of it.

        shows: the action itself shows how it goes on.
        """
        began, there = time.monotonic(), self.lab.clock() if self.lab else 0
        if shows:
            _console.print("[dim]…[/] " + title)
            result = action()
        else:
            with _console.status("%s ..." % title):
                result = action()
        seconds = time.monotonic() - began
        there = self.lab.clock() - there
        self.results.append((title, result, seconds, there))
        _console.print("[green]✓[/] %s [dim]%.1f s, in the lab %.1f s[/]  %s" % (title, seconds, there, escape(result)))

    def run(self):
        self.step("Boot Xen and a Linux dom0 in an emulated computer", self.boot)
        self.step("Boot the netvm, a Linux driver domain", self.boot_netvm)
        self.step("xl create firewall, with 32 MB; QubesDB tells it the rules", self.firewall)
        self.step("Boot two Linux clients behind it", self.clients)
        self.show_rules()
        self.step("work pings 192.0.2.1", self.ping)
        self.step("chat downloads 10 MB", self.download)
        self.step("chat tries what its rules do not allow", self.refusal)
        self.step("work downloads from two servers; a rule then denies the second", self.live_change, shows=True)
        self.step("Throughput out", self.throughput)
        self.step("Throughput in", lambda: self.throughput("-R"))
        self.step("qubes-firewall-top, while work downloads and chat is refused", self.top, shows=True)
        self.step("xl sysrq firewall s: how is it doing", self.status)
        self.step("xl shutdown firewall", self.end)

    # ---- the steps

    def boot(self):
        self.lab = Lab()
        return ""

    def boot_netvm(self):
        self.netvm = DomuNetvm(self.lab)
        return ""

    def firewall(self):
        self.site = Site(self.lab, lambda lab: self.netvm, clients=CLIENTS[:2])
        self.follower = Follower(self.lab, self.site.firewall.log, show_line)
        self.follower.start()
        if not self.site.internet.serve(_LONG):
            raise Wrong("the servers on the internet did not start")
        self.site.internet.start(["iperf3", "-s"])
        return ""

    def clients(self):
        with ThreadPoolExecutor() as pool:
            self.work, self.chat = pool.map(lambda who: self.site.client(who[0], who[1], RULES[who[0]]), (WORK, CHAT))
        return ""

    def show_rules(self):
        table = Table(box=box.SIMPLE)
        for title in ("client", "address", "its rules"):
            table.add_column(title)
        for name, address in (WORK, CHAT):
            table.add_row(name, address, "\n".join(RULES[name]))
        _console.print(table)

    def ping(self):
        said = self.work.sh("ping -c 3 -i 0.2 192.0.2.1", _LONG)
        if " 0% packet loss" not in said:
            raise Wrong(said)
        return "3 of 3 answered, least %s ms" % re.search(r"= ([\d.]+)/", said).group(1)

    def download(self):
        said = self.chat.sh("time -p wget -q -O /tmp/d http://192.0.2.1/demo/%d && sha256sum /tmp/d; rm -f /tmp/d" % DOWNLOAD, _LONG)
        if payload.sha256("demo", DOWNLOAD) not in said:
            raise Wrong("another SHA-256 than what the server sent: %s" % said)
        return "the right SHA-256, %.1f MB/s" % (DOWNLOAD / 1e6 / seconds_in(said))

    def refusal(self):
        said = self.chat.sh("time -p nc -w 20 192.0.2.1 7000 < /dev/null", _LONG, check=False)
        if "No route to host" not in said:
            raise Wrong(said)
        return "refused, by ICMP: \"No route to host\" after %.2f s" % seconds_in(said)

    def live_change(self):
        streams = _Streams(self.work, STREAMS)
        with Live(streams.table(), console=_console, auto_refresh=False) as live:
            def watch(rounds):
                for _ in range(rounds):
                    streams.look()
                    live.update(streams.table(), refresh=True)
            watch(6)
            before = list(streams.octets)
            took = self.site.database.commit_and_wait(self.work.ip, DENY_SECOND, _LONG)
            if took is None:
                raise Wrong("the rule is not in force after %d s" % _LONG)
            streams.look("rule")
            at_change = list(streams.octets)
            watch(6)
            streams.end()
        self.site.set_rules(self.work.ip, RULES["work"])
        on, off = (now - then for now, then in zip(streams.octets, at_change))
        if not all(before) or on <= 0 or off > 0:
            raise Wrong("after the change %d octets of the allowed stream and %d of the denied one" % (on, off))
        return "the rule was in force %.2f s after dom0's commit; the other stream went on, %.1f MB more" % (took, on / 1e6)

    def throughput(self, *more):
        said = self.work.sh("iperf3 -c 192.0.2.1 -t 2 -f m %s > /tmp/iperf; tail -n 4 /tmp/iperf" % " ".join(more), _LONG)
        found = re.search(r"([\d.]+) Mbits/sec +receiver", said)
        if not found or not float(found.group(1)):
            raise Wrong(said)
        return "%s Mbit/s by TCP (emulated CPU)" % found.group(1)

    def top(self):
        """What dom0 sees of it, by the services of the firewall over qrexec."""
        stream = "http://%s/stream/10000000000" % STREAMS[0]
        self.work.sh("wget -q -O /dev/null %s > /dev/null 2>&1 & echo $! > /tmp/loading" % stream)
        self.chat.sh("for i in 1 2 3 4 5; do nc -w 20 192.0.2.1 7000 < /dev/null; done", _LONG, check=False)
        world = topping.gather(self.site, 3)
        self.work.sh("kill $(cat /tmp/loading)", check=False)
        (found,) = world.firewalls.values()
        place = draw.Place()
        place.row = -1  # nothing is chosen
        for line in draw.draw(world, place, min(max(_console.width - 4, 80), 110), 9)[:-1]:
            _console.print("  [cyan]│[/] " + "".join(styled(*piece) for piece in line), soft_wrap=True)
        work, chat = (found.clients[who[1]] for who in (WORK, CHAT))
        # a little of work may have been refused too: what it still sent of the stream that a rule has ended
        if found.fault or not sum(work.rates(found.now)) or chat.refused() < 5:
            raise Wrong(found.fault or "work has %s octets/s, chat %d refusals" % (
                work.rates(found.now), chat.refused()))
        return "work %s/s; chat was refused %d times, by %s" % (
            draw.amount(sum(work.rates(found.now))), chat.refused(), model.reason(found.refused_of(chat.address)[0]))

    def status(self):
        self.lab.run(["xl", "sysrq", str(self.site.firewall.domid), "s"])
        self.site.firewall.wait_for("longest gap", 20)
        self.lab.run(["sleep", "0.5"])  # for the rest of it
        return "on its console, above"

    def end(self):
        firewall = self.site.firewall
        firewall.shutdown()
        why = firewall.wait_for_end(20)
        self.follower.stop()
        if why not in ("poweroff", "gone"):
            raise Wrong("it ended by %s" % why)
        return why

    # ---- what is left

    def table(self):
        table = Table(title="The image on a real Xen, on an emulated CPU", box=box.SIMPLE_HEAD,
                      show_footer=True, caption="The lab's clock goes by instructions; while all in it waits for the outside, it runs ahead.")
        sums = ["%.1f" % sum(result[i] for result in self.results) for i in (2, 3)]
        table.add_column("step", "together")
        table.add_column("result")
        table.add_column("your s", sums[0], justify="right")
        table.add_column("lab's s", sums[1], justify="right")
        for title, result, seconds, there in self.results:
            table.add_row(escape(title), escape(result), "%.1f" % seconds, "%.1f" % there)
        return table

    def close(self):
        if self.lab:
            self.lab.close()


class _Streams:
    """Endless downloads of a client, one from each server, and how much of each arrived since the look before."""

    def __init__(self, client, servers):
        self.client, self.servers = client, servers
        self.octets = [0] * len(servers)
        self.marks = []  # one for each look: octets of each, or a word
        self.readers = [client.sh("wget -q -O /dev/null http://%s/stream/10000000000 > /dev/null 2>&1 & echo $!" % server).strip()
                        for server in servers]

    def look(self, word=None):
        """A look takes about a tenth of a second. word: written in its place in the table."""
        # wchar: what it has written to /dev/null; one whose connection was reset has ended
        said = self.client.sh("usleep 100000; for reader in %s; do sed -n 's/^wchar: //p' /proc/$reader/io 2> /dev/null || echo ended; done"
                              % " ".join(self.readers), _LONG)
        now = [old if line == "ended" else int(line) for line, old in zip(said.split(), self.octets)]
        self.marks.append(word or [new - old for new, old in zip(now, self.octets)])
        self.octets = now

    def table(self):
        most = max([1] + [octets for mark in self.marks if isinstance(mark, list) for octets in mark])
        table = Table(box=None, padding=(0, 2))
        for title in ("stream from", "arrived, each tenth of a second", "MB"):
            table.add_column(title)
        for i, server in enumerate(self.servers):
            bars = ["│" if isinstance(mark, str) else BARS[-(-mark[i] * (len(BARS) - 1) // most)] for mark in self.marks]
            table.add_row(server, "".join(bars), "%.1f" % (self.octets[i] / 1e6))
        return table

    def end(self):
        self.client.sh("kill " + " ".join(self.readers), check=False)


def seconds_in(said):
    """Of `time -p`."""
    return max(float(re.search(r"real ([\d.]+)", said).group(1)), 0.01)


def styled(text, style):
    """A piece of dom0's screen in this terminal's colours."""
    colour = COLOURS.get(style)
    return "[%s]%s[/]" % (colour, escape(text)) if colour else escape(text)


def show_line(line):
    _console.print("  [cyan]│[/] " + escape(line), soft_wrap=True)


def main():
    demo = Demo()
    try:
        demo.run()
        return 0
    except (LabError, Wrong) as error:
        _console.print("[red]✗[/] ", end="")
        _console.print(str(error), markup=False)
        if demo.lab:
            _console.print("Xen's and dom0's log ends with:\n%s" % demo.lab.xen_tail(), markup=False)
        return 1
    finally:
        _console.print(demo.table())
        demo.close()


if __name__ == "__main__":
    sys.exit(main())
