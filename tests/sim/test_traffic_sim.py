"""Frames through real rings: all NAT cases, offloads in every combination, segmentation, checksums, fragments."""
import struct

import pytest

from tests.sim.network import Network
import test_nat_cases
from packets import ACK, DF, PSH, Look, fragments, looks, tcp, udp
from passing import data, opened

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"


@pytest.mark.parametrize("case", test_nat_cases.IDS)
def test_nat_case(case, machine, monkeypatch):
    monkeypatch.setattr(test_nat_cases, "FLOOD", 2000)
    test_nat_cases.SCENES[case](Network(machine=machine))


def big(src, sport, dst, dport, octets):
    return tcp(src, sport, dst, dport, ACK | PSH, data(octets), blank=True, fragment=DF)


def joined(frames):
    """Payload of TCP segments in the order of their sequence numbers, each with a right checksum."""
    out = bytearray()
    first = None
    for octets in frames:
        seen = Look(octets)
        number = struct.unpack("!I", seen.payload[4:8])[0]
        first = number if first is None else first
        assert number - first == len(out) and len(octets) <= 1514
        out += seen.data
    return bytes(out)


@pytest.mark.parametrize("octets", [1461, 4096 - 54, 4096 - 53, 20000, 65535 - 54])
def test_super_frames_leave_whole_when_the_netvm_takes_them(machine, octets):
    net = Network(machine=machine)
    wire = net.client(A)
    opened(net, wire)
    wire.send(big(A, 1000, SERVER, 80, octets), blank=True, gso=1448)
    net.settle()
    (seen, blank, gso, slots), = net.uplink.end.frames
    assert blank and gso == 1448 and slots == -(-len(seen) // 4096) + 1
    assert Look(seen, blank=True).data == data(octets) and not net.uplink.end.dirty


@pytest.mark.parametrize("options", [dict(gso=False), dict(sg=False), dict(sg=False, gso=False, csum=False), dict(csum=False)],
                         ids=str)
@pytest.mark.parametrize("octets", [1449, 20000, 65535 - 54])
def test_super_frames_are_segmented_when_it_does_not(machine, options, octets):
    net = Network(machine=machine, **options)
    wire = net.client(A)
    opened(net, wire)
    before = net.holdings()
    wire.send(big(A, 1000, SERVER, 80, octets), blank=True, gso=1448)
    net.settle()
    assert all(not gso and slots == 1 for _, _, gso, slots in net.uplink.end.frames)
    assert len(net.uplink.end.frames) == -(-octets // 1448)
    assert joined([each[0] for each in net.uplink.end.frames]) == data(octets)
    net.advance(1)
    assert net.holdings() == before


@pytest.mark.parametrize("octets", [1461, 20000, 65535 - 54])
def test_super_frames_reach_a_client_that_takes_them(machine, octets):
    net = Network(machine=machine)
    wire = net.client(A)
    port = opened(net, wire)
    net.uplink.send(big(SERVER, 80, net.address, port, octets), blank=True, gso=1448)
    net.settle()
    (seen, blank, gso, slots), = wire.end.frames
    assert blank and gso == 1448 and slots == -(-len(seen) // 4096) + 1
    assert Look(seen, blank=True).data == data(octets)


@pytest.mark.parametrize("options", [dict(gso=False), dict(sg=False), dict(csum=False)], ids=str)
def test_super_frames_are_segmented_for_a_client_that_does_not(machine, options):
    net = Network(machine=machine)
    wire = net.client(A, **options)
    port = opened(net, wire)
    for _ in range(3):
        net.uplink.send(big(SERVER, 80, net.address, port, 60000), blank=True, gso=1448)
        net.settle()
        assert all(not gso and slots == 1 for _, _, gso, slots in wire.end.frames)
        assert joined([each[0] for each in wire.end.frames]) == data(60000)
        wire.end.frames.clear()


@pytest.mark.parametrize("build", [tcp, udp])
@pytest.mark.parametrize("csum", [True, False])
def test_blank_checksums(machine, build, csum):
    """They stay blank, with the right seed, or are right at a receiver that verifies them."""
    net = Network(machine=machine, csum=csum)
    wire = net.client(A, csum=csum)
    for octets in (0, 1, 100, 1001, 1400):
        wire.send(build(A, 1000, SERVER, 80, data=data(octets), blank=True), blank=True)
        seen, blank, _ = net.uplink.recv_offloaded()
        assert blank == csum
        port = Look(seen, blank=blank).sport
        net.uplink.send(build(SERVER, 80, net.address, port, data=data(octets), blank=True), blank=True)
        seen, blank, _ = wire.recv_offloaded()
        assert blank == csum and Look(seen, blank=blank).data == data(octets)


def test_between_two_clients(machine):
    """Super-frames and all, when a setting lets them."""
    net = Network(machine=machine)
    a, b = net.client(A), net.client(B)
    a.send(big(A, 1000, B, 80, 30000), blank=True, gso=1448)
    assert net.uplink.recv() is None and b.recv() is None, "no setting"
    net.allow((A, B))
    a.send(tcp(A, 1000, B, 80))
    assert Look(b.recv()).src == A
    a.send(big(A, 1000, B, 80, 30000), blank=True, gso=1448)
    seen, blank, gso = b.recv_offloaded()
    assert gso == 1448 and Look(seen, blank=blank).data == data(30000)


@pytest.mark.parametrize("mtu", [1500, 576, 1280])
def test_fragments_of_the_clients_and_of_ours(machine, mtu):
    net = Network(machine=machine, mtu=mtu)
    wire = net.client(A)
    whole = udp(A, 1000, SERVER, 80, data(6000))
    for pieces in ([whole], fragments(whole, 1480, 1480, 1480), fragments(whole, 8, 800, 4000)):
        for piece in reversed(pieces):
            wire.send(piece)
        net.settle()
        out = bytearray(6008)
        for octets, _, _, _ in net.uplink.end.frames:
            assert len(octets) <= mtu + 14
            at = (struct.unpack("!H", octets[20:22])[0] & 0x1FFF) * 8
            out[at : at + len(octets) - 34] = octets[34:]
        assert bytes(out[8:]) == data(6000)
        net.uplink.end.frames.clear()
    assert not net.uplink.end.dirty


def test_two_hundred_flows_at_once_from_two_clients(machine):
    net = Network(machine=machine)
    wires = net.client(A), net.client(B)
    for i in range(100):
        for wire in wires:
            wire.send(udp(wire.address, 2000 + i, SERVER, 53, b"%d" % i))
    net.settle()
    for octets, _, _, _ in list(net.uplink.end.frames):
        seen = Look(octets)
        net.uplink.send(udp(SERVER, 53, net.address, seen.sport, seen.data))
    for wire in wires:
        net.settle()
        got = looks(wire.end.frames)
        assert sorted((seen.dport, seen.data) for seen in got) == sorted((2000 + i, b"%d" % i) for i in range(100))


def test_a_burst_larger_than_every_ring_arrives_in_order(machine):
    net = Network(machine=machine)
    wire = net.client(A)
    for i in range(2000):
        wire.send(udp(A, 1000, SERVER, 53, b"%d" % i))
    net.settle()
    assert [seen.data for seen in looks(net.uplink.end.frames)] == [b"%d" % i for i in range(2000)]
    assert net.counters["forwarded"] == 2000
