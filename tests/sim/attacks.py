"""What the tests of lying neighbours share: an honest client that forwards meanwhile, and which rows each test plays.

    lies = Lies()

    @lies("tx-size-0", "XSA-90")            a lie is a function named by what it does
    def tx_first_slot_of_size_0(client): ...

    @lies.each                              a test of each, as its argument `lie`
    def test_a_lie_costs_only_the_liar(net, lie): ...

    @row("XSA-392")                         a test that plays rows itself

Rows are ids of cases/xen_attack_cases.jsonl, advisories (test_attacks_rows.py has the list), and rows of
docs/behaviours.md as "behaviour 73".
"""
import contextlib

import pytest
from tests.sim.network import Network
from packets import Look, looks, udp

HONEST, FRIEND, LIAR, SERVER = "10.137.0.21", "10.137.0.22", "10.137.0.66", "192.0.2.50"
LONG = b"x" * 1000
COVERED = {}  # row: names of the lies and tests that play it


def row(*rows):
    def note(function):
        for each in rows:
            COVERED.setdefault(each, []).append(function.__name__)
        return function

    return note


class Lies(list):
    """Functions of one kind, each an argument of one test."""

    def __call__(self, *rows):
        def note(lie):
            self.append(lie)
            return row(*rows)(lie)

        return note

    def each(self, test):
        return pytest.mark.parametrize("lie", self, ids=lambda lie: lie.__name__)(test)


def begin(machine, **options):
    """A network with an honest client that works. options: of Network."""
    net = Network(machine=machine, **options)
    net.honest = net.client(HONEST)
    works(net)
    return net


@pytest.fixture
def net(machine):
    """Whatever a test does to it: at the end the honest client is served, or dom0 has ended the domain."""
    net = begin(machine)
    yield net
    still_serves(net)


def still_serves(net):
    if net.firewall.alive():
        assert net.honest.pings()


def works(net, sport=4001):
    """The honest client's packet leaves, and its answer comes back."""
    net.honest.send(udp(HONEST, sport, SERVER, 53, b"question"))
    seen = Look(net.uplink.recv())
    assert (seen.src, seen.data) == (net.address, b"question")
    net.uplink.send(udp(SERVER, 53, net.address, seen.sport, b"answer"))
    assert Look(net.honest.recv()).data == b"answer"


def bent(net, directory, name, value):
    """Write it as dom0, or remove the node; what stood there."""
    path = ("%s/%s" % (directory, name)).encode()
    node = net.machine.store.get(path)
    if value is not None:
        net.machine.dom0.write(path, value)
    elif node:
        net.machine.dom0.remove(path)
    return node and node.value


def all_work(net, wires):
    """The same for all these clients at once; nothing else leaves."""
    for wire in wires:
        wire.send(udp(wire.address, 1000, SERVER, 53, wire.address.encode()))
    net.settle()
    got = looks(net.left())
    assert sorted(seen.data.decode() for seen in got) == sorted(wire.address for wire in wires)
    for wire in wires:
        wire.end.frames.clear()
    for seen in got:
        net.uplink.send(udp(SERVER, 53, net.address, seen.sport, seen.data))
    assert all(Look(wire.recv()).data.decode() == wire.address for wire in wires)


@contextlib.contextmanager
def forwarding(net, frames=30):
    """What happens in the block happens while the honest client forwards.

    Its frames lie in its ring when the block begins, so that they are served in the same passes as the lie, and more
    follow it. All of them leave, in order, and all answers come back; nothing of them is left in net.uplink's frames.
    """
    wanted = [b"during %d" % i for i in range(2 * frames)]
    _queue(net.honest, SERVER, wanted[:frames])
    yield
    _queue(net.honest, SERVER, wanted[frames:])
    net.settle()
    netvm = net.uplink.end
    seen = looks(each for each in netvm.frames if b"during" in each[0])
    netvm.frames = [each for each in netvm.frames if b"during" not in each[0]]
    assert [each.data for each in seen] == wanted
    for each in seen:
        netvm.send(udp(SERVER, 53, net.address, each.sport, each.data))
    net.settle()
    _arrived(net.honest, wanted)


@contextlib.contextmanager
def forwarding_between_clients(net, frames=30):
    """The same where the uplink is what breaks: from the honest client to another one (net.friend)."""
    wanted = [b"during %d" % i for i in range(2 * frames)]
    _queue(net.honest, FRIEND, wanted[:frames])
    yield
    _queue(net.honest, FRIEND, wanted[frames:])
    net.settle()
    _arrived(net.friend, wanted)


def _queue(wire, to, data):
    for each in data:
        wire.end.queue(udp(wire.address, 4001, to, 53, each))
    wire.end.kick()


def _arrived(wire, wanted):
    end = wire.end
    got = [seen.data for seen in looks(each for each in end.frames if b"during" in each[0])]
    end.frames = [each for each in end.frames if b"during" not in each[0]]
    assert got == wanted


def storm(machine, peer, port, events):
    """At each hypercall of the firewall another event for nothing, so many of them: it finds no moment to sleep."""
    left = [events]

    def strike(_):
        if left[0]:
            left[0] -= 1
            peer.evtchn_send(port)

    machine.preempt(1, strike)
    return left


def rest(net):
    """Holdings when nothing is on its way."""
    net.machine.advance(1.1)
    return net.holdings()


def frame(data=b"data", sport=5000):
    return udp(LIAR, sport, SERVER, 7, data)


def one(client, octets=b"", offset=0, flags=0, size=None):
    """One tx request of a frontend.Client for these octets, unpublished."""
    id, ref = client.page(octets)
    client.request(ref, offset, flags, id, len(octets) if size is None else size)


def answered(client, statuses):
    """These are the statuses of the responses on tx since last asked."""
    assert [status for _, status in client.responses] == statuses
    client.responses.clear()
