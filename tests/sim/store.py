"""The tree behind xenstored: nodes, permissions, quotas, transactions, watches. No wire; that is xenstored.py.

A Client acts for one domain; domain 0 is privileged and sees no quota. Errors are StoreError with xenstore's word for
them. Who owns a node pays for it, whoever made it: what dom0 writes below a directory of domain 5 counts towards
domain 5, and is noticed when domain 5 itself wants one more.

Two personalities that differ where the daemons do:

                              xenstored (C)             oxenstored (OCaml)
    a quota is reached        ENOSPC, watches: E2BIG    EQUOTA
    node or value too large   ENOSPC                    E2BIG
    watches, transactions     129, 11 at once           100, 11 at once
    a node that is missing    EACCES, unless the next   ENOENT, always
                              parent lets us in

Source: docs/misc/xenstore.txt; tools/xenstored/{core,domain,watch,transaction}.c and tools/ocaml/xenstored of
Xen 4.20. That 11 transactions and 129 watches pass is theirs: they compare before they count.
"""
import collections
import re

PAYLOAD_MAX = 4096  # octets
ABSOLUTE_MAX = 3072
RELATIVE_MAX = 2048
NODES_MAX = 1000  # owned by one unprivileged domain
TRANSACTION_NODES_MAX = 1024  # nodes one transaction may touch
NODE_OCTETS_MAX = 2048  # value, names of children, 8 octets a permission, and a head of 24
PERMS_MAX = 5
_HEAD = 24

_VALID = re.compile(rb"(/|(/[A-Za-z0-9\-_@]+)+)\Z")

Personality = collections.namedtuple("Personality", "name quota too_big watches too_many_watches transactions hides")
XENSTORED = Personality("xenstored", "ENOSPC", "ENOSPC", 129, "E2BIG", 11, True)
OXENSTORED = Personality("oxenstored", "EQUOTA", "E2BIG", 100, "EQUOTA", 11, False)


class StoreError(Exception):
    """str() is xenstore's word: ENOENT, EACCES ..."""


class Node:
    """Never changed once it is in the tree: a change makes another Node."""

    __slots__ = ("value", "perms", "children", "generation")

    def __init__(self, value, perms, children=(), generation=0):
        self.value = value  # bytes
        self.perms = perms  # ((letter, domid), ...); the first one: the owner, and what all others may
        self.children = children  # names, oldest first
        self.generation = generation

    def octets(self):
        return _HEAD + 8 * len(self.perms) + len(self.value) + sum(len(name) + 1 for name in self.children)

    def allows(self, domid):
        """The rights of a domain, as a set of the letters r and w, and o for the owner's."""
        if domid in (0, self.perms[0][1]):
            return {"r", "w", "o"}
        letter = next((letter for letter, who in self.perms[1:] if who == domid), self.perms[0][0])
        return {"n": set(), "r": {"r"}, "w": {"w"}, "b": {"r", "w"}}[letter]


def parent_of(path):
    return path.rpartition(b"/")[0] or b"/"


def name_of(path):
    return path.rpartition(b"/")[2]


class Store:
    def __init__(self, personality=XENSTORED):
        self.personality = personality
        self.generation = 1
        self.nodes = {b"/": Node(b"", (("n", 0),))}
        self.owned = collections.Counter({0: 1})  # domid: nodes
        self.clients = []
        self.introduced = set()  # domids, for IS_DOMAIN_INTRODUCED

    def client(self, domid, deliver=None):
        """Someone who speaks for a domain. deliver(path, token) takes its watch events."""
        client = Client(self, domid, deliver)
        self.clients.append(client)
        return client

    def watches(self, domid):
        return sum(len(client.watches) for client in self.clients if client.domid == domid)

    def transactions(self, domid):
        return sum(len(client.transactions) for client in self.clients if client.domid == domid)

    # what a transaction has too
    def get(self, path):
        return self.nodes.get(path)

    def put(self, path, node):
        self.generation += 1
        before = self.nodes.get(path)
        if before:
            self.owned[before.perms[0][1]] -= 1
        self.owned[node.perms[0][1]] += 1
        self.nodes[path] = Node(node.value, node.perms, node.children, self.generation)

    def drop(self, path):
        self.generation += 1
        self.owned[self.nodes.pop(path).perms[0][1]] -= 1

    def owned_by(self, domid):
        return self.owned[domid]

    def changed(self, path, exact=False, node=None):
        """Tell the watches of a change. exact: only those of this very path. node: what was there, if it has gone."""
        here = node or self.nodes.get(path)
        above = self.nodes.get(parent_of(path))
        for client in list(self.clients):
            for watch in list(client.watches):
                below = not exact and (watch.path == b"/" or path.startswith(watch.path + b"/"))
                if watch.path != path and not below:
                    continue
                if any(at and "r" in at.allows(client.domid) for at in (here, above)):
                    client.deliver(watch.shown(path), watch.token)


class Transaction:
    """What a client sees and changes before the commit: each node as it was when first touched."""

    def __init__(self, store):
        self.store = store
        self.seen = {}  # path: the Node in the store when first touched, or None
        self.nodes = {}  # path: as seen within, or None
        self.owned = collections.Counter()  # the difference to the store's
        self.events = []  # arguments of changed()

    def _touch(self, path):
        if path not in self.seen:
            if len(self.seen) >= TRANSACTION_NODES_MAX:
                raise StoreError("ENOSPC")
            self.seen[path] = self.nodes[path] = self.store.get(path)

    def get(self, path):
        self._touch(path)
        return self.nodes[path]

    def put(self, path, node):
        before = self.get(path)
        if before:
            self.owned[before.perms[0][1]] -= 1
        self.owned[node.perms[0][1]] += 1
        self.nodes[path] = node

    def drop(self, path):
        self.owned[self.get(path).perms[0][1]] -= 1
        self.nodes[path] = None

    def owned_by(self, domid):
        return self.store.owned_by(domid) + self.owned[domid]

    def changed(self, path, exact=False, node=None):
        self.events.append((path, exact, node))

    def commit(self):
        """EAGAIN: somebody changed a node that was touched here."""
        if any(self.store.get(path) is not node for path, node in self.seen.items()):
            raise StoreError("EAGAIN")
        for path, node in self.nodes.items():
            if node is self.seen[path]:
                continue
            if node:
                self.store.put(path, node)
            else:
                self.store.drop(path)
        for event in self.events:
            self.store.changed(*event)


class Watch:
    def __init__(self, path, token, prefix):
        self.path = path
        self.token = token
        self.prefix = prefix  # to cut off: the client named a relative path

    def shown(self, path):
        return path[len(self.prefix) :] if path.startswith(self.prefix) else path


class Client:
    """xenstore's operations, for one domain. tx: a number from start(), or 0. Paths and values are bytes."""

    def __init__(self, store, domid, deliver=None):
        self.store = store
        self.domid = domid
        self.deliver = deliver or (lambda path, token: None)
        self.watches = []
        self.transactions = {}
        self.last_transaction = 0
        self.home = b"/local/domain/%d/" % domid

    # ---- helpers

    def _view(self, tx):
        if tx and tx not in self.transactions:
            raise StoreError("ENOENT")
        return self.transactions[tx] if tx else self.store

    def full(self, path):
        """The absolute path, judged. EINVAL."""
        if not path.startswith(b"/"):
            path = self.home + path
        limit = RELATIVE_MAX + len(self.home) if path.startswith(self.home) else ABSOLUTE_MAX
        if not _VALID.match(path) or len(path) > min(limit, ABSOLUTE_MAX):
            raise StoreError("EINVAL")
        return path

    def _missing(self, view, path, right):
        """The error for a node that is not there, or not for us: nobody learns of it who may not look around."""
        node = view.get(path)
        word = "EACCES" if node else "ENOENT"
        if not self.store.personality.hides:
            return StoreError(word)
        while path != b"/":
            path = parent_of(path)
            node = view.get(path)
            if node:
                break
        return StoreError(word if right in node.allows(self.domid) else "EACCES")

    def _node(self, tx, path, right):
        """(view, absolute path, node) of a node that exists and may be used so."""
        view, path = self._view(tx), self.full(path)
        node = view.get(path)
        if node is None or right not in node.allows(self.domid):
            raise self._missing(view, path, right)
        return view, path, node

    def _put(self, view, path, node):
        if self.domid and node.octets() > NODE_OCTETS_MAX:
            raise StoreError(self.store.personality.too_big)
        view.put(path, node)

    def _create(self, view, path, value):
        """Make a node and the parents that are missing; all inherit permissions, and are ours if we are a guest."""
        missing = []
        while view.get(path) is None:
            missing.append(path)
            path = parent_of(path)
        above = view.get(path)
        perms = above.perms
        if self.domid:
            perms = ((perms[0][0], self.domid),) + perms[1:]
            # each node is compared with what was owned before: that is how the C daemon does it
            if view.owned_by(self.domid) >= NODES_MAX:
                raise StoreError(self.store.personality.quota)
        for new in reversed(missing):
            self._put(view, path, Node(above.value, above.perms, above.children + (name_of(new),)))
            above = Node(value if new == missing[0] else b"", perms)
            self._put(view, new, above)
            path = new

    def _exists_or_create(self, tx, path, value):
        """True if the node exists and may be written; else it is made."""
        view, path = self._view(tx), self.full(path)
        node = view.get(path)
        if node and "w" in node.allows(self.domid):
            return True
        error = self._missing(view, path, "w")
        if str(error) != "ENOENT":
            raise error
        if not self.store.personality.hides:
            above = path
            while view.get(above) is None:
                above = parent_of(above)
            if "w" not in view.get(above).allows(self.domid):
                raise StoreError("EACCES")
        self._create(view, path, value)
        view.changed(path)
        return False

    # ---- operations

    def read(self, path, tx=0):
        return self._node(tx, path, "r")[2].value

    def directory(self, path, tx=0):
        return list(self._node(tx, path, "r")[2].children)

    def generation(self, path, tx=0):
        return self._node(tx, path, "r")[2].generation

    def write(self, path, value, tx=0):
        if self._exists_or_create(tx, path, value):
            view, path, node = self._node(tx, path, "w")
            self._put(view, path, Node(value, node.perms, node.children))
            view.changed(path)

    def mkdir(self, path, tx=0):
        self._exists_or_create(tx, path, b"")

    def remove(self, path, tx=0):
        view, path = self._view(tx), self.full(path)
        if path == b"/":
            raise StoreError("EINVAL")
        node = view.get(path)
        if node is None or "w" not in node.allows(self.domid):
            error = self._missing(view, path, "w")
            if str(error) == "ENOENT" and view.get(parent_of(path)):
                return  # it did not exist already
            raise error
        above = parent_of(path)
        parent = view.get(above)
        kept = tuple(name for name in parent.children if name != name_of(path))
        view.put(above, Node(parent.value, parent.perms, kept))
        self._remove_tree(view, path, node)
        view.changed(path, node=node)

    def _remove_tree(self, view, path, node):
        for name in node.children:
            below = path + b"/" + name
            child = view.get(below)
            self._remove_tree(view, below, child)
            view.changed(below, True, child)
        view.drop(path)

    def get_perms(self, path, tx=0):
        return self._node(tx, path, "r")[2].perms

    def set_perms(self, path, perms, tx=0):
        """perms: (("n", 5), ("r", 0)): owner and default first."""
        if not perms or any(letter not in "nrwb" for letter, _ in perms):
            raise StoreError("EINVAL")
        if self.domid and len(perms) > PERMS_MAX:
            raise StoreError("ENOSPC")
        view, path, node = self._node(tx, path, "o")
        if self.domid and perms[0][1] != node.perms[0][1]:
            raise StoreError("EPERM")
        self._put(view, path, Node(node.value, tuple(perms), node.children))
        view.changed(path)

    def watch(self, path, token):
        full = path if path.startswith(b"@") else self.full(path)
        if any((watch.path, watch.token) == (full, token) for watch in self.watches):
            raise StoreError("EEXIST")
        if self.domid and len(self.watches) >= self.store.personality.watches:
            raise StoreError(self.store.personality.too_many_watches)
        self.watches.append(Watch(full, token, b"" if path[:1] in (b"/", b"@") else self.home))

    def unwatch(self, path, token):
        full = path if path.startswith(b"@") else self.full(path)
        for watch in self.watches:
            if (watch.path, watch.token) == (full, token):
                self.watches.remove(watch)
                return
        raise StoreError("ENOENT")

    def start(self):
        """The number of a new transaction."""
        if self.domid and len(self.transactions) >= self.store.personality.transactions:
            raise StoreError(self.store.personality.quota)
        self.last_transaction += 1
        self.transactions[self.last_transaction] = Transaction(self.store)
        return self.last_transaction

    def end(self, tx, commit):
        view = self._view(tx)
        if view is self.store:
            raise StoreError("ENOENT")
        del self.transactions[tx]
        if commit:
            view.commit()

    def reset(self):
        self.watches.clear()
        self.transactions.clear()

    def leave(self):
        """The domain has died: its watches and transactions go; its nodes stay until dom0 removes them."""
        self.reset()
        if self in self.store.clients:
            self.store.clients.remove(self)
