"""The raw rules that dom0 keeps below /qubes-firewall/: a tree of small nodes for each address that ever was a client.

    /qubes-firewall/10.137.0.21/policy   drop
    /qubes-firewall/10.137.0.21/0000     action=accept ...
    /qubes-firewall/10.137.0.21          written last, empty: the tree above is whole

An update removes the tree's nodes, writes new ones, then the last line: the commit. Until then the tree is not settled,
and packed() does not give it out.

dom0 never removes the tree of a client that is gone, so they grow for ever; each is packed into one bytes object, and
of those that belong to nobody attached the oldest are forgotten (`forgot`: should one be needed after all, everything
has to be read again).

Memory has limits. A tree for which there is no room, or during whose writing anything failed, becomes SPOILED at its
next commit: a part of a tree might allow more than the whole. No parser takes SPOILED, so its client is denied.
"""
from micropython import const
from steps import at_once

from firewall.qubes.nodes import Nodes, Run, nodes_of

LIMIT = const(2048)  # trees
OCTETS = const(1 << 20)  # of all packed trees together
TREE_OCTETS = const(320 << 10)  # of one,
_NODES = const(4500)  # and its nodes, each of which takes some 300 octets of heap while it is written, if out of order
_OPEN = const(8)  # trees being written at once
_OPEN_OCTETS = const(160 << 10)  # of all these but the last; as nodes they take some five times as much
_SLICE = const(16)  # nodes packed in a step,
_HASHED = const(32768)  # octets: MicroPython hashes all of a bytes object, some 8 ns each; a bytearray it does not
_COUNTED = const(64)  # and those counted
_SPOILED = "spoiled"  # a key that no parser takes

# of the list that stands for a tree
_PACKED = const(0)
_SETTLED = const(1)
_STAMP = const(2)
_COUNT = const(3)


class RuleTrees:
    """before: RuleTrees that these are to take the place of: they keep the same, and what is equal is not held twice.

    forgot: whether a tree is missing that a client might need.
    """

    def __init__(self, before=None):
        self.before = before
        self.forgot = False
        self._kept = set(before._kept) if before is not None else set()  # addresses (text) that are attached
        self._trees = {}  # address -> [packed nodes, whether settled, stamp of the last change, commits handled]
        self._open = {}  # address -> Nodes of those that are being written
        self._sizes = {}  # address -> octets that these make; the same addresses
        self._octets = 0  # of all packed
        self._stamp = 0

    def __len__(self):
        return len(self._trees)

    def keep(self, address):
        """Never forget the tree of this address, whether or not it is there yet; until let_go()."""
        self._kept.add(address)

    def let_go(self, address):
        """Undo keep()."""
        self._kept.discard(address)

    def write(self, address, key, value):
        """A node is written. Its tree is not settled until it is committed."""
        self._tree(address)[_SETTLED] = False
        nodes = self._opened(address)
        if _SPOILED in nodes:
            return
        before = nodes.get(key)
        nodes.put(key, value)
        self._sizes[address] += _size(key, value) - (_size(key, before) if before is not None else 0)
        if self._sizes[address] > TREE_OCTETS or len(nodes) > _NODES:
            self.spoil(address)
        elif len(self._open) > 1 and sum(self._sizes.values()) > _OPEN_OCTETS:
            for other in self._open:
                if other != address:
                    self._close(other)
                    break

    def spoil(self, address):
        """Something of this tree was lost: it counts as no tree until all its nodes have been removed."""
        self._drop_open(address)
        self._tree(address)[_SETTLED] = False
        self._open[address] = _nodes(SPOILED)
        self._sizes[address] = _size(_SPOILED, b"")

    def spoiled(self, address):
        """Commit the tree as one that no parser takes; returns its packed nodes."""
        self._drop_open(address)
        tree = self._tree(address)
        self._store(address, SPOILED)
        tree[_SETTLED] = True
        return SPOILED

    def remove(self, address, key):
        """A node is removed, or all below if key ends in "/", or all if it is None. Not settled until committed."""
        if address not in self._trees:
            return
        self._trees[address][_SETTLED] = False
        if key is None:
            self._drop_open(address)
            self._store(address, b"")
        else:
            nodes = self._opened(address)
            below = nodes.below(key) if key[-1] == "/" else ()
            for name in below or (key,):
                value = nodes.pop(name)
                if value is not None:
                    self._sizes[address] -= _size(name, value)

    def remove_all(self):
        """As remove() of every tree."""
        for address in self._trees:
            self.remove(address, None)

    def committing(self, address):
        """The tree is whole now: its nodes, packed, in steps (see steps.py). No node may change before the last."""
        self._tree(address)
        nodes = self._drop_open(address)
        if nodes is not None:
            for packed in packing(nodes):
                if packed is None:
                    yield None
        tree = self._tree(address)
        if nodes is not None:
            old = self.before._trees.get(address) if self.before else None
            if old and old[_PACKED] == packed:
                packed = old[_PACKED]
            self._store(address, packed)
        while self._octets > OCTETS and self._forget(0):
            pass
        if self._octets > OCTETS and address in self._trees:  # all that are left belong to clients
            self._store(address, SPOILED)
        tree[_SETTLED] = True
        yield tree[_PACKED]

    def packed(self, address):
        """The settled tree's nodes, packed; None: not known, or being written."""
        tree = self._trees.get(address)
        return tree[_PACKED] if tree and tree[_SETTLED] else None

    def handled(self, address):
        """One more commit of this address has been dealt with: how many that makes."""
        tree = self._tree(address)
        tree[_COUNT] += 1
        return tree[_COUNT]

    def set_handled(self, address, count):
        """It is at least this many: so dom0 was told by this firewall before it was started again."""
        tree = self._trees.get(address)
        if tree and tree[_COUNT] < count:
            tree[_COUNT] = count

    def _tree(self, address):
        tree = self._trees.get(address)
        if tree is None:
            self._forget(1)
            tree = self._trees[address] = [b"", False, 0, 0]
        self._stamp += 1
        tree[_STAMP] = self._stamp
        return tree

    def _opened(self, address):
        """The nodes of a tree, to be changed."""
        nodes = self._open.get(address)
        if nodes is None:
            if len(self._open) >= _OPEN:
                self._close(next(iter(self._open)))
            packed = self._trees[address][_PACKED]
            nodes = self._open[address] = _nodes(packed)
            self._sizes[address] = len(packed)
        return nodes

    def _close(self, address):
        """Pack a tree that is being written, to make room for another's nodes; it stays unsettled."""
        nodes = self._drop_open(address)
        if nodes is not None:
            packed = SPOILED  # should that fail: it is this tree that has lost its nodes, not the one that needs room
            try:
                packed = pack(nodes)
            except AssertionError:
                raise
            except Exception:
                pass
            self._store(address, packed)

    def _drop_open(self, address):
        """Forget the nodes that were being written; returns them, None if there were none."""
        self._sizes.pop(address, None)
        return self._open.pop(address, None)

    def _store(self, address, packed):
        tree = self._trees[address]
        self._octets += len(packed) - len(tree[_PACKED])
        tree[_PACKED] = packed

    def _forget(self, more):
        """Keep to the limits, with so many more to come; whether any was forgotten.

        An eighth goes at once: the sorting costs little for each. Trees of IPv6 addresses go first: nobody needs one
        yet. Those that are being written go last, or what is written from then on would be taken for the whole.
        """
        if len(self._trees) + more <= LIMIT and self._octets <= OCTETS:
            return False
        ages = sorted(
            (address in self._open, ":" not in address, tree[_STAMP], address)
            for address, tree in self._trees.items()
            if address not in self._kept
        )
        for _, needed, _, address in ages[: max(1, len(ages) // 8)]:
            self._drop_open(address)
            self._octets -= len(self._trees.pop(address)[_PACKED])
            self.forgot = self.forgot or needed
        return len(ages) > 0


def _size(key, value):
    """Octets that a node takes in a packed tree."""
    return 3 + len(key) + len(value)


def count(packed):
    """In steps: how many nodes there are in it."""
    nodes = at = 0
    while at < len(packed):
        at += 1 + packed[at]
        at += 2 + (packed[at] | packed[at + 1] << 8)
        nodes += 1
        if nodes % _COUNTED == 0:
            yield None
    yield nodes


def pack(nodes):
    """Nodes as one bytes object: for each the key's length, the key, two octets of length, the value.

    In the keys' order, so that equal trees are equal octets, however their nodes came.
    """
    return at_once(packing(nodes))


def packing(nodes):
    """pack() in steps (see steps.py), of _SLICE nodes each."""
    whole = []
    done = 0
    for begin in sorted(nodes.tables):
        table = nodes.tables[begin]
        if isinstance(table, Run):
            whole.append(table.packed())
            for _ in range(len(table)):
                done += 1
                if done % _SLICE == 0:
                    yield None
            continue
        parts = []
        for key in sorted(table):
            value = table[key]
            parts.append(bytes((len(key),)) + key.encode() + bytes((len(value) & 0xFF, len(value) >> 8)) + value)
            done += 1
            if done % _SLICE == 0:
                yield None
        whole.append(b"".join(parts))
    octets = sum([len(part) for part in whole])
    if octets <= _HASHED:
        yield b"".join([bytes(part) for part in whole])
        return
    made, at = bytearray(octets), 0
    for part in whole:
        made[at : at + len(part)] = part
        at += len(part)
    yield made


def unpack(packed):
    """{key: value} of what pack() made."""
    return dict(nodes_of(packed))


def _nodes(packed):
    """Nodes of what pack() made."""
    nodes = Nodes()
    for key, value in nodes_of(packed):
        nodes.put(key, value)
    return nodes


SPOILED = bytes([len(_SPOILED)]) + _SPOILED.encode() + bytes(2)
