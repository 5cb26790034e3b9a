"""The nodes of a rule tree that is being written."""
from micropython import const

_BEGIN = const(2)  # letters of a key
_MOST = const(128)  # nodes of a run
_OCTETS = const(64)  # that it has room for at first
_NOTHING = {}


class Run:
    """Nodes whose keys have come in their order, as they are packed: one object for a collection to look at."""

    def __init__(self):
        self._octets = bytearray(_OCTETS)
        self._end = 0
        self._count = 0
        self._last = ""  # the last key

    def __len__(self):
        return self._count

    def add(self, key, value):
        """False: it does not go behind the others."""
        name = key.encode()
        if not self.ends_before(key) or self._count == _MOST or not len(key) == len(name) < 256 or len(value) >> 16:
            return False
        at = self._end
        middle = at + 1 + len(name)
        end = middle + 2 + len(value)
        octets = self._octets
        if end > len(octets):
            octets = bytearray(max(2 * len(octets), end))
            octets[:at] = self.packed()
        octets[at] = len(name)
        octets[at + 1 : middle] = name
        octets[middle] = len(value) & 0xFF
        octets[middle + 1] = len(value) >> 8
        octets[middle + 2 : end] = value
        self._octets = octets
        self._end = end
        self._last = key
        self._count += 1
        return True

    def ends_before(self, key):
        """Whether none of its keys is this one, or comes behind it."""
        return key > self._last

    def packed(self):
        """A memoryview."""
        return memoryview(self._octets)[: self._end]


def nodes_of(packed):
    """One after the other: (key, value)."""
    at = 0
    while at < len(packed):
        start = at + 1 + packed[at]
        end = start + 2 + (packed[start] | packed[start + 1] << 8)
        yield packed[at + 1 : start].decode(), bytes(packed[start + 2 : end])
        at = end


class Nodes:
    """{key: value} in many small tables, by how keys begin: of four digits each has 100 at most.

    One table of thousands moves all of them at once when it grows, and sorting their keys is as long a step.
    """

    def __init__(self):
        self.tables = {}  # beginning -> a Run, or {key: value} if they have not come in order
        self._count = 0

    def __contains__(self, key):
        return self.get(key) is not None

    def __len__(self):
        return self._count

    def get(self, key):
        """None: it is not there."""
        table = self.tables.get(key[:_BEGIN], _NOTHING)
        if isinstance(table, Run):
            if table.ends_before(key):
                return None
            table = self._opened(key[:_BEGIN])
        return table.get(key)

    def put(self, key, value):
        begin = key[:_BEGIN]
        table = self.tables.get(begin)
        if table is None:
            table = self.tables[begin] = Run()
        before = len(table)
        if not isinstance(table, Run) or not table.add(key, value):
            table = self._opened(begin)
            table[key] = value
        self._count += len(table) - before

    def pop(self, key):
        """Remove it; its value, None without one."""
        if self.get(key) is None:
            return None
        self._count -= 1
        return self.tables[key[:_BEGIN]].pop(key)

    def below(self, key):
        """Keys that begin so."""
        begins = [begin for begin in self.tables if begin.startswith(key[:_BEGIN])]
        return [name for begin in begins for name in self._opened(begin) if name.startswith(key)]

    def _opened(self, begin):
        """A table that is no Run from now on."""
        table = self.tables[begin]
        if isinstance(table, Run):
            table = self.tables[begin] = dict(nodes_of(bytes(table.packed())))
        return table
