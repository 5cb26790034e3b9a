"""What kernels are given: addresses in one array, two words each, the lower first; no object is asked for its own."""
from array import array

from firewall.fast import rings


def table(*memories, handed=()):
    """Memory and tuples of memory (a block of their own) for a kernel, and what is called or handed on.

    The result is what a kernel unpacks, which is cheaper than to look its items up: the address of the block, where
    that of each memory stands at its place; what is handed; and last what must be kept. No memory may move or grow.
    """
    kept = _block(memories)
    return (rings.place(kept[0]),) + handed + (kept,)


def _block(things):
    words = array("I", bytes(8 * len(things)))
    kept = [things]
    for i in range(len(things)):
        memory = things[i]
        if isinstance(memory, tuple):
            memory, more = _block(memory)
            kept.append((memory, more))
        rings.enter(words, 2 * i, memory)
    return words, kept
