"""Packets that somebody watches, as they come in and as they leave, in the form of a pcapng file.

    taps = Taps(pool)                     nothing is looked at
    tap = taps.begin(numbers, both, proto, port)
    tap.drain()                           octets that were written since; valid until it is called again
    taps.end(tap)

The ring service tells of packets while taps.any() and at no other time: bursts of known flows by came() and went(),
each other one by deciding(), left() and made(). Interface 0 is the client's side of a packet, 1 the uplink's. A buffer
that is full costs the capture packets, counted, and the traffic nothing.

Source: draft-ietf-opsawg-pcapng 4.1, 4.2, 4.6.
"""
from struct import pack

import xen
from micropython import const

from firewall import turns
from firewall.fast import tapped
from firewall.interfaces import NUMBERS, UPLINK

MOST = const(2)  # captures at once
BUFFER = const(65536)  # octets; there are two, of which one is read
_WORDS = const(16)
_FRAME = const(32)  # octets of a block beside the packet, see tapped.py
_LEAVING, _JUDGED = const(64), const(65)  # rows of heads, behind those of a burst
_LINK_ETHERNET = const(1)
_NANOSECONDS = const(9)  # if_tsresol: 10 ** -9
_SECTION, _INTERFACE, _STATISTICS = const(0x0A0D0D0A), const(1), const(5)
_NAME, _RESOLUTION, _RECEIVED, _DROPPED = const(2), const(9), const(4), const(5)  # options of the latter two
(_FILL, _ROOM, _SEEN) = range(3)  # words of tapped.py; _SEEN: of the interfaces 0 and 1
(_LOST, _TIME, _PROTO, _PORT, _BOTH) = (4, 6, 8, 9, 10)


def _block(kind, body):
    size = len(body) + 12
    return pack("<II", kind, size) + body + pack("<I", size)


def _option(code, value):
    return pack("<HH", code, len(value)) + value + bytes(-len(value) & 3)


def head():
    """How a file begins: the section and its two interfaces."""
    section = _block(_SECTION, pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    found = section
    for name in (b"client", b"uplink"):
        options = _option(_NAME, name) + _option(_RESOLUTION, bytes((_NANOSECONDS,))) + _option(0, b"")
        found += _block(_INTERFACE, pack("<HHI", _LINK_ETHERNET, 0, tapped.SNAP) + options)
    return found


class Tap:
    """One capture. lost: packets that found no room, of both interfaces."""

    def __init__(self, heads, sizes):
        """heads, sizes: those of all captures. MemoryError."""
        view = memoryview(xen.mem(2 * BUFFER + 4 * _WORDS))
        self.words = xen.view(view[2 * BUFFER :], "I")
        self._heads, self._sizes = heads, sizes
        self._buffers = view[:BUFFER], view[BUFFER : 2 * BUFFER]
        self._which = 0
        self.whose = bytearray(NUMBERS)
        self.used = False
        self.matched = False  # the packet that is being judged; it is written with what becomes of it
        self.pending = False  # it is not written yet
        self._aim()

    def begin(self, numbers, both, proto, port):
        """See Taps.begin()."""
        for word in range(_WORDS):
            self.words[word] = 0
        self.words[_ROOM], self.words[_PROTO], self.words[_PORT], self.words[_BOTH] = BUFFER, proto, port, both
        self.numbers(numbers)
        self.matched = self.pending = False
        self.used = True

    def numbers(self, numbers):
        """These interfaces it is about, from now on."""
        for number in range(NUMBERS):
            self.whose[number] = 0
        for number in numbers:
            self.whose[number] = 1

    def drain(self):
        """What was written since, as octets; b"" if nothing was."""
        octets = self.words[_FILL]
        if not octets:
            return b""
        full = self._buffers[self._which]
        self._which ^= 1
        self._aim()
        self.words[_FILL] = 0
        return full[:octets]

    def _aim(self):
        self.kernel = (self.words, self._buffers[self._which], self.whose, self._heads, self._sizes)  # for tapped.py

    def copies(self):
        """Beginnings of packets have to be copied for it: there is room, or it does not want all. See tapped.hits."""
        words = self.words
        return words[_PROTO] != 0 or words[_FILL] + _FRAME + tapped.SNAP <= words[_ROOM]

    def lost(self):
        return self.words[_LOST] + self.words[_LOST + 1]

    def statistics(self, now):
        """Blocks that say how many packets there were, and how many were lost. now: ns since 1970."""
        found = b""
        for side in range(2):
            seen, lost = self.words[_SEEN + side], self.words[_LOST + side]
            options = _option(_RECEIVED, pack("<Q", seen)) + _option(_DROPPED, pack("<Q", lost)) + _option(0, b"")
            found += _block(_STATISTICS, pack("<III", side, now >> 32, now & 0xFFFFFFFF) + options)
        return found


class Taps:
    def __init__(self, pool):
        self._pool = pool
        self._taps = []  # made when first wanted, then kept
        self._some = []  # those that run
        self._heads = self._sizes = None
        self._ingress = -1  # of the packet that is being judged
        self._had = self._octets = 0  # how many octets of it are kept, and of how many

    def any(self):
        return len(self._some) > 0

    def begin(self, numbers, both, proto, port):
        """A Tap; None: two run already. numbers: the interfaces that it is about. proto, port: 0 for any. MemoryError.

        both: both sides of their packets are wanted, not only their own and the uplink's.
        """
        tap = None
        for each in self._taps:
            if not each.used:
                tap = each
        if tap is None:
            if len(self._taps) == MOST:
                return None
            if self._heads is None:
                memory = memoryview(xen.mem(tapped.ROWS * (tapped.SNAP + 8)))
                self._heads = memory[: tapped.ROWS * tapped.SNAP]
                self._sizes = xen.view(memory[tapped.ROWS * tapped.SNAP :], "I")
            tap = Tap(self._heads, self._sizes)
            self._taps.append(tap)
        tap.begin(numbers, both, proto, port)
        self._some = self._some + [tap]
        return tap

    def end(self, tap):
        """It is written to no more."""
        tap.used = False
        self._some = [each for each in self._some if each is not tap]

    def gone(self, number):
        """The interface of this number is no more: who has the number next is somebody else."""
        for tap in self._some:
            tap.whose[number] = 0

    # ---- bursts ---------------------------------------------------------------------------------

    def came(self, rows, number, n):
        """n packets lie in rows (packets, parts, memory), as they came in by the interface of that number."""
        self._stamp()
        for tap in self._some:
            if (tap.whose[number] or number == UPLINK or tap.words[_BOTH]) and tap.copies():
                tapped.heads(rows, 0, n, self._heads, self._sizes)
                return

    def went(self, rows, number, first, end):
        """These of them were hits, and have been rewritten. How much work that was, for turns.py."""
        work = 0
        for tap in self._some:
            before = tap.words[_FILL]
            tapped.hits(rows, tap.kernel, first, end, number)
            work += tap.words[_FILL] - before
            if tap.words[_PROTO] and tap.whose[number]:
                work += (end - first) * turns.TAPPED  # all are copied, to be chosen from
        return work // turns.TAPPED

    def stopped(self, number, i):
        """Row i is dropped, and is never judged. How much work that was."""
        work = 0
        for tap in self._some:
            if tap.whose[number]:
                before = tap.words[_FILL]
                tapped.stopped(tap.kernel, i, 1 if number == UPLINK else 0)
                work += tap.words[_FILL] - before
        return turns.STOPPED + work // turns.TAPPED

    # ---- packets that are judged ----------------------------------------------------------------

    def deciding(self, decide, circle):
        """decide(interface, frame, now) of the ring service, seen. circle: turns.Turns, which count the work."""

        def seen(interface, frame, now):
            self._arrived(interface.number, frame)
            try:
                return decide(interface, frame, now)
            finally:
                self._judged()
                circle.work += turns.WATCHED

        return seen

    def _stamp(self):
        now = xen.wall()
        for tap in self._some:
            tap.words[_TIME] = now >> 32
            tap.words[_TIME + 1] = now & 0xFFFFFFFF

    def _copy(self, frame, row):
        """The beginning of a frame into a row of heads; how many octets."""
        have = 0
        for page, offset, octets in frame.parts:
            n = min(octets, tapped.SNAP - have)
            at = row * tapped.SNAP + have
            self._heads[at : at + n] = self._pool.part(page, offset, n)
            have += n
            if have == tapped.SNAP:
                break
        return have

    def _row(self, row):
        return self._heads[row * tapped.SNAP : (row + 1) * tapped.SNAP]

    def _arrived(self, number, frame):
        self._stamp()
        self._ingress = number
        self._had = self._copy(frame, _JUDGED)
        self._octets = frame.octets
        for tap in self._some:
            tap.pending = True
            tap.matched = tapped.wanted(tap.kernel, self._row(_JUDGED), self._had) != 0

    def _judged(self):
        """Nothing more comes of it."""
        for tap in self._some:
            if tap.matched and tap.whose[self._ingress]:
                self._write_pending(tap)
            tap.pending = tap.matched = False
        self._ingress = -1

    def _write_pending(self, tap):
        if tap.pending:
            tap.pending = False
            side = 1 if self._ingress == UPLINK else 0
            tapped.write(tap.kernel, side, self._row(_JUDGED), self._had, self._octets)

    def left(self, number, frame):
        """A frame leaves, by the interface of that number, as it lies in its pages."""
        self._leaves(self._ingress, number, self._copy(frame, _LEAVING), frame.octets)

    def made(self, ingress, number, octets):
        """Octets of our own making leave. ingress: the Interface that caused them; None: that of what is judged now."""
        have = min(len(octets), tapped.SNAP)
        at = _LEAVING * tapped.SNAP
        self._heads[at : at + have] = memoryview(octets)[:have]
        self._leaves(ingress.number if ingress else self._ingress, number, have, len(octets))

    def _leaves(self, ingress, number, have, octets):
        self._stamp()
        for tap in self._some:
            whose, both = tap.whose, tap.words[_BOTH]
            came = ingress >= 0 and whose[ingress]
            if not came and not whose[number]:
                continue
            if not tap.matched and not tapped.wanted(tap.kernel, self._row(_LEAVING), have):
                continue
            if both or came or ingress == UPLINK:
                self._write_pending(tap)
            if both or whose[number] or number == UPLINK:
                tapped.write(tap.kernel, 1 if number == UPLINK else 0, self._row(_LEAVING), have, octets)
