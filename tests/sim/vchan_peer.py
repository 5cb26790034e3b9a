"""The other end of a vchan over shared memory, in the simulated Xen: honest by default, and bent by hand.

    end = Server(peer, 2, 111)         # publishes; end.came() once a client is there
    end = connect(peer, 2, 512)        # a client of the firewall's server
    end.write(octets), end.read(), end.notify(), end.close()

`peer` is a domain that the test plays, see machine.py. To lie, write into the control page: end.words are its
indices, end.octets all of it. Nothing here checks what the other side says.

Source: Xen public/io/libxenvchan.h, tools/libs/vchan/{init,io}.c.
"""
import struct

from store import StoreError

LEFT_CONS, LEFT_PROD, RIGHT_CONS, RIGHT_PROD = range(4)
ORDERS = struct.Struct("<HH")  # at 16: left, right
CLIENT_LIFE, SERVER_LIFE, CLIENT_NOTIFY, SERVER_NOTIFY, GRANTS = 20, 21, 22, 23, 24
WRITE, READ = 1, 2
MASK = 0xFFFFFFFF


class End:
    """One end of the memory. left, right: lists of pages, as memoryviews, or parts of the control page."""

    def __init__(self, peer, page, left, right, server):
        self.peer, self.octets, self.words = peer, page, page.cast("I")
        self.server, self.port = server, 0
        self.incoming, self.outgoing = (left, right) if server else (right, left)
        self.in_cons, self.in_prod, self.out_cons, self.out_prod = (0, 1, 2, 3) if server else (2, 3, 0, 1)
        self.own_notify, self.peer_notify = (SERVER_NOTIFY, CLIENT_NOTIFY) if server else (CLIENT_NOTIFY, SERVER_NOTIFY)
        self.own_life, self.peer_life = (SERVER_LIFE, CLIENT_LIFE) if server else (CLIENT_LIFE, SERVER_LIFE)

    def _size(self, ring):
        return sum(len(page) for page in ring)

    def ready(self):
        return (self.words[self.in_prod] - self.words[self.in_cons]) & MASK

    def room(self):
        return self._size(self.outgoing) - ((self.words[self.out_prod] - self.words[self.out_cons]) & MASK)

    def read(self, limit=1 << 20):
        """What is there, at most limit octets; asks for an event when more comes."""
        size = self._size(self.incoming)
        n = min(self.ready(), limit)
        cons = self.words[self.in_cons]
        got = b"".join(bytes(page) for page in self.incoming)
        at = cons % size
        got = (got + got)[at : at + n]
        self.words[self.in_cons] = (cons + n) & MASK
        self._fire(READ, n)
        self.octets[self.peer_notify] |= WRITE
        return got

    def write(self, octets):
        """What finds room; how many octets that was. Asks for an event when there is room again."""
        size = self._size(self.outgoing)
        n = min(self.room(), len(octets))
        prod = self.words[self.out_prod]
        done = 0
        while done < n:
            at = (prod + done) % size
            page = self.outgoing[at // len(self.outgoing[0])]
            at %= len(page)
            part = min(n - done, len(page) - at)
            page[at : at + part] = octets[done : done + part]
            done += part
        self.words[self.out_prod] = (prod + n) & MASK
        self._fire(WRITE, n)
        if n < len(octets):
            self.octets[self.peer_notify] |= READ
        return n

    def _fire(self, bit, n):
        if n and self.octets[self.own_notify] & bit:
            self.octets[self.own_notify] &= ~bit & 0xFF
            self.notify()

    def notify(self):
        self.peer.evtchn_send(self.port)

    def peer_lives(self):
        return self.octets[self.peer_life]


def _rings(page, orders, pages):
    """The two rings: parts of the control page for small ones, else pages in the order of the grants."""
    rings = []
    for order in orders:
        if order < 12:
            rings.append([page[1 << order : 2 << order]])
        else:
            n = 1 << order - 12
            rings.append(pages[:n])
            pages = pages[n:]
    return rings


class Server(End):
    """A server for one client in domain `client`. orders: left, right. publish=False: nothing in xenstore yet."""

    def __init__(self, peer, client, port, orders=(12, 12), publish=True):
        self.client, self.store = client, peer.machine.dom0
        n = sum(1 << order - 12 for order in orders if order >= 12)
        self.frames = [peer.page() for _ in range(1 + n)]
        page, *pages = [peer.octets(frame) for frame in self.frames]
        super().__init__(peer, page, *_rings(page, orders, pages), True)
        self.refs = [peer.grant(frame, client) for frame in self.frames]
        ORDERS.pack_into(page, 16, *orders)
        page[CLIENT_LIFE], page[SERVER_LIFE], page[CLIENT_NOTIFY], page[SERVER_NOTIFY] = 2, 1, WRITE, 0
        struct.pack_into("<%dI" % n, page, GRANTS, *self.refs[1:])
        self.port = peer.evtchn_alloc(client)
        self.path = b"/local/domain/%d/data/vchan/%d/%d" % (peer.domid, client, port)
        if publish:
            self.publish()

    def publish(self, ring_ref=None, event_channel=None):
        """Into xenstore; other values than the true ones if given."""
        perms = [("n", self.peer.domid), ("r", self.client)]
        for node, value in ((b"/ring-ref", self.refs[0] if ring_ref is None else ring_ref),
                            (b"/event-channel", self.port if event_channel is None else event_channel)):
            self.store.write(self.path + node, value if isinstance(value, bytes) else b"%d" % value)
            self.store.set_perms(self.path + node, perms)

    def came(self):
        """A client is there; its entry in xenstore is removed then, once, as by Qubes' library."""
        if self.octets[CLIENT_LIFE] == 2:
            return False
        try:
            self.store.remove(self.path)
        except StoreError:
            pass
        return True

    def close(self):
        self.octets[SERVER_LIFE] = 0
        self.notify()
        self.peer.evtchn_close(self.port)
        self.collect()

    def collect(self):
        """Take back what the client no longer maps; how many pages it still does."""
        left = []
        for ref, frame in zip(self.refs, self.frames):
            if self.peer.revoke(ref):
                self.peer.free_page(frame)
            else:
                left.append((ref, frame))
        self.refs, self.frames = [ref for ref, _ in left], [frame for _, frame in left]
        return len(left)


class Client(End):
    def __init__(self, peer, page, left, right, handles, port):
        super().__init__(peer, page, left, right, False)
        self.handles, self.port = handles, port

    def close(self, keep=0):
        """keep: how many pages stay mapped, against all manners."""
        self.octets[CLIENT_LIFE] = 0
        self.notify()
        self.peer.evtchn_close(self.port)
        for handle in self.handles[keep:]:
            self.peer.unmap(handle)
        self.handles = self.handles[:keep]

    def let_go(self):
        """Unmap what close() has kept."""
        for handle in self.handles:
            self.peer.unmap(handle)
        self.handles = []


def connect(peer, server, port):
    """A client of a server in another domain, or None: it has not published anything."""
    store = peer.machine.store.client(peer.domid, lambda path, token: None)
    base = b"/local/domain/%d/data/vchan/%d/%d" % (server, peer.domid, port)
    try:
        ref, remote = int(store.read(base + b"/ring-ref")), int(store.read(base + b"/event-channel"))
    except StoreError:
        return None
    handle, page = peer.map(server, ref)
    orders = ORDERS.unpack_from(page, 16)
    n = sum(1 << order - 12 for order in orders if order >= 12)
    mapped = [peer.map(server, one) for one in struct.unpack_from("<%dI" % n, page, GRANTS)]
    left, right = _rings(page, orders, [one for _, one in mapped])
    end = Client(peer, page, left, right, [handle] + [one for one, _ in mapped], peer.evtchn_bind(server, remote))
    page[CLIENT_LIFE] = 1
    page[SERVER_NOTIFY] |= WRITE
    end.notify()
    return end
