"""The life of the uplink in xenstore: connect, notice every kind of end, connect again, to whatever netvm is there.

dom0 makes device/vif/<n> when it attaches us to a netvm, and removes it when that netvm stops or another is chosen;
QubesDB says nothing of it. So every change below device/vif is looked at, and a directory with another backend is
another uplink. There may be none for as long as it pleases: clients are served all the same.

A netvm that closes, vanishes or breaks the protocol costs the connection, never the firewall. While its directory
stands and dom0 has not taken it offline, we offer ourselves again, with growing delay. dom0 waits 10 s at most when it
takes the netvm away: nothing here sleeps but until something changes.

states.py decides; what xenstored refuses is tried again, with growing delay, and costs no connection that stands.

Source: Xen public/io/netif.h and xenbus.h; reference behaviour Linux xen-netfront.
"""
import asyncio
import xen
from log import Log
from micropython import const
from netfront import states, terms
from netfront.link import FrontLink
from netfront.states import EARLY, ENDED, OFFERED, OPEN, WAITING
from supervisor import explain
from xenbus import values
from xenbus.device import Delay, Device, read_state, state, write_state
from xenbus.states import CLOSED, CLOSING, INITIALISING
from xenbus.wire import Denied, Missing, StoreError
from xennumbers import DOMID_MAX

_ROOT = "device/vif"
_FIRST_DELAY_MS = const(200)
_LAST_DELAY_MS = const(5000)
_LAST_TROUBLE_MS = const(60000)
_SCRIPT_MS = const(10000)  # for the netvm's vif script, when it does not come to state 4
_NS_PER_MS = const(1000000)
_ESRCH = const(3)

_log = Log("netfront")


def _after(ms):
    return xen.ns() + ms * _NS_PER_MS


class Uplink(Device):
    """Our interface to a netvm. While it has a link, mtu, mac and domid are that one's."""

    def __init__(self, store, pool, quarantine, attach, detach):
        super().__init__(store, "uplink", attach, detach)
        self.pool = pool
        self.quarantine = quarantine
        self.waiting = None  # a link that nobody uses before the netvm is ready
        self.state = ENDED  # of states.py
        self.mtu = 0
        self.mac = None
        self.domid = -1  # of the last netvm
        self.due = 0  # ns, when this state is over if nothing changes; 0: not by time
        self.delay = Delay(_FIRST_DELAY_MS, _LAST_DELAY_MS)  # to the next Initialising
        self.retry = 0  # ns, when to look again after what failed on our side, or xenstored's; 0: nothing did
        self.trouble = Delay(_FIRST_DELAY_MS, _LAST_TROUBLE_MS)  # from the next failure to that
        self.tried = asyncio.Event()  # the first try is over: there is a link, or there will be none for now
        self.told_full = False
        self.refused = -1  # the domain that this is about

    async def run(self):
        """For the supervisor, as a SERVICE."""
        watch = await self.store.watch(_ROOT)
        listener = asyncio.create_task(self._listen(watch))
        try:
            while True:
                try:
                    path = await self._find()
                    if path:
                        await self._follow(path)
                    else:
                        self.tried.set()
                        await self.changed.wait()
                except StoreError as refusal:
                    self._failed(refusal)
                    await self._wait()
        finally:
            listener.cancel()
            self._drop_link()
            await watch.close()

    async def _wait(self):
        """Until something has changed, or until it is time to look again."""
        now = xen.ns()
        until = self.retry
        if self.due and (not until or now < self.due < until):
            until = self.due  # when that is over and was refused, it is the retry's turn
        if not until:
            await self.changed.wait()
            return
        await self._changed_within(max(0, until - now) // _NS_PER_MS + 1)

    def _failed(self, reason):
        """Something was refused that should not be: it is tried again, and told unless the directory is just going."""
        if not isinstance(reason, Missing):
            _log.warning("uplink: tries again: %s", explain(reason))
        if isinstance(reason, OSError) and reason.errno == _ESRCH:
            self.retry = 0
            return  # a domain that does not exist: dom0 will have to say something else
        self.retry = _after(self.trouble.next())

    async def _find(self):
        """The directory of our lowest interface, or None."""
        try:
            names = await self.store.directory(_ROOT)
        except (Missing, Denied):
            return None
        ids = [n for n in (values.decimal(name.encode(), 0xFFFF) for name in names) if n is not None]
        return "%s/%d" % (_ROOT, min(ids)) if ids else None

    async def _backend(self, path):
        """(its path, its domain) as the directory names them; None: it does not."""
        backend, domid = await values.reads(self.store, path, ("backend", "backend-id"))
        domid = values.decimal(domid, DOMID_MAX)
        if domid is None or not backend.startswith(b"/") or any(not 0x20 < octet < 0x7F for octet in backend):
            return None
        return backend.decode(), domid

    async def _follow(self, path):
        """Serve one interface until its directory is gone or names another backend. StoreError."""
        whose = await self._backend(path)
        if whose is None:
            await self.changed.wait()  # dom0 is still writing
            return
        watch = await self.store.watch(whose[0])  # all of it: dom0 writes there too, and features come late
        listener = asyncio.create_task(self._listen(watch))
        self.state = OFFERED
        self.delay.reset()
        self.trouble.reset()
        self.due = self.retry = 0
        seen = None
        try:
            while True:
                try:
                    if await self._backend(path) != whose:
                        break
                    again = self.retry and xen.ns() >= self.retry
                    seen = await self._step(path, whose[0], whose[1], seen)
                    if again:
                        self.retry = 0
                        self.trouble.reset()
                except (StoreError, OSError, MemoryError) as refusal:
                    self._failed(refusal)
                await self._wait()
        finally:
            listener.cancel()
            self._drop_link()
            await watch.close()

    # ---- one look ------------------------------------------------------------------------------

    async def _step(self, path, backend, domid, seen):
        """One look at both sides; returns the netvm's state, as `seen` for the next look. StoreError, OSError, MemoryError."""
        theirs, online = await values.reads(self.store, backend, ("state", "online"))
        theirs = state(theirs)
        ours = await read_state(self.store, path)
        if online == b"0":
            theirs = CLOSING  # dom0 says both at once
        if self.breach:
            _log.warning("uplink closed: %s", self.breach)
            self.breach = None
        if ours == INITIALISING and self.state != OFFERED:
            if self.link or self.waiting:  # dom0 has made the directory anew, at the same place
                _log.info("uplink closed: made anew by dom0")
                self._drop_link()
            self.state = OFFERED
            self.due = 0
        elif ours != INITIALISING and self.state == OFFERED:
            self.state = ENDED  # left by a task of before: nobody has that connection
        action = states.step(self.state, theirs)
        if action == "connect":
            await self._connect(path, backend, domid)
        elif action == "open" or self.state == WAITING and xen.ns() >= self.due:
            self._open(action == "open")
        elif action == "ready":
            self.state = OPEN
            self.delay.reset()
            self.link.kick()
        elif action == "close" and (self.state != OFFERED or theirs != seen):
            if self.link or self.waiting:
                _log.info("uplink closed by domain %d, state %d", domid, theirs)
            self._drop_link()
            self.state = ENDED
            self.due = 0
        if self.state == ENDED:
            await self._end(path, ours, theirs, theirs != seen)
            if states.step(ENDED, theirs) == "again" and online == b"1":
                await self._again(path)
            else:
                self.due = 0  # until something changes
        return theirs

    async def _end(self, path, ours, theirs, news):
        """Say Closed. Again to a netvm that begins to close: it acts on what it is told, and may not have heard it."""
        self.tried.set()
        if ours != CLOSED and (ours or theirs) or theirs == CLOSING and news:
            await write_state(self.store, path, CLOSED, path + "/backend")

    async def _again(self, path):
        """Back to Initialising, so that the netvm can offer itself again, after a while."""
        if not self.due:
            self.due = _after(self.delay.next())
        if xen.ns() >= self.due:
            await write_state(self.store, path, INITIALISING, path + "/backend")
            self.state = OFFERED
            self.due = 0
            self.changed.set()

    async def _connect(self, path, backend, domid):
        """Make rings and publish them; nothing is in them yet."""
        if xen.ns() < self.retry:
            return  # it failed a moment ago
        if self.quarantine.full(domid):
            if not self.told_full:
                _log.error("uplink stays down: netvms hold %d pages of ours", self.quarantine.size())
                self.told_full = True
            self.refused = domid
            return  # watch_quarantine() looks again
        self.told_full = False
        if domid != self.domid:
            if self.domid >= 0:
                self.pool.forget()
            self.domid = domid
        agreed = await terms.read(self.store, path, backend)
        if not agreed.copies:
            _log.error("uplink: domain %d does not copy to us (feature-rx-copy)", domid)
            return
        self.mac, self.mtu = agreed.mac, agreed.mtu
        self.waiting = FrontLink("uplink", self.pool, self.quarantine, domid, agreed)
        try:
            await terms.publish(self.store, path, self.waiting)
        except BaseException:
            self._drop_link()
            raise
        self.state = WAITING
        self.due = _after(_SCRIPT_MS)
        self.waiting.post()  # the first of them: the ring service goes on

    def _open(self, ready):
        """Use the link from now on. ready: the netvm says so; else it has had its time. What fails leaves it waiting."""
        self.link, self.waiting = self.waiting, None
        try:
            self.attach(self)
        except BaseException:
            self.waiting, self.link = self.link, None
            raise
        self.state = OPEN if ready else EARLY
        self.tried.set()
        self.due = 0
        if ready:
            self.delay.reset()
        self.link.flush()
        words = "" if ready else " that has not come to state 4 (has its vif script failed?)"
        _log.info("uplink connected to domain %d%s, mtu %d", self.domid, words, self.mtu)

    def _drop_link(self):
        """Nobody uses it any more, and all it had comes back."""
        if self.link or self.waiting:
            self.state = ENDED
            self.due = 0
        super()._drop_link()
        if self.waiting:
            self.waiting.close()
            self.waiting = None

    async def watch_quarantine(self):
        """For the supervisor, as a SERVICE: ask for held pages again, and look again when there are fewer."""
        await self.quarantine.run(self._look_at_quarantine)

    def _look_at_quarantine(self):
        if self.told_full and not self.quarantine.full(self.refused):
            self.changed.set()
