"""Everything at once and for long: streams, small packets, connections, commits of rules, netvm restarts.

    ./build.py test xen -- --long tests/xen/test_soak.py -k minutes     twenty minutes of the lab's clock
    ./build.py test xen -- --long tests/xen/test_soak.py -k short

Traffic is paced, so that the computer is idle part of the time and no client starves another: what stands still for
longer than it should is ours, or shows.
"""
import json
import re

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
LEVEL = 128  # KiB between the best of half of the rounds and of the other half
GARBAGE = 768  # KiB that may not be collected yet, if there were few looks
PLAIN = ("action=drop dst4=203.0.113.%d/32", "action=accept")
NOW = ["python3", "-c", "import time; print(time.time())"]
PAUSE = ["sleep", "6"]  # between two commits
LOOKS = 5  # commits between two looks at the status
ASK, WATCHED = 1, 0.05  # s between two questions of a client, and of the one whose turn it is
RING = 256  # packets at most that go with a netvm's ring, or while it goes, each way: its counters go with it
ANSWERED = "answered or sent in pieces"
BEGIN = "rm -f /tmp/done; (python3 /steps/soak.py %s > /tmp/day 2>&1; touch /tmp/done) & echo"
# what a client whose day does not end is doing: the console is free
WAIT = ("i=0; while [ $i -lt %d ]; do i=$((i + 1)); "
        "[ -e /tmp/done ] && echo all of it && cat /tmp/day && exit; sleep 0.5; done; "
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
        self.heaps, self.pages = [], []  # KiB free: the most that was seen in each round, as garbage waits; at rest
        self.rest = None  # at_rest() after the last round
        self.stalls = []  # [s, round, client, seconds into the round]
        self.verdicts, self.gap = {}, "0 us"
        self.questions = self.unanswered = self.commits = self.moved = self.lost = 0
        self.gone = 0, 0  # carried() of uplinks that are gone

    def round(self, number, seconds, restart):
        """All clients are busy for so many seconds; rules are committed; the netvm is lost, if asked for."""
        site, began = self.site, self.site.uptime()
        used = clocks.cpu_seconds(site.lab.emulator.process.pid)
        before = self.rest or at_rest(site, self.clients)
        self.gone = 0, 0
        self.heaps.append(0)
        found, since, away = self._day(number, seconds, restart)
        for name, each in zip(NAMES, found):
            failed, late = ([one for one in each[what] if all(one[1] < gone or one[0] > back for gone, back in away)]
                            for what in ("failed", "late"))
            assert each["whole"] and not failed, (number, name, each)
            self.stalls += [[round(to - begin, 3), number, name, round(begin - since, 2)] for begin, to in late]
            self.moved += each["sent"] + each["received"]
            if not away:
                self.questions += each["questions"]
                self.unanswered += each["unanswered"]
        self.rest = after = at_rest(site, self.clients)
        self._see(after[1])
        self.pages.append(after[1]["pages"])
        used = clocks.cpu_seconds(site.lab.emulator.process.pid) - used
        stood = max((stall[0] for stall in self.stalls if stall[1] == number), default=0)
        self._tell("soak, round %d: the longest that a client stood still; questions without an answer so far" % number,
                   "%g s; %d of %d" % (stood, self.unanswered, self.questions))
        what = "soak, round %d: KiB of heap free, of pages; the longest gap so far; the host's s of CPU, the lab's s"
        self._tell(what % number, "%d, %d; %s; %.0f, %.0f" % (
            self.heaps[-1], self.pages[-1], self.gap, used, site.uptime() - began))
        self._balance(number, before, after, restart)

    def _tell(self, what, value):
        """Also at once: who waits for an hour wants to know how far it is."""
        self.figure(what, value)
        print("%s: %s" % (what, value), flush=True)

    def _see(self, told):
        """Memory and the longest gap, as a status has told them."""
        self.heaps[-1] = max(self.heaps[-1], told["heap"])
        self.gap = max(self.gap, told["gap"], key=lambda text: int(text.split()[0]))

    def _day(self, number, seconds, restart):
        """(what each client found, when it began, [from, to] of each time in which the netvm was away)"""
        site, away, since = self.site, [], clock(self.site)
        for at, client in enumerate(self.clients):
            ask = WATCHED if at == number % len(self.clients) else ASK
            client.sh(BEGIN % ("192.0.2.1 %s %s%d %g %g" % (RESOLVER, NAMES[at], number, seconds, ask)), LIMIT)
        began = site.lab.clock()
        restarts = [(2 * i + 1) / (2 * restart + 2) * seconds for i in range(restart)]
        while (now := site.lab.clock() - began) < seconds:
            if restarts and now > restarts[0]:
                del restarts[0]
                gone = clock(site)
                self.gone = tuple(map(sum, zip(self.gone, carried(site, ()))))
                site.renew_uplink()
                away.append((gone, clock(site) + RECOVERY))
            client = self.clients[self.commits % len(self.clients)]
            rules = [PLAIN[0] % (i + 1) for i in range(self.commits * 7 % 40)]
            site.set_rules(client.ip, rules + [PLAIN[1]])
            self.commits += 1
            if self.commits % LOOKS == 0:
                self._see(status(site)[0])
            site.lab.run(PAUSE)
        return [self._found(number, name, client) for name, client in zip(NAMES, self.clients)], since, away

    def _found(self, number, name, client):
        """What a client found, once its day is over."""
        said = client.sh(WAIT % (2 * PATIENCE), LIMIT)
        words = said.strip().splitlines()[-1]
        if "all of it" not in said or not words.startswith("{"):
            raise AssertionError((number, name, said, status(self.site), self.site.internet.sh("cat /proc/net/tcp"),
                                  self.site.lab.run(["xl", "list"]), status(self.site)))
        return json.loads(words)

    def _balance(self, number, before, after, restart):
        """What was given was judged, each packet once; what was forwarded or made was got, or is counted as lost.

        What lay in the rings of a netvm that went is neither. restart: how often one did.
        """
        gave, got = (now - then + gone for now, then, gone in zip(after[0], before[0], self.gone))
        verdicts = {name: count - before[2].get(name, 0) for name, count in after[2].items()}
        verdicts = {name: count for name, count in verdicts.items() if count}
        lost = after[3] - before[3]
        for name, count in verdicts.items():
            self.verdicts[name] = self.verdicts.get(name, 0) + count
        unjudged = gave - sum(verdicts.values())
        missing = verdicts["forwarded"] + verdicts.get(ANSWERED, 0) - got - lost
        what = "soak, round %d: packets given, got, lost behind the verdict; in rings that went; verdicts" % number
        self._tell(what, "%d, %d, %d; %d, %d; %s" % (gave, got, lost, unjudged, missing, verdicts))
        self.lost += lost
        if restart:
            assert max(abs(unjudged), abs(missing)) <= restart * RING, (number, gave, got, lost, verdicts)
        else:
            assert unjudged == missing == 0, (number, gave, got, lost, verdicts)


@pytest.mark.long
@pytest.mark.parametrize("rounds, seconds", [(3, 6), (12, 100)], ids=["short", "twenty minutes"])
def test_soak(site, figure, rounds, seconds):
    """Nothing is lost but for a counted reason, memory stays level, and nobody stands still for longer than STALL.

    Boots: the site with four clients that have Python, where an instruction takes a nanosecond.
    """
    assert site.internet.serve(LIMIT)
    soak = Soak(site, [site.client(name, ip, python=True) for name, ip in zip(NAMES, ADDRESSES)], figure)
    for number in range(rounds):
        soak.round(number, seconds, restart=1 if number % 2 == 0 else 0)
    figure("soak: octets of streams, commits, questions without an answer", "%d, %d, %d of %d" % (
        soak.moved, soak.commits, soak.unanswered, soak.questions))
    figure("soak: packets by verdict; lost behind it", "%s; %d" % (soak.verdicts, soak.lost))
    what = "soak: the longest that a client stood still: s, round, client, s into it"
    figure(what, sorted(soak.stalls)[-5:], "%g s" % STALL)
    figure("soak: the most KiB of heap that were free in each round", " ".join(map(str, soak.heaps)))
    assert len(set(soak.pages[1:])) == 1, soak.pages
    half = rounds // 2  # what leaks leaks on
    assert max(soak.heaps[-half:]) >= max(soak.heaps[1:1 + half]) - (LEVEL if rounds > 4 else GARBAGE), soak.heaps
    assert soak.unanswered == 0 and not [each for each in soak.stalls if each[0] > STALL]
