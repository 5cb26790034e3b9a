"""Datagrams in pieces: put together before they are judged, cut again where they do not fit.

A later fragment has no ports, so nothing can be said about it alone (RFC 1858); all are collected until the datagram
is whole. What cannot come from an honest sender ends the datagram: pieces that overlap (RFC 5722's rule for IPv6), a
last one that ends before others, more than 65,535 octets. Such a datagram stays known until its time is over, so that
its other pieces are dropped.

Who sends incomplete datagrams pays: each holder (a client, or the uplink) loses its own oldest at its limit, and when
all is full the holder of most does.
"""
from micropython import const

from firewall import icmp, ipv4, reasons, tcp, udp
from firewall.checksum import total
from firewall.ipv4 import put16
from firewall.packet import COVERING, IP

TIME = const(30000)  # ms from the first fragment that came (RFC 791 3.2: 15 s; RFC 1122: 60 to 120)
MOST_PIECES = const(64)  # of one datagram (behaviours 37)
MOST_DATAGRAMS = const(32)  # incomplete ones of one holder
MOST_OCTETS = const(131072)  # of one holder, two of the largest datagrams
MOST_OF_ALL = const(524288)  # octets
_COST = const(64)  # octets of bookkeeping counted for every piece


class _Datagram:
    def __init__(self, key, deadline):
        self.key = key
        self.deadline = deadline
        self.header = b""  # of the first fragment, with Ethernet's and options
        self.pieces = []  # (offset, data) in order; None: the datagram is given up
        self.octets = 0  # of data here
        self.end = -1  # of all data, once the last piece came
        self.cost = 0  # octets, bookkeeping included


class Reassembly:
    def __init__(self):
        self.octets = 0  # held, bookkeeping included
        self._held = {}  # holder: octets
        self._queues = {}  # holder: its datagrams, oldest first
        self._by_key = {}

    def add(self, p, holder, now):
        """Keep fragment p. The whole frame (bytearray) when it was the last one missing, or a reason.

        holder: slot of the client, 0 for the uplink. KEPT is the reason of an honest piece.
        """
        start = (p.fragment & ipv4.OFFSET_MASK) << 3
        octets = p.end - p.l4
        more = p.fragment & ipv4.MF
        if not octets or more and octets & 7 or p.blank or p.gso:
            return reasons.FRAGMENT
        if start == 0 and not _header_inside(p) or p.proto == ipv4.TCP and start == 8:
            return reasons.FRAGMENT  # what filters look at would be split (RFC 1858, RFC 3128)
        key = (holder, p.src, p.dst, p.proto, ipv4.ident(p.frame, IP))
        datagram = self._by_key.get(key)
        if datagram is None:
            datagram = self._begin(key, now)
        if datagram.pieces is None:
            return reasons.FRAGMENT
        data = bytes(memoryview(p.frame)[p.l4 : p.end])
        if (start, data) in datagram.pieces:
            return reasons.KEPT  # the same again: the network may do that
        crowded = len(datagram.pieces) >= MOST_PIECES
        if crowded or not _fits(datagram, start, octets, more, p.size):
            self._charge(datagram, _COST - datagram.cost)
            datagram.pieces = None
            return reasons.FRAGMENT_LIMIT if crowded else reasons.FRAGMENT
        self._charge(datagram, octets + _COST)
        where = len(datagram.pieces)
        while where and datagram.pieces[where - 1][0] > start:
            where -= 1
        datagram.pieces.insert(where, (start, data))
        datagram.octets += octets
        if not more:
            datagram.end = start + octets
        if start == 0:
            datagram.header = bytes(memoryview(p.frame)[: p.l4])
        if datagram.octets == datagram.end:
            self._forget(datagram)
            return _whole(datagram)
        while self._held.get(holder, 0) > MOST_OCTETS:
            self._forget(self._queues[holder][0])
        while self.octets > MOST_OF_ALL:
            self._forget(self._queues[max(self._held, key=self._held.get)][0])
        return reasons.KEPT if key in self._by_key else reasons.FRAGMENT_LIMIT

    def tick(self, now):
        """Forget what is too old."""
        for queue in list(self._queues.values()):
            while queue and queue[0].deadline <= now:
                self._forget(queue[0])

    def drop(self, holder):
        """Forget all that a holder has: it is detached, or the uplink is another."""
        for datagram in list(self._queues.get(holder, ())):
            self._forget(datagram)

    def _begin(self, key, now):
        holder = key[0]
        queue = self._queues.get(holder)
        if queue and len(queue) >= MOST_DATAGRAMS:
            self._forget(queue[0])
        datagram = _Datagram(key, now + TIME)
        self._by_key[key] = datagram
        self._queues.setdefault(holder, []).append(datagram)
        self._charge(datagram, _COST)
        return datagram

    def _charge(self, datagram, octets):
        datagram.cost += octets
        self.octets += octets
        holder = datagram.key[0]
        self._held[holder] = self._held.get(holder, 0) + octets

    def _forget(self, datagram):
        holder = datagram.key[0]
        self._charge(datagram, -datagram.cost)
        del self._by_key[datagram.key]
        self._queues[holder].remove(datagram)
        if not self._queues[holder]:
            del self._queues[holder]
            del self._held[holder]


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
    for at, held in datagram.pieces:
        if start < at + len(held) and at < end or not more and at + len(held) > end:
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
    _finish(frame, size, 0)
    return frame


def split(frame, size, end, mtu, ident):
    """Frames of at most mtu octets of datagram each, out of one. It may be cut: no DF.

    size: octets of its IP header; end: where the datagram ends. All pieces carry ident: one of our own, as two
    clients behind one address may have used the same (RFC 6864, behaviours 42).
    """
    head = bytes(memoryview(frame)[: IP + size])
    rest = head[: IP + ipv4.SIZE] + ipv4.copied_options(frame, IP, size)
    first = at = IP + size
    frames = []
    while at < end:
        octets = min(mtu - (len(head) - IP) & ~7, end - at)
        piece = bytearray(len(head) + octets)
        piece[: len(head)] = head
        piece[len(head) :] = memoryview(frame)[at : at + octets]
        put16(piece, IP + ipv4.IDENT, ident)
        _finish(piece, len(head) - IP, (ipv4.MF if at + octets < end else 0) | at - first >> 3)
        frames.append(piece)
        at += octets
        head = rest
    return frames


def _finish(frame, size, fragment):
    """Write what follows from the frame's length into its IP header of size octets, and its sum."""
    frame[IP] = 0x40 | size >> 2
    put16(frame, IP + ipv4.TOTAL, len(frame) - IP)
    put16(frame, IP + ipv4.FRAGMENT, fragment)
    put16(frame, IP + ipv4.CHECKSUM, 0)
    put16(frame, IP + ipv4.CHECKSUM, total(frame, IP, size, 0) ^ 0xFFFF)
