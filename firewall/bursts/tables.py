"""What kernels are given: addresses in one array, two words each, the lower first; no object is asked for its own."""
from array import array

from firewall.fast import rings


def table(*things):
    """Memory, tuples of memory (a block of their own), and what is called or handed on, for a kernel.

    The result has all things at their places, but for the first, in whose place is the block: the address of each thing
    that is memory stands there at its place. None of it may move or grow.
    """
    block, kept = _block(things)
    return (block,) + things[1:] + (things[0], kept)


def _block(things):
    words = array("I", bytes(8 * len(things)))
    kept = []
    for i in range(len(things)):
        memory = things[i]
        if isinstance(memory, tuple):
            memory, more = _block(memory)
            kept.append((memory, more))
        if not callable(memory):
            rings.enter(words, 2 * i, memory)
    return words, kept
