"""Datagrams that come in pieces are put together before they are judged.

A later fragment has no ports, so nothing can be said about it alone (RFC 1858); all are collected until the datagram
is whole. What cannot come from an honest sender ends the datagram: pieces that overlap (RFC 5722's rule for IPv6), a
last one that ends before others, more than 65,535 octets. Such a datagram stays known until its time is over, so that
its other pieces are dropped.

Each incomplete datagram is counted to a holder: what a client sends, to that client; what comes in by the uplink, to the
client whose flow its first piece names, and until that is here to a share of its own. A first piece from the uplink that
is of no flow is dropped with all that came before it. At its limit a holder loses the datagram that has rested longest,
if that is a while, else its youngest, so that of many at once the oldest are finished; when all is full, the holder of
most does.
"""
from micropython import const

from firewall import reasons
from firewall.packets.packet import COVERING, IP
from firewall.wire import icmp, ipv4, tcp, udp

TIME = const(30000)  # ms from the first fragment that came (RFC 791 3.2: 15 s; RFC 1122: 60 to 120)
MOST_PIECES = const(64)  # of one datagram (docs/behaviours.md 37)
MOST_DATAGRAMS = const(32)  # incomplete ones of one holder
MOST_OCTETS = const(131072)  # of one holder, two of the largest datagrams
INWARD = const(3)  # times as many for what comes in for one client: servers send many large ones at once
MOST_OF_ALL = const(524288)  # octets
_REST = const(1000)  # ms without another piece, after which a datagram is likely never to be whole
_COST = const(64)  # octets of bookkeeping counted for every piece


class _Datagram:
    def __init__(self, key, now):
        self.key = key
        self.holder = 0
        self.deadline = now + TIME
        self.seen = now  # when its last piece came
        self.header = b""  # of the first fragment, with Ethernet's and options
        self.pieces = []  # (offset, data) in order; None: the datagram is given up
        self.octets = 0  # of data here
        self.end = -1  # of all data, once the last piece came
        self.cost = 0  # octets, bookkeeping included


class Reassembly:
    """A holder is a client's slot for what it sends, minus its slot for what it is sent, 0 for what nobody claims yet."""

    def __init__(self):
        self.octets = 0  # of all that is kept, bookkeeping included
        self._octets_of = {}  # holder: octets
        self._queues = {}  # holder: its datagrams, oldest first
        self._by_key = {}

    def add(self, p, side, now, receiver=None):
        """Keep fragment p. The whole frame (bytearray) when it was the last one missing, or a reason.

        side: slot of the client it comes from, 0 for the uplink; then receiver(p, now) says of a first piece which
        client it is for: its slot, 0 if no flow can say so, -1 if it is of no flow. KEPT is the reason of an honest
        piece.
        """
        start = (p.fragment & ipv4.OFFSET_MASK) << 3
        octets = p.end - p.l4
        more = p.fragment & ipv4.MF
        if not octets or more and octets & 7 or p.blank or p.gso:
            return reasons.FRAGMENT
        if start == 0 and not _header_inside(p) or p.proto == ipv4.TCP and start == 8:
            return reasons.FRAGMENT  # what filters look at would be split (RFC 1858, RFC 3128)
        key = (side, p.src, p.dst, p.proto, ipv4.ident(p.frame, IP))
        datagram = self._by_key.get(key)
        holder = side
        if start == 0 and receiver:
            slot = receiver(p, now)
            if slot < 0:
                if datagram:
                    self._forget(datagram)
                return reasons.NO_FLOW
            holder = -slot
        if datagram is None:
            datagram = self._begin(key, holder, now)
            if datagram is None:
                return reasons.FRAGMENT_LIMIT
        elif holder < 0 and holder != datagram.holder:
            if not self._room(holder, now):
                self._forget(datagram)
                return reasons.FRAGMENT_LIMIT
            self._leave(datagram)
            try:
                self._join(datagram, holder)
            except BaseException:
                self.octets -= datagram.cost
                del self._by_key[key]
                raise
        return self._keep(datagram, p, start, more, now)

    def _keep(self, datagram, p, start, more, now):
        """Keep a piece of this datagram. The whole frame, or a reason."""
        if datagram.pieces is None:
            return reasons.FRAGMENT
        datagram.seen = now
        octets = p.end - p.l4
        data = bytes(memoryview(p.frame)[p.l4 : p.end])
        if (start, data) in datagram.pieces:
            return reasons.KEPT  # the same again: the network may do that
        crowded = len(datagram.pieces) >= MOST_PIECES
        if crowded or not _fits(datagram, start, octets, more, p.size):
            self._charge(datagram, _COST - datagram.cost)
            datagram.pieces = None
            return reasons.FRAGMENT_LIMIT if crowded else reasons.FRAGMENT
        if start == 0:  # first: pieces without it would be put together to a frame whose header is a client's data
            datagram.header = bytes(memoryview(p.frame)[: p.l4])
        self._charge(datagram, octets + _COST)
        where = len(datagram.pieces)
        while where and datagram.pieces[where - 1][0] > start:
            where -= 1
        datagram.pieces.insert(where, (start, data))
        datagram.octets += octets
        if not more:
            datagram.end = start + octets
        if datagram.octets == datagram.end:
            self._forget(datagram)
            return _whole(datagram)
        self._limit(datagram.holder, now)
        return reasons.KEPT if datagram.key in self._by_key else reasons.FRAGMENT_LIMIT

    def _limit(self, holder, now):
        """Forget datagrams until this holder, and all of them together, have no more octets than they may."""
        most = MOST_OCTETS * INWARD if holder < 0 else MOST_OCTETS
        while self._octets_of.get(holder, 0) > most:
            self._forget(self._rested(holder, now) or self._queues[holder][-1])
        while self.octets > MOST_OF_ALL:
            largest = max(self._octets_of, key=self._octets_of.get)
            self._forget(self._rested(largest, now) or self._queues[largest][-1])

    def tick(self, now):
        """Forget what is too old."""
        for queue in list(self._queues.values()):
            while queue and queue[0].deadline <= now:
                self._forget(queue[0])

    def drop(self, side):
        """Forget all from and for a client that is detached (its slot), or all from the uplink (0): it is another."""
        for holder in list(self._queues):
            if holder == side or holder == -side or not side and holder < 0:
                for datagram in list(self._queues[holder]):
                    self._forget(datagram)

    def _room(self, holder, now):
        """Room for one more datagram. False: the holder has too many that are still growing."""
        if len(self._queues.get(holder, ())) >= (MOST_DATAGRAMS * INWARD if holder < 0 else MOST_DATAGRAMS):
            rested = self._rested(holder, now)
            if rested is None:
                return False
            self._forget(rested)
        return True

    def _begin(self, key, holder, now):
        """A new datagram; None: the holder has no room."""
        if not self._room(holder, now):
            return None
        datagram = _Datagram(key, now)
        self._join(datagram, holder)
        try:
            self._by_key[key] = datagram
        except BaseException:
            self._leave(datagram)
            raise
        self._charge(datagram, _COST)
        return datagram

    def _rested(self, holder, now):
        """The datagram of holder that has rested longest, if it is likely never to be whole; else None."""
        found = None
        for datagram in self._queues[holder]:
            if found is None or datagram.seen < found.seen:
                found = datagram
        return found if now - found.seen >= _REST else None

    def _charge(self, datagram, octets):
        datagram.cost += octets
        self.octets += octets
        self._octets_of[datagram.holder] += octets

    def _forget(self, datagram):
        self.octets -= datagram.cost
        self._leave(datagram)
        del self._by_key[datagram.key]

    def _join(self, datagram, holder):
        """Count it to holder, by age among the others: one that had no receiver yet is not the youngest. Whole, or not at all."""
        try:
            self._octets_of[holder] = self._octets_of.get(holder, 0)
            queue = self._queues.setdefault(holder, [])
            at = len(queue)
            while at and queue[at - 1].deadline > datagram.deadline:
                at -= 1
            queue.insert(at, datagram)
        except BaseException:
            if not self._queues.get(holder):
                self._queues.pop(holder, None)
                self._octets_of.pop(holder, None)
            raise
        datagram.holder = holder
        self._octets_of[holder] += datagram.cost

    def _leave(self, datagram):
        holder = datagram.holder
        self._octets_of[holder] -= datagram.cost
        self._queues[holder].remove(datagram)
        if not self._queues[holder]:
            del self._queues[holder]
            del self._octets_of[holder]


def _header_inside(p):
    """True if the whole transport header lies in the first fragment."""
    if p.proto == ipv4.TCP:
        return tcp.parse(p.frame, p.l4, p.end) is not None
    least = {ipv4.UDP: udp.SIZE, ipv4.ICMP: icmp.SIZE}.get(p.proto) or COVERING.get(p.proto, 0)
    return p.end - p.l4 >= least


def _fits(datagram, start, octets, more, header):
    """False if this piece contradicts those that are here, or the largest datagram there can be."""
    end = start + octets
    if end + (len(datagram.header) - IP if datagram.header else header) > ipv4.MAX_TOTAL:
        return False
    if datagram.end >= 0 and (end > datagram.end or not more):
        return False
    for at, piece in datagram.pieces:
        if start < at + len(piece) and at < end or not more and at + len(piece) > end:
            return False
    return True


def _whole(datagram):
    """The frame of a complete datagram."""
    frame = bytearray(len(datagram.header) + datagram.end)
    size = len(datagram.header) - IP
    if size + datagram.end > ipv4.MAX_TOTAL:
        return reasons.FRAGMENT
    frame[: len(datagram.header)] = datagram.header
    for at, data in datagram.pieces:
        at += len(datagram.header)
        frame[at : at + len(data)] = data
    ipv4.finish(frame, IP, size, 0)
    return frame
