"""What was taken from a ring in one go: a private copy of its slots, and what they say once judged, in parallel arrays.

    begin()  names the ring and the first slot that nobody has taken yet
    take()   copies the slots of one packet; the peer may change its own at any moment, so each word is loaded once
    netif.parse(), netif.parse_responses()  judge that copy and add a row for the packet and rows for its parts

The slow path makes a Frame of each packet. Whatever else handles packets finds all that it needs in these arrays, and
they are filled without an allocation.
"""
from array import array
from micropython import const
from net.netif import CHAIN, TX_WORDS

_FIRST_WORD = const(16)
_LAST = const(255)  # slot of a ring
_TX_WORDS = const(3)
_MORE_DATA = const(4)
_EXTRA_INFO = const(8)
_MORE_OR_EXTRA = const(12)
_EXTRA_MORE = const(1)
_BLANK = const(1)  # in offloads, as netif.TX_CSUM_BLANK and TX_DATA_VALIDATED
_VALIDATED = const(2)


class Batch:
    """Slots are numbered in the copy, from 0 on. Rows of packets and of parts are numbered each for themselves."""

    def __init__(self, slots):
        """slots: in how many the packets of one batch begin; the last one may end behind them."""
        most = slots + CHAIN
        self.begin(None, 0, TX_WORDS, 0)  # all attributes have their place from now on: begin() allocates nothing
        self.slots = array("I", bytes(4 * TX_WORDS * most))
        self.first = array("H", bytes(2 * most))  # slot
        self.end = array("H", bytes(2 * most))  # the one behind the last slot
        self.extras = array("H", bytes(2 * most))  # slots of extra info, right behind the first
        self.octets = array("I", bytes(4 * most))  # of the whole packet
        self.offloads = array("H", bytes(2 * most))  # netif.TX_CSUM_BLANK and TX_DATA_VALIDATED
        self.gso_size = array("H", bytes(2 * most))  # octets of payload in a segment; 0: not aggregated
        self.bad = array("B", bytes(most))  # 1: it cannot be taken, its slots are answered all the same
        self.part = array("H", bytes(2 * most))  # row of its first part
        self.parts = array("H", bytes(2 * most))  # how many
        self.operation = array("H", bytes(2 * most))  # the copy of its first part, as Copies counts
        self.gref = array("I", bytes(4 * most))
        self.offset = array("H", bytes(2 * most))
        self.length = array("H", bytes(2 * most))  # octets, never 0
        self.slot = array("H", bytes(2 * most))

    def begin(self, words, number, width, shift):
        """Empty it. words: the ring; number: of the slot that becomes slot 0, as the ring counts; width: words in a slot.

        shift: where the second word of a slot has its flags.
        """
        self.packets = 0  # rows in use
        self.rows = 0  # of parts, in use
        self._words = words
        self._number = number
        self._width = width
        self._shift = shift

    def take(self, first, n):
        """Copy the slots of the packet that begins at `first`, of n that wait. Returns the number behind the last copied.

        Where the chain ends in the air, or has no end, that is n: it is for parse() to say so.
        """
        words, slots, width = self._words, self.slots, self._width
        number = self._number
        slot = first
        extra = 0  # the chain has announced an extra info, or more data
        data = _MORE_DATA
        while slot < n:
            at = _FIRST_WORD + (number + slot & _LAST) * width
            to = slot * width
            slots[to] = words[at]
            slots[to + 1] = flags = words[at + 1]
            if width == _TX_WORDS:
                slots[to + 2] = words[at + 2]
            slot += 1
            if extra:
                extra = slots[to] >> 8 & _EXTRA_MORE
            else:
                flags >>= self._shift
                if not flags & _MORE_OR_EXTRA:
                    break  # most packets have one slot
                data = flags & _MORE_DATA
                if slot == first + 1:
                    extra = flags & _EXTRA_INFO
            if not data and not extra:
                break
        return slot

    def describe(self, row, frame):
        """Set a Frame's offloads to a packet's."""
        offloads = self.offloads[row]
        frame.blank = offloads & _BLANK != 0
        frame.validated = offloads & _VALIDATED != 0
        frame.gso_size = self.gso_size[row]
