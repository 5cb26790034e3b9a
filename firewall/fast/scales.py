"""Scales of rule lists in machine code: which piece a value falls into. Twin: _at() of rules/matcher.py.

A scale is one array: how many pieces there are, where each but the first begins, and for each the bits of its rules, in
two words of 30. Addresses of IPv6 fit no word: such a scale is a list, and the search in it plain Python.
"""
from array import array

import micropython
from micropython import const

_WORD = const(0xFFFFFFFF)
_BITS = const(30)  # of a word
_LOW = const(0x3FFFFFFF)
_RULES = const(60)  # of a scale at most
_APART = const(23)  # between one rule and the next: each of 60 comes once
_SHARED = const(256)

_verdicts = [None] * (2 * _SHARED)


def scattered(rules):
    """(number, rule) of at most 60, in no order: quick sort takes the square of what comes sorted already."""
    return [(i, rules[i]) for i in [i * _APART % _RULES for i in range(_RULES)] if i < len(rules)]


def verdict(accept, number):
    """A number for (accept, number), so that a list's verdicts are nothing that garbage collection looks at."""
    place = 2 * number + accept
    if number < _SHARED and _verdicts[place] is None:
        _verdicts[place] = accept, number
    return place


def told(verdict):
    """(accept, number). Those of low numbers are made beforehand, for all lists; for others it allocates."""
    return _verdicts[verdict] if verdict < 2 * _SHARED else (verdict & 1 == 1, verdict >> 1)


def packed(begins, bits, narrow):
    """The scale of pieces that begin there, ascending from -1, with these bits. narrow: no value has over 32 bits."""
    if not narrow:
        return [0, begins, bits]
    n = len(begins)
    if begins[-1] > _WORD:
        n -= 1  # no value falls into it
    words = array("I", bytes(12 * n))
    words[0] = n
    for i in range(n):
        if i:
            words[i] = begins[i]
        words[n + 2 * i] = bits[i] & _LOW
        words[n + 2 * i + 1] = bits[i] >> _BITS
    return words


def wide(begins, bits, value):
    """As at(), in lists, and for CPython: plain Python."""
    low, high = 0, len(begins)
    while high - low > 1:
        middle = (low + high) >> 1
        if begins[middle] <= value:
            low = middle
        else:
            high = middle
    return bits[low]


@micropython.viper
def at(scale, value) -> int:
    """Bits of the piece that value falls into."""
    n = int(scale[0])
    if n == 0:
        return int(wide(scale[1], scale[2], value))
    words = ptr32(scale)
    sought = int(value)
    low = 0
    high = n
    while high - low > 1:
        middle = (low + high) >> 1
        if words[middle] <= sought:
            low = middle
        else:
            high = middle
    return words[n + 2 * low] | words[n + 2 * low + 1] << _BITS
