"""vchan over shared memory: how two domains find each other in xenstore, and the channel that comes of it.

The server publishes a grant and a port below its own directory; the client watches for them, maps and binds. A
server serves one client: it takes its entry away when that one has come, and makes a new one, with new memory, for
the next.

Source: Xen tools/libs/vchan/init.c; Qubes core-vchan-xen, vchan/init.c (the path, and who removes what when).
"""
import xen
import loop
import supervisor
from asyncio import TimeoutError
from granted import Held, Piece
from log import Log
from micropython import const
from peererror import PeerError
from vchan import page as vchan_page
from vchan.channel import Channel
from waiting import wait_for_ms
from xenbus.store import StoreError
from xenbus.values import decimal, read
from xennumbers import PAGE, PORT_MAX, REF_MAX

_RETRY_MS = const(5000)  # after a server that was announced could not be reached

_HELD_MAX = const(256)  # pages that clients hold without a right to them; with more no channel is offered
_ENOSPC = const(28)

_log = Log("vchan")
held = Held()  # memory of channels that have ended
_asking = False  # held.run() is a task


class MemoryChannel(Channel):
    """side: our end of the memory. release(): gives the memory back, when nobody looks at it any more."""

    def __init__(self, name, side, port, release):
        super().__init__(name)
        self.side = side
        self.port = port
        self.release = release
        self.capacity = len(side.outgoing)
        self.left = False  # the peer was seen to be gone: for good, whatever it writes there later
        loop.bind(port, self.changed.set)

    def _ready(self):
        return self.side.ready()

    def _room(self):
        return self.side.room()

    def _take(self, n):
        got, wanted = self.side.take(n)
        if wanted:
            xen.evtchn_send(self.port)
        return got

    def _put(self, octets, start):
        n = min(self.side.room(), len(octets) - start)
        if self.side.put(octets, start, n):
            xen.evtchn_send(self.port)
        return n

    def _arm(self, reading, writing):
        if not self.closed:
            self.side.arm(reading, writing)

    def _peer_open(self):
        if self.side.peer() == vchan_page.ABSENT:
            self.left = True
        return not self.left

    def _release(self):
        self.side.leave()
        xen.evtchn_send(self.port)
        loop.close(self.port)
        self.side = None  # its views must not outlive the memory
        self.release()


# ---- client ---------------------------------------------------------------------------------------


async def connect(store, server, port, largest=vchan_page.LARGEST):
    """A channel to the server with this port in another domain; waits until there is one. StoreError.

    largest: order of the larger of its rings, see page.py; a server with others is none.
    """
    own = int(await store.read("domid"))
    if own == server:
        raise ValueError("a vchan to ourselves")
    name = "domain %d port %d" % (server, port)
    base = "/local/domain/%d/data/vchan/%d/%d" % (server, own, port)
    # the directory above may not be ours to read, so that a watch on it would not fire
    watch = await store.watch(base + "/event-channel")
    refusal = None
    try:
        while True:
            try:
                await (wait_for_ms(watch.changes(), _RETRY_MS) if refusal else watch.changes())
            except TimeoutError:
                pass
            event_channel = await read(store, base + "/event-channel")
            if event_channel == b"":
                refusal = None
                continue  # not yet, or not any more
            try:
                return _connect(name, server, await read(store, base + "/ring-ref"), event_channel, largest)
            except PeerError as error:
                if str(error) != refusal:
                    refusal = str(error)
                    _log.warning("%s: not connected yet: %s", name, refusal)
    finally:
        await watch.close()


def _connect(name, server, ring_ref, event_channel, largest):
    """The channel behind two nodes of xenstore. PeerError, everything given back."""
    ref = decimal(ring_ref, REF_MAX)
    remote = decimal(event_channel, PORT_MAX)
    if not ref or not remote:  # 0 means failure for either
        raise PeerError("ring-ref %r, event-channel %r" % (ring_ref[:20], event_channel[:20]))
    mapped = []

    def give_back():
        for memory in mapped:
            xen.unmap(memory)

    try:
        side = _map(server, ref, mapped, largest)
    except PeerError:
        give_back()
        raise
    try:
        port = xen.evtchn_bind(server, remote)
    except OSError as error:
        give_back()
        raise PeerError("event channel %d: error %d" % (remote, error.errno))
    side.enter()
    xen.evtchn_send(port)
    return MemoryChannel(name, side, port, give_back)


def _map(server, ref, mapped, largest):
    """Our Side of a server's memory; the mappings are appended to mapped. PeerError."""
    page = _map_pages(server, (ref,), mapped)
    left, right = vchan_page.orders(page, largest)
    n_left, n_right = vchan_page.pages(left), vchan_page.pages(right)
    # read once, as everything that the server may change
    refs = list(xen.view(page, "I")[vchan_page.GRANTS : vchan_page.GRANTS + n_left + n_right])
    rings = []
    for order, own in ((left, refs[:n_left]), (right, refs[n_left:])):
        rings.append(vchan_page.ring(page, _map_pages(server, own, mapped) if own else None, order))
    side = vchan_page.Side(page, rings[0], rings[1], False)
    if side.peer() == vchan_page.ABSENT:
        raise PeerError("the server has left")
    return side


def _map_pages(domid, refs, mapped):
    try:
        memory = xen.map(domid, refs)
    except OSError as error:
        raise PeerError("%d pages not mapped: error %d" % (len(refs), error.errno))
    mapped.append(memory)
    return memory


# ---- server ---------------------------------------------------------------------------------------


async def accept(store, client, port, octets_in, octets_out):
    """Offer a channel of these ring sizes and wait for the one client it is for; call again for the next.

    The client's domain must exist by now, for a right given in xenstore before that is void. StoreError; OSError: no
    grants or ports left; MemoryError.
    """
    base = "data/vchan/%d/%d" % (client, port)
    channel, ref = _offer("domain %d port %d" % (client, port), client, octets_in, octets_out)
    try:
        await _publish(store, base, client, ref, channel.port)
        try:
            while channel.side.peer() == vchan_page.AWAITED:
                await channel.changed.wait()
        finally:
            await _withdraw(store, "data/vchan/%d" % client, base)
    except BaseException:
        channel.close()
        raise
    return channel


def _offer(name, client, octets_in, octets_out):
    """(channel, reference of its control page): memory and a port for a client that is to come."""
    left, right = vchan_page.order_for(octets_in), vchan_page.order_for(octets_out)
    n_left, n_right = vchan_page.pages(left), vchan_page.pages(right)
    if held.lent() > _HELD_MAX:
        raise OSError(_ENOSPC)
    piece = Piece(client, 1 + n_left + n_right)
    try:
        octets = memoryview(piece.memory)
        page = octets[:PAGE]
        end = (1 + n_left) * PAGE
        vchan_page.set_orders(page, left, right)
        side = vchan_page.Side(page, octets[PAGE:end], octets[end:], True)
        side.await_peer()
        piece.lend()
        port = xen.evtchn_alloc(client)
    except BaseException:
        _take_back(piece)
        raise
    words = xen.view(page, "I")
    for i in range(n_left + n_right):
        words[vchan_page.GRANTS + i] = piece.refs[1 + i]
    side.enter()
    return MemoryChannel(name, side, port, lambda: _take_back(piece)), piece.refs[0]


def _take_back(piece):
    """The channel has ended: its memory is freed, now or as soon as the client lets us."""
    global _asking
    held.take_back(piece)
    if not _asking and not held.empty():
        _asking = True
        supervisor.spawn("memory of vchans", held.run, supervisor.SERVICE)


async def _publish(store, base, client, ref, port):
    perms = ("n" + (await store.read("domid")).decode(), "r%d" % client)

    async def write(t):
        for node, value in (("/ring-ref", ref), ("/event-channel", port)):
            await t.write(base + node, "%d" % value)
            await t.set_perms(base + node, perms)

    await store.transaction(write)


async def _withdraw(store, parent, base):
    """Remove the entry, and the directory above if it was the last in there."""

    async def remove(t):
        await t.rm(base)
        if not await t.directory(parent):
            await t.rm(parent)

    try:
        await store.transaction(remove)
    except StoreError as refusal:
        _log.debug("%s: %s", base, refusal)  # dom0 has cleared it already
