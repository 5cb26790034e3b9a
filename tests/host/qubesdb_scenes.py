"""dom0's QubesDB and our copy of it, message by message: what tests of both begin with."""
from firewall.qubes import ruletrees
from firewall.qubes.database import Database
from steps import at_once
from test_qubesdb_wire import packed

WRITE, MULTIREAD, RM, OK, NOENT, ERROR, CONTENT = 1, 2, 4, 7, 8, 9, 11
END = packed(CONTENT, "")
TREE = "/qubes-firewall/10.137.7.21"


class Side:
    """A database with a connection, and what it told."""

    def __init__(self, *attached):
        self.told = []
        self.commits = []
        self.database = Database(lambda *commit: self.commits.append(commit), lambda: self.told.append("synced"))
        for address in attached:
            self.database.keep(address)
        self.database.watch("/qubes-ip", lambda *change: self.told.append(change))
        self.database.watch("/mapped-ip/", lambda *change: self.told.append(change))
        self.begin()

    def begin(self):
        self.database.begin()
        assert self.sent() == [packed(MULTIREAD, "")]

    def sent(self):
        """What we have sent since last asked: a list of messages, as octets."""
        out = bytes(self.database.outgoing())
        self.database.sent(len(out))
        found = []
        while out:
            n = 72 + int.from_bytes(out[68:72], "little")
            found.append(out[:n])
            out = out[n:]
        return found

    def receive(self, *messages):
        for octets in messages:
            self.database.feed(octets)
            while self.database.step():
                pass

    def nodes(self, address="10.137.7.21"):
        packed_nodes = self.database.copy.trees.packed(address)
        return None if packed_nodes is None else ruletrees.unpack(packed_nodes)


def committed(trees, address):
    """The tree is whole now: what that makes."""
    return at_once(trees.committing(address))


def synced(*messages, attached=()):
    side = Side(*attached)
    side.receive(*messages, END)
    return side


def tree(*rules, policy=b"drop", base=True):
    """The messages of a full reading for one client, in descending order of paths."""
    nodes = [packed(CONTENT, TREE + "/policy", policy)] if policy else []
    nodes += [packed(CONTENT, "%s/%04d" % (TREE, i), rule) for i, rule in reversed(list(enumerate(rules)))]
    return nodes + ([packed(CONTENT, TREE)] if base else [])


def stale(n, rules=2):
    """A full reading with n clients that are gone, in descending order."""
    paths = []
    for i in range(n):
        base = "/qubes-firewall/10.138.%d.%d" % (i >> 8, i & 0xFF)
        paths += [(base, b""), (base + "/policy", b"drop")]
        paths += [("%s/%04d" % (base, k), b"action=accept dst4=192.0.2.%d/32 proto=tcp" % k) for k in range(rules)]
    return [packed(CONTENT, path, value) for path, value in sorted(paths, reverse=True)]
