"""Frames from a client, split over tx slots in every way: the verdict is that on the whole frame."""
import pytest
from tests.sim.network import OUR_MAC, Network
from packets import ACK, DF, ETHER, Look, arp, echo, error, fragments, tcp, udp
from test_splits_netvm import OPTIONS, splits

A, SERVER, DENIED = "10.137.0.21", "192.0.2.50", "192.0.2.99"


def frames(net, inward):
    """Of each kind that is judged in its own way. inward: a packet that the client has received."""
    out = udp(A, 4001, SERVER, 53, b"a question of some length, so that there is a rest" * 3)
    return {
        "udp": [out], "options": [udp(A, 4001, SERVER, 53, b"question" * 20, options=OPTIONS)],
        "tcp": [tcp(A, 4002, SERVER, 80, ACK, b"data" * 30)], "denied": [udp(A, 4001, DENIED, 53, b"x" * 60)],
        "error": [error(A, SERVER, 3, 3, inward[14:])], "fragments": fragments(udp(A, 4001, SERVER, 53, bytes(200), ident=7), 64),
        "arp": [arp(1, ETHER[6:12], A, net.gateway)], "echo": [echo(A, net.gateway)], "echo out": [echo(A, SERVER)],
        "spoofed": [udp("10.137.0.77", 4001, SERVER, 53, b"x" * 60)], "wrong sum": [out[:30] + b"\1" + out[31:]],
        "source route": [udp(A, 4001, SERVER, 53, options=b"\x83\x07\x04" + bytes(5))],
        "ttl": [udp(A, 4001, SERVER, 53, b"x" * 60, ttl=1)], "large": [udp(A, 4001, SERVER, 53, bytes(1480), fragment=DF)],
        "group": [udp(A, 5353, "224.0.0.251", 5353, b"x" * 60)], "type": [out[:12] + b"\x86\xdd" + out[14:]],
        "to us": [udp(A, 4001, net.gateway, 9, b"x" * 60)], "cut": [out[:40]], "headers": [out[:33]], "ethernet": [out[:14]],
    }  # fmt: skip


def _plain(octets):
    """Without identification and checksum of the IP header: each of ours has its own. Of an error its kind and rest and
    the headers that it quotes: how much follows depends on how much of the packet lies in one piece."""
    if octets[12:14] == b"\x08\x00" and octets[23] == 1 and octets[34] in (3, 11):
        return octets[:16] + octets[20:24] + octets[26:36] + octets[38:70]
    return octets[:18] + octets[20:24] + octets[26:] if octets[12:14] == b"\x08\x00" else octets


def verdict(net, these, slots):
    """What the counters say, and what arrives at the client and at the netvm. slots: of each frame."""
    net.advance(0.1)  # for the share of errors that a client may cause
    net.uplink.end.frames.clear()  # questions by ARP
    before = net.counters
    for octets, (sizes, offsets) in zip(these, slots):
        net.a.end.send(octets, sizes=sizes, offsets=offsets)
    net.settle()
    after = net.counters
    out = [[_plain(each[0]) for each in end.frames] for end in (net.a.end, net.uplink.end)]
    assert not net.uplink.end.dirty
    net.a.end.frames.clear()
    net.uplink.end.frames.clear()
    assert {status for _, status in net.a.end.responses} <= {0}
    net.a.end.responses.clear()
    return {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name)}, out


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.a = net.client(A, ["action=drop dst4=%s/32" % DENIED, "action=accept"])
    return net


def test_however_a_frame_is_split_the_verdict_is_the_same(net):
    """As a head of 16 octets at 4080, and then the rest."""
    net.a.send(udp(A, 4001, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(udp(SERVER, 53, net.address, port, b"answer"))
    inward = net.a.recv()
    net.a.send(tcp(A, 4002, SERVER, 80))
    net.uplink.send(tcp(SERVER, 80, net.address, Look(net.uplink.recv()).sport, 0x12))
    assert net.a.recv()[:6] != OUR_MAC
    for name, these in frames(net, inward).items():
        verdict(net, these, [(None, ())] * len(these))  # it may be the first of a flow
        whole = verdict(net, these, [(None, ())] * len(these))
        assert whole[0], name
        for slots in zip(*[splits(len(octets)) for octets in these]):
            assert verdict(net, these, slots) == whole, (name, slots)
    assert not net.lines("judge") and net.a.end.connected()
