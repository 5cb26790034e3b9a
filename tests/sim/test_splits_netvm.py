"""Frames from the netvm, split over slots in every way: the verdict is that on the whole frame."""
import pytest
from tests.sim.network import OUR_MAC, Network
from packets import ACK, Look, arp, echo, error, fragments, tcp, udp

A, SERVER = "10.137.0.21", "192.0.2.50"
PAGE = 4096
OPTIONS = b"\x01" * 39 + b"\0"


def splits(octets):
    """(sizes, offsets) of slots: a head of every length at its page's end and elsewhere, then the rest; tiny parts."""
    for first in [*range(1, 70), 133, 134, 135, 191, 192, 193]:
        first = min(first, octets)
        yield [first], [PAGE - first]
        yield [first], [PAGE - first - 1]
        yield [first], [0, PAGE - (octets - first)]
    for parts in (2, 3, 16, 17):
        yield [1] * parts, [PAGE - 1] * parts
        yield [1] * parts, [4080 - i for i in range(parts)]
    yield [13, 1, 19, 1, 7], [4083, 0, 4077, 4095, 4089]
    yield [16, 16, 16], [4080, 4080, 4080]
    yield [0, 16, 0, 0, octets - 16, 0], [0, 4080]  # slots of no octets are none


def frames(net, port, tcp_port):
    """Of each kind that is judged in its own way."""
    ours = net.address
    answer = udp(SERVER, 53, ours, port, b"an answer of some length, so that there is a rest" * 3)
    out = udp(ours, port, SERVER, 53)
    pieces = fragments(udp(SERVER, 53, ours, port, bytes(200), ident=7), 64)
    return {
        "udp": [answer], "options": [udp(SERVER, 53, ours, port, b"answer" * 20, options=OPTIONS)],
        "tcp": [tcp(SERVER, 80, ours, tcp_port, ACK, b"data" * 30)],
        "error": [error("192.0.2.9", ours, 3, 3, out[14:])], "fragments": pieces,
        "arp": [arp(1, OUR_MAC, net.upstream, ours)], "echo": [echo(SERVER, ours)], "nobody's": [udp(SERVER, 1, ours, 2)],
        "source route": [udp(SERVER, 53, ours, port, options=b"\x83\x07\x04" + bytes(5))], "wrong sum": [answer[:30] + b"\1" + answer[31:]],
        "not ours": [udp(SERVER, 53, "192.0.2.77", port)], "type": [answer[:12] + b"\x86\xdd" + answer[14:]],
        "short": [answer[:13]], "shorter": [answer[:3]], "cut": [answer[:40]],
    }  # fmt: skip


def verdict(net, wire, these, slots):
    """What the counters say, and what arrives at the client and at the netvm. slots: of each frame."""
    before = net.counters
    for octets, (sizes, offsets) in zip(these, slots):
        net.uplink.end.send(octets, sizes=sizes, offsets=offsets)
    net.settle()
    after = net.counters
    out = [[each[0] for each in end.frames] for end in (wire.end, net.uplink.end)]
    wire.end.frames.clear()
    net.uplink.end.frames.clear()
    return {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name)}, out


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.a = net.client(A)
    return net


def test_however_a_frame_is_split_the_verdict_is_the_same(net):
    """A head of 16 octets at 4080, then the rest, raised IndexError; a hundred of these closed the uplink."""
    net.a.send(udp(A, 4001, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    net.a.send(tcp(A, 4002, SERVER, 80))
    tcp_port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, net.address, tcp_port, 0x12))
    net.settle()
    net.a.end.frames.clear()
    net.uplink.end.frames.clear()
    for name, these in frames(net, port, tcp_port).items():
        whole = verdict(net, net.a, these, [(None, ())] * len(these))
        assert whole[0], name
        for slots in zip(*[splits(len(octets)) for octets in these]):
            assert verdict(net, net.a, these, slots) == whole, (name, slots)
    assert not net.lines("judge") and net.uplink.end.connections == 1
