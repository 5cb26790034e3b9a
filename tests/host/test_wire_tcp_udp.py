"""TCP and UDP headers: lengths that lie, flags that no stack sends."""
import struct

from hypothesis import given
from hypothesis import strategies as st

from firewall.wire import tcp, udp

words = st.integers(0, 0xFFFF)
octets = st.integers(0, 255)


def tcp_header(sport=4001, dport=80, offset=5, flags=tcp.SYN, check=0):
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 2, offset << 4, flags, 8192, check, 0)


def udp_header(sport=4001, dport=53, length=8, check=0):
    return struct.pack("!HHHH", sport, dport, length, check)


@given(st.binary(max_size=80), st.integers(0, 20))
def test_any_octets_are_tcp_or_none(data, at):
    found = tcp.parse(data, at, len(data))
    if found is not None:
        assert tcp.SIZE <= found[2] <= len(data) - at


@given(st.binary(max_size=40), st.integers(0, 20))
def test_any_octets_are_udp_or_none(data, at):
    found = udp.parse(data, at, len(data))
    if found is not None:
        assert udp.SIZE <= found[2] <= len(data) - at


@given(words, words, octets, st.integers(0, 10), st.binary(max_size=30))
def test_tcp_fields(sport, dport, flags, words_of_options, data):
    segment = tcp_header(sport, dport, 5 + words_of_options, flags) + bytes(4 * words_of_options) + data
    frame = b"\xa5" * 34 + segment
    assert tcp.parse(frame, 34, len(frame)) == (sport, dport, 20 + 4 * words_of_options, flags)


@given(words, words, st.binary(max_size=30), st.integers(0, 20))
def test_udp_fields(sport, dport, data, behind):
    frame = b"\xa5" * 34 + udp_header(sport, dport, 8 + len(data)) + data + bytes(behind)
    assert udp.parse(frame, 34, len(frame)) == (sport, dport, 8 + len(data))


def test_behaviour_47_data_offset_under_5_or_past_the_end_is_refused():
    for offset in range(16):
        for length in range(20, 64):
            segment = tcp_header(offset=offset) + bytes(length - 20)
            assert (tcp.parse(segment, 0, length) is not None) == (20 <= offset * 4 <= length)
    for end in range(20):
        assert tcp.parse(tcp_header(), 0, end) is None


def test_behaviour_48_flags_that_only_scanners_send_are_impossible():
    for flags in range(256):
        rest = flags & ~(tcp.PSH | tcp.ECE | tcp.CWR)
        begins = rest & ~tcp.URG in (tcp.SYN, tcp.SYN | tcp.ACK) and rest != tcp.SYN | tcp.ACK | tcp.URG
        goes_on = rest & ~(tcp.URG | tcp.FIN) == tcp.ACK
        breaks = rest & ~tcp.ACK == tcp.RST
        assert tcp.possible(flags) == (begins or goes_on or breaks), hex(flags)
    for scan in (0, tcp.SYN | tcp.FIN, tcp.FIN, tcp.FIN | tcp.PSH | tcp.URG, 0x3F, 0xFF, tcp.SYN | tcp.RST):
        assert not tcp.possible(scan)


def test_behaviour_50_udp_length_beyond_the_packet_or_under_8_is_refused():
    for length in range(0x10000):
        datagram = udp_header(length=length) + b"12345678"
        assert (udp.parse(datagram, 0, 16) is not None) == (8 <= length <= 16)
    for end in range(8):
        assert udp.parse(udp_header(), 0, end) is None
