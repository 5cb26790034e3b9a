"""A client in the simulated Xen: its netfront, and what dom0 does for it. Honest by default, bent by hand.

    client = Client(machine, 5, "10.137.0.21")     # attached by dom0; connects as Linux does
    client.send(frame); machine.settle(); client.recv()
    client.detach()                                # by dom0: online=0, within its time-outs

    client.tx, client.rx   its rings (rings.Ring); client.request(...) puts any tx request into the ring
    client.auto = False    it does nothing in xenstore by itself; client.set_state(...) by hand

Source: Xen public/io/netif.h; Linux xen-netfront.c; libxl_device.c, libxl_nic.c for dom0's part.
"""
import collections

from device import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING, MAC, Device
from rings import (EXTRA_INFO, GSO, GSO_TCPV4, MASK, MORE_DATA, RX, RX_BLANK, RX_VALIDATED, SLOTS, TX, TX_BLANK,
                   TX_VALIDATED, Ring, events, pieces)
from store import StoreError


def _halves(*values):
    """These as little-endian 16-bit words; of larger ones the low half."""
    return memoryview(b"".join((value & 0xFFFF).to_bytes(2, "little") for value in values)).cast("H")


class Client(Device):
    """domid: its own, or None to be another interface of `peer` (an HVM's two vifs). post: rx buffers that it gives."""

    def __init__(self, machine, domid, ip, devid=0, peer=None, firewall=2, sg=True, gso=True, csum=True, post=SLOTS,
                 auto=True, attach=True, queues=None):
        peer = peer or machine.peer(domid, 4096)
        front = "/local/domain/%d/device/vif/%d" % (peer.domid, devid)
        super().__init__(machine, peer, front, "/local/domain/%d/backend/vif/%d/%d" % (firewall, peer.domid, devid), front)
        self.ip, self.devid, self.firewall = ip, devid, firewall
        self.sg, self.gso, self.csum, self.post, self.auto, self.queues = sg, gso, csum, post, auto, queues
        self.name = "%d.%d" % (self.domid, devid)
        self.responses = []  # (id, status) on tx
        self.validated = collections.deque(maxlen=256)  # of the last frames: whether their sums were vouched for
        self.kept = []  # (frame, ref) of all its own pages: rings first
        if attach:
            self.attach()

    # ---- dom0's part

    def attach(self, **backend):
        """dom0 creates both directories in one transaction. backend: nodes to write otherwise; None: not at all."""
        dom0 = self.machine.dom0
        self.make_home()
        nodes = {"frontend": self.front, "frontend-id": self.domid, "online": 1, "state": 1,
                 "script": "/etc/xen/scripts/vif-route-qubes", "mac": MAC, "ip": self.ip, "bridge": "xenbr0",
                 "handle": self.devid, "type": "vif", "hotplug-status": ""}
        nodes.update(backend)
        tx = dom0.start()
        self.make_directory(tx, self.front, self.domid, self.firewall, {
            "backend": self.back, "backend-id": self.firewall, "state": 1, "handle": self.devid, "mac": MAC,
            "mtu": 1500, "trusted": 0})
        self.make_directory(tx, self.back, self.firewall, self.domid, nodes)
        dom0.end(tx, True)
        self.state = INITIALISING

    def their_state(self):
        """What the firewall's state node says; 0 when there is none, or no number in it."""
        node = self.machine.store.get((self.back + "/state").encode())
        return int(node.value) if node and node.value.isdigit() and len(node.value) == 1 else 0

    def offline(self, force=False):
        """dom0 asks for the device's removal; force: it deletes the client's directory at once."""
        dom0 = self.machine.dom0
        tx = dom0.start()
        dom0.write((self.back + "/online").encode(), b"0", tx)
        if self.their_state() != CLOSED:
            dom0.write((self.back + "/state").encode(), b"5", tx)
        if force:
            dom0.remove(self.front.encode(), tx)
        dom0.end(tx, True)

    def gone(self):
        return self.machine.store.get(self.back.encode()) is None

    def detach(self, force=False):
        """The whole removal, as libxl waits for it: 10 s for Closed, 10 s for our directory to disappear."""
        self.offline(force)
        self.machine.until(lambda: self.their_state() == CLOSED, 10, "Closed of vif %s" % self.name)
        self.machine.until(self.gone, 10, "end of vif %s" % self.name)
        if not force:
            self.machine.dom0.remove(self.front.encode())
        self.machine.settle()

    def leave(self):
        """Its pages must be free."""
        self.release()
        super().leave()

    # ---- xenstore, as a Linux frontend

    def connect(self):
        """Make rings and publish them."""
        self.make_rings()
        self.publish()

    def make_rings(self):
        self.release()
        pages = [self._own_page() for _ in range(2)]
        self.tx = Ring(self.peer.octets(pages[0][0]), TX, True)
        self.rx = Ring(self.peer.octets(pages[1][0]), RX, True)
        self.refs = [ref for _, ref in pages]
        self.port = self.peer.evtchn_alloc(self.firewall)
        self.tx_pages, self.rx_pages = {}, {}  # id: (frame, ref)
        self.free_ids = list(range(SLOTS - 1, -1, -1))
        self.in_flight = []  # ids, and None for an extra info
        for _ in range(self.post):
            self.give_buffer()
        self.rx.publish()

    def publish(self, **nodes):
        """nodes: to write otherwise; None: not at all."""
        values = {"tx-ring-ref": self.refs[0], "rx-ring-ref": self.refs[1], "event-channel": self.port,
                  "request-rx-copy": 1, "feature-rx-notify": 1}
        values.update({"feature-sg": 1} if self.sg else {})
        values.update({"feature-gso-tcpv4": 1} if self.gso else {})
        values.update({} if self.csum else {"feature-no-csum-offload": 1})
        values.update({"multi-queue-num-queues": self.queues} if self.queues is not None else {})
        values.update({name.replace("_", "-"): value for name, value in nodes.items()})
        tx = self.xs.start()
        for name, value in values.items():
            if value is not None:
                self.xs.write(("%s/%s" % (self.front, name)).encode(), str(value).encode(), tx)
        self.xs.write((self.front + "/state").encode(), b"4", tx)
        self.xs.end(tx, True)
        self.state = CONNECTED

    def release(self):
        """Take back port and pages; the firewall must have let go of them."""
        if self.port:
            self.peer.evtchn_close(self.port)
            self.port = 0
        self.tx = self.rx = None
        for frame, ref in self.kept:
            assert self.peer.revoke(ref), "vif %s: the firewall still uses a page" % self.name
            self.peer.free_page(frame)
        self.kept = []

    def forget(self):
        """Know no more of port and pages, which stay with whoever has them: dom0 has made the device anew."""
        self.kept = []
        self.port = 0
        self.tx = self.rx = None

    def kill(self):
        """Its domain dies, without a word. dom0 cleans up: offline(force=True)."""
        self.forget()
        self.peer.kill()

    def connected(self):
        return self.state == CONNECTED and self.their_state() == CONNECTED

    def serve(self):
        """For machine.actors."""
        if self.domid not in self.machine.domains:
            return False
        try:
            return self._follow() | self._take()
        except StoreError:
            return False  # its directory is gone

    def _follow(self):
        if not self.auto or self.machine.store.get((self.front + "/state").encode()) is None:
            return False
        theirs = self.their_state()
        if theirs == INIT_WAIT and self.state == INITIALISING:
            self.connect()
        elif theirs == CLOSING and self.state not in (CLOSING, CLOSED):
            self.set_state(CLOSED)
        elif theirs == CLOSED and self.state not in (CLOSED, INITIALISING):
            self.set_state(CLOSED)
        else:
            return False
        return True

    def reconnect(self):
        """It was closed: begin again."""
        self.machine.until(lambda: self.their_state() == CLOSED, 10, "Closed of vif %s" % self.name)
        self.set_state(INITIALISING)
        self.machine.until(self.connected, 30, "connection of vif %s" % self.name)

    # ---- frames

    def _own_page(self):
        frame = self.peer.page()
        ref = self.peer.grant(frame, self.firewall)
        self.kept.append((frame, ref))
        return frame, ref

    def give_buffer(self):
        """Put one rx request; not yet published."""
        id = self.rx.produced % SLOTS
        if id not in self.rx_pages:
            self.rx_pages[id] = self._own_page()
        at = self.rx.at(self.rx.produced)
        ref = self.rx_pages[id][1]
        self.rx.halves[at : at + 4] = _halves(id, 0, ref & 0xFFFF, ref >> 16)
        self.rx.produced += 1

    def request(self, ref, offset, flags, id, size):
        """Put one tx request; not yet published."""
        at = self.tx.at(self.tx.produced)
        self.tx.halves[at : at + 6] = _halves(ref, ref >> 16, offset, flags, id, size)
        self.tx.produced += 1

    def extra(self, kind, flags, size, gso_type):
        at = self.tx.at(self.tx.produced)
        self.tx.halves[at : at + 6] = _halves(kind | flags << 8, size, gso_type, 0, 0, 0)
        self.tx.produced += 1
        self.in_flight.append(None)

    def page(self, octets=b"", offset=0):
        """(id, ref) of a tx page of its own with these octets, from offset on."""
        id = self.free_ids.pop()
        if id not in self.tx_pages:
            self.tx_pages[id] = self._own_page()
        frame, ref = self.tx_pages[id]
        self.peer.octets(frame)[offset : offset + len(octets)] = octets
        self.in_flight.append(id)
        return id, ref

    def queue(self, frame, blank=False, gso=0, sizes=None, offsets=(), validated=False):
        """Put a frame into tx, unpublished. sizes: octets of each slot's data; the last takes the rest. offsets: where it
        begins in its page, 0 where none is named. validated: the sender vouches for its sums."""
        parts = pieces(frame, sizes)
        for i, part in enumerate(parts):
            flags = MORE_DATA if i < len(parts) - 1 else 0
            if i == 0:
                flags |= (TX_BLANK | TX_VALIDATED if blank else 0) | (EXTRA_INFO if gso else 0)
                flags |= TX_VALIDATED if validated else 0
            offset = offsets[i] if i < len(offsets) else 0
            id, ref = self.page(part, offset)
            self.request(ref, offset, flags, id, len(part) if i else len(frame))
            if i == 0 and gso:
                self.extra(GSO, 0, gso, GSO_TCPV4)

    def kick(self):
        if self.tx.publish():
            self.peer.evtchn_send(self.port)

    def send(self, frame, blank=False, gso=0, sizes=None, offsets=()):
        """Send a frame; nothing has happened yet: settle() the machine, or recv()."""
        self.queue(frame, blank, gso, sizes, offsets)
        self.kick()

    def room(self):
        return SLOTS - ((self.tx.produced - self.tx.consumed) & MASK)

    def _take(self):
        if not self.tx or self.port not in events(self.peer):
            return False
        self.peer.events.discard(self.port)
        self._completed()
        self._received()
        return True

    def _completed(self):
        tx = self.tx
        while tx.waiting():
            at = tx.at(tx.consumed)
            id, status = tx.halves[at], tx.signed[at + 1]
            tx.consumed += 1
            self.responses.append((id, status))
            sent = self.in_flight.pop(0) if self.in_flight else None
            if sent is not None:
                self.free_ids.append(sent)
        tx.rearm()

    def _received(self):
        rx, parts, flags, gso, slots = self.rx, [], 0, 0, 0
        more = False
        while rx.waiting() or more:
            assert rx.waiting(), "vif %s: a packet without its end" % self.name
            at = rx.at(rx.consumed)
            id, offset, now = rx.halves[at : at + 3]
            status = rx.signed[at + 3]
            assert id == rx.consumed % SLOTS, "vif %s: rx id %d in slot %d" % (self.name, id, rx.consumed % SLOTS)
            self._next()
            slots += 1
            if not more:
                parts, flags, gso, failed = [], now, 0, False
            failed = failed or status < 0
            if status > 0:
                parts.append(bytes(self.peer.octets(self.rx_pages[id][0])[offset : offset + status]))
            if not more and now & EXTRA_INFO:
                at = rx.at(rx.consumed)
                assert rx.halves[at] == GSO and rx.halves[at + 2] == GSO_TCPV4
                gso = rx.halves[at + 1]
                self._next()
                slots += 1
            more = now & MORE_DATA
            if not more and not failed:
                self.frames.append((b"".join(parts), bool(flags & RX_BLANK), gso, slots))
                self.validated.append(bool(flags & RX_VALIDATED))
                slots = 0
        rx.rearm()
        if self.post and rx.publish():
            self.peer.evtchn_send(self.port)

    def _next(self):
        self.rx.consumed += 1
        if self.post:
            self.give_buffer()
