"""Addresses as keys of dicts, where strangers choose them.

A small int is its own hash, and MicroPython's tables have sizes that everybody knows. Of thousands of addresses that
are alike modulo such a size each is sought behind all others: 8,192 of them cost 0.7 s, in which no ring is served. So
a key is the address times a number that nobody outside knows, its upper bits folded into the lower ones, as some sizes
are powers of two.
"""
from micropython import const

_MASK = const(0xFFFFFFFF)
_PARTS = const(64)  # of a set: a table that is nearly full is slow too, so none is large

_factor = 0x2545F491  # odd: no two addresses have one key; below 2**30: no product is more than a small int


def draw(random):
    """Draw the number. To be called once, before the first key is made. random(octets) -> bytes."""
    global _factor
    _factor = int.from_bytes(random(4), "big") >> 2 | 1


def key(address):
    """The key of an address, another one for each. Allocates nothing for one of 32 bits; larger ones stay."""
    if address > _MASK:
        return address
    product = address * _factor & _MASK
    return product ^ product >> 12 ^ product >> 20


def keys(addresses):
    """Those of some addresses, in a list."""
    factor = _factor
    return [(n := each * factor & _MASK) ^ n >> 12 ^ n >> 20 if each <= _MASK else each for each in addresses]


class Addresses:
    """A set of them."""

    def __init__(self):
        self._parts = [{} for _ in range(_PARTS)]  # key -> True

    def add(self, address):
        at = key(address)
        self._parts[at % _PARTS][at] = True

    def __contains__(self, address):
        at = key(address)
        return at in self._parts[at % _PARTS]

    def __len__(self):
        return sum([len(part) for part in self._parts])
