"""Rows 43 to 58 of docs/behaviours.md: headers and options, broadcast, multicast and ARP, through the whole firewall."""
import struct

import pytest
from packets import ACK, FIN, PSH, RST, SYN, URG, Look, arp, echo, ip, tcp, tcp_segment, total, udp, udp_datagram
from scenes import A, OURS, SERVER, nothing

from tests.network import CLIENT_MAC, OUR_MAC


def resum(frame):
    """The frame with a right IP header checksum, whatever else is wrong with its header."""
    size = max((frame[14] & 15) * 4, 20)
    head = frame[14:24] + b"\0\0" + frame[26 : 14 + size]
    return frame[:24] + struct.pack("!H", total(head) ^ 0xFFFF) + frame[26:]


@pytest.mark.parametrize(
    "at, value",
    [(14, b"\x55"), (14, b"\x65"), (14, b"\x05"), (14, b"\x44"), (14, b"\x40"), (14, b"\x4f"),
     (16, b"\x00\x13"), (16, b"\x00\x00"), (16, b"\x00\x21"), (16, b"\xff\xff")],
)
def test_behaviour_43_impossible_ip_headers(net, at, value):
    """Version, IHL under 5 or over the packet, total length under the header or over the frame."""
    client = net.client(A)
    frame = udp(A, 1, SERVER, 80)
    assert len(frame) == 14 + 32
    client.send(resum(frame[:at] + value + frame[at + len(value) :]))
    nothing(client, net.uplink)
    assert net.counters == {"impossible IP header": 1}


@pytest.mark.parametrize("octets", range(34))
def test_behaviour_43_frames_cut_in_the_header(net, octets):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 80)[:octets])
    nothing(client, net.uplink)


def test_behaviour_44_wrong_header_checksum(net):
    client = net.client(A)
    frame = udp(A, 1, SERVER, 80)
    for at in range(14, 34):
        for bit in range(8):
            client.send(frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :])
    nothing(client, net.uplink)


@pytest.mark.parametrize(
    "options",
    [bytes((131, 7, 4)) + b"\xc0\x00\x02\x01\x00", bytes((137, 7, 4)) + b"\xc0\x00\x02\x01\x00",
     b"\x01\x01" + bytes((131, 3, 4)) + b"\0\0\0", bytes((7, 3, 4, 131)) + bytes((3, 4, 0, 0)), bytes((1, 1, 1, 137))],
    ids=["loose", "strict", "behind no-ops", "behind record route", "cut"],
)
def test_behaviour_45_source_routes_are_dropped(net, options):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 80, options=options))
    client.send(echo(A, OURS, options=options))
    nothing(client, net.uplink)
    assert net.counters == {"source route": 2}


@pytest.mark.parametrize(
    "options, passes",
    [(bytes(4), True), (b"\x00\x83\x03\x04", True), (b"\x01" * 40, True), (b"\x94\x04\x00\x00", True),
     (b"\x63\x04ab", True), (b"\x63\x00ab", False), (b"\x63\x01ab", False), (b"\x63\x09ab", False), (b"\x01\x01\x01\x63", False)],
    ids=["end", "behind the end", "no-ops", "router alert", "unknown", "length 0", "length 1", "too long", "no length"],
)
def test_behaviour_46_options_are_survived(net, options, passes):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 80, options=options))
    frame = net.uplink.recv(0)
    assert (frame is not None) == passes
    if passes:
        assert Look(frame).datagram[20 : 20 + len(options)] == options


@pytest.mark.parametrize("offset", [0, 1, 4, 6, 15])
def test_behaviour_47_tcp_data_offset(net, offset):
    client = net.client(A)
    segment = tcp_segment(A, 1, SERVER, 80)
    client.send(ip(A, SERVER, 6, segment[:12] + bytes([offset << 4]) + segment[13:]))
    for cut in range(20):
        client.send(ip(A, SERVER, 6, segment[:cut]))
    nothing(client, net.uplink)


@pytest.mark.parametrize("flags", [0, SYN | FIN, 0x3F, 0xFF, FIN, PSH, URG, SYN | RST, FIN | RST, FIN | PSH | URG, SYN | FIN | ACK])
def test_behaviour_48_impossible_flags_are_dropped(net, flags):
    client = net.client(A)
    client.send(tcp(A, 1, SERVER, 80, flags))
    client.send(tcp(A, 2, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, OURS, port, flags))  # on a flow as well
    nothing(client, net.uplink)
    assert net.counters["impossible TCP flags"] == 2 and net.neighbours.flows.count == 1


@pytest.mark.parametrize("flags", [SYN | ACK, RST, RST | ACK, FIN | ACK])
def test_behaviour_49_only_a_syn_opens_a_flow(net, flags):
    """Or a plain ACK of the client's: test_tcp_without_flow.py has it, and the resets."""
    client = net.client(A)
    client.send(tcp(A, 1, SERVER, 80, flags, b"data"))
    net.uplink.send(tcp(SERVER, 80, OURS, 1, flags))
    assert client.recv() is None if flags & RST else Look(client.recv()).flags == RST
    nothing(client, net.uplink)
    assert net.neighbours.flows.count == 0 and net.counters == {"of no flow": 2}


@pytest.mark.parametrize("flags", [ACK, SYN, SYN | ACK, RST, RST | ACK, FIN | ACK, PSH | ACK])
def test_behaviour_49_from_outside_nothing_opens_a_flow(net, flags):
    client = net.client(A)
    net.uplink.send(tcp(SERVER, 80, OURS, 1, flags))
    nothing(client, net.uplink)
    assert net.neighbours.flows.count == 0 and net.counters == {"of no flow": 1}


@pytest.mark.parametrize("length", [0, 7, 13, 65535])
def test_behaviour_50_udp_length(net, length):
    client = net.client(A)
    datagram = udp_datagram(A, 1, SERVER, 80)
    assert len(datagram) == 12
    client.send(ip(A, SERVER, 17, datagram[:4] + struct.pack("!H", length) + datagram[6:]))
    for cut in range(8):
        client.send(ip(A, SERVER, 17, datagram[:cut]))
    nothing(client, net.uplink)
    assert net.counters == {"impossible transport header": 9}


def test_behaviour_51_ttl(net):
    client = net.client(A, ["action=accept dst4=%s/32" % SERVER])
    for ttl in (255, 64, 2):
        client.send(udp(A, 1, SERVER, 80, ttl=ttl))
        seen = Look(net.uplink.recv())
        assert seen.ttl == ttl - 1
        net.uplink.send(udp(SERVER, 80, OURS, seen.sport, ttl=ttl))
        assert Look(client.recv()).ttl == ttl - 1
    for destination in (SERVER, "192.0.2.51"):  # the first hop shows in a traceroute to a denied place too
        sent = udp(A, 1, destination, 80, ttl=1)
        client.send(sent)
        told = Look(client.recv())
        assert (told.src, told.kind, told.code, told.data) == (OURS, 11, 0, sent[14:])
    net.uplink.send(udp(SERVER, 80, OURS, seen.sport, ttl=1))
    told = Look(net.uplink.recv())
    assert (told.dst, told.kind, told.quote.dport) == (SERVER, 11, seen.sport)
    nothing(client, net.uplink)


def test_behaviour_52_padding_is_no_payload(net):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 80, b"") + b"secret padding!!!!")
    frame = net.uplink.recv()
    assert len(frame) == 42
    net.uplink.send(udp(SERVER, 80, OURS, Look(frame).sport, b"") + b"other padding")
    assert len(client.recv()) == 42
    client.send(arp(1, CLIENT_MAC, A, OURS) + b"secret")
    assert len(client.recv()) == 42
    sent = udp(A, 1, SERVER, 80, ttl=1)
    client.send(sent + b"secret")
    assert Look(client.recv()).data == sent[14:]
    client.send(echo(A, OURS) + b"secret")
    assert Look(client.recv()).data == b"ping"


@pytest.mark.parametrize("kind", [0x86DD, 0x8100, 0x88A8, 0x8847, 0x0805, 0, 46, 0x8035, 0xFFFF])
def test_behaviour_53_other_ethernet_types_go_nowhere(net, kind):
    client = net.client(A)
    frame = udp(A, 1, SERVER, 80)
    bent = frame[:12] + struct.pack("!H", kind) + frame[14:]
    tagged = frame[:12] + struct.pack("!HH", kind, 5) + frame[12:]
    for wire in (client, net.uplink):
        wire.send(bent)
        wire.send(tagged)
    nothing(client, net.uplink)
    assert net.counters == {"Ethernet type not carried": 4}


GROUPS = ["255.255.255.255", "224.0.0.251", "239.255.255.255", "224.0.0.1"]


@pytest.mark.parametrize("destination", GROUPS)
def test_behaviour_54_broadcast_and_multicast_leave_nowhere(net, destination):
    client, other = net.client(A), net.client("10.137.0.22")
    for frame in (udp(A, 1, destination, 80), echo(A, destination), tcp(A, 1, destination, 80), ip(A, destination, 2, bytes(8))):
        client.send(frame)
        client.send(b"\xff" * 6 + frame[6:])
    client.send(b"\x01\x00\x5e\x00\x00\xfb" + udp(A, 1, SERVER, 80)[6:])
    nothing(client, other, net.uplink)
    assert net.neighbours.flows.count == 0 and net.neighbours.fragments.octets == 0


def test_behaviour_55_directed_broadcasts(net):
    net.netvm("10.138.0.2", netmask="255.255.255.0")
    client = net.client(A)
    client.send(udp(A, 1, "10.138.0.255", 80))
    net.uplink.send(udp(SERVER, 1, "10.137.0.255", 80))
    net.uplink.send(udp(SERVER, 1, "10.138.0.255", 80))
    nothing(client, net.uplink)
    client.send(udp(A, 1, "10.138.0.254", 80))
    assert net.uplink.recv()


@pytest.mark.parametrize("asked", [OURS, "10.138.0.1", "10.137.0.22", SERVER, "0.0.0.1"])
def test_behaviour_57_arp_for_any_address_is_answered_by_us(net, asked):
    client = net.client(A)
    client.send(arp(1, CLIENT_MAC, A, asked))
    answer = client.recv()
    expected = arp(2, OUR_MAC, asked, A, CLIENT_MAC)
    assert answer == CLIENT_MAC + expected[6:]
    nothing(client, net.uplink)


def test_behaviour_57_but_not_for_its_own(net):
    client = net.client(A)
    client.send(arp(1, CLIENT_MAC, A, A))  # an announcement
    client.send(arp(1, CLIENT_MAC, "0.0.0.0", A))  # a probe: answered, the client would give up its address
    nothing(client, net.uplink)
    assert net.counters == {"ARP not for us": 2}


@pytest.mark.parametrize("asked", ["169.254.7.7", "192.168.1.5", "10.137.0.22", SERVER, A, "10.138.0.1"])
def test_behaviour_57_a_probe_is_answered_for_our_own_address_only(net, asked):
    """Its sender has no address yet and takes an answer for a conflict: every address would be taken."""
    client = net.client(A)
    client.send(arp(1, CLIENT_MAC, "0.0.0.0", asked))
    nothing(client, net.uplink)
    client.send(arp(1, CLIENT_MAC, "0.0.0.0", OURS))
    assert client.recv() == CLIENT_MAC + arp(2, OUR_MAC, OURS, "0.0.0.0", CLIENT_MAC)[6:]


def test_behaviour_57_both_our_addresses_are_defended(net):
    """Towards clients we may have another than on the uplink."""
    client = net.client(A)
    net.neighbours.gateway = 10 << 24 | 137 << 16 | 255
    for ours in (OURS, "10.137.0.255"):
        client.send(arp(1, CLIENT_MAC, "0.0.0.0", ours))
        assert client.recv() == CLIENT_MAC + arp(2, OUR_MAC, ours, "0.0.0.0", CLIENT_MAC)[6:]
        client.send(udp(A, 1, ours, 53))
        assert Look(client.recv()).src == ours  # who refuses is who was written to


def test_behaviour_57_another_sender_address_of_the_client_is_answered(net):
    """Linux asks with any of its addresses (arp_announce=0). The answer goes to who asks, and nothing is learnt."""
    client, other = net.client(A), net.client("10.137.0.22")
    mac = b"\x02\x00\x00\x00\x00\x07"
    for asked in (OURS, SERVER):
        client.send(arp(1, mac, "10.8.0.2", asked))
        assert client.recv() == mac + arp(2, OUR_MAC, asked, "10.8.0.2", mac)[6:]
    client.send(udp("10.8.0.2", 1, SERVER, 80))  # its packets are still nobody's
    client.send(udp(A, 1, SERVER, 80))
    seen = Look(net.uplink.recv())
    net.uplink.send(udp(SERVER, 80, OURS, seen.sport))
    assert client.recv()[:6] == CLIENT_MAC
    for sender, asked in (("10.8.0.2", "10.8.0.2"), ("10.8.0.2", A), ("10.137.0.22", OURS), (OURS, SERVER)):
        client.send(arp(1, mac, sender, asked))  # an announcement, its own, another client's, ours
    net.connected("10.137.0.30")
    client.send(arp(1, mac, "10.137.0.30", OURS))
    client.send(arp(1, b"\x03" + mac[1:], A, OURS))  # a group asks
    nothing(client, other, net.uplink)


def test_behaviour_57_probes_and_announcements_on_the_uplink(net):
    client = net.client(A)
    for sender, asked, answered in (
        ("0.0.0.0", OURS, True),
        ("10.138.0.77", OURS, True),
        ("0.0.0.0", "10.138.0.1", False),
        ("0.0.0.0", A, False),
        (OURS, OURS, False),
        ("10.138.0.1", "10.138.0.1", False),
    ):
        net.uplink.send(arp(1, b"\x02\0\0\0\0\x09", sender, asked))
        frame = net.uplink.recv(0)
        assert (frame is not None) == answered
        if answered:
            assert frame == b"\x02\0\0\0\0\x09" + arp(2, CLIENT_MAC, asked, sender, b"\x02\0\0\0\0\x09")[6:]
    client.send(udp(A, 1, SERVER, 80))
    assert net.uplink.recv()[:6] == OUR_MAC  # nothing was learnt from what was asked


def test_behaviour_57_the_uplink_is_answered_for_our_address_only(net):
    net.client(A)
    for asked, answered in ((OURS, True), (A, False), ("10.138.0.1", False), (SERVER, False)):
        net.uplink.send(arp(1, OUR_MAC, "10.138.0.1", asked))
        assert (net.uplink.recv(0) is not None) == answered


def test_behaviour_58_a_silent_uplink_is_reached(net):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 80))
    assert net.uplink.recv()[:12] == OUR_MAC + CLIENT_MAC
    mac = b"\x02\x00\x00\x00\x00\x09"
    net.uplink.send(arp(2, b"\x02\x00\x00\x00\x00\x08", SERVER, OURS))  # not the gateway
    net.uplink.send(arp(2, b"\x03\x00\x00\x00\x00\x08", "10.138.0.1", OURS))  # a group
    client.send(udp(A, 1, SERVER, 80))
    assert net.uplink.recv()[:6] == OUR_MAC
    net.uplink.send(arp(2, mac, "10.138.0.1", OURS))
    client.send(udp(A, 1, SERVER, 80))
    assert net.uplink.recv()[:6] == mac


def tagged(frame, tag, kind=0x8100):
    return frame[:12] + struct.pack("!HH", kind, tag) + frame[12:]


@pytest.mark.parametrize("priority", range(16))
def test_behaviour_53_a_tag_of_vlan_0_is_taken_as_none(net, priority):
    """It says a priority (and whether the frame may be dropped), as Linux takes it; both sides, every kind of frame."""
    client = net.client(A)
    client.send(tagged(udp(A, 4001, SERVER, 80), priority << 12))
    seen = net.uplink.recv()
    assert seen[:12] == OUR_MAC + CLIENT_MAC and Look(seen).data == b"data"
    net.uplink.send(tagged(udp(SERVER, 80, OURS, Look(seen).sport), priority << 12))
    assert Look(client.recv()).data == b"data"
    client.send(tagged(echo(A, OURS, data=b""), priority << 12))
    assert Look(client.recv()).kind == 0
    client.send(tagged(arp(1, CLIENT_MAC, A, OURS), priority << 12))
    assert client.recv()[20:22] == b"\0\2"
    net.uplink.send(tagged(arp(1, OUR_MAC, "10.138.0.1", OURS), priority << 12))
    assert net.uplink.recv()[20:22] == b"\0\2"
    sent = udp(A, 4001, SERVER, 80, ttl=1)
    client.send(tagged(sent, priority << 12) + b"padding")
    assert Look(client.recv()).data == sent[14:]
    nothing(client, net.uplink)


def test_behaviour_53_a_tagged_super_frame(net):
    client = net.client(A)
    client.send(tcp(A, 4001, SERVER, 80))
    net.uplink.recv()
    client.send(tagged(tcp(A, 4001, SERVER, 80, ACK, bytes(5000), blank=True), 0), blank=True, gso=1448)
    frame, blank, gso = net.uplink.recv_offloaded()
    assert Look(frame, blank=True).data == bytes(5000) and blank and gso == 1448


def test_behaviour_53_other_vlans_second_tags_and_cut_tags(net):
    client = net.client(A)
    frame = udp(A, 1, SERVER, 80)
    bent = [tagged(frame, vlan) for vlan in (1, 2, 0x100, 0xFFF, 0xE001)]
    bent += [tagged(tagged(frame, 0), 0), tagged(tagged(frame, 5), 0), tagged(tagged(frame, 0), 5), tagged(frame, 0, 0x88A8)]
    bent += [tagged(frame, 0)[:octets] for octets in range(14, 18)]
    bent += [tagged(b"\0" * 12 + b"\x86\xdd" + bytes(40), 0)]
    for wire in (client, net.uplink):
        for each in bent:
            wire.send(each)
    nothing(client, net.uplink)
    assert net.counters == {"Ethernet type not carried": 2 * len(bent)}
    client.send(b"\xff" * 6 + tagged(frame, 0)[6:])
    client.send(tagged(frame, 0)[:37])
    nothing(client, net.uplink)
    assert net.counters["group address in the Ethernet header"] == net.counters["impossible IP header"] == 1
