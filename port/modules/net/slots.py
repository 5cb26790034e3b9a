"""How slots of a network ring are written. words: the ring's page in words of 32 bits; number: the slot's, as the ring counts.

Nothing here is seen by the far side before the ring is published.

Source: Xen public/io/netif.h.
"""
from micropython import const
from net.netif import EXTRA_GSO, EXTRA_INFO, GSO_TCPV4

_FIRST_WORD = const(16)
_LAST = const(255)
_TX_WORDS = const(3)
_RX_WORDS = const(2)
_BLANK = const(1)


def flags_of(offloads, gso_size, blank, validated):
    """Flags of a packet's first slot, without MORE_DATA. offloads: as in a Batch; blank, validated: the ring's bits for them."""
    flags = EXTRA_INFO if gso_size else 0
    if offloads & _BLANK:
        return flags | blank | validated
    return flags | validated if offloads else flags


def tx_request(words, number, gref, offset, flags, id, octets):
    at = _FIRST_WORD + (number & _LAST) * _TX_WORDS
    words[at] = gref
    words[at + 1] = flags << 16 | offset
    words[at + 2] = octets << 16 | id


def tx_extra(words, number, gso_size):
    """What follows the first request of a super-frame."""
    at = _FIRST_WORD + (number & _LAST) * _TX_WORDS
    words[at] = gso_size << 16 | EXTRA_GSO  # and flags 0: no other follows
    words[at + 1] = GSO_TCPV4
    words[at + 2] = 0


def rx_request(words, number, gref):
    """Its id is the number of its slot."""
    at = _FIRST_WORD + (number & _LAST) * _RX_WORDS
    words[at] = number & _LAST
    words[at + 1] = gref


def rx_response(words, number, flags, status):
    """Data from octet 0 on. The id is there already: a response stands in the slot of its request."""
    at = _FIRST_WORD + (number & _LAST) * _RX_WORDS
    words[at] = words[at] & 0xFFFF
    words[at + 1] = (status & 0xFFFF) << 16 | flags


def rx_extra(words, number, gso_size):
    """What follows the first response of a super-frame."""
    at = _FIRST_WORD + (number & _LAST) * _RX_WORDS
    words[at] = gso_size << 16 | EXTRA_GSO
    words[at + 1] = GSO_TCPV4
