"""A watch on a part of xenstore: what changed there since last asked, as a set."""
from loop import Flag
from micropython import const

_PATHS_MAX = const(256)  # a set of these is some 40 KB; beyond it says "all of it"


class Watch:
    """Made by Store.watch().

    An event says "look here" and nothing more: it may come twice, late, or for nothing, the first one always comes at
    once, and one of ours cannot be told from others'. So a neighbour who rewrites its node in a loop adds nothing to a
    set that holds the node already; a list of events would grow without end (XSA-349).

    levels: how much of a path below the watched one is kept. With 2, a change of backend/vif/7/0/state is one of
    backend/vif/7/0; with 0 every change is one of the watched path. Below a node that a neighbour may write, 0 is
    right: he could think of ever new names.
    """

    def __init__(self, store, path, token, levels):
        self.store = store
        self.path = path
        self.token = token
        self.levels = levels
        self.registered = False  # the daemon said OK; it is registered again when the connection begins anew
        self._dirty = set()
        self._flag = Flag()

    def fire(self, path):
        """The connection: path is what an event named."""
        self._dirty.add(self._kept(path))
        if len(self._dirty) > _PATHS_MAX:
            self._dirty = {self.path}
        self._flag.set()

    def _kept(self, path):
        below = self.path + "/"
        if self.levels == 0 or not path.startswith(below):
            return self.path  # the whole: also when a parent was removed
        return below + "/".join(path[len(below) :].split("/")[: self.levels])

    async def changes(self):
        """Wait for changes; returns the set of paths to look at. All of it if the watched path itself is among them."""
        fresh = set()  # here: what was changed is not lost when there is no memory for it
        await self._flag.wait()
        dirty, self._dirty = self._dirty, fresh
        return dirty

    async def close(self):
        """End the watch and give its place in our quota of 128 back. StoreError."""
        await self.store.unwatch(self)
