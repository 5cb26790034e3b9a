"""The nodes of a rule tree that is being written."""
from micropython import const

_BEGIN = const(2)  # letters of a key
_NOTHING = {}


class Nodes:
    """{key: value} in many small tables, by how keys begin: of four digits each has 100 at most.

    One table of thousands moves all of them at once when it grows, and sorting their keys is as long a step.
    """

    def __init__(self):
        self.tables = {}
        self._count = 0

    def __contains__(self, key):
        return self.get(key) is not None

    def __len__(self):
        return self._count

    def get(self, key):
        """None: it is not there."""
        return self.tables.get(key[:_BEGIN], _NOTHING).get(key)

    def put(self, key, value):
        table = self.tables.setdefault(key[:_BEGIN], {})
        before = len(table)
        table[key] = value
        self._count += len(table) - before

    def pop(self, key):
        """Remove it; its value, None without one."""
        value = self.tables.get(key[:_BEGIN], _NOTHING).pop(key, None)
        self._count -= value is not None
        return value

    def below(self, key):
        """Keys that begin so."""
        return [name for table in self.tables.values() for name in table if name.startswith(key)]
