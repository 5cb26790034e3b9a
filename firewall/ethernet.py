"""Ethernet II frames: the 14 octets in front of everything else (RFC 894, IEEE 802.3).

There is no FCS on a Xen link, and no minimum length: a frame may end right after the header.
Whatever follows the payload of the upper layer is padding and belongs to nobody.
"""
from micropython import const

SIZE = const(14)  # octets of the header
BROADCAST = b"\xff\xff\xff\xff\xff\xff"

IPV4 = const(0x0800)
ARP = const(0x0806)

# offset of each field, and its width in octets
DST = const(0)  # 6
SRC = const(6)  # 6
TYPE = const(12)  # 2


def header(dst, src, kind):
    """The 14 octets of a header; dst and src are 6 octets each."""
    return dst + src + bytes((kind >> 8, kind & 0xFF))
