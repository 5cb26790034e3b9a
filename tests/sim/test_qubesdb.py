"""QubesDB in the simulated Xen: dom0's daemon over shared memory, the frozen settings at our end."""
import re
import time

import pytest
from qubesdb_dom0 import CONTENT, MULTIREAD, OK, WRITE, message, rule_keys, stale, stale_tree
from qubesdb_server import FW, Dom0

OWN, CLIENT, OTHER = b"10.137.0.9", "10.137.0.5", "10.137.0.6"
KEYS = {
    "/qubes-ip": OWN, "/qubes-gateway": b"10.137.0.8", "/qubes-netvm-gateway": OWN, "/qubes-primary-dns": b"10.139.1.1",
    "/connected-ips": b"10.137.0.5 10.137.0.6", "/qubes-random-seed": b"c2VlZA==", "/qubes-service/x": b"1",
}


def rules(*texts, policy=b"drop"):
    """Keys of the client's, to be there from the start."""
    return rule_keys(CLIENT, texts, policy)


@pytest.fixture
def start(machine):
    def start(keys, attach=CLIENT, words=""):
        dom0 = Dom0(machine, keys)
        firewall = machine.firewall("run=try_settings attach=%s %s" % (attach, words))
        machine.until(lambda: dom0.daemon.asked)
        machine.settle()
        return firewall, dom0
    yield start


def attach(machine, address, act="attach"):
    machine.write("/local/domain/2/data/do", "%s:%s" % (act, address), [("n", FW)])
    machine.settle()


def test_reads_everything_and_says_that_it_is_ready(machine, start):
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    assert "network 10.137.0.9 10.137.0.8 10.137.0.9" in firewall.console
    assert "connected 10.137.0.5 10.137.0.6" in firewall.console
    assert "rules 10.137.0.5 accept" in firewall.console
    assert dom0.daemon.keys["/qubes-iptables-error"] == b""
    assert dom0.daemon.handled == {CLIENT: 1} and dom0.left == []
    assert [kind for kind, _, _ in dom0.daemon.from_vm].count(MULTIREAD) == 1


@pytest.mark.parametrize("seed, told", [(b"c2VlZA==", 1), (b"no base64 !", 1), (b"", 0), (None, 0)])
def test_the_seed_is_mixed_in_before_any_rule_counts(machine, start, seed, told):
    """So no flow exists when the flow table's keys are drawn from it, once."""
    keys = {**KEYS, **rules(b"action=accept"), "/qubes-random-seed": seed}
    firewall, dom0 = start({key: value for key, value in keys.items() if value is not None})
    lines = firewall.lines()
    assert lines.count("seeded") == told
    assert not told or lines.index("seeded") < lines.index("rules 10.137.0.5 accept")
    dom0.daemon.write("/qubes-random-seed", b"bW9yZQ==")
    machine.settle()
    assert firewall.lines().count("seeded") == told + 1


def test_a_commit_counts_and_nothing_else_does(machine, start):
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    daemon, base = dom0.daemon, "/qubes-firewall/" + CLIENT
    for act in (lambda: daemon.remove(base + "/"), lambda: daemon.write(base + "/0000", b"action=drop"),
                lambda: daemon.write(base + "/policy", b"drop")):
        act()
        machine.settle()
        assert firewall.lines("rules ") == ["rules 10.137.0.5 accept"]
    daemon.write(base)
    machine.settle()
    assert firewall.lines("rules ")[1:] == ["rules 10.137.0.5 drop"]
    assert daemon.handled == {CLIENT: 2} and dom0.left == []


def test_50_rules_from_commit_to_force(machine, start, figure):
    """In the same pass: no time passes on the machine's clock. What it computes meanwhile, test_price.py counts."""
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    texts = [b"action=accept dst4=192.0.2.%d/32 proto=tcp dstports=%d-%d" % (i, i + 1, i + 100) for i in range(50)]
    took = []
    for times in range(2, 22):
        began, then = time.monotonic(), machine.now
        dom0.commit(CLIENT, texts)
        took.append(time.monotonic() - began)
        assert dom0.daemon.handled == {CLIENT: times} and machine.now == then
    machine.advance(1.1)
    assert len(firewall.lines("rules ")) == 21
    figure("50 rules, from commit to in force, in the simulation", "%.1f ms" % (1000 * min(took)))


@pytest.mark.parametrize("texts, policy", [((b"action=accept",), None), ((b"action=perhaps",), b"drop"), ((), None)])
def test_a_tree_that_is_not_whole_or_wrong_denies(machine, start, texts, policy):
    firewall, dom0 = start({**KEYS, **rules(*texts, policy=policy)})
    assert firewall.lines("rules ") == ["rules 10.137.0.5 drop"] and firewall.lines("denied")
    dom0.commit(CLIENT, [b"action=accept"])
    assert firewall.lines("rules ")[-1] == "rules 10.137.0.5 accept"


def test_a_tree_without_its_base_key_is_waited_for(machine, start):
    keys = {**KEYS, **rules(b"action=accept")}
    del keys["/qubes-firewall/" + CLIENT]
    firewall, dom0 = start(keys)
    assert firewall.lines("rules ") == []
    dom0.commit(CLIENT, [b"action=accept"])
    assert firewall.lines("rules ") == ["rules 10.137.0.5 accept"]


def test_network_keys_that_come_late(machine, start):
    firewall, dom0 = start({})
    assert len(firewall.lines("no uplink until dom0 writes /qubes-ip and /qubes-gateway")) == 1
    dom0.daemon.write("/qubes-ip", OWN)
    machine.settle()
    assert not firewall.lines("network")
    dom0.daemon.write("/qubes-gateway", b"10.137.0.8")
    machine.settle()
    assert firewall.lines("network ") == ["network 10.137.0.9 10.137.0.8 0.0.0.0"]
    dom0.daemon.write("/qubes-gateway", b"nonsense")
    dom0.daemon.remove("/qubes-ip")
    machine.settle()
    assert len(firewall.lines("network ")) == 1
    dom0.restart()
    assert len(firewall.lines("no uplink until")) == 1


def test_a_daemon_that_comes_late_or_not(machine):
    firewall = machine.firewall("run=try_settings attach=" + CLIENT)
    machine.advance(60)
    assert len(firewall.lines("waiting for dom0's QubesDB")) == 1
    Dom0(machine, {**KEYS, **rules(b"action=accept")})
    firewall.wait_for("rules 10.137.0.5 accept")


def test_the_last_values_stay_in_force_over_a_restart(machine, start):
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    told = len(firewall.lines("rules ")) + len(firewall.lines("network "))
    holdings = firewall.holdings()
    for _ in range(50):
        dom0.restart()
        machine.until(lambda: dom0.daemon.asked)
        machine.settle()
    assert len(firewall.lines("rules ")) + len(firewall.lines("network ")) == told
    # nor is a list put in force again that came by a commit, in another order than a full reading has
    dom0.commit(CLIENT, [b"action=accept dst4=192.0.2.%d/32" % i for i in range(20)])
    dom0.restart()
    machine.until(lambda: dom0.daemon.asked)
    machine.settle()
    assert dom0.daemon.handled == {CLIENT: 2}
    told += 1
    # one that has lost everything takes nothing away, and the next commit counts
    dom0.daemon.keys = {}
    dom0.restart()
    machine.until(lambda: dom0.daemon.asked)
    machine.settle()
    assert len(firewall.lines("rules ")) + len(firewall.lines("network ")) == told
    dom0.commit(CLIENT, [b"action=drop"])
    assert firewall.lines("rules ")[-1] == "rules 10.137.0.5 drop"
    assert firewall.holdings() == holdings and dom0.left == []


def test_what_changed_during_a_restart_is_noticed(machine, start):
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    dom0.daemon.keys.update(rules(b"action=drop"))
    dom0.restart()
    firewall.wait_for("rules 10.137.0.5 drop")


def test_clients_come_and_go(machine, start):
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")}, attach="")
    assert not firewall.lines("rules ")
    attach(machine, CLIENT)
    assert firewall.lines("rules ") == ["rules 10.137.0.5 accept"]
    attach(machine, CLIENT, "detach")
    dom0.commit(CLIENT, [b"action=drop"])
    assert len(firewall.lines("rules ")) == 1  # nobody is there
    attach(machine, CLIENT)
    assert firewall.lines("rules ")[1:] == ["rules 10.137.0.5 drop"]


def test_a_daemon_that_is_slow_to_read(machine, start):
    """Our answers fill its ring; we then stop reading, and neither side loses anything."""
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    sent = 600
    for i in range(sent):
        dom0.daemon.write("/qubes-service/%d" % i, b"x" * 100)
    writes = len([1 for kind, _, _ in dom0.daemon.from_vm if kind == OK])
    end = dom0.end
    dom0.held = True
    for _ in range(300):
        n = end.write(dom0.daemon.out)
        dom0.daemon.take(n)
        machine.settle()
    assert end.ready() == 4096 - 4096 % 72 or end.ready() == 4096
    assert len(dom0.daemon.out) > 0  # it has stopped us
    dom0.held = False
    machine.settle()
    assert len([1 for kind, _, _ in dom0.daemon.from_vm if kind == OK]) == writes + sent
    assert dom0.left == []


def lie_type(daemon):
    daemon.out += message(10, "/a")


def lie_length(daemon):
    daemon.out += message(WRITE, "/a", b"x" * 3072)


def lie_path(daemon):
    daemon.out += b"\1" + b"/" * 71


def lie_content(daemon):
    daemon.out += message(CONTENT, "/a", b"1")


@pytest.mark.parametrize("lie", [lie_type, lie_length, lie_path, lie_content], ids=lambda lie: lie.__name__)
def test_a_daemon_that_talks_nonsense_is_left_and_met_again(machine, start, lie):
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    lie(dom0.daemon)
    machine.settle()
    machine.advance(3)
    machine.until(lambda: dom0.daemon.asked)
    dom0.commit(CLIENT, [b"action=drop"])
    firewall.wait_for("rules 10.137.0.5 drop")
    assert len(firewall.lines("qubesdb: ended")) == 1


@pytest.mark.parametrize("orders", [(10, 11), (12, 12), (16, 16)])
def test_rings_of_other_sizes(machine, orders):
    dom0 = Dom0(machine, {**KEYS, **rules(*[b"action=accept dst4=192.0.2.%d/32" % i for i in range(200)])}, publish=False)
    dom0.publish(orders)
    firewall = machine.firewall("run=try_settings attach=" + CLIENT)
    firewall.wait_for("rules 10.137.0.5 accept")


def free(firewall):
    return int(re.search(r"^memory (\d+)", [line for line in firewall.lines() if line.startswith("memory ")][-1]).group(1))


def test_20000_stale_trees_leave_memory_level(machine, start, figure):
    """First read at once, then 4,000 more by updates; a client whose rules were forgotten is found by reading again."""
    keys = {**KEYS, **stale(20000), **rules(b"action=accept")}
    firewall, dom0 = start(keys)
    machine.advance(3)
    first = free(firewall)
    held = firewall.holdings()
    assert "rules 10.137.0.5 accept" in firewall.console
    for i in range(4000):
        for path, value in stale_tree("10.139.%d.%d" % (i >> 8, i & 0xFF)).items():
            dom0.daemon.write(path, value)
        if i % 500 == 499:
            machine.settle()
            if i == 1999:
                machine.advance(3)
                half = free(firewall)
    machine.advance(3)
    figure("object heap free after 20,000, 22,000, 24,000 stale rule trees",
           "%d, %d, %d KiB" % (first >> 10, half >> 10, free(firewall) >> 10))
    assert free(firewall) > half - 200000  # an eighth of the trees comes and goes
    assert free(firewall) > 3 << 20
    assert firewall.holdings() == held
    machine.advance(100)
    attach(machine, "10.138.3.7")
    assert not firewall.lines("rules 10.138.3.7")
    firewall.wait_for("rules 10.138.3.7 drop")
    assert len(firewall.lines("reading everything again")) == 1
    assert dom0.left == []


def test_behaviour_15_the_counter_never_runs_ahead_of_the_rules(machine, start):
    """Looked at within every hypercall of the firewall, while lists of 50 rules are read in slices."""
    firewall, dom0 = start({**KEYS, **rules(b"action=accept")})
    told, ahead = set(), []

    def look(firewall):
        dom0._serve()
        firewall._take_console()
        told.add(dom0.daemon.handled.get(CLIENT, 0))
        if max(told) > len(firewall.lines("rules ")):
            ahead.append(max(told))

    machine.preempt(1, look)
    for n in range(10):
        texts = [b"action=drop dst4=198.51.100.%d/32" % i for i in range(50)] + [b"action=accept"] * (n % 2)
        dom0.commit(CLIENT, texts)
    machine.preempt(0, None)
    assert not ahead
    assert told == set(range(1, 12))
    assert firewall.lines("rules ") == ["rules 10.137.0.5 accept"] + ["rules 10.137.0.5 drop", "rules 10.137.0.5 accept"] * 5
