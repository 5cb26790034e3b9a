"""Our copy of QubesDB: what dom0's messages do to it, and what is to be answered. Octets in, octets out; no waiting.

    begin()      a connection is there: ask for everything, once
                 CONTENT ... CONTENT, in descending order of paths, into a fresh copy; the old one stays in force
                 CONTENT without a path: the fresh copy takes the old one's place
    from then on WRITE and RM, each answered with OK, whether or not we know the key (NOENT would end the channel)

Only what somebody has asked for is kept: keys and prefixes given to watch(), and the rule trees.

Source: core-qubesdb daemon/db-cmds.c, db-core.c.
"""
from micropython import const

from peererror import PeerError

from firewall.qubes import messages, ruletrees
from firewall.qubes.watches import Watches
from firewall.wire.address import parse

RULES = "/qubes-firewall/"
HANDLED = "/qubes-firewall-handled/"
RESOLVED = "/dns/"
_KEYS = const(1024)  # of those that are watched; each has two octets of address and little more
_OUT = const(8192)  # octets not yet sent: beyond it nothing more is read
_OWN = const(256)  # values of ours not yet sent, or not yet answered
_AT_ONCE = const(8)  # of them made messages before everybody else has his turn


class Copy:
    """Keys and rule trees as dom0 has them, as far as they matter to us."""

    def __init__(self, before=None):
        """before: the Copy that this one is to take the place of."""
        self.values = {}
        self.trees = ruletrees.RuleTrees(before and before.trees)


class Database:
    """on_commit(address, packed nodes): a rule tree is whole. on_synced(): the fresh copy is in force.

    Addresses are text, of either family.
    """

    def __init__(self, on_commit, on_synced):
        self.on_commit = on_commit
        self.on_synced = on_synced
        self.copy = Copy()
        self.synced = False  # the copy is dom0's, as of this connection
        self.left_out = 0  # keys beyond _KEYS
        self.errors = 0  # how many of our writes dom0 refused
        self._watches = Watches()
        self.committing = None  # (address, copy, steps or None): a tree that is being packed; nothing else goes on
        self._telling = None  # steps of what follows when everything was read; nothing else goes on either
        self._parsed = None  # the last address of a tree that was looked at: most are as the one before
        self.fresh = None  # the copy that is being read
        self._inbox = None
        self._out = bytearray()
        self._own = {}  # path -> value, to be written to dom0; None: to be removed there
        self._unanswered = {}  # path -> value, written on this connection; dom0 has not said yet that it has it
        self._there = set()  # paths for remove() that dom0 has said to have, on this connection

    def watch(self, path, function, keep=None):
        """Keep this key, or with "/" at the end all below: function(path, value) at every change, value None: removed.

        keep(path, value): False for what need not be kept after all; asked before. To be called before begin().
        """
        self._watches.add(path, function, keep)

    def keep(self, address):
        """This address is attached: its rule tree is not to be forgotten, until let_go()."""
        self.copy.trees.keep(address)
        if self.fresh:
            self.fresh.trees.keep(address)

    def let_go(self, address):
        """It is no longer attached."""
        self.copy.trees.let_go(address)
        if self.fresh:
            self.fresh.trees.let_go(address)

    def write(self, path, value):
        """Set a key in dom0, as soon as there is a connection. Of several values for one key only the last matters.

        False: dom0 would refuse the path (a name too long, above all), or too much is waiting.
        """
        full = len(self._own) + len(self._unanswered) >= _OWN
        if not messages.writable(path) or (full and path not in self._own):
            return False
        self._own[path] = value
        return True

    def waits(self, path):
        """Whether dom0 has not said yet that it has what was written last."""
        return path in self._own or path in self._unanswered

    def remove(self, path):
        """Remove a key that write() has written. False: we must not, as dom0 has not said yet that it has it."""
        self._own.pop(path, None)
        if path in self._there and path not in self._unanswered:
            self._own[path] = None
        return self._own.get(path, path) is None

    def handled(self, address):
        """Tell dom0 that the rules of this address are in force, once more."""
        self.write(HANDLED + address, b"%d" % self.copy.trees.handled(address))

    # ---- the connection -----------------------------------------------------------------------

    def begin(self):
        """A channel is there, with nothing said on it yet. What the last one may have lost is written again."""
        self.synced = False
        self._unanswered.update(self._own)
        self._own = {path: value for path, value in self._unanswered.items() if value is not None}
        self._unanswered = {}
        self._there = set()
        self.fresh = Copy(self.copy)
        self.committing = self._telling = None
        self._inbox = messages.Inbox()
        self._out = bytearray(messages.pack(messages.MULTIREAD, ""))

    def feed(self, octets):
        """What came in on the channel; then step() until it says False."""
        self._inbox.feed(octets)

    def step(self):
        """Deal with one message, or a part of a large commit. False: there is none, or too much waits to be sent.

        PeerError: what came is no message.
        """
        if self.committing:
            self._go_on()
            return True
        if self._telling:
            steps, self._telling = self._telling, None  # what fails is told anew by the next reading
            if next(steps) is None:
                self._telling = steps
            return True
        if self.choked():
            return False
        message = self._inbox.message()
        if message is None:
            return False
        kind, path, value = message
        if kind == messages.CONTENT:
            self._content(path, value)
        elif kind == messages.WRITE:
            self._write(path, value)
            self._answer(path)
        elif kind == messages.RM:
            self._remove(path)
            self._answer(path)
        else:
            value = self._unanswered.pop(path, None)
            self._there.discard(path)
            if kind != messages.OK:
                self.errors += 1
            elif value is not None and path.startswith(RESOLVED):
                self._there.add(path)
        return True

    def busy(self):
        """Whether the next step() is long."""
        return self.committing is not None or self._telling is not None

    def outgoing(self):
        """Octets to be sent; sent(n) when they are, and then there may be more."""
        if self.synced and self._own:
            left = _AT_ONCE
            for path in list(self._own):
                left -= 1
                if self.choked() or left < 0:
                    break
                if path not in self._unanswered:  # one at a time, so that an answer is to the last value
                    self._unanswered[path] = self._own.pop(path)
                    value = self._unanswered[path]
                    write = value is not None
                    self._out += messages.pack(messages.WRITE, path, value) if write else messages.removal(path)
        return self._out

    def choked(self):
        """So much waits to be sent that nothing is to be read."""
        return len(self._out) > _OUT

    def sent(self, n):
        """So many octets of outgoing() have been sent."""
        self._out = self._out[n:]

    def _answer(self, path):
        self._out += messages.pack(messages.OK, path)

    # ---- what messages do ---------------------------------------------------------------------

    def _content(self, path, value):
        if self.fresh is None:
            raise PeerError("QubesDB: content that was not asked for")
        if path:
            self._store(self.fresh, path, value)
            return
        for path, value in self._own.items():
            self._set_handled(path, value)  # counted by us, and not told yet
        self.copy = self.fresh
        self.copy.trees.before = None
        self.fresh = None
        self._telling = self._tell_all()

    def _tell_all(self):
        """In steps: tell what has changed since the last reading, then that everything was read."""
        for step in self._watches.telling(self.copy.values):
            yield step
        self.synced = True
        self.on_synced()
        yield True

    def _write(self, path, value):
        if self.fresh:
            self._store(self.fresh, path, value)
            return
        self._store(self.copy, path, value)
        if path in self.copy.values:
            self._watches.tell(path, value)
        elif path in self._watches.told:  # it has become one that need not be kept
            self._watches.tell(path, None)

    def _store(self, copy, path, value):
        """Store a key in this copy, if it is one that is kept."""
        if path.startswith(RULES):
            address, _, key = path[len(RULES) :].partition("/")
            if address != self._parsed:
                if parse(address) < 0:
                    return
                self._parsed = address
            if key:
                self._change(copy.trees, address, copy.trees.write, key, value)
            elif not value:
                self.committing = address, copy, None
                self._go_on()
        elif path.startswith(HANDLED):
            if copy is self.fresh:
                self._set_handled(path, value)
        elif not self._watches.wanted(path, value):
            copy.values.pop(path, None)
        elif path in copy.values or len(copy.values) < _KEYS:
            copy.values[path] = value
        else:
            self.left_out += 1

    def _go_on(self):
        """Take a step of the commit that is under way. If that fails, the tree is committed as one that no parser takes."""
        address, copy, steps = self.committing
        try:
            if steps is None:
                steps = copy.trees.committing(address)
                self.committing = address, copy, steps
            packed = next(steps)
        except AssertionError:
            raise
        except Exception:
            steps = self.committing = None  # what they hold is free for what follows
            packed = copy.trees.spoiled(address)
        if packed is not None:
            self.committing = None
            if copy is self.copy:
                self.on_commit(address, packed)

    def _change(self, trees, address, change, *args):
        """change(address, *args) of the trees; if it fails, no commit of what is left of this one may count."""
        try:
            change(address, *args)
        except AssertionError:
            raise
        except Exception:
            trees.spoil(address)

    def _set_handled(self, path, value):
        if path.startswith(HANDLED) and value.isdigit():
            self.fresh.trees.set_handled(path[len(HANDLED) :], int(value[:9]))

    def _remove(self, path):
        copy = self.fresh or self.copy
        directory = path.endswith("/")
        for name in [name for name in self._there if name == path or (directory and name.startswith(path))]:
            self._there.discard(name)
            if self._own.get(name, name) is None:
                del self._own[name]
        if path.startswith(RULES) and path != RULES:
            address, _, key = path[len(RULES) :].partition("/")
            # without the slash it is the commit's own node, which means nothing without a commit
            if key or directory:
                self._change(copy.trees, address, copy.trees.remove, key or None)
            return
        if directory and RULES.startswith(path):
            copy.trees.remove_all()
        found = [name for name in copy.values if name.startswith(path)] if directory else [path]
        for name in found:
            if copy.values.pop(name, None) is None:
                continue
            if copy is self.copy:
                self._watches.tell(name, None)
