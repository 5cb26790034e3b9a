"""The life of one device: what dom0 and the client write into xenstore, and what we do about it.

Two directories: ours, backend/vif/<domid>/<devid>, written by dom0 and us; the client's, named by our node
`frontend`, of which we believe nothing that is not a number. dom0 waits 10 s for InitWait when it attaches, and 10 s
each for Closed and for the disappearance of our directory when it detaches (online=0): nothing here waits longer
for a client than _PART_MS.

A client that breaks the protocol is disconnected, with one line, and may connect again: 5 times in 10 s, after that
once in 5 s.

Source: reference Linux xen-netback/xenbus.c and libxl_device.c for what the others do.
"""
import asyncio
import xen
from log import Log
from micropython import const
from net.netif import MTU_ONE_PAGE
from netback import published
from netback.described import Described
from netback.goodbye import Parting
from netback.states import step
from peererror import PeerError
from xenbus import values
from xenbus.device import Delay, read_state, write_state
from xenbus.states import CLOSED, CLOSING, CONNECTED, INITIALISING, INIT_WAIT, RECONFIGURED
from xenbus.wire import Denied, Missing, StoreError

_PART_MS = const(4000)  # for a client to follow our Closing when dom0 detaches it
_FIRST_DELAY_MS = const(100)  # after an error of xenstored's
_LAST_DELAY_MS = const(30000)
_SEEN_MS = const(1000)  # for dom0 to read our Closed before its node goes; it waits 10 s for that
_FREE_CONNECTS = const(5)
_WINDOW_NS = const(10000000000)
_SLOW_NS = const(5000000000)
_NS_PER_MS = const(1000000)
_FEATURES = ("/feature-rx-copy", "/feature-sg", "/feature-gso-tcpv4")

_log = Log("netback")


class Vif(Parting):
    """One device.

    change(vif): dom0 says another Ethernet address or MTU. Another IPv4 address is a detach and an attach.
    """

    def __init__(self, store, domid, devid, connect, attach, detach, change):
        """connect(name, domid, refs, port, sg, gso, csum) -> BackLink; attach, detach, change: functions of a Vif."""
        super().__init__(store, "%d.%d" % (domid, devid), attach, detach)
        self.domid = domid
        self.path = "backend/vif/%d/%d" % (domid, devid)
        self.make_link = connect
        self.change = change
        self.described = Described(store, self.name, self.path, domid)
        self.offered = False  # it has been at InitWait
        self.stale = True  # dom0 may have changed what it says of the device
        self.state = INIT_WAIT
        self.connects = []  # ns of the last ones
        self.may_connect = 0  # ns: it has connected too often, and has to wait until then; 0: it has not
        self.watch = None  # on the client's state
        self.listener = None  # the task that waits for it

    @property
    def address(self):
        """The client's IPv4 address, as an int; None: dom0 names none."""
        return self.described.address

    @property
    def mac(self):
        """The client's Ethernet address, six octets; None: dom0 names none."""
        return self.described.mac

    def poke(self):
        """Something of this device may have changed in our directory."""
        self.stale = True
        self.changed.set()

    def mtu(self):
        """Octets of the largest datagram for the client: without scatter-gather a frame has one page."""
        return self.described.mtu if self.link.sg else min(self.described.mtu, MTU_ONE_PAGE)

    # ---- the task -----------------------------------------------------------------------------

    async def run(self):
        """For the supervisor, as a LINK: from the directory's appearance to its end.

        Whatever xenstored refuses, and whatever we lack for a moment, is tried again with growing delay, and at once
        when dom0 or the client change anything: the client is not to pay for that.
        """
        delay = Delay(_FIRST_DELAY_MS, _LAST_DELAY_MS)
        told = None
        try:
            while True:
                try:
                    if not await self._look():
                        break
                    delay.reset()
                    told = None
                    await self._wait_for_news()
                    continue
                except (StoreError, OSError, MemoryError) as refusal:
                    reason = refusal
                self.stale = True
                try:
                    if await self._gone():
                        break  # it was removed while we looked at it
                    if type(reason) is not told:
                        _log.error("vif %s: tries again until it works: %r", self.name, reason)
                        told = type(reason)
                    await asyncio.sleep_ms(_FIRST_DELAY_MS)  # however often it is poked
                    await self._changed_within(delay.ms)
                except MemoryError:
                    await asyncio.sleep_ms(delay.ms)
                delay.next()
        finally:
            self._drop_link()
            await self._end_watch()
        _log.info("vif %s: removed", self.name)

    async def _gone(self):
        """True if dom0 has removed our directory; False too when xenstored does not tell."""
        try:
            await self.store.read(self.path)
        except (Missing, Denied):
            return True
        except StoreError:
            pass
        return False

    async def _watch_frontend(self):
        """Have a watch on the state of the client that dom0 names."""
        path = self.described.frontend + "/state"
        if self.watch and self.watch.path != path:
            await self._end_watch()
        if not self.watch:
            self.watch = await self.store.watch(path)
            self.listener = asyncio.create_task(self._listen(self.watch))

    async def _end_watch(self):
        watch, self.watch = self.watch, None
        if watch:
            if self.listener:  # there may have been no memory for it
                self.listener.cancel()
            await watch.close()

    async def _wait_for_news(self):
        """Until poked, or until a client that connects too often may do so again."""
        if self.may_connect:
            await self._changed_within(max(0, self.may_connect - xen.ns()) // _NS_PER_MS + 1)
        else:
            await self.changed.wait()

    async def _look(self):
        """Act on what the directories say now. False: the device is gone."""
        online, state = await values.reads(self.store, self.path, ("online", "state"))
        if online == b"0":
            await self._end()
            return False
        if self.leaving:
            return True
        if online != b"1":
            if await self._gone():
                return False
            self.described.wrong_online(online, self.offered)
            if not self.offered:
                return True  # dom0 is still writing
        if not self.offered or state == b"%d" % INITIALISING:
            # not written by us: dom0 has made the device anew, and waits for our InitWait
            self._drop_link()
            if not await self.described.find():
                return not await self._gone()  # dom0 will make it change again
            self.stale = True
            await self._offer()  # new nodes: one refused for the quota must be removable without them
            self.offered = True
        elif values.decimal(state, RECONFIGURED) is None:
            self.described.wrong_state(state, self.state)
            await self.set_state(self.state)
        if self.stale:
            self.stale = False
            await self._describe()
        await self._watch_frontend()
        if self.breach:
            _log.warning("vif %s: link closed: %s", self.name, self.breach)
            await self.set_state(CLOSING)
            self.breach = None
        self.may_connect = 0
        await self._follow(step(self.state, await self._their_state()))
        return True

    async def _describe(self):
        """Ask dom0 for addresses and MTU, and let what is new take effect at once."""
        said = await self.described.look()
        was = self.described.address, self.described.mac, self.described.mtu
        if said == was:
            return
        other = said[0] != was[0]
        if self.link and other:
            self.detach(self)
        self.described.address, self.described.mac, self.described.mtu = said
        try:
            if self.link and other:
                self.attach(self)
            elif self.link:
                self.change(self)
        except BaseException:
            self.described.address, self.described.mac, self.described.mtu = was  # so that it is news the next time
            raise

    async def _follow(self, action):
        """Do what states.py says."""
        if action == "offer":
            self._drop_link()
            await self.set_state(INIT_WAIT)
        elif action == "connect":
            await self._connect()
        elif action == "part":
            self._drop_link()
            await self.set_state(CLOSING)
        elif action == "close":
            self._drop_link()
            await self.set_state(CLOSED)

    async def _their_state(self):
        return await read_state(self.store, self.described.frontend)

    async def set_state(self, state):
        """Write our state, unless dom0 has removed the directory: Missing."""
        await write_state(self.store, self.path, state, self.path)
        self.state = state

    async def _offer(self):
        """To InitWait: what we can receive. Nodes whose default says the same are left out: dom0's quota is small."""
        path = self.path

        async def write(t):
            await t.read(path)
            nodes = [(path + feature, "1") for feature in _FEATURES]
            await t.writes(nodes + [(path + "/state", "%d" % INIT_WAIT)])

        await self.store.transaction(write)
        self.state = INIT_WAIT

    # ---- connecting ---------------------------------------------------------------------------

    async def _connect(self):
        if self._too_often():
            return
        if not await self.described.find():
            return  # dom0 will make it change again
        try:
            self.link = await self._make_link()
        except PeerError as reason:
            _log.warning("vif %s: not connected: %s", self.name, reason)
            await self.set_state(CLOSING)
            return
        try:
            self.attach(self)
            await self.set_state(CONNECTED)
        except BaseException:
            self._drop_link()
            raise
        _log.info("vif %s: connected", self.name)

    async def _make_link(self):
        said = await published.read(self.store, self.described.frontend)
        try:
            return self.make_link(self.name, self.domid, *said)
        except OSError as refusal:
            raise PeerError("Xen refuses its rings or port: errno %d" % refusal.errno)

    def _too_often(self):
        """True if the client has to wait, until may_connect. Otherwise this connection is counted."""
        now = xen.ns()
        self.connects = [at for at in self.connects if now - at < _WINDOW_NS]
        if len(self.connects) >= _FREE_CONNECTS and now - self.connects[-1] < _SLOW_NS:
            self.may_connect = self.connects[-1] + _SLOW_NS
            return True
        self.connects.append(now)
        return False

    # ---- the end ------------------------------------------------------------------------------

    async def _end(self):
        """dom0 removes the device: it has written Closing for us."""
        self.retire()
        if self.watch or await self.described.find():
            await self._watch_frontend()
            await self._see_off(_PART_MS, self._their_state)
        self._drop_link()
        await self.set_state(CLOSED)
        await asyncio.sleep_ms(_SEEN_MS)  # libxl takes a node that is gone for a removal that failed
        await self.store.rm(self.path)
