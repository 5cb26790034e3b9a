"""Words of a packet as flow records hold them.

A word is 32 bits of a packet read as a little-endian machine loads them, so that the fast path compares and stores
words without turning them. Addresses and ports in decisions are plain ints.
"""


def swap(value):
    """The word of an int such as an address, or the int of a word."""
    return value >> 24 | (value >> 8 & 0xFF00) | (value & 0xFF00) << 8 | (value & 0xFF) << 24


def ports(first, second):
    """The word of two 16-bit values that follow each other, such as source and destination port."""
    return swap(first << 16 | second)


def first(word):
    """The first 16-bit value of a word of two."""
    return (word & 0xFF) << 8 | (word >> 8 & 0xFF)


def second(word):
    """The second 16-bit value of a word of two."""
    return (word >> 8 & 0xFF00) | word >> 24
