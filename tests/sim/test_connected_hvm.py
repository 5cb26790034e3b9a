"""/connected-ips is an authority, through QubesDB and rings: who is not named there gets nothing, by no interface.

dom0 takes the netvm of a running HVM away by detaching the guest's own interface; its stub domain's stays behind, and
neither end closes it (qubes-issues 6829). The list says the truth at once.
"""
import pytest
from packets import ACK, SYN, Look, echo, tcp, udp
from qubesdb_dom0 import rule_keys
from test_whole_firewall import KEYS, OWN, SERVER, Whole

A, B = "10.137.0.21", "10.137.0.22"


def keys(*listed):
    found = {**KEYS, **rule_keys(A, [b"action=accept"]), **rule_keys(B, [b"action=accept"])}
    if listed:
        found["/connected-ips"] = " ".join(listed).encode()
    return found


class Scene(Whole):
    """Two interfaces of A, stub and guest, with a UDP and a TCP flow each, and an honest B."""

    def __init__(self, machine, listed=(A, B), fast="on"):
        make = machine.firewall
        machine.firewall = lambda words: make(words + " fast=" + fast)
        super().__init__(machine, keys(*listed))
        self.stub, self.guest = self.client(A, rules=None), self.client(A, rules=None)
        self.other = self.client(B, rules=None)
        self.ports = [self.flow(wire, 4000 + n) for n, wire in enumerate((self.stub, self.guest, self.other))]

    def flow(self, wire, sport):
        """(wire, own port, port outside) of a UDP flow and a TCP flow in use both ways."""
        found = []
        for build in (udp, tcp):
            wire.send(build(wire.address, sport, SERVER, 80))
            port = Look(self.uplink.recv()).sport
            self.uplink.send(build(SERVER, 80, self.address, port, *(() if build is udp else (SYN | ACK,))))
            assert wire.recv()
            found.append((build, sport, port))
        wire.send(tcp(wire.address, sport, SERVER, 80, ACK))
        assert self.uplink.recv()
        return wire, found

    def listed(self, *addresses):
        self.dom0.daemon.write("/connected-ips", " ".join(addresses).encode())
        self.machine.settle()

    def goes(self, wire, flows):
        """Which of its flows still go, as "out" and "in"."""
        found = set()
        for build, sport, port in flows:
            flags = () if build is udp else (ACK,)
            self.settle()
            wire.end.frames.clear()
            self.uplink.end.frames.clear()
            self.uplink.send(build(SERVER, 80, self.address, port, *flags))
            if wire.recv():
                found.add((build.__name__, "in"))
            wire.send(build(wire.address, sport, SERVER, 80, *flags))
            self.settle()
            if self.left():
                found.add((build.__name__, "out"))
        return found


ALL = {("udp", "in"), ("udp", "out"), ("tcp", "in"), ("tcp", "out")}


@pytest.mark.parametrize("fast", ["on", "off"])
def test_both_interfaces_of_an_hvm_are_cut_and_restored(machine, fast):
    net = Scene(machine, fast=fast)
    for wire, flows in net.ports:
        assert net.goes(wire, flows) == ALL
    net.listed(B)
    assert net.goes(*net.ports[0]) == net.goes(*net.ports[1]) == set()
    assert net.goes(*net.ports[2]) == ALL, "nobody else's flow is cut"
    for wire in (net.stub, net.guest):
        for frame in (udp(A, 5000, SERVER, 53), tcp(A, 5001, SERVER, 80), echo(A, SERVER)):
            wire.send(frame)
        net.settle()
    assert net.left() == []
    net.listed(A, B)
    for n, wire in enumerate((net.stub, net.guest)):
        net.flow(wire, 6000 + n)
    assert net.goes(*net.ports[2]) == ALL


@pytest.mark.parametrize("first", [True, False])
def test_an_hvm_whose_one_interface_is_detached(machine, first):
    """Of either: what goes by the other goes on, as long as the list names it; then it is cut."""
    net = Scene(machine)
    gone, stays = (net.stub, net.guest) if first else (net.guest, net.stub)
    net.detach(gone)
    kept = dict(net.ports)[stays]
    assert net.goes(stays, kept) == ALL
    net.listed(B)
    assert net.goes(stays, kept) == set()
    net.listed(A, B)
    net.flow(stays, 7000)
    net.detach(stays)
    assert net.goes(*net.ports[2]) == ALL


def test_before_the_key_was_read_who_is_attached_is_served(machine):
    net = Scene(machine, listed=())
    for wire, flows in net.ports:
        assert net.goes(wire, flows) == ALL
    net.listed()
    for wire, flows in net.ports:
        assert net.goes(wire, flows) == set(), "an empty list names nobody"


def test_the_list_outlives_qubesdbs_daemon(machine):
    """A daemon that comes again without the key changes nothing; one whose list is another does."""
    net = Scene(machine)
    net.listed(B)
    del net.dom0.daemon.keys["/connected-ips"]
    net.dom0.restart()
    net.machine.advance(10)
    assert net.goes(*net.ports[0]) == set() and net.goes(*net.ports[2]) == ALL
    net.dom0.daemon.keys["/connected-ips"] = b"%s %s" % (A.encode(), B.encode())
    net.dom0.restart()
    net.machine.advance(10)
    net.flow(net.stub, 8000)


def test_a_client_that_is_not_named_is_attached_and_detached_all_the_same(machine):
    """dom0 waits for that, whatever the list says."""
    net = Scene(machine)
    net.listed(B)
    late = net.client(A, rules=None)
    assert late.end.connected()
    late.send(udp(A, 1, SERVER, 53))
    net.settle()
    assert net.left() == []
    for wire in (late, net.stub, net.guest):
        net.detach(wire)
    assert OWN == net.address and net.goes(*net.ports[2]) == ALL
