"""Internet checksums: the sum against its definition, incremental updates against whole sums."""
from hypothesis import given
from hypothesis import strategies as st

from firewall.wire import checksum

words = st.integers(0, 0xFFFF)
addresses = st.integers(0, 0xFFFFFFFF)


def defined(data, seed=0):
    """RFC 1071, word for word: add, then add the carries back in."""
    data = bytes(data) + bytes(len(data) & 1)
    value = seed + sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


@given(st.binary(max_size=200), st.integers(0, 9), words)
def test_total_is_the_sum_of_rfc_1071(data, offset, seed):
    offset = min(offset, len(data))
    assert checksum.total(data, offset, len(data) - offset, seed) == defined(data[offset:], seed)


def test_the_example_of_rfc_1071():
    assert checksum.total(bytes.fromhex("0001f203f4f5f6f7"), 0, 8, 0) == 0xDDF2


@given(st.lists(words, min_size=1, max_size=20), st.data())
def test_update_equals_a_whole_sum(fields, data):
    """Word 0 is the check, word 1 is never 0, as in every real header; any other changes."""
    header = [0, 0x4500] + fields
    place = data.draw(st.integers(2, len(header) - 1))
    new = data.draw(words)
    packed = b"".join(word.to_bytes(2, "big") for word in header[1:])
    check = defined(packed) ^ 0xFFFF
    old = header[place]
    header[place] = new
    packed = b"".join(word.to_bytes(2, "big") for word in header[1:])
    updated = checksum.update(check, checksum.delta16(old, new))
    assert defined(packed, updated) == 0xFFFF


@given(addresses, addresses, addresses, words, words)
def test_deltas_add_up(src, dst, new, port, new_port):
    """One update for an address and a port together, as NAT does it."""

    def packed(src, port):
        return src.to_bytes(4, "big") + dst.to_bytes(4, "big") + port.to_bytes(2, "big") + b"\x12\x34"

    check = defined(packed(src, port)) ^ 0xFFFF
    delta = checksum.delta32(src, new) + checksum.delta16(port, new_port)
    assert defined(packed(new, new_port), checksum.update(check, delta)) == 0xFFFF


def test_the_example_of_rfc_1624():
    """Section 4: an old check of 0xDD2F, a word from 0x5555 to 0x3285, and not 0xFFFF for the result."""
    assert checksum.update(0xDD2F, checksum.delta16(0x5555, 0x3285)) == 0x0000


def test_update_goes_through_every_check():
    """A word goes there and back again, from every possible check: the same again, or the other zero."""
    for check in range(0x10000):
        there = checksum.update(check, checksum.delta16(0x1234, 0xFEDC))
        back = checksum.update(there, checksum.delta16(0xFEDC, 0x1234))
        assert back == check or {back, check} == {0, 0xFFFF}


@given(addresses, addresses, st.integers(0, 255), words)
def test_pseudo_header(src, dst, proto, octets):
    packed = src.to_bytes(4, "big") + dst.to_bytes(4, "big") + bytes((0, proto)) + octets.to_bytes(2, "big")
    assert checksum.pseudo(src, dst, proto, octets) == defined(packed)
