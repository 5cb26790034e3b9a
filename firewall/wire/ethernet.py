"""Ethernet II frames: the 14 octets in front of everything else (RFC 894, IEEE 802.3).

There is no FCS on a Xen link, and no minimum length: a frame may end right after the header.
Whatever follows the payload of the upper layer is padding and belongs to nobody.
"""
from micropython import const

SIZE = const(14)  # octets of the header
TAG = const(4)  # octets of a tag, before the type
BROADCAST = b"\xff\xff\xff\xff\xff\xff"

IPV4 = const(0x0800)
ARP = const(0x0806)
TAGGED = const(0x8100)  # an IEEE 802.1Q tag of 4 octets, behind which stands the type

# offset of each field, and its width in octets
DST = const(0)  # 6
SRC = const(6)  # 6
TYPE = const(12)  # 2
_VLAN = const(0x0FFF)  # of a tag's second word: its lowest bits


def priority_only(frame, octets):
    """True if the tag of a tagged frame names no VLAN (it is 0), and no second tag follows: as good as untagged."""
    if octets < SIZE + TAG or (frame[SIZE] << 8 | frame[SIZE + 1]) & _VLAN:
        return False
    return (frame[TYPE + TAG] << 8 | frame[TYPE + TAG + 1]) != TAGGED


def untag(frame, octets):
    """Take off the tag of a frame that is here with all its octets. How many it has then."""
    frame[TYPE : octets - TAG] = bytes(memoryview(frame)[TYPE + TAG : octets])
    return octets - TAG


def header(dst, src, kind):
    """The 14 octets of a header; dst and src are 6 octets each."""
    return dst + src + bytes((kind >> 8, kind & 0xFF))
