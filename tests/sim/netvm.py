"""The netvm in the simulated Xen: its netback, and what dom0 does for it. Honest by default, bent by hand.

    netvm = Netvm(machine, 1)            # attached by dom0; connects as Linux does
    netvm.recv(), netvm.send(frame)
    netvm.detach(), netvm.kill()

It looks at every page that it can see: what is no packet must be zero (XSA-403, MSA-01).

    netvm.sg, gso, csum     what it says it takes; other feature nodes by `features`
    netvm.split             it offers an event channel for each ring; netvm.port is tx's then, rx_port rx's
    netvm.late              s from our state 4 to its own, and to its vif's being up, as long as its script takes
                            (math.inf: it has failed). Rings are mapped before that, as Linux does; what can be seen
                            of us meanwhile is in netvm.early
    netvm.holds             it answers no tx request
    netvm.keeps             "tx" or "rx": it answers, and keeps the page mapped; "all": it does so with any page it gets

Source: Xen public/io/netif.h; Linux xen-netback; libxl_nic.c for dom0's part.
"""
import math

from device import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING, MAC, Device
from rings import (EXTRA_INFO, GSO, GSO_TCPV4, MASK, MORE_DATA, NULL, OKAY, PAGE, REQ_EVENT, REQ_PROD, RX, RX_BLANK,
                   RX_VALIDATED, SLOTS, TX, TX_BLANK, ZEROS, Ring, events, pieces)
from store import StoreError


class Netvm(Device):
    """features: nodes of its directory beside those that sg, gso and csum stand for; None as a value: not written."""

    def __init__(self, machine, domid=1, devid=0, firewall=2, sg=True, gso=True, csum=True, features=(), mtu=1500,
                 peer=None, attach=True, split=True, late=0):
        peer = peer or machine.peer(domid, 4096)
        back = "/local/domain/%d/backend/vif/%d/%d" % (peer.domid, firewall, devid)
        super().__init__(machine, peer, "/local/domain/%d/device/vif/%d" % (firewall, devid), back, back)
        self.devid, self.firewall, self.mtu = devid, firewall, mtu
        self.sg, self.gso, self.csum, self.split, self.late = sg, gso, csum, split, late
        self.up = False  # its vif
        self.early = []  # (ms since it was mapped, what was seen) before it was up
        self.rx_port = 0
        self.features = dict(features)
        self.handles = []
        self.auto = True
        self.holds = False
        self.keeps = ""
        self.kept = []  # handles
        self.backlog = []  # frames for which there were no buffers
        self.connections = 0
        self.dirty = []  # what it saw in pages that was no packet
        if attach:
            self.attach()

    # ---- dom0's part

    def attach(self):
        dom0 = self.machine.dom0
        self.make_home()
        tx = dom0.start()
        self.make_directory(tx, self.front, self.firewall, self.domid, {
            "backend": self.back, "backend-id": self.domid, "state": 1, "handle": self.devid, "mac": MAC,
            "mtu": self.mtu, "trusted": 0})
        self.make_directory(tx, self.back, self.domid, self.firewall, {
            "frontend": self.front, "frontend-id": self.firewall, "online": 1, "state": 1, "mac": MAC,
            "handle": self.devid})
        dom0.end(tx, True)
        self.state = INITIALISING

    def detach(self):
        """dom0 takes the uplink away, the netvm being alive."""
        self.machine.dom0.write((self.back + "/online").encode(), b"0")
        self.set_state(CLOSING)
        self.machine.until(lambda: self._front_state() in (0, CLOSED), 10, "the firewall's Closed")
        self.disconnect()
        self.remove()
        self.machine.settle()

    def kill(self):
        """Its domain dies; dom0 removes the firewall's directory."""
        self.tx = self.rx = None
        self.leave()
        self.peer.kill()
        for path in (self.front, "/local/domain/%d" % self.domid):
            self.machine.dom0.remove(path.encode())
        self.machine.settle()

    # ---- xenstore, as Linux' backend

    def _read(self, path):
        node = self.machine.store.get(path.encode())
        return node.value if node else b""

    def _front_state(self):
        text = self._read(self.front + "/state")
        return int(text) if text.isdigit() else 0

    def offer(self):
        nodes = {"feature-rx-copy": 1, "feature-rx-flip": 0, "multi-queue-max-queues": 8, "feature-ctrl-ring": 1}
        nodes.update({"feature-split-event-channels": 1} if self.split else {})
        nodes.update({"feature-sg": 1} if self.sg else {})
        nodes.update({"feature-gso-tcpv4": 1, "feature-gso-tcpv6": 1} if self.gso else {})
        nodes.update({} if self.csum else {"feature-no-csum-offload": 1})
        nodes.update(self.features)
        for name, value in nodes.items():
            if value is not None:
                self.write(name, value)
        self.set_state(INIT_WAIT)

    def connected(self):
        return self.state == CONNECTED and self.up

    def connect(self):
        refs = [int(self._read("%s/%s-ring-ref" % (self.front, name))) for name in ("tx", "rx")]
        pages = [self.peer.map(self.firewall, ref) for ref in refs]
        self.handles = [handle for handle, _ in pages]
        self.tx = Ring(pages[0][1], TX, False)
        self.rx = Ring(pages[1][1], RX, False)
        names = ["event-channel-tx", "event-channel-rx"]  # Linux looks for these first, and for one if it finds none
        names = names if self._read("%s/%s" % (self.front, names[0])) else ["event-channel"]
        ports = [self.peer.evtchn_bind(self.firewall, int(self._read("%s/%s" % (self.front, name)))) for name in names]
        self.port, self.rx_port = ports[0], ports[-1]
        self.takes_gso = self._read(self.front + "/feature-gso-tcpv4") == b"1"
        self.connections += 1
        self.collected = 0
        self.up, self.early, self.mapped = False, [], self.machine.now
        events(self.peer).difference_update(ports)  # these are of the binding
        if self.late:
            self.state = CONNECTED
            if self.late != math.inf:
                this = self.connections
                self.machine.call_later(self.late, lambda: self.connections == this and self.tx and self._script_ended())
        else:
            self._script_ended()

    def _script_ended(self):
        self._look_early()
        self.up = True
        self.set_state(CONNECTED)
        events(self.peer).update((self.port, self.rx_port))

    def _look_early(self):
        """Note what can be seen of the firewall before it should show anything."""
        seen = {"tx": self.tx.words[REQ_PROD], "rx": self.rx.words[REQ_PROD]}
        seen["events"] = sorted({self.port, self.rx_port} & events(self.peer))
        if any(seen.values()):
            self.early.append(((self.machine.now - self.mapped) // 1_000_000, seen))

    def disconnect(self):
        for handle in self.handles:
            self.peer.unmap(handle)
        self.handles = []
        for port in {self.port, self.rx_port} - {0}:
            self.peer.evtchn_close(port)
        self.port = self.rx_port = 0
        self.tx = self.rx = None

    def collect(self):
        """Map all pages that are posted for receiving."""
        for i in range(self.collected, self.posted()):
            at = self.rx.at(self.rx.produced + i)
            ref = self.rx.halves[at + 2] | self.rx.halves[at + 3] << 16
            self.kept.append(self.peer.map(self.firewall, ref)[0])
        self.collected = self.posted()

    def let_go(self):
        """Unmap what it kept."""
        for handle in self.kept:
            self.peer.unmap(handle)
        self.kept = []

    def serve(self):
        """For machine.actors."""
        try:
            return self._follow() | self._take()
        except StoreError:
            return False

    def _follow(self):
        if not self.auto or not self._read(self.back + "/state"):
            return False
        theirs = self._front_state()
        if self.state == INITIALISING or self.state == CLOSED and theirs == INITIALISING:
            if self._read(self.back + "/online") != b"1":
                return False
            self.offer()
        elif self.state == INIT_WAIT and theirs == CONNECTED:
            self.connect()
        elif self.state == CONNECTED and theirs not in (3, CONNECTED):
            self.disconnect()
            self.set_state(CLOSED)
        elif self.state == CLOSING and theirs in (0, CLOSED):
            self.disconnect()
            self.set_state(CLOSED)
        else:
            return False
        return True

    # ---- frames

    def _take(self):
        if self.tx and not self.up:
            self._look_early()
            return False
        ports = {self.port, self.rx_port}
        if not self.tx or not ports & events(self.peer):
            return False
        self.peer.events -= ports
        if self.keeps == "all":
            self.collect()
        if not self.holds:
            self._transmitted()
            self.tx.rearm()
        while self.backlog and self._put(*self.backlog[0]):
            self.backlog.pop(0)
        if self.backlog:
            self._ask_for_buffers()
        return True

    def _ask_for_buffers(self):
        self.rx.words[REQ_EVENT] = (self.rx.words[REQ_PROD] + 1) & MASK

    def resume(self, limit=None):
        """Answer again after `holds`; limit: only so many frames, now."""
        if limit:
            self._transmitted(limit)
            self.tx.rearm()
        else:
            self.holds = False
            events(self.peer).add(self.port)

    def _transmitted(self, limit=SLOTS):
        tx = self.tx
        end = len(self.frames) + limit
        while tx.waiting() and len(self.frames) < end:
            at = tx.at(tx.consumed)
            flags, total = tx.halves[at + 3], tx.halves[at + 5]
            blank, gso, parts, slots = bool(flags & TX_BLANK), 0, [], 0
            first = tx.consumed
            more = True
            while more:
                assert tx.waiting(), "a packet without its end on the uplink"
                at = tx.at(tx.consumed)
                ref_low, ref_high, offset, now, id, size = tx.halves[at : at + 6]
                tx.consumed += 1
                slots += 1
                extra = 0
                if slots == 1 and now & EXTRA_INFO:
                    at = tx.at(tx.consumed)
                    assert tx.halves[at] == GSO and tx.halves[at + 2] == GSO_TCPV4
                    gso = tx.halves[at + 1]
                    tx.consumed += 1
                    extra = 1
                parts.append((ref_low | ref_high << 16, offset, size, id, extra))
                more = now & MORE_DATA
            sizes = [size for _, _, size, _, _ in parts]
            sizes[0] = total - sum(sizes[1:])
            assert 0 < sizes[0] and len(parts) <= 18, "sizes %s" % sizes
            data = [self._fetch(ref, offset, size) for (ref, offset, _, _, _), size in zip(parts, sizes)]
            for _, _, _, id, extra in parts:
                self.answer(id, OKAY)
                if extra:
                    self.answer(0, NULL)
            self.frames.append((b"".join(data), blank, gso, tx.consumed - first))
        if tx.publish():
            self.peer.evtchn_send(self.port)

    def _fetch(self, ref, offset, size):
        assert offset + size <= PAGE
        handle, page = self.peer.map(self.firewall, ref, True)
        octets = bytes(page[offset : offset + size])
        self._look(page, offset, size)
        if self.keeps in ("tx", "all"):
            self.kept.append(handle)
        else:
            self.peer.unmap(handle)
        return octets

    def _look(self, page, offset, size):
        """All but the packet must be zero."""
        if page[:offset] != ZEROS[:offset]:
            self.dirty.append(("before", bytes(page[:offset])))
        if page[offset + size :] != ZEROS[offset + size :]:
            self.dirty.append(("behind", bytes(page[offset + size :])))

    def answer(self, id, status):
        """Put a tx response; not yet published."""
        at = self.tx.at(self.tx.produced)
        self.tx.halves[at] = id
        self.tx.signed[at + 1] = status
        self.tx.produced += 1

    def respond(self, id, offset, flags, status):
        """Put an rx response; not yet published."""
        at = self.rx.at(self.rx.produced)
        self.rx.halves[at], self.rx.halves[at + 1], self.rx.halves[at + 2] = id, offset, flags
        self.rx.signed[at + 3] = status
        self.rx.produced += 1

    def kick(self, ring):
        if ring.publish():
            self.peer.evtchn_send(self.rx_port if ring is self.rx else self.port)

    def posted(self):
        """How many rx buffers the firewall has posted."""
        return (self.rx.words[REQ_PROD] - self.rx.produced) & MASK

    def buffer(self):
        """(id, ref) of the next rx request, in whose slot the next response goes."""
        at = self.rx.at(self.rx.produced)
        return self.rx.halves[at], self.rx.halves[at + 2] | self.rx.halves[at + 3] << 16

    def send(self, frame, blank=False, gso=0, sizes=None, validated=False, offsets=()):
        """Put a frame into the firewall's buffers; it waits if there are none. sizes: octets of each slot.

        offsets: where in their pages those of the first slots lie; 0 for the others.
        """
        if self.backlog or not self._put(frame, blank, gso, sizes, validated, offsets):
            self.backlog.append((frame, blank, gso, sizes, validated, offsets))
            self._ask_for_buffers()

    def _put(self, frame, blank, gso, sizes, validated, offsets):
        parts = pieces(frame, sizes)
        if self.rx is None or self.posted() < len(parts) + bool(gso):
            return False
        assert not gso or self.takes_gso
        for i, part in enumerate(parts):
            id, ref = self.buffer()
            handle, page = self.peer.map(self.firewall, ref)
            self._look(page, 0, 0)
            offset = offsets[i] if i < len(offsets) else 0
            page[offset : offset + len(part)] = part
            if self.keeps == "rx":
                self.kept.append(handle)
            else:
                self.peer.unmap(handle)
            flags = MORE_DATA if i < len(parts) - 1 else 0
            if i == 0:
                flags |= (RX_BLANK | RX_VALIDATED if blank else 0) | (EXTRA_INFO if gso else 0)
                flags |= RX_VALIDATED if validated else 0
            self.respond(id, offset, flags, len(part))
            if i == 0 and gso:
                at = self.rx.at(self.rx.produced)
                self.rx.halves[at], self.rx.halves[at + 1] = GSO, gso
                self.rx.halves[at + 2], self.rx.halves[at + 3] = GSO_TCPV4, 0
                self.rx.produced += 1
        self.kick(self.rx)
        return True
