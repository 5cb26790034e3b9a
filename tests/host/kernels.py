"""Modules of firewall/fast/ as plain Python: pointers are whatever a test gives in their place, indexed in words."""
import os
import types

FAST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "firewall", "fast")


def of(name):
    """The module; what viper knows without an import is there."""
    module = types.ModuleType(name)
    for pointer in ("ptr8", "ptr16", "ptr32", "uint"):
        setattr(module, pointer, lambda given: given)
    path = os.path.join(FAST, name + ".py")
    with open(path, encoding="utf-8") as text:
        exec(compile(text.read(), path, "exec"), vars(module))
    return module


class _Address:
    """The lower word of an address: with the upper one it is what lies there."""

    def __init__(self, memory):
        self.memory = memory

    def __or__(self, upper):
        return self.memory


def block(*memories):
    """What a kernel is given: addresses, two words each."""
    return [word for memory in memories for word in (_Address(memory), 0)]


def table(*things):
    """As bursts/tables.py makes it: a block for each tuple, and one of all things in the place of the first."""
    things = [block(*thing) if isinstance(thing, tuple) else thing for thing in things]
    return (block(*things), *things[1:])
