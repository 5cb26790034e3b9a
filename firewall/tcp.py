"""TCP headers (RFC 9293 3.1), as much of them as a firewall reads.

parse() judges lengths; established by it is that the header with its options lies inside.
"""
from micropython import const

from firewall import checksum

SIZE = const(20)  # octets of a header without options
PROTOCOL = const(6)

FIN = const(0x01)
SYN = const(0x02)
RST = const(0x04)
PSH = const(0x08)
ACK = const(0x10)
URG = const(0x20)
ECE = const(0x40)
CWR = const(0x80)

# offset of each field in the header, and its width in octets
SPORT = const(0)  # 2
DPORT = const(2)  # 2
SEQ = const(4)  # 4
ACKNO = const(8)  # 4
DATA_OFFSET = const(12)  # 1: words in the upper half
FLAGS = const(13)  # 1
WINDOW = const(14)  # 2
CHECKSUM = const(16)  # 2

# The only sets of flags that an honest stack sends, leaving aside PSH, ECE and CWR, which go with
# any: a connection begins, goes on, ends or breaks. Absent are no flags, SYN+FIN, all flags.
_MEANING = const(0x37)  # FIN SYN RST ACK URG
_POSSIBLE = (
    SYN,
    SYN | URG,
    SYN | ACK,
    RST,
    RST | ACK,
    FIN | ACK,
    FIN | ACK | URG,
    ACK,
    ACK | URG,
)


def parse(buf, at, end):
    """(source port, destination port, header octets, flags), or None.

    None: fewer octets than a header, data offset below 5 words or past the end (behaviours 47).
    """
    room = end - at
    if room < SIZE:
        return None
    size = buf[at + 12] >> 2 & 0x3C
    if size < SIZE or size > room:
        return None
    return buf[at] << 8 | buf[at + 1], buf[at + 2] << 8 | buf[at + 3], size, buf[at + 13]


def possible(flags):
    """False for sets of flags that only scanners send (behaviours 48)."""
    return flags & _MEANING in _POSSIBLE


def checksum_ok(buf, at, end, src, dst):
    """True if header and data between at and end sum up with the addresses they travel between."""
    return checksum.total(buf, at, end - at, checksum.pseudo(src, dst, PROTOCOL, end - at)) == 0xFFFF
