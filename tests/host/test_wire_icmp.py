"""ICMP: length, checksum, which messages are errors."""
from hypothesis import given
from hypothesis import strategies as st

from firewall.wire import icmp

octets = st.integers(0, 255)


@given(st.binary(max_size=40), st.integers(0, 20))
def test_any_octets_are_a_message_or_none(data, at):
    found = icmp.parse(data, at, len(data))
    assert (found is None) == (len(data) - at < icmp.SIZE)
    assert icmp.checksum_ok(data, min(at, len(data)), len(data)) in (True, False)


@given(octets, octets, st.integers(0, 0xFFFFFFFF), st.binary(max_size=100))
def test_round_trip(kind, code, rest, data):
    message = icmp.message(kind, code, rest, data)
    frame = b"\xa5" * 34 + bytes(message)
    assert icmp.parse(frame, 34, len(frame)) == (kind, code, rest >> 16)
    assert icmp.checksum_ok(frame, 34, len(frame))
    assert frame[34 + icmp.QUOTE :] == data
    assert int.from_bytes(frame[34 + icmp.MTU : 36 + icmp.MTU], "big") == rest & 0xFFFF


def test_every_wrong_bit_is_seen():
    message = icmp.message(icmp.ECHO, 0, 0x00050009, b"abcdefghi")  # an odd length
    for bit in range(len(message) * 8):
        message[bit >> 3] ^= 1 << (bit & 7)
        assert not icmp.checksum_ok(message, 0, len(message))
        message[bit >> 3] ^= 1 << (bit & 7)
    assert icmp.checksum_ok(message, 0, len(message))


def test_errors_are_the_types_of_rfc_1122():
    assert [kind for kind in range(256) if icmp.is_error(kind)] == [3, 4, 5, 11, 12]
