"""The 65,536 ports of a protocol, or identifiers of ICMP queries: which are in use, and one that is not."""
from micropython import const

_WORDS = const(2048)  # of 32 ports
_GROUPS = const(64)  # of 32 words
_ALL = const(0xFFFFFFFF)


class Ports:
    """used: a bit for each port. full: a bit for each word of used that has no zero; so any() looks at few words."""

    def __init__(self, words):
        """words(n): a zeroed u32 view of n words."""
        self.used = words(_WORDS)
        self.full = words(_GROUPS)

    def taken(self, port):
        return self.used[port >> 5] >> (port & 31) & 1

    def take(self, port):
        word = port >> 5
        self.used[word] |= 1 << (port & 31)
        if self.used[word] == _ALL:
            self.full[word >> 5] |= 1 << (word & 31)

    def give(self, port):
        """The port is free again."""
        word = port >> 5
        self.used[word] &= ~(1 << (port & 31))
        self.full[word >> 5] &= ~(1 << (word & 31))

    def any(self, first, end, start):
        """A free port from first on and below end, or -1: none is. Both are multiples of 1024. start: a random number."""
        groups = end - first >> 10
        for i in range(groups):
            group = (first >> 10) + (start + i) % groups
            if self.full[group] != _ALL:
                word = group << 5 | _zero(self.full[group])
                return word << 5 | _zero(self.used[word])
        return -1


def _zero(word):
    """The number of the highest bit that is 0; one is."""
    bit = 31
    while word >> bit & 1:
        bit -= 1
    return bit
