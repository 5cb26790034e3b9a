"""Lists through tables of words: an entry names the one before and the one after, by number + 1, 0 at an end.

Nothing here allocates: a flow that enters or leaves must not stop half-way for want of memory.
"""


class Lists:
    def __init__(self, w, words, before):
        """w: the table. words: of an entry; word `before` of it names the one before, the next word the one after."""
        self._w = w
        self._words = words
        self._before = before

    def append(self, firsts, lasts, which, number):
        """Append an entry to the list whose ends are firsts[which] and lasts[which]."""
        w = self._w
        last = lasts[which]
        at = number * self._words + self._before
        w[at] = last
        w[at + 1] = 0
        if last:
            w[(last - 1) * self._words + self._before + 1] = number + 1
        else:
            firsts[which] = number + 1
        lasts[which] = number + 1

    def remove(self, firsts, lasts, which, number):
        """Remove an entry from the list whose ends are these."""
        w = self._w
        at = number * self._words + self._before
        before, after = w[at], w[at + 1]
        if before:
            w[(before - 1) * self._words + self._before + 1] = after
        else:
            firsts[which] = after
        if after:
            w[(after - 1) * self._words + self._before] = before
        else:
            lasts[which] = before
