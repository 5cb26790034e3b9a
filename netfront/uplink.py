"""The life of the uplink in xenstore: connect, notice every kind of end, connect again, to whatever netvm is there.

dom0 makes device/vif/<n> when it attaches us to a netvm, and removes it when that netvm stops or another is chosen;
QubesDB says nothing of it. So every change below device/vif is looked at, and a directory with another backend is
another uplink. There may be none for as long as it pleases: clients are served all the same.

A netvm that closes, vanishes or breaks the protocol costs the connection, never the firewall. While its directory
stands and dom0 has not taken it offline, we offer ourselves again, with growing delay.

Source: Xen public/io/netif.h and xenbus.h; reference behaviour Linux xen-netfront.
"""
import asyncio
import xsvalues as nodes
from loop import Flag
from log import Log
from micropython import const
from netfront.link import Link
from xswire import Denied, Missing

_ROOT = "device/vif"
_INITIALISING = const(1)
_INIT_WAIT = const(2)
_INITIALISED = const(3)
_CONNECTED = const(4)
_CLOSED = const(6)
_MTU = const(1500)
_MTU_LEAST = const(576)
_MTU_MOST = const(65521)
_FIRST_DELAY_MS = const(200)
_LAST_DELAY_MS = const(5000)
_RETRY_MS = const(1000)  # between two looks at the quarantine

_log = Log("netfront")


class Uplink:
    """attach(uplink) and detach(uplink) are called when its link comes and goes; link, mtu, mac, domid are then set."""

    def __init__(self, store, pool, quarantine, attach, detach):
        self.store = store
        self.pool = pool
        self.quarantine = quarantine
        self.attach = attach
        self.detach = detach
        self.name = "uplink"
        self.link = None
        self.mtu = _MTU
        self.mac = None
        self.domid = -1  # of the last netvm
        self.breach = None
        self.changed = Flag()
        self.delay = _FIRST_DELAY_MS
        self.told_full = False

    def broken(self, reason):
        """The ring service: the netvm broke the protocol. The link is closed at once, the rest follows."""
        self._drop_link()
        self.breach = reason
        self.changed.set()

    async def run(self):
        """For the supervisor, as a SERVICE."""
        watch = await self.store.watch(_ROOT)
        listener = asyncio.create_task(self._listen(watch))
        try:
            while True:
                path = await self._find()
                if path:
                    await self._follow(path)
                else:
                    await self.changed.wait()
        finally:
            listener.cancel()
            self._drop_link()
            await watch.close()

    async def _listen(self, watch):
        while True:
            await watch.changes()
            self.changed.set()

    async def _find(self):
        """The directory of our lowest interface, or None."""
        try:
            names = await self.store.directory(_ROOT)
        except (Missing, Denied):
            return None
        ids = [n for n in (nodes.decimal(name.encode(), 0xFFFF) for name in names) if n is not None]
        return "%s/%d" % (_ROOT, min(ids)) if ids else None

    async def _follow(self, path):
        """Serve one interface until its directory is gone or names another backend."""
        backend = (await nodes.read(self.store, path + "/backend")).decode()
        domid = nodes.decimal(await nodes.read(self.store, path + "/backend-id"), 0x7FEF)
        if not backend or domid is None:
            await self.changed.wait()  # dom0 is still writing
            return
        watch = await self.store.watch(backend + "/state")
        listener = asyncio.create_task(self._listen(watch))
        try:
            while (await nodes.read(self.store, path + "/backend")).decode() == backend:
                await self._step(path, backend, domid)
                await self.changed.wait()
        except (Missing, Denied):
            pass  # the directory went while we wrote
        finally:
            listener.cancel()
            self._drop_link()
            await watch.close()

    async def _step(self, path, backend, domid):
        """One look at both states."""
        theirs = nodes.decimal(await nodes.read(self.store, backend + "/state"), 8) or 0
        ours = nodes.decimal(await nodes.read(self.store, path + "/state"), 8) or 0
        if self.breach:
            _log.warning("uplink closed: %s", self.breach)
            self.breach = None
            await self._restart(path, backend)
        elif self.link:
            if theirs == _CONNECTED and self.delay != _FIRST_DELAY_MS:
                self.delay = _FIRST_DELAY_MS
            if theirs not in (_INIT_WAIT, _INITIALISED, _CONNECTED) or ours == _INITIALISING:
                # ours: dom0 has made the directory anew, at the same place
                _log.info("uplink closed by domain %d, state %d", domid, theirs)
                self._drop_link()
                if ours == _INITIALISING:
                    self.changed.set()
                else:
                    await self._restart(path, backend)
        elif theirs == _INIT_WAIT and ours == _INITIALISING:
            await self._connect(path, backend, domid)
        elif theirs == _CLOSED or theirs == _INIT_WAIT or ours == _CONNECTED:
            # ours: left by a task of before that xenstored's error has ended; nobody has that connection
            await self._restart(path, backend)

    async def _restart(self, path, backend):
        """Go through Closed to Initialising, so that the backend can offer itself again, unless dom0 took it away."""
        if await nodes.read(self.store, path + "/state") != b"%d" % _CLOSED:  # each write of ours wakes us again
            await self._set_state(path, _CLOSED)
        if await nodes.read(self.store, backend + "/online") != b"1":
            return
        await asyncio.sleep_ms(self.delay)
        self.delay = min(2 * self.delay, _LAST_DELAY_MS)
        if (nodes.decimal(await nodes.read(self.store, backend + "/state"), 8) or 0) in (_INIT_WAIT, _CLOSED):
            await self._set_state(path, _INITIALISING)
            self.changed.set()

    async def _connect(self, path, backend, domid):
        if self.quarantine.full():
            if not self.told_full:
                _log.error("uplink stays down: netvms hold %d pages of ours", self.quarantine.size())
                self.told_full = True
            return  # watch_quarantine() looks again
        self.told_full = False
        if domid != self.domid:
            if self.domid >= 0:
                self.pool.forget()
            self.domid = domid
        self.mac = nodes.mac(await nodes.read(self.store, path + "/mac"))
        mtu = nodes.decimal(await nodes.read(self.store, path + "/mtu"), _MTU_MOST)
        self.mtu = mtu if mtu and mtu >= _MTU_LEAST else _MTU
        sg = await nodes.flag(self.store, backend + "/feature-sg")
        if not sg:
            self.mtu = min(self.mtu, _MTU)  # one slot for each frame
        gso = await nodes.flag(self.store, backend + "/feature-gso-tcpv4")
        if not await nodes.flag(self.store, backend + "/feature-rx-copy"):
            _log.error("uplink: domain %d does not copy to us (feature-rx-copy)", domid)
            return
        csum = not await nodes.flag(self.store, backend + "/feature-no-csum-offload")
        self.link = Link("uplink", self.pool, self.quarantine, domid, sg, gso, csum)
        try:
            await self._publish(path)
        except BaseException:
            link, self.link = self.link, None
            link.close()
            raise
        self.link.flush()
        self.attach(self)
        _log.info("uplink connected to domain %d, mtu %d", domid, self.mtu)

    async def _publish(self, path):
        link = self.link

        async def write(t):
            await t.read(path + "/state")
            await t.write(path + "/tx-ring-ref", "%d" % link.refs[0])
            await t.write(path + "/rx-ring-ref", "%d" % link.refs[1])
            await t.write(path + "/event-channel", "%d" % link.port)
            for feature in ("request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4"):
                await t.write("%s/%s" % (path, feature), "1")
            await t.write(path + "/state", "%d" % _CONNECTED)

        await self.store.transaction(write)

    async def _set_state(self, path, state):
        """Write our state, unless the directory is gone: that would bring it back. Raises Missing then."""

        async def write(t):
            await t.read(path + "/state")
            await t.write(path + "/state", "%d" % state)

        await self.store.transaction(write)

    def _drop_link(self):
        if self.link:
            self.detach(self)
            self.link.close()
            self.link = None

    async def watch_quarantine(self):
        """For the supervisor, as a SERVICE: ask for held pages again every second while there are any."""
        while True:
            if not self.quarantine.size():
                await self.quarantine.filled.wait()
            await asyncio.sleep_ms(_RETRY_MS)
            self.quarantine.retry()
            if self.told_full and not self.quarantine.full():
                self.changed.set()
