"""UDP headers (RFC 768).

parse() judges lengths; established by it is that header and data lie inside.
"""
from micropython import const

SIZE = const(8)  # octets

# offset of each field in the header, and its width in octets
_SPORT = const(0)  # 2
_DPORT = const(2)  # 2
LENGTH = const(4)  # 2: header and data
CHECKSUM = const(6)  # 2: 0 for none


def parse(buf, at, end):
    """(source port, destination port, length of header and data), or None.

    None: fewer octets than a header, a length below 8 or past the end (docs/behaviours.md 50). A length
    short of the end is accepted: what follows is not part of the datagram.
    """
    room = end - at
    if room < SIZE:
        return None
    length = buf[at + LENGTH] << 8 | buf[at + LENGTH + 1]
    if length < SIZE or length > room:
        return None
    sport = buf[at + _SPORT] << 8 | buf[at + _SPORT + 1]
    return sport, buf[at + _DPORT] << 8 | buf[at + _DPORT + 1], length
