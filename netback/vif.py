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
from loop import Flag
from log import Log
from micropython import const
import xsvalues as nodes
from netback.steps import CLOSED, CLOSING, CONNECTED, INITIALISING, INIT_WAIT, step
from peererror import PeerError
from xswire import Denied, Missing, StoreError

_REF_MAX = const(0xFFFFFFFF)
_PORT_MAX = const(0x1FFFF)
_PART_MS = const(4000)  # for a client to follow our Closing when dom0 detaches it
_AGAIN_MS = const(5000)  # after an error of xenstored's
_SEEN_MS = const(1000)  # for dom0 to read our Closed before its node goes; it waits 10 s for that
_FREE_CONNECTS = const(5)
_WINDOW_NS = const(10000000000)
_SLOW_NS = const(5000000000)
_NS_PER_MS = const(1000000)
_DOMID_MAX = const(0x7FEF)

_log = Log("netback")


class Vif:
    """One device. attach(vif) and detach(vif) are called when its link comes and goes; vif.link is then set."""

    def __init__(self, store, domid, devid, connect, attach, detach):
        """connect(name, domid, refs, port, sg, gso, csum) -> Link; attach, detach: functions of a Vif."""
        self.store = store
        self.domid = domid
        self.name = "%d.%d" % (domid, devid)
        self.path = "backend/vif/%d/%d" % (domid, devid)
        self.make_link = connect
        self.attach = attach
        self.detach = detach
        self.link = None
        self.address = None  # IPv4 as an int, from dom0
        self.mac = None  # the client's, six octets, from dom0
        self.state = INIT_WAIT
        self.poked = Flag()
        self.breach = None  # what the ring service found: PeerError
        self.connects = []  # ns of the last ones
        self.may_connect = 0  # ns: it has connected too often, and has to wait until then; 0: it has not
        self.frontend = None

    def poke(self):
        """Something of this device may have changed."""
        self.poked.set()

    def broken(self, reason):
        """The ring service: the client broke the protocol. The link is closed at once, the rest follows."""
        self._drop_link()
        self.breach = reason
        self.poked.set()

    # ---- the task -----------------------------------------------------------------------------

    async def run(self):
        """For the supervisor, as a LINK: from the directory's appearance to its end."""
        watch = None
        try:
            while not await self._read_ours():
                await self.poked.wait()
            if await nodes.read(self.store, self.path + "/online") == b"1":
                await self._offer()  # new nodes: one refused for the quota must be removable without them
            watch = await self.store.watch(self.frontend + "/state")
            listener = asyncio.create_task(self._listen(watch))
            try:
                while await self._look_surely():
                    await self._wait_for_news()
            finally:
                listener.cancel()
        except (Missing, Denied):
            pass  # the directory vanished under our hands
        finally:
            self._drop_link()
            if watch:
                await watch.close()
        _log.info("vif %s: removed", self.name)

    async def _listen(self, watch):
        while True:
            await watch.changes()
            self.poked.set()

    async def _wait_for_news(self):
        """Until poked, or until a client that connects too often may do so again."""
        if not self.may_connect:
            await self.poked.wait()
            return
        try:
            await asyncio.wait_for_ms(self.poked.wait(), max(0, self.may_connect - xen.ns()) // _NS_PER_MS + 1)
        except asyncio.TimeoutError:
            pass

    async def _read_ours(self):
        """What dom0 wrote. False: it is not all there yet, dom0 will make it change again. Raises Missing."""
        self.frontend = (await self.store.read(self.path + "/frontend")).decode()
        owner = nodes.decimal(await nodes.read(self.store, self.path + "/frontend-id"), _DOMID_MAX)
        if not self.frontend or owner != self.domid:
            return False
        self.address = nodes.first_ipv4(await nodes.read(self.store, self.path + "/ip"))
        self.mac = nodes.mac(await nodes.read(self.store, self.path + "/mac"))
        return True

    async def _look_surely(self):
        """_look(), again if xenstored refuses what it should not: the client is not to pay for that."""
        while True:
            try:
                return await self._look()
            except (Missing, Denied):
                raise
            except StoreError as refusal:
                _log.warning("vif %s: looks again in %d s: %s", self.name, _AGAIN_MS // 1000, refusal)
            await asyncio.sleep_ms(_AGAIN_MS)

    async def _look(self):
        """Act on what the directories say now. False: the device is gone."""
        online = await nodes.read(self.store, self.path + "/online")
        if online != b"1":
            return await self._end(online)
        if await nodes.read(self.store, self.path + "/state") == b"%d" % INITIALISING:
            # not written by us: dom0 has made the device anew, and waits for our InitWait
            self._drop_link()
            await self._offer()
        if self.breach:
            _log.warning("vif %s: link closed: %s", self.name, self.breach)
            await self._set_state(CLOSING)
            self.breach = None
        self.may_connect = 0
        theirs = await self._their_state()
        action = step(self.state, theirs)
        if action == "offer":
            self._drop_link()
            await self._set_state(INIT_WAIT)
        elif action == "connect":
            await self._connect()
        elif action == "part":
            self._drop_link()
            await self._set_state(CLOSING)
        elif action == "close":
            self._drop_link()
            await self._set_state(CLOSED)
        return True

    async def _their_state(self):
        return nodes.decimal(await nodes.read(self.store, self.frontend + "/state"), 8) or 0

    async def _set_state(self, state):
        """Write our state, unless the directory is gone: that would bring it back. Raises Missing then."""
        path = self.path + "/state"

        async def write(t):
            await t.read(path)
            await t.write(path, "%d" % state)

        await self.store.transaction(write)
        self.state = state

    async def _offer(self):
        """To InitWait: what we can receive. Nodes whose default says the same are left out: dom0's quota is small."""
        path = self.path

        async def write(t):
            await t.read(path + "/state")
            await t.write(path + "/feature-rx-copy", "1")
            await t.write(path + "/feature-sg", "1")
            await t.write(path + "/feature-gso-tcpv4", "1")
            await t.write(path + "/state", "%d" % INIT_WAIT)

        await self.store.transaction(write)
        self.state = INIT_WAIT

    # ---- connecting ---------------------------------------------------------------------------

    async def _connect(self):
        if self._too_often():
            return
        try:
            if not await self._read_ours():
                return
            self.link = await self._make_link()
        except PeerError as reason:
            _log.warning("vif %s: not connected: %s", self.name, reason)
            await self._set_state(CLOSING)
            return
        self.attach(self)
        try:
            await self._set_state(CONNECTED)
        except BaseException:
            self._drop_link()
            raise
        _log.info("vif %s: connected", self.name)

    async def _make_link(self):
        path = self.frontend
        refs = (
            await nodes.required(self.store, path + "/tx-ring-ref", _REF_MAX),
            await nodes.required(self.store, path + "/rx-ring-ref", _REF_MAX),
        )
        port = await nodes.required(self.store, path + "/event-channel", _PORT_MAX)
        if not await nodes.flag(self.store, path + "/request-rx-copy"):
            raise PeerError("request-rx-copy is not 1")
        queues = await nodes.read(self.store, path + "/multi-queue-num-queues")
        if queues not in (b"", b"1"):
            raise PeerError("multi-queue-num-queues is %r" % bytes(queues[:20]))
        sg = await nodes.flag(self.store, path + "/feature-sg")
        gso = await nodes.flag(self.store, path + "/feature-gso-tcpv4")
        csum = not await nodes.flag(self.store, path + "/feature-no-csum-offload")
        try:
            return self.make_link(self.name, self.domid, refs, port, sg, gso, csum)
        except OSError as refusal:
            raise PeerError("Xen refuses its rings or port: errno %d" % refusal.errno)

    def _too_often(self):
        """Whether the client has to wait; may_connect then says until when. Else this connection is counted."""
        now = xen.ns()
        self.connects = [at for at in self.connects if now - at < _WINDOW_NS]
        if len(self.connects) >= _FREE_CONNECTS and now - self.connects[-1] < _SLOW_NS:
            self.may_connect = self.connects[-1] + _SLOW_NS
            return True
        self.connects.append(now)
        return False

    def _drop_link(self):
        if self.link:
            self.detach(self)
            self.link.close()
            self.link = None

    # ---- the end ------------------------------------------------------------------------------

    async def _end(self, online):
        """dom0 removes the device: it has written Closing for us. Returns False."""
        self._drop_link()
        if online:  # else the directory is gone already
            await self._wait_for_close()
            await self._set_state(CLOSED)
            await asyncio.sleep_ms(_SEEN_MS)  # libxl takes a node that is gone for a removal that failed
            await self.store.rm(self.path)
        return False

    async def _wait_for_close(self):
        """Give a living client the time to close its side; it sees the state that dom0 wrote."""
        until = xen.ns() + _PART_MS * _NS_PER_MS
        while await self._their_state() not in (0, CLOSED) and xen.ns() < until:
            try:
                await asyncio.wait_for_ms(self.poked.wait(), 500)
            except asyncio.TimeoutError:
                pass
