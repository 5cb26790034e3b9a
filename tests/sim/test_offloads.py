"""What a neighbour says of a frame beside its octets, through real rings: whole checksums, short UDP, tags."""
import struct

import pytest

from tests.sim.network import Network
import test_fragments_uplink
from packets import ACK, DF, PSH, Look, arp, echo, ip, pseudo, tcp, total, udp, udp_datagram
from passing import data, opened

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
TAG = struct.pack("!HH", 0x8100, 5 << 13)  # VLAN 0, priority 5


def whole(src, sport, dst, dport, octets):
    """A super-frame whose checksum is not blank."""
    return tcp(src, sport, dst, dport, ACK | PSH, data(octets), fragment=DF)


def tagged(frame):
    return frame[:12] + TAG + frame[12:]


@pytest.mark.parametrize("gso", [True, False])
@pytest.mark.parametrize("octets", [1449, 5000, 65535 - 54])
def test_a_whole_checksum_of_a_super_frame(machine, gso, octets):
    """As blank with the pseudo-header's sum where the far side takes super-frames, else right in each segment."""
    net = Network(machine=machine, gso=gso)
    wire = net.client(A, gso=gso)
    port = opened(net, wire)
    net.settle()
    for sender, far, frame in (
        (wire, net.uplink, whole(A, 1000, SERVER, 80, octets)),
        (net.uplink, wire, whole(SERVER, 80, net.address, port, octets)),
    ):
        far.end.frames.clear()
        sender.send(frame, blank=False, gso=1448)
        net.settle()
        looks = [Look(seen, blank=blank) for seen, blank, _, _ in far.end.frames]
        assert b"".join(look.data for look in looks) == data(octets)
        assert [blank for _, blank, _, _ in far.end.frames] == ([True] if gso else [False] * -(-octets // 1448))


@pytest.mark.parametrize("csum", [True, False])
@pytest.mark.parametrize("size", [100, 1400, 3000])
def test_blank_udp_that_is_shorter_than_what_ip_carries(machine, csum, size):
    """Completed for a far side that cannot, or cut into pieces: over what UDP's own length says."""
    net = Network(machine=machine, csum=csum)
    wire = net.client(A)
    behind = b"behind the end"
    wire.send(ip(A, SERVER, 17, udp_datagram(A, 1000, SERVER, 80, data(size), blank=True) + behind), blank=True)
    net.settle()
    blank = net.uplink.end.frames[0][1]
    assert blank == (csum and size < 1472)
    body = b"".join(Look(seen, blank=False).payload if size > 1472 else seen[34:] for seen, *_ in net.uplink.end.frames)
    assert body[8:] == data(size) + behind
    over = pseudo(net.address, SERVER, 17, 8 + size)
    if blank:
        assert body[6:8] == struct.pack("!H", total(over))
    else:
        assert total(over + body[: 8 + size]) == 0xFFFF


@pytest.mark.parametrize("csum", [True, False])
@pytest.mark.parametrize("gso", [True, False])
def test_a_tag_of_vlan_0_is_taken_off(machine, csum, gso):
    """Whatever the frame is: in one slot or many, with offloads, to us, to be answered. Both sides."""
    net = Network(machine=machine, csum=csum, gso=gso)
    wire = net.client(A, csum=csum, gso=gso)
    wire.send(tagged(tcp(A, 1000, SERVER, 80, blank=True)), blank=True)
    seen, blank, _ = net.uplink.recv_offloaded()
    port = Look(seen, blank=blank).sport
    assert blank == csum
    for sender, far, src, sport, dst, dport in (
        (wire, net.uplink, A, 1000, SERVER, 80),
        (net.uplink, wire, SERVER, 80, net.address, port),
    ):
        for octets in (1, 1400, 3000, 4096 - 58, 4096 - 57, 20000, 65535 - 58):
            for blank in (True, False):
                far.end.frames.clear()
                frame = tcp(src, sport, dst, dport, ACK, data(octets), blank=blank, fragment=DF)
                sender.send(tagged(frame), blank=blank, gso=1448 if octets > 1448 else 0)
                net.settle()
                looks = [Look(seen, blank=blank) for seen, blank, _, _ in far.end.frames]
                assert b"".join(look.data for look in looks) == data(octets)
                assert len(looks) == (1 if gso and csum else -(-octets // 1448))
        assert not net.uplink.end.dirty
    net.uplink.end.frames.clear()
    wire.end.frames.clear()
    wire.send(tagged(udp(A, 1000, SERVER, 80, data(3000))))
    assert [Look(net.uplink.recv()).total for _ in range(3)] == [1500, 1500, 68]
    wire.send(tagged(echo(A, net.address)))
    assert Look(wire.recv()).kind == 0
    wire.send(tagged(arp(1, wire.mac, A, net.address)))
    assert wire.recv()[12:14] == b"\x08\x06"


def test_datagrams_in_pieces_interleaved_on_the_uplink(machine):
    test_fragments_uplink.test_40_datagrams_of_8_kib_interleaved_arrive(Network(machine=machine))
