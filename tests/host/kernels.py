"""Modules of machine code as plain Python: pointers are whatever a test gives in their place, indexed in words."""
import os
import types

CHECKOUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FAST = os.path.join("firewall", "fast")
PORT = os.path.join("port", "modules")


def of(name, folder=FAST):
    """The module; what viper knows without an import is there."""
    module = types.ModuleType(name)
    for pointer in ("ptr8", "ptr16", "ptr32"):
        setattr(module, pointer, lambda given: given)
    module.uint = lambda given: _From(given) if hasattr(given, "__getitem__") else given
    module.int = lambda given: int(given) if isinstance(given, (int, bool)) else given  # others are places
    path = os.path.join(CHECKOUT, folder, name + ".py")
    with open(path, encoding="utf-8") as text:
        exec(compile(text.read(), path, "exec"), vars(module))
    return module


class Words(list):
    """Words of 32 bits: what is written is cut to them, as a pointer would."""

    def __setitem__(self, at, value):
        super().__setitem__(at, value & 0xFFFFFFFF)


class _From:
    """Words from one of a memory's on, as a pointer to there has them."""

    def __init__(self, memory, first=0):
        self.memory, self.first = memory, first

    def __add__(self, octets):
        assert octets % 4 == 0
        return _From(self.memory, self.first + octets // 4)

    def __getitem__(self, at):
        return self.memory[self.first + at]

    def __setitem__(self, at, value):
        self.memory[self.first + at] = value


class _Upper:
    """The upper word of an address."""

    def __init__(self, memory, shift=0):
        self.memory, self.shift = memory, shift

    def __lshift__(self, bits):
        return _Upper(self.memory, self.shift + bits)


class _Address:
    """The lower word of an address: with the upper one it is what lies there."""

    def __init__(self, memory):
        self.memory = memory

    def __or__(self, upper):
        assert isinstance(upper, _Upper) and upper.shift == 32 and upper.memory is self.memory, "another address's word"
        return self.memory


def block(*memories):
    """What a kernel is given: addresses, two words each."""
    return [word for memory in memories for word in (_Address(memory), _Upper(memory))]


def table(*memories, handed=()):
    """As bursts/tables.py makes it: a block of all memories, with one for each tuple; what is handed; what is kept."""
    memories = [block(*memory) if isinstance(memory, tuple) else memory for memory in memories]
    return (block(*memories), *handed, memories)
