"""Everything at once and for long: streams, small packets, connections, commits of rules, netvm restarts.

    ./build.py test xen -- --long tests/xen/test_soak.py -k minutes     twenty minutes of the lab's clock
    ./build.py test xen -- --long tests/xen/test_soak.py -k short

Traffic is paced, so that the computer is idle part of the time and no client starves another: what stands still for
longer than it should is ours, or shows.
"""
import json
import re
import threading

import pytest

from tests.xen import clocks
from tests.xen.site import CLIENTS

ADDRESSES = CLIENTS + ("10.137.0.23",)
NAMES = "work", "chat", "mail", "news"
SITE = {"clients": ADDRESSES}
RESOLVER = "10.139.1.1"
LIMIT = 3600  # s of the lab's clock
PATIENCE = 180  # s that a day may take longer than it is
STALL = 0.1  # s
RECOVERY = 2.0  # s after the netvm is back in which clients still find their way to it
LEVEL = 256  # KiB
PLAIN = ("action=drop dst4=203.0.113.%d/32", "action=accept")
NOW = ["python3", "-c", "import time; print(time.time())"]
PAUSE = ["sleep", "0.5"]  # between two commits
ANSWERED = "answered or sent in pieces"
BEGIN = "rm -f /tmp/done; (python3 /steps/soak.py %s > /tmp/day 2>&1; touch /tmp/done) & echo"
# what a client whose day does not end is doing: the console is free
WAIT = ("i=0; while [ $i -lt %d ]; do i=$((i + 1)); [ -e /tmp/done ] && echo all of it && exit; sleep 0.5; done; "
        "cat /tmp/day /proc/net/tcp /proc/net/snmp; for t in /proc/$(pidof python3)/task/*; do cat $t/wchan; done")


def clock(site):
    """The time of the day in dom0."""
    return float(site.lab.run(NOW))


def status(site):
    """What its console tells: ({"heap", "pages": KiB free, "gap": us and cause}, {verdict: packets}, frames lost)."""
    firewall = site.firewall
    before = len(firewall.lab.read(firewall.log))
    firewall.lab.run(["xl", "sysrq", str(firewall.domid), "s"], timeout=60)
    firewall.wait_for("\n", 10, firewall.wait_for("longest gap", 60, before))
    text = firewall.lab.read(firewall.log)[before:].decode("utf-8", "replace")
    heap, pages = map(int, re.search(r"memory free: (\d+) KiB of heap, (\d+) KiB of pages", text).groups())
    packets = {}
    for line in re.findall(r"status: packets: (.*)", text):
        packets.update((words.rpartition(" ")[0], int(words.rpartition(" ")[2])) for words in line.strip().split(", "))
    gap = re.search(r"longest gap between ring services since last asked: (.*)", text)[1].strip()
    lost = [int(count) for count in re.findall(r"(?:since boot|ended by an error): (\d+)", text)]
    return {"heap": heap, "pages": pages, "gap": gap}, packets, sum(lost)


def carried(site, clients):
    """(packets that neighbours gave to the firewall, packets that they got) by Linux' counters."""
    uplink = site.uplink_counters()
    gave, got = uplink["tx_packets"], uplink["rx_packets"]
    for client in clients:
        text = client.sh("cd /sys/class/net/eth0/statistics; cat tx_packets rx_packets", LIMIT)
        sent, received = map(int, text.split())
        gave, got = gave + sent, got + received
    return gave, got


def at_rest(site, clients):
    """(carried(), *status()) of one moment, in which nothing passed; the gap is the longest since the last such."""
    gaps = []
    for _ in range(20):
        before, told = carried(site, clients), status(site)
        gaps.append(told[0]["gap"])
        if carried(site, clients) == before:
            told[0]["gap"] = max(gaps, key=lambda text: int(text.split()[0]))
            return (before, *told)
    raise AssertionError("it never rests")


class Soak:
    """What was seen so far; a round at a time."""

    def __init__(self, site, clients, figure):
        self.site, self.clients, self.figure = site, clients, figure
        self.heaps, self.pages = [], []
        self.stalls = []  # [s, round, client, seconds into the round]
        self.questions = self.unanswered = self.commits = self.moved = 0

    def round(self, number, seconds, restart):
        """All clients are busy for so many seconds; rules are committed; the netvm is lost, if asked for."""
        site, began = self.site, self.site.uptime()
        used = clocks.cpu_seconds(site.lab.emulator.process.pid)
        before = at_rest(site, self.clients)
        found, since, away = self._day(number, seconds, restart)
        for name, each in zip(NAMES, found):
            failed, late = ([one for one in each[what] if not away or one[1] < away[0] or one[0] > away[1]]
                            for what in ("failed", "late"))
            assert each["whole"] and not failed, (number, name, each)
            self.stalls += [[round(to - begin, 3), number, name, round(begin - since, 2)] for begin, to in late]
            self.moved += each["sent"] + each["received"]
            if not away:
                self.questions += each["questions"]
                self.unanswered += each["unanswered"]
        after = at_rest(site, self.clients)
        self.heaps.append(after[1]["heap"])
        self.pages.append(after[1]["pages"])
        used = clocks.cpu_seconds(site.lab.emulator.process.pid) - used
        self.figure("soak, round %d: the longest gap; the host's s of CPU, the lab's s" % number, "%s; %.0f, %.0f" % (
            after[1]["gap"], used, site.uptime() - began))
        if not restart:  # a netvm that goes takes its counters along
            self._balance(number, before, after)

    def _day(self, number, seconds, restart):
        """(what each client found, when it began, [from, to] of the time in which the netvm was away, if it was)"""
        found, away, since = [None] * len(self.clients), [], clock(self.site)

        def day(at):
            words = RESOLVER, NAMES[at], number, seconds
            client = self.clients[at]
            client.sh(BEGIN % ("192.0.2.1 %s %s%d %g" % words))
            said = client.sh(WAIT % (2 * (seconds + PATIENCE)), 2 * (seconds + PATIENCE))
            if "all of it" not in said:
                raise AssertionError((number, NAMES[at], said, self.site.lab.run(["xl", "list"]), status(self.site)))
            said = client.sh("cat /tmp/day")
            found[at] = json.loads(said.strip().splitlines()[-1])

        threads = [threading.Thread(target=day, args=(at,)) for at in range(len(self.clients))]
        for thread in threads:
            thread.start()
        if restart:
            self.site.lab.run(["sleep", "%g" % (seconds / 4)])
            away.append(clock(self.site))
            self.site.renew_uplink()
            away.append(clock(self.site) + RECOVERY)
        while any(thread.is_alive() for thread in threads):
            client = self.clients[self.commits % len(self.clients)]
            rules = [PLAIN[0] % (i + 1) for i in range(self.commits * 7 % 40)]
            self.site.set_rules(client.ip, rules + [PLAIN[1]])
            self.commits += 1
            self.site.lab.run(PAUSE)
        return found, since, away

    def _balance(self, number, before, after):
        """What was given was judged, each packet once; what was forwarded or made was got, or is counted as lost."""
        gave, got = after[0][0] - before[0][0], after[0][1] - before[0][1]
        verdicts = {name: count - before[2].get(name, 0) for name, count in after[2].items()}
        verdicts = {name: count for name, count in verdicts.items() if count}
        lost = after[3] - before[3]
        self.figure("soak, round %d: packets given, got, lost behind the verdict; verdicts" % number,
                    "%d, %d, %d; %s" % (gave, got, lost, verdicts))
        assert gave == sum(verdicts.values()), (number, gave, verdicts)
        assert got + lost == verdicts["forwarded"] + verdicts.get(ANSWERED, 0), (number, got, lost, verdicts)


@pytest.mark.long
@pytest.mark.parametrize("rounds, seconds", [(3, 6), (20, 60)], ids=["short", "twenty minutes"])
def test_soak(site, figure, rounds, seconds):
    """Nothing is lost but for a counted reason, memory stays level, and nobody stands still for longer than STALL.

    Boots: the site with four clients that have Python, where an instruction takes a nanosecond.
    """
    assert site.internet.serve(LIMIT)
    soak = Soak(site, [site.client(name, ip, python=True) for name, ip in zip(NAMES, ADDRESSES)], figure)
    for number in range(rounds):
        soak.round(number, seconds, restart=number % 4 == 2)
    figure("soak: octets of streams, commits, questions without an answer", "%d, %d, %d of %d" % (
        soak.moved, soak.commits, soak.unanswered, soak.questions))
    what = "soak: the longest that a client stood still: s, round, client, s into it"
    figure(what, sorted(soak.stalls)[-5:], "%g s" % STALL)
    figure("soak: KiB of heap free after each round", " ".join(map(str, soak.heaps)))
    assert len(set(soak.pages[1:])) == 1, soak.pages
    assert min(soak.heaps[-5:]) >= min(soak.heaps[:5]) - LEVEL, soak.heaps
    assert soak.unanswered == 0 and not [each for each in soak.stalls if each[0] > STALL]
