"""ICMP messages (RFC 792; next-hop MTU of RFC 1191; which are errors: RFC 1122 3.2.2).

parse() judges length; established by it is that the 8 octets every message begins with are there.
"""
from micropython import const

from firewall.wire import checksum

SIZE = const(8)  # octets before data or the quoted datagram

ECHO_REPLY = const(0)
DEST_UNREACHABLE = const(3)
SOURCE_QUENCH = const(4)
REDIRECT = const(5)
ECHO = const(8)
TIME_EXCEEDED = const(11)
PARAMETER_PROBLEM = const(12)
TIMESTAMP = const(13)
TIMESTAMP_REPLY = const(14)

# codes of DEST_UNREACHABLE (RFC 792, RFC 1812 5.2.7.1)
NET_UNREACHABLE = const(0)
FRAGMENTATION_NEEDED = const(4)
HOST_PROHIBITED = const(10)
ADMIN_PROHIBITED = const(13)
# codes of TIME_EXCEEDED
TTL_EXCEEDED = const(0)

# offset of each field in the message, and its width in octets
TYPE = const(0)  # 1
CODE = const(1)  # 1
CHECKSUM = const(2)  # 2
IDENT = const(4)  # 2: echo and other queries
MTU = const(6)  # 2: of FRAGMENTATION_NEEDED
QUOTE = const(8)  # the quoted datagram of an error

_ERRORS = (DEST_UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM)


def parse(buf, at, end):
    """(type, code, identifier) of the message between at and end, or None: too short.

    The identifier is that of queries; in errors these two octets mean something else.
    """
    if end - at < SIZE:
        return None
    return buf[at], buf[at + 1], buf[at + 4] << 8 | buf[at + 5]


def checksum_ok(buf, at, end):
    """True if the whole message sums up."""
    return checksum.total(buf, at, end - at, 0) == 0xFFFF


def is_error(kind):
    """True for the types that quote a datagram and may never be answered by an error."""
    return kind in _ERRORS


def message(kind, code, rest, data):
    """A message with its checksum. rest: octets 4 to 7 as an int (MTU of an error, id and sequence)."""
    buf = bytearray(SIZE + len(data))
    buf[TYPE] = kind
    buf[CODE] = code
    buf[4:SIZE] = rest.to_bytes(4, "big")
    buf[SIZE:] = data
    check = checksum.total(buf, 0, len(buf), 0) ^ 0xFFFF
    buf[CHECKSUM] = check >> 8
    buf[CHECKSUM + 1] = check & 0xFF
    return buf
