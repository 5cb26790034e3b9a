"""QubesDB over the real vchan: the domain reads everything, hears of changes, and says when rules are in force."""
import time

import pytest

from tests.xen.conftest import both_daemons
from tests.xen.qubesdb import QubesDB, firewall_keys, rule_keys

OWN, GATEWAY, CLIENT = "10.137.0.9", "10.137.0.8", "10.137.0.5"


@pytest.fixture
def served(guest):
    """A domain that prints what settings tell it, with its database; rules for CLIENT are there from the start."""
    databases = []

    def start(keys, attach=CLIENT):
        domain = guest("try_settings", "attach=" + attach, paused=True)
        databases.append(QubesDB(domain.lab, domain, keys))
        domain.unpause()
        return domain, databases[-1]
    yield start
    for database in databases:
        database.stop()


def keys(rules=("action=accept",)):
    return {**firewall_keys(OWN, GATEWAY, [CLIENT, "10.137.0.6"]), **rule_keys(CLIENT, rules)}


def until(lab, condition, seconds=60):
    """seconds: of the lab's clock."""
    end = lab.clock() + seconds
    while True:
        late = lab.clock() > end  # before the look: the clock of an idle lab runs on while the host asks
        if condition():
            return
        assert not late
        time.sleep(0.05)


@both_daemons
def test_reads_everything_and_hears_of_changes(served):
    """Boots: a test image that only runs the settings."""
    domain, database = served(keys())
    domain.wait_for("rules %s accept" % CLIENT)
    console = domain.console()
    assert "network %s %s %s" % (OWN, GATEWAY, OWN) in console and "connected %s 10.137.0.6" % CLIENT in console
    until(domain.lab, lambda: database.state()["handled"] == {CLIENT: 1})
    database.write("/qubes-ip", "10.137.0.10")
    domain.wait_for("network 10.137.0.10 %s" % GATEWAY)
    database.remove("/qubes-mac")  # nobody here keeps it: answered all the same
    database.commit(CLIENT, ["action=drop"])
    domain.wait_for("rules %s drop" % CLIENT)
    state = database.state()
    assert state["asked"] and state["left"] == []
    assert state["keys"]["/qubes-iptables-error"] == ""


def test_50_rules_from_commit_to_force(lab, figure):
    """Boots: a test image that only runs the settings, where an instruction takes a nanosecond.

    The time is dom0's: from the commit's first message to the counter that the domain writes when the rules are in
    force, both sides' work and Xen's included.
    """
    domain = lab.domain("rules", lab.upload("/src/build/vmlinuz-test"), "run=try_settings attach=" + CLIENT, paused=True)
    database = QubesDB(lab, domain, keys())
    domain.unpause()
    rules = ["action=accept dst4=192.0.2.%d/32 proto=tcp dstports=%d-%d" % (i, i + 1, i + 100) for i in range(50)]
    until(domain.lab, lambda: database.state()["handled"] == {CLIENT: 1}, 200)
    times = [database.commit_and_wait(CLIENT, rules) for _ in range(5)]
    figure("50 rules, from commit to in force", "%.0f to %.0f ms" % (1000 * min(times), 1000 * max(times)), "100 ms")
    assert max(times) < 0.1


def test_a_daemon_that_is_started_again(served):
    """Boots: a test image that only runs the settings. What is in force stays; changes arrive afterwards."""
    domain, database = served(keys())
    domain.wait_for("rules %s accept" % CLIENT)
    for times in (2, 3):
        database.drop()
        until(domain.lab, lambda: database.state()["asked"])
        database.commit(CLIENT, ["action=drop", "action=accept"])
        until(domain.lab, lambda: database.state()["handled"][CLIENT] == times)
    until(domain.lab, lambda: domain.console().count("rules ") == 3)  # xenconsoled may have to read the last still
    assert database.state()["left"] == []
    assert domain.state() == "running"


def test_a_domain_that_starts_before_its_database(guest, lab):
    """Boots: a test image that only runs the settings. It waits, and says so once."""
    domain = guest("try_settings", "attach=" + CLIENT)
    domain.wait_for("waiting for dom0's QubesDB", 30)
    database = QubesDB(lab, domain, keys())
    domain.wait_for("rules %s accept" % CLIENT)
    assert domain.console().count("waiting for") == 1
    database.stop()
