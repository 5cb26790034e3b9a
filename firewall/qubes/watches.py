"""Who is told of which keys of QubesDB, and what he was told last."""


class Watches:
    """told: watched path -> the value that its function has taken; what failed is told anew by the next reading."""

    def __init__(self):
        self.told = {}
        self._rows = []  # (path or prefix that ends in "/", function, keep)

    def add(self, path, function, keep):
        """See database.Database.watch()."""
        self._rows.append((path, function, keep))

    def wanted(self, path, value):
        """Whether anybody wants this key with this value to be kept."""
        for wanted, _, keep in self._rows:
            if _covers(wanted, path) and (keep is None or keep(path, value)):
                return True
        return False

    def tell(self, path, value):
        """Tell all who have asked for it. value None: it was removed."""
        for wanted, function, _ in self._rows:
            if _covers(wanted, path):
                function(path, value)
        if value is None:
            self.told.pop(path, None)
        else:
            self.told[path] = value

    def telling(self, values):
        """In steps (see steps.py), one each: tell what is different in these values, which are all there are."""
        for name in list(self.told):
            if name not in values:
                self.tell(name, None)
                yield None
        for name in sorted(values):
            if self.told.get(name) != values[name]:
                self.tell(name, values[name])
                yield None


def _covers(wanted, path):
    return path == wanted or (wanted[-1] == "/" and path.startswith(wanted))
