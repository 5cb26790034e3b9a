"""All devices that dom0 gives us: one watch on backend/vif, one task for each device.

Only the device whose path an event names is looked at. Directories of domains stay behind empty when a client ends,
so devices are what is tracked, never domains.
"""
import supervisor
from netback import goodbye
from netback.vif import Vif
from xenbus import values
from xenbus.wire import Denied, Missing
from xennumbers import DOMID_MAX

_ROOT = "backend/vif"


class Backends:
    """See the module. vifs: (domid, devid) -> Vif, for as long as its task lives. hooks: as Vif takes them."""

    def __init__(self, store, *hooks):
        self.store = store
        self.hooks = hooks
        self.vifs = {}
        self.watch = None  # of the whole
        self.leaving = False  # no device is taken up any more

    async def run(self):
        """For the supervisor, as a SERVICE."""
        self.watch = watch = await self.store.watch(_ROOT, levels=2)
        try:
            while True:
                for path in await watch.changes():
                    await self._look(path.split("/")[2:])
        finally:
            await watch.close()

    async def leave(self):
        """The domain is about to end: see goodbye.py."""
        self.leaving = True
        await goodbye.to_all(list(self.vifs.values()))

    async def _look(self, names):
        """names: of a domain and a device; of a domain; or none: then all are looked at."""
        if len(names) < 2:
            path = "/".join([_ROOT] + names)
            for name in await self._children(path):
                await self._look(names + [name])
            return
        domid = values.decimal(names[0].encode(), DOMID_MAX)
        devid = values.decimal(names[1].encode(), 0xFFFF)
        if domid is None or devid is None:
            return
        vif = self.vifs.get((domid, devid))
        if vif:
            vif.poke()
        elif not self.leaving and await values.read(self.store, "%s/%d/%d/frontend" % (_ROOT, domid, devid)):
            self._start(domid, devid)

    async def _children(self, path):
        try:
            return await self.store.directory(path)
        except (Missing, Denied):
            return ()

    def _start(self, domid, devid):
        vif = Vif(self.store, domid, devid, *self.hooks)
        self.vifs[domid, devid] = vif
        try:
            supervisor.spawn("vif %s" % vif.name, lambda: self._live(vif, (domid, devid)), supervisor.LINK)
        except MemoryError:
            del self.vifs[domid, devid]  # or it would be taken for one that lives
            raise

    async def _live(self, vif, key):
        try:
            await vif.run()
        finally:
            del self.vifs[key]
        # it may have been made again while its end was under way
        self.watch.fire("%s/%d/%d" % ((_ROOT,) + key))
