"""Names of rules with the program that ships: what dom0 reads of them, and what it sets."""
import pytest
from attacks import all_work  # noqa: F401: the wires of Whole are of its kind
from qubesdb_dom0 import RM, rule_keys
from resolvers import Zone
from test_names import passes
from test_whole_firewall import KEYS, Whole

A, B = "10.137.0.21", "10.137.0.22"
WEB, OTHER = "192.0.2.50", "192.0.2.60"
HOST = "www.example.org"


def rules(ip, *hosts):
    return rule_keys(ip, [b"action=accept dsthost=" + host.encode() for host in hosts])


@pytest.fixture
def start(machine):
    def start(*more):
        keys = {**KEYS, "/connected-ips": ("%s %s" % (A, B)).encode()}
        for some in more:
            keys.update(some)
        net = Whole(machine, keys)
        machine.until(lambda: "/qubes-iptables-error" in net.dom0.daemon.keys, 30, "the end of reading")
        return net
    return start


def told(net):
    """What dom0 has below /dns/."""
    net.settle()
    return {path: value for path, value in net.dom0.daemon.keys.items() if path.startswith("/dns/")}


def test_dom0_reads_what_names_resolve_to(start):
    long = "a" * 30 + "." + "b" * 30 + ".example.org"
    net = start(rules(A, HOST, "gone.example.org", long), rules(B, HOST))
    zone = Zone(net, {HOST: [WEB, "192.0.2.7"], "gone.example.org": [], long: [OTHER]})
    client = net.client(A, rules=None)
    net.advance(2)
    value = b"{'192.0.2.7/32', '192.0.2.50/32'}"
    assert told(net) == {"/dns/%s/%s" % (A, HOST): value}
    assert passes(net, client, OTHER)  # the one whose path is too long counts all the same
    other = net.client(B, rules=None)
    net.advance(1)
    assert told(net)["/dns/%s/%s" % (B, HOST)] == value
    zone.names[HOST] = [OTHER]
    net.advance(301)
    assert told(net)["/dns/%s/%s" % (A, HOST)] == b"{'192.0.2.7/32', '192.0.2.50/32', '192.0.2.60/32'}"
    net.advance(700)
    assert told(net)["/dns/%s/%s" % (A, HOST)] == b"{'192.0.2.60/32'}"
    net.detach(other)
    net.dom0.daemon.commit(A, [b"action=accept dsthost=gone.example.org"])
    net.advance(2)
    assert told(net) == {} and not net.dom0.left
    assert len([kind for kind, _, _ in net.dom0.daemon.from_vm if kind == RM]) == 2


def test_after_qubesdb_was_restarted_only_what_is_there_is_removed(start):
    net = start(rules(A, HOST))
    Zone(net, {HOST: [WEB]})
    net.client(A, rules=None)
    net.advance(2)
    assert len(told(net)) == 1
    net.dom0.restart()
    net.advance(5)
    net.dom0.daemon.commit(A, [b"action=drop"])
    net.advance(5)
    assert set(told(net).values()) <= {b"set()"} and not net.dom0.left
    net.dom0.daemon.commit(A, [b"action=accept dsthost=" + HOST.encode()])
    net.advance(5)
    assert list(told(net).values()) == [b"{'192.0.2.50/32'}"] and not net.dom0.left


def test_dom0_removes_what_we_have_written(start):
    net = start(rules(A, HOST))
    Zone(net, {HOST: [WEB]})
    net.client(A, rules=None)
    net.advance(2)
    net.dom0.daemon.remove("/dns/%s/" % A)
    net.settle()
    net.dom0.daemon.commit(A, [b"action=drop"])
    net.advance(5)
    assert set(told(net).values()) <= {b"set()"} and not net.dom0.left


def test_resolvers_change_and_come_late(start):
    net = start(rules(A, HOST), {"/qubes-primary-dns": b"", "/qubes-secondary-dns": b""})
    zone = Zone(net, {HOST: [WEB]})
    client = net.client(A, rules=None)
    net.advance(10)
    assert not zone.asked and not passes(net, client, WEB)
    net.dom0.daemon.write("/qubes-primary-dns", b"10.139.1.1")
    net.advance(1)
    assert zone.asked == [HOST] and passes(net, client, WEB, 4001)
    net.dom0.daemon.write("/qubes-primary-dns", b"10.139.1.7")
    net.advance(1)
    net.dom0.daemon.commit(A, [b"action=accept dsthost=b.example.org"])
    net.advance(1)
    assert {question.server for question in zone.seen[1:]} == {"10.139.1.7"}
