"""A network device as xenstore has it: what the ends of clients' devices and of the uplink share.

Each side has a directory with its own state, which only the numbers of states.py may be.

Source: Xen public/io/xenbus.h.
"""
import asyncio
import gc

from loop import Flag
from micropython import const
from xenbus import values
from xenbus.states import RECONFIGURED

_WITHOUT_MEMORY_MS = const(100)  # until it is tried again


def state(octets):
    """The state that a node holds; 0 for what is none."""
    return values.decimal(octets, RECONFIGURED) or 0


async def read_state(store, path):
    """The state in a directory; 0 if there is none, or what is no state."""
    return state(await values.read(store, path + "/state"))


async def write_state(store, path, to, witness):
    """Write our state, unless this node of our directory is gone: that would bring it back. Raises Missing then."""

    async def write(t):
        await t.read(witness)
        await t.write(path + "/state", "%d" % to)

    await store.transaction(write)


class Delay:
    """Milliseconds to wait before something is tried again: twice as many each time."""

    def __init__(self, first, last):
        self.first = first
        self.last = last
        self.reset()

    def reset(self):
        """It has worked."""
        self.ms = self.first

    def next(self):
        """The milliseconds of now; the next time there are more."""
        ms = self.ms
        self.ms = min(2 * ms, self.last)
        return ms


class Device:
    """attach(device) and detach(device) are called when its link comes and goes; link is then set.

    changed: something of it may have changed, here or at the other side. breach: what the ring service has found, until
    it is told.
    """

    def __init__(self, store, name, attach, detach):
        self.store = store
        self.name = name
        self.attach = attach
        self.detach = detach
        self.link = None
        self.breach = None
        self.changed = Flag()

    def broken(self, reason):
        """The ring service: the other side broke the protocol. The link is closed at once, the rest follows."""
        self._drop_link()
        self.breach = reason
        self.changed.set()

    def _drop_link(self):
        """Nobody uses the link any more, and all it had comes back."""
        if self.link:
            try:
                self._detach()
            finally:
                link, self.link = self.link, None
                link.close()

    def _detach(self):
        """Also from the ring service, where nothing may escape: what memory is refused for is done again."""
        try:
            self.detach(self)
        except MemoryError:
            gc.collect()
            self.detach(self)

    async def _listen(self, watch):
        """A task: look again at every change there."""
        while True:
            try:
                await watch.changes()
            except MemoryError:  # nobody supervises this task
                gc.collect()
                await asyncio.sleep_ms(_WITHOUT_MEMORY_MS)
            self.changed.set()

    async def _changed_within(self, ms):
        """Wait for a change, for so long. True: there was one."""
        return await self.changed.wait_ms(ms)
