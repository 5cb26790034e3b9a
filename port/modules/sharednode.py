"""A node in xenstore that we write and others may write too: the state of a device, above all."""


class SharedNode:
    """Tells our own writes' echoes from others' writes, and never undoes what it has not seen.

    Every write of ours fires our own watch. Neither number nor order of the events tells whose they were: daemons
    differ, and events may merge. The value does. One of these is used by one task.

        other = await node.look()       # what somebody else wrote, or None: still what we wrote or saw last
        other = await node.write(b"4")  # None: written. Otherwise somebody was faster: this is there instead

    look() comes first, for write() overwrites nothing that was not seen. Both raise Missing or Denied when the node has gone: it is not made anew (a directory that dom0 removed would
    come to life again, xen.md 5.5).
    """

    def __init__(self, store, path):
        self.store = store
        self.path = path
        self.value = None  # what we wrote or saw last; None: nothing yet

    async def look(self):
        """The node's value if it is not the one we know already, else None."""
        return self._news(await self.store.read(self.path))

    async def write(self, value):
        """Set the node, unless it holds what we have not seen: that is then returned, and not overwritten."""

        async def swap(t):
            found = await t.read(self.path)
            if found != self.value:
                return found
            await t.write(self.path, value)
            return None

        other = self._news(await self.store.transaction(swap))
        if other is None:
            self.value = value
        return other

    def _news(self, found):
        if found is None or found == self.value:
            return None
        self.value = found
        return found
