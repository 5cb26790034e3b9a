"""IPv4 headers: lengths that lie, options that lie, round trips."""
from hypothesis import given
from hypothesis import strategies as st

from firewall.wire import ipv4

addresses = st.integers(0, 0xFFFFFFFF)
words = st.integers(0, 0xFFFF)
octets = st.integers(0, 255)
SRC, DST = 0x0A890715, 0xC0000232


def parse(data, at, end):
    """What a header says whose whole datagram is there, or None."""
    found = ipv4.parse_quoted(data, at, end)
    return found if found and found[1] <= end - at else None


def packet(payload=b"", options=b"", **changes):
    """A datagram; changes overwrite fields of a header that is right otherwise."""
    size = ipv4.SIZE + len(options)
    fields = {"ident": 7, "fragment": ipv4.DF, "ttl": 64, "proto": ipv4.UDP, "src": SRC, "dst": DST}
    fields.update(changes)
    return bytes(ipv4.header(size + len(payload), options=options, **fields)) + payload


@given(st.binary(max_size=100), st.integers(0, 20))
def test_any_octets_are_a_header_or_none(data, at):
    found = parse(data, at, len(data))
    if found is not None:
        size, total = found[:2]
        assert ipv4.SIZE <= size <= total <= len(data) - at
        assert size <= 60
        assert ipv4.checksum_ok(data, at, size) in (True, False)
        assert ipv4.options(data, at, size) in (ipv4.PLAIN, ipv4.SOURCE_ROUTE, ipv4.BROKEN)


@given(
    st.binary(max_size=64),
    st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
    words, words, octets, octets, addresses, addresses, octets,
    st.binary(max_size=20),
)  # fmt: skip
def test_round_trip(payload, options, ident, fragment, ttl, proto, src, dst, tos, padding):
    size = ipv4.SIZE + len(options)
    total = size + len(payload)
    head = ipv4.header(total, ident, fragment, ttl, proto, src, dst, tos, options)
    frame = b"\xa5" * 14 + bytes(head) + payload + padding
    assert parse(frame, 14, len(frame)) == (size, total, fragment, ttl, proto, src, dst)
    assert ipv4.parse_quoted(frame, 14, 14 + size) == (size, total, fragment, ttl, proto, src, dst)
    assert ipv4.ident(frame, 14) == ident
    assert frame[14 + ipv4.TOS] == tos
    assert ipv4.checksum_ok(frame, 14, size)


def test_behaviour_43_lengths_and_versions_that_lie_are_refused():
    honest = packet(b"12345678", options=b"\x01" * 8)
    assert parse(honest, 0, len(honest)) is not None
    for end in range(len(honest)):
        assert parse(honest, 0, end) is None
    for first in range(256):
        lie = bytes((first,)) + honest[1:]
        found = parse(lie, 0, len(lie))
        good = first >> 4 == 4 and 20 <= (first & 15) * 4 <= len(honest)
        assert (found is not None) == good
    for total in range(0x10000):
        lie = honest[:2] + total.to_bytes(2, "big") + honest[4:]
        found = parse(lie, 0, len(lie))
        assert (found is not None) == (28 <= total <= len(honest))


def test_behaviour_44_a_wrong_header_checksum_is_seen():
    """Every single bit of a header with options."""
    honest = packet(options=b"\x01" * 4)
    assert ipv4.checksum_ok(honest, 0, 24)
    for bit in range(24 * 8):
        lie = bytearray(honest)
        lie[bit >> 3] ^= 1 << (bit & 7)
        assert not ipv4.checksum_ok(lie, 0, 24)


def test_behaviour_45_source_routes_are_found_behind_anything():
    for kind in (131, 137):
        route = bytes((kind, 7, 4, 192, 0, 2, 1))
        for before in (b"", b"\x01", b"\x01\x01", b"\x94\x04\x00\x00", b"\x07\x07\x04" + bytes(4)):
            options = before + route
            options += bytes(-len(options) & 3)
            data = packet(options=options)
            assert ipv4.options(data, 0, 20 + len(options)) == ipv4.SOURCE_ROUTE
    hidden = packet(options=b"\x00" + bytes((131, 3, 4)))  # behind end-of-list nothing is an option
    assert ipv4.options(hidden, 0, 24) == ipv4.PLAIN


def test_behaviour_46_unknown_options_are_survived_and_lengths_that_lie_noticed():
    for kind in range(256):
        if kind in (0, 1, 131, 137):
            continue
        for length in range(256):
            data = packet(options=bytes((kind, length, 0, 0, 1, 1, 1, 1)))
            verdict = ipv4.options(data, 0, 28)
            if length == 0 or length == 1 or length > 8:
                assert verdict == ipv4.BROKEN
            elif length >= 4:  # else its last octets are read as options, two zeros: the end
                assert verdict == ipv4.PLAIN
    assert ipv4.options(packet(options=b"\x01\x01\x01\x94"), 0, 24) == ipv4.BROKEN  # no room for a length
    assert ipv4.options(packet(options=b"\x00" * 4), 0, 24) == ipv4.PLAIN
    assert ipv4.options(packet(), 0, 20) == ipv4.PLAIN


def test_behaviour_62_a_quoted_header_may_be_cut_behind_itself_only():
    whole = packet(bytes(100), options=b"\x01" * 40)
    for end in range(len(whole) + 1):
        found = ipv4.parse_quoted(whole, 0, end)
        assert (found is not None) == (end >= 60)
        assert found is None or found[:2] == (60, 160)


option = st.just(b"\x01") | st.tuples(st.sampled_from((7, 68, 148, 134, 30, 158)), st.binary(max_size=6)).map(
    lambda option: bytes((option[0], 2 + len(option[1]))) + option[1]
)


@given(st.lists(option, max_size=5))
def test_copied_options_are_those_with_the_copied_flag(given_options):
    options = b"".join(given_options)
    options += bytes(-len(options) & 3)
    data = packet(options=options)
    size = ipv4.SIZE + len(options)
    assert ipv4.options(data, 0, size) == ipv4.PLAIN
    kept = b"".join(option for option in given_options if option[0] & 0x80)
    assert ipv4.copied_options(data, 0, size) == kept + bytes(-len(kept) & 3)


def test_copied_options_by_example():
    """Router alert is copied, record route is not (RFC 791 3.1)."""
    data = packet(options=b"\x94\x04\x00\x00" + b"\x07\x07\x04" + bytes(4) + b"\x00")
    assert ipv4.copied_options(data, 0, 32) == b"\x94\x04\x00\x00"
