"""Packets in flat rows, as native code reads and writes them on their way from one ring to another.

A packet is eight words: the first of its slots and how many (within what was taken), the first of its parts and how
many, octets, offloads (netif.TX_CSUM_BLANK and TX_DATA_VALIDATED | payload octets in a segment << 16), its fate, its
first copy operation. A part is four words: page of the pool, offset, octets, and one that is its maker's own.

What went by a link is counted in eight words: packets FROM the far side and their octets, packets TO it and their
octets, each number in two words, the lower first.
"""
import xen
from micropython import const

PACKETS = const(64)  # in one go, at most
PARTS = const(320)  # a ring's slots, and those of one chain more
COUNTS = const(8)  # words
FROM = const(0)
TO = const(4)
PACKET = const(8)  # words of a packet
FIRST_PART = const(2)
HOW_MANY = const(3)  # parts
OFFLOADS = const(5)
FATE = const(6)
PART = const(4)  # words of a part
FAILED = const(0xFFFE)  # a fate: it came with an error, and is no packet; others are numbers of interfaces


def _words(count):
    return xen.view(xen.mem(4 * count), "I")


class Rows:
    def __init__(self):
        self.packets = _words(8 * PACKETS)
        self.parts = _words(4 * PARTS)
        self.slots = _words(3 * PARTS)  # private copies of requests
        self.refs = _words(PARTS)
        self.gfns = _words(PARTS)
        self.pages = _words(PARTS)
        self.ids = _words(PARTS)
        self.places = _words(4 * PARTS)  # to clear: octet in the pool's memory, octets
        self.s = _words(16)  # what kernels are told, and tell
