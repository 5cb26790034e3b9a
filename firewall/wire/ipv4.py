"""IPv4 headers, options included (RFC 791, judged as RFC 1812 5.2.2 and RFC 7126 ask).

header_size() is the one place that judges lengths: established by it, for the buffer and the offsets it was given, is
that the header with its options lies inside, so that no reader below can run past an end; whether the total length does
is for the caller to see. It does not sum the header: checksum_ok() does, so that the two faults can be counted apart.
Addresses are ints; a larger one is a later one in wire order.
"""
from micropython import const

from firewall.wire import checksum

SIZE = const(20)  # octets of a header without options
MAX_TOTAL = const(65535)  # octets of the largest datagram, header included

ICMP = const(1)
TCP = const(6)
UDP = const(17)
DCCP = const(33)
UDP_LITE = const(136)

# the fragment word, as it stands in the header: flags and offset together
DF = const(0x4000)
MF = const(0x2000)
OFFSET_MASK = const(0x1FFF)  # in units of 8 octets
FRAGMENT_MASK = const(0x3FFF)  # MF and offset: not 0 in any piece of a datagram

# offset of each field in the header, and its width in octets
VERSION_IHL = const(0)  # 1
TOS = const(1)  # 1
TOTAL = const(2)  # 2
IDENT = const(4)  # 2
FRAGMENT = const(6)  # 2
TTL = const(8)  # 1
PROTOCOL = const(9)  # 1
CHECKSUM = const(10)  # 2
SRC = const(12)  # 4
DST = const(16)  # 4
OPTIONS = const(20)

# options (RFC 791 3.1; the copied flag is the top bit)
_END = const(0)
_NOP = const(1)
_LSRR = const(131)
_SSRR = const(137)
_COPIED = const(0x80)

# what options() says
PLAIN = const(0)  # none, or none that we mind
SOURCE_ROUTE = const(1)
BROKEN = const(2)  # a length that lies


def header_size(buf, at, end):
    """Octets of the header with its options, or 0. Allocates nothing.

    at: where the header begins; end: where the frame ends. 0: fewer octets than a header, version not 4, IHL below 5 or
    beyond the total length. Accepted on purpose: any TOS, any TTL, the reserved flag, any protocol.
    """
    if end - at < SIZE or buf[at] >> 4 != 4:
        return 0
    size = (buf[at] & 0x0F) << 2
    if size < SIZE or size > end - at or size > buf[at + 2] << 8 | buf[at + 3]:
        return 0
    return size


def parse_quoted(buf, at, end):
    """(header octets, total octets, fragment word, TTL, protocol, src, dst) of what an ICMP error quotes, or None.

    None where header_size() says 0. It may be cut after its header: the total length is what the datagram had, not what
    is here.
    """
    size = header_size(buf, at, end)
    if not size:
        return None
    return (
        size, buf[at + 2] << 8 | buf[at + 3], buf[at + 6] << 8 | buf[at + 7], buf[at + 8], buf[at + 9],
        buf[at + 12] << 24 | buf[at + 13] << 16 | buf[at + 14] << 8 | buf[at + 15],
        buf[at + 16] << 24 | buf[at + 17] << 16 | buf[at + 18] << 8 | buf[at + 19],
    )  # fmt: skip


def checksum_ok(buf, at, size):
    """True if the header of size octets (as header_size() said) sums up."""
    return checksum.total(buf, at, size, 0) == 0xFFFF


def ident(buf, at):
    """The identification, which tells datagrams apart that are in pieces."""
    return buf[at + IDENT] << 8 | buf[at + IDENT + 1]


def options(buf, at, size):
    """PLAIN, SOURCE_ROUTE or BROKEN for the options of a header that header_size() took.

    Unknown options pass unread. A length that is 0, 1 or leads behind the header is BROKEN:
    nothing behind it can be believed, a source route could hide there. (docs/behaviours.md 45, 46)
    """
    i = at + OPTIONS
    end = at + size
    while i < end:
        kind = buf[i]
        if kind == _END:
            return PLAIN
        if kind == _NOP:
            i += 1
            continue
        if kind == _LSRR or kind == _SSRR:
            return SOURCE_ROUTE
        if i + 1 >= end or buf[i + 1] < 2 or i + buf[i + 1] > end:
            return BROKEN
        i += buf[i + 1]
    return PLAIN


def copied_options(buf, at, size):
    """The options that later fragments repeat (RFC 791 3.2), padded to whole words; often b"".

    For a header whose options() are PLAIN.
    """
    kept = b""
    i = at + OPTIONS
    end = at + size
    while i < end and buf[i] != _END:
        octets = 1 if buf[i] == _NOP else buf[i + 1]
        if buf[i] & _COPIED:
            kept += bytes(buf[i : i + octets])
        i += octets
    return kept + bytes(-len(kept) & 3)


def header(total, ident, fragment, ttl, proto, src, dst, tos=0, options=b""):
    """A header with its checksum. total: octets of the datagram with this header.

    options: whole words, at most 40 octets.
    """
    size = SIZE + len(options)
    buf = bytearray(size)
    buf[VERSION_IHL] = 0x40 | size >> 2
    buf[TOS] = tos
    put16(buf, TOTAL, total)
    put16(buf, IDENT, ident)
    put16(buf, FRAGMENT, fragment)
    buf[TTL] = ttl
    buf[PROTOCOL] = proto
    buf[SRC:OPTIONS] = src.to_bytes(4, "big") + dst.to_bytes(4, "big")
    buf[OPTIONS:] = options
    put16(buf, CHECKSUM, checksum.total(buf, 0, size, 0) ^ 0xFFFF)
    return buf


def finish(buf, at, size, fragment):
    """Write into the header of size octets at offset at what follows from the end of buf: IHL, total length, checksum.

    fragment: the fragment word.
    """
    buf[at] = 0x40 | size >> 2
    put16(buf, at + TOTAL, len(buf) - at)
    put16(buf, at + FRAGMENT, fragment)
    put16(buf, at + CHECKSUM, 0)
    put16(buf, at + CHECKSUM, checksum.total(buf, at, size, 0) ^ 0xFFFF)


def put16(buf, at, value):
    """Write 16 bits in wire order."""
    buf[at] = value >> 8
    buf[at + 1] = value & 0xFF
