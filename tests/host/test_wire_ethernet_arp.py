"""Ethernet and ARP: any octets are a value or None, and what is built is read back."""
from hypothesis import given
from hypothesis import strategies as st

from firewall.wire import arp, ethernet

macs = st.binary(min_size=6, max_size=6)
addresses = st.integers(0, 0xFFFFFFFF)


@given(macs, macs, st.integers(0, 0xFFFF))
def test_ethernet_header(dst, src, kind):
    frame = ethernet.header(dst, src, kind)
    assert len(frame) == ethernet.SIZE
    assert frame[ethernet.DST : ethernet.SRC] == dst
    assert frame[ethernet.SRC : ethernet.TYPE] == src
    assert frame[ethernet.TYPE :] == kind.to_bytes(2, "big")


@given(st.binary(max_size=60), st.integers(0, 20))
def test_any_octets_are_arp_or_none(data, at):
    found = arp.parse(data, at)
    if found is not None:
        assert found[0] in (arp.REQUEST, arp.REPLY) and len(data) - at >= arp.SIZE


@given(st.sampled_from((arp.REQUEST, arp.REPLY)), macs, addresses, macs, addresses, st.binary(max_size=18))
def test_arp_round_trip_whatever_padding_follows(oper, sha, spa, tha, tpa, padding):
    packet = arp.build(oper, sha, spa, tha, tpa)
    assert len(packet) == arp.SIZE
    assert arp.parse(b"\xa5" * 14 + packet + padding, 14) == (oper, sha, spa, tpa)


HONEST = arp.build(arp.REQUEST, b"\x00\x16\x3e\x5e\x6c\x00", 0x0A890715, bytes(6), 0x0A890001)


def test_behaviour_21_arp_with_wrong_lengths_or_types_is_ignored():
    for length in range(arp.SIZE):
        assert arp.parse(HONEST[:length], 0) is None
    for i in range(6):  # hardware, protocol and the two lengths: any other value of any octet
        for value in range(256):
            lie = bytearray(HONEST)
            lie[i] = value
            assert (arp.parse(lie, 0) is None) == (value != HONEST[i])
    for oper in range(0x10000):
        lie = bytearray(HONEST)
        lie[6:8] = oper.to_bytes(2, "big")
        assert (arp.parse(lie, 0) is None) == (oper not in (1, 2))


def test_a_memoryview_serves_as_well():
    assert arp.parse(memoryview(bytearray(HONEST)), 0) == arp.parse(HONEST, 0)
