"""TCP headers (RFC 9293 3.1), as much of them as a firewall reads.

parse() judges lengths; established by it is that the header with its options lies inside.
"""
from micropython import const

SIZE = const(20)  # octets of a header without options

FIN = const(0x01)
SYN = const(0x02)
RST = const(0x04)
PSH = const(0x08)
ACK = const(0x10)
URG = const(0x20)
ECE = const(0x40)
CWR = const(0x80)

# offset of each field in the header, and its width in octets
_SPORT = const(0)  # 2
_DPORT = const(2)  # 2
SEQUENCE = const(4)  # 4
ACKNOWLEDGED = const(8)  # 4
DATA_OFFSET = const(12)  # 1: words in the upper half
FLAGS = const(13)  # 1
CHECKSUM = const(16)  # 2

# The only sets of flags that an honest stack sends, leaving aside PSH, ECE and CWR, which go with
# any: a connection begins, goes on, ends or breaks. Absent are no flags, SYN+FIN, all flags.
_MEANING = const(0x37)  # FIN SYN RST ACK URG
_POSSIBLE = (SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG)


def parse(buf, at, end):
    """(source port, destination port, header octets, flags), or None.

    None: fewer octets than a header, data offset below 5 words or past the end (docs/behaviours.md 47).
    """
    room = end - at
    if room < SIZE:
        return None
    size = buf[at + DATA_OFFSET] >> 2 & 0x3C
    if size < SIZE or size > room:
        return None
    sport = buf[at + _SPORT] << 8 | buf[at + _SPORT + 1]
    return sport, buf[at + _DPORT] << 8 | buf[at + _DPORT + 1], size, buf[at + FLAGS]


def reset(buf, at, end):
    """The header, without checksum, of the RST that answers the segment between at and end, which is none itself.

    Source: RFC 9293 3.10.7.1, the state CLOSED.
    """
    flags = buf[at + FLAGS]
    rst = bytearray(SIZE)
    rst[_SPORT:_DPORT] = bytes(buf[at + _DPORT : at + SEQUENCE])
    rst[_DPORT:SEQUENCE] = bytes(buf[at + _SPORT : at + _DPORT])
    rst[DATA_OFFSET] = SIZE >> 2 << 4
    rst[FLAGS] = RST
    if flags & ACK:
        rst[SEQUENCE:ACKNOWLEDGED] = bytes(buf[at + ACKNOWLEDGED : at + DATA_OFFSET])
    else:
        octets = end - at - (buf[at + DATA_OFFSET] >> 2 & 0x3C) + (flags & SYN != 0) + (flags & FIN != 0)
        sequence = int.from_bytes(bytes(buf[at + SEQUENCE : at + ACKNOWLEDGED]), "big") + octets & 0xFFFFFFFF
        rst[ACKNOWLEDGED:DATA_OFFSET] = sequence.to_bytes(4, "big")
        rst[FLAGS] = RST | ACK
    return rst


def possible(flags):
    """False for sets of flags that only scanners send (docs/behaviours.md 48)."""
    return flags & _MEANING in _POSSIBLE
