"""Packets that somebody watches, as they come in and as they leave, in the form of a pcapng file.

    taps = Taps(pool)                     nothing is looked at
    tap = taps.begin(numbers, both, proto, port)
    tap.drain()                           octets that were written since; valid until it is called again
    taps.end(tap)

The ring service tells of packets while taps.any() and at no other time: bursts of known flows by came() and went(),
each other one by deciding(), left() and made(), all of them machine code that is given taps.kernel. Interface 0 is the
client's side of a packet, 1 the uplink's. A buffer that is full costs the capture packets, which are
counted, and the traffic nothing.

Source: draft-ietf-opsawg-pcapng 4.1, 4.2, 4.6.
"""
from array import array
from struct import pack

import xen
from micropython import const

from firewall import turns
from firewall.fast import tapped
from firewall.interfaces import NUMBERS, UPLINK

MOST = const(2)  # captures at once
BUFFER = const(65536)  # octets; there are two, of which one is read
_HEADER = const(8)  # octets that stay free: with its header a full one finds room in a caller's ring of as many
_WORDS = const(16)
_BUFFER_PLACE = const(1)  # in what kernels are given
_NOBODY = const(0xFFFF)  # no interface
_LINK_ETHERNET = const(1)
_NANOSECONDS = const(9)  # if_tsresol: 10 ** -9
_SECTION, _INTERFACE, _STATISTICS = const(0x0A0D0D0A), const(1), const(5)
_NAME, _RESOLUTION, _RECEIVED, _DROPPED = const(2), const(9), const(4), const(5)  # options of the latter two
(_FILL, _ROOM, _SEEN) = range(3)  # words of tapped.py; _SEEN: of the interfaces 0 and 1
(_LOST, _PROTO, _PORT, _BOTH) = (4, 8, 9, 10)


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
        self._buffers = view[:BUFFER], view[BUFFER : 2 * BUFFER]
        self._which = 0
        self.whose = bytearray(NUMBERS)
        self.used = False
        self.kernel = [self.words, self._buffers[0], self.whose, heads, sizes]  # for tapped.py

    def begin(self, numbers, both, proto, port):
        """See Taps.begin()."""
        for word in range(_WORDS):
            self.words[word] = 0
        self.words[_ROOM] = BUFFER - _HEADER
        self.words[_PROTO], self.words[_PORT], self.words[_BOTH] = proto, port, both
        self.numbers(numbers)
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
        self.kernel[_BUFFER_PLACE] = self._buffers[self._which]
        self.words[_FILL] = 0
        return full[:octets]

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
    """kernel: what came(), went(), stopped(), left() and made() are given; what they do is said in fast/tapped.py."""

    def __init__(self, pool):
        self._taps = []  # made when first wanted, then kept
        self._some = []  # those that run
        self._heads = self._sizes = None
        self.kernel = [None, None, xen.wall, pool.memory, array("I", (_NOBODY, 0, 0))]
        self.came, self.went, self.stopped = tapped.came, tapped.went, tapped.stopped
        self.left, self.made = tapped.left, tapped.made

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
        self._run(self._some + [tap])
        return tap

    def end(self, tap):
        """It is written to no more."""
        tap.used = False
        self._run([each for each in self._some if each is not tap])

    def _run(self, some):
        self._some = some
        for i in range(MOST):
            self.kernel[i] = some[i].kernel if i < len(some) else None

    def gone(self, number):
        """The interface of this number is no more: who has the number next is somebody else."""
        for tap in self._some:
            tap.whose[number] = 0

    def deciding(self, decide, circle):
        """decide(interface, frame, now) of the ring service, seen. circle: turns.Turns, which count the work."""
        kernel, arrived, judged = self.kernel, tapped.arrived, tapped.judged

        def seen(interface, frame, now):
            arrived(kernel, interface.number, frame.parts[0], frame.octets)
            try:
                return decide(interface, frame, now)
            finally:
                judged(kernel)
                if interface.number != UPLINK:  # what comes in is for all: they do not pay for one who is captured
                    circle.work += turns.WATCHED

        return seen
