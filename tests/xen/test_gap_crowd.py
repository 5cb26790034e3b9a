"""How long the rings wait with 55 clients of 50 rules each, 5,000 keys in QubesDB, and commits of up to 4,000 rules.

Two clients are Linux; the frontends of the 53 others are a program of dom0's (steps/crowd.py), with rings, grants and
channels. Their rules come from QubesDB, as anybody's. What is measured is what the image tells: tests/xen/gaps.py.
"""
import re

import pytest

from tests.bench.machine import NOBODY, SERVER, Machine
from tests.bench.sites import OurSite
from tests.xen.gaps import longest_gap
from tests.xen.qubesdb import rule_keys
from tests.xen.site import ACCEPT

LIMIT = 2000  # us
CROWD = tuple("10.137.1.%d" % i for i in range(1, 54))
OTHERS = 205  # that were clients once
FLOWS, SHARE = 65536, 512
MOST_FLOWS = FLOWS - SHARE * (len(CROWD) + 1)  # of one of 55 clients
LONG = 300


def rules(n):
    """n rules, each about something else."""
    text = "action=accept dst4=198.18.%d.%d proto=tcp dstports=%d-%d"
    return [text % (i >> 8, i & 255, i + 1, i + 100) for i in range(n)]


class Crowded(OurSite):
    def create_firewall(self, keys):
        for address in CROWD:
            keys = dict(keys, **rule_keys(address, rules(50)))
        for i in range(OTHERS):
            keys.update(rule_keys("10.137.2.%d" % i, rules(9)))
        self.written = len(keys)
        super().create_firewall(keys)


class Crowd(Machine):
    def make(self, _):
        return Crowded(self.lab, self._netvm, self.memory, clients=self.addresses + CROWD, files=self.files)

    def come(self):
        """The 53 others come."""
        log = "/var/log/crowd.log"
        self.pid = self.lab.start(["python3", "/steps/crowd.py", str(self.firewall.domid)] + list(CROWD), log)
        assert self.lab.await_text(log, "ready", LONG), self.lab.read(log).decode()
        assert self.lab.read(log).decode().strip() == "ready {'fe:ff:ff:ff:ff:ff'}"
        handled = self.site.database.state  # a count for each, by which dom0 sees that its rules are in force
        self.site.until(lambda: len([1 for each in CROWD if each in handled()["handled"]]) == len(CROWD), LONG)


@pytest.fixture
def crowd(lab):
    machine = Crowd(2, 32, lab)
    try:
        machine.use("ours")
        yield machine
    finally:
        machine.close()


def commit(machine, address, list_of_rules):
    words = machine.firewall.domid, address, list_of_rules, LONG
    assert machine.lab.call("qubesdb.commit_and_wait", *words, timeout=LONG) is not None


def told(firewall):
    """All gaps that it has told, each the longest since the one before: [(us, what ran in it)]."""
    text = firewall.console()
    return [(int(us), words) for words, us in re.findall(r"since last asked: ((\d+) us.*)", text)]


@pytest.mark.long
def test_the_longest_gap_with_all_that_is_promised(crowd, figure):
    machine, site, firewall = crowd, crowd.site, crowd.firewall
    longest, asked = {}, [0]

    def after(what):
        longest_gap(firewall)
        found = told(firewall)
        us, words = max(found[asked[0]:])  # who counts flows asks as well
        asked[0] = len(found)
        longest[what] = us
        figure("longest gap: " + what, words, "%d us" % LIMIT)
        print("GAP", what, ":", words, flush=True)

    assert site.written > 5000
    first, second = machine.addresses
    after("5,000 keys read at the start, two clients come")
    machine.come()
    after("53 clients come")
    for address in machine.addresses:
        commit(machine, address, rules(49) + list(ACCEPT))
    after("50 rules for each of two clients")
    site.database.drop()
    site.until(lambda: site.database.state()["asked"], LONG)
    commit(machine, first, rules(49) + list(ACCEPT))
    after("QubesDB is back, 5,000 keys are read anew")
    for n in (200, 2000, 4000):
        commit(machine, CROWD[0], rules(n))
        after("a commit of %d rules" % n)
    commit(machine, CROWD[0], rules(50))
    client = machine.clients[0]
    for way in ("up", "down"):
        machine.watch({0: "traffic %s %s 1 0.3" % (way, SERVER)}, 0.0, 0.0)
        after("bulk, " + way)
    client.sh("traffic up %s 4 0.3 > /dev/null &" % SERVER)
    commit(machine, CROWD[1], rules(200))
    after("a commit of 200 rules beside bulk")
    client.sh("wait", 60)
    after("and bulk goes on")
    for number, count in ((0, MOST_FLOWS), (1, FLOWS - MOST_FLOWS)):
        machine.watch({number: "traffic flows %s %d" % (NOBODY, count)}, 0.0, 0.0)
        after("%d flows of client %d begin" % (count, number))
    assert FLOWS - 64 < machine.flows() <= FLOWS  # some of those before have ended
    machine.watch({1: "traffic flows %s %d" % (NOBODY, FLOWS)}, 0.0, 0.0)
    after("flows begin in a full table")
    assert machine.flows() == FLOWS
    for n in (200, 4000):
        commit(machine, CROWD[0], rules(n))
        after("a commit of %d rules with a full table" % n)
    machine.watch({0: "traffic up %s 1 0.3" % SERVER}, 0.0, 0.0)
    after("bulk, up, with a full table")
    assert max(longest.values()) < LIMIT, longest
