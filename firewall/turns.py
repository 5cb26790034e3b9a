"""Whose turn it is: deficit round-robin among all neighbours, by work.

Neighbours stand in a circle. At its place each is credited a quantum, and who owes nothing has a turn: what it brought
is taken from its ring, a few slots, and all the work that this made is charged at the prices below, whatever its form.
Who took more than its quantum waits until his credits have paid for it, while others have something; nobody saves any.
When nobody else has anything, it does not wait, and when nobody has, all debts are forgiven. The uplink is credited as
much as all clients that have something together: what it brings is for all of them.

A price of 1 stands for two steps of the interpreter as the simulation counts them (port/sim/event.c), where a copy
operation counts as 20, as it does beside a slow packet on the counting computer. The prices are measured there: this
text says what a turn costs, and no clock is asked.
"""
from array import array

from micropython import const

from firewall import reasons
from firewall.interfaces import NUMBERS, UPLINK

SLOT = const(35)  # of a ring: copied, answered, and its page passed on
BURST = const(20)  # slots taken by machine code, whatever their number,
BURST_SLOT = const(10)  # and each of them, with the packet in it if that is a hit
MISSED_SLOT = const(40)  # of a packet that is none: its parts are made a frame
BEGUN = const(65)  # a flow begun by opening.py,
BARRED = const(95)  # and a packet that it drops
OPENED = const(100)  # a flow begun, beside the frame that did it
SENT = const(60)  # a frame of our own making: a reply, a piece
SEGMENT = const(72)  # one of a super-frame
GATHERED = const(12)  # for each page of a frame that is put together in the heap
TAPPED = const(64)  # so many octets written for a capture, and told to its caller, count 1,
STOPPED = const(8)  # a packet that BARRED is for, told to captures,
WATCHED = const(14)  # and a frame that is judged while there is one
_CARRIED = const(85)  # a frame that lives on
_REFUSED = const(100)  # one that was looked up, and its rules asked
_DROPPED = const(40)  # one that was not
_QUANTUM = const(100)  # less than a turn that leaves something in its ring: a client needs no second one at a place


def _prices():
    prices = bytearray([_DROPPED] * reasons.COUNT)
    for verdict in (reasons.FORWARDED, reasons.QUEUED, reasons.KEPT, reasons.FRAGMENT, reasons.FRAGMENT_LIMIT):
        prices[verdict] = _CARRIED
    for verdict in (
        reasons.DENIED, reasons.OTHER_CLIENT, reasons.NOT_ATTACHED, reasons.NO_UPLINK, reasons.FLOW_LIMIT, reasons.PORT_LIMIT,
        reasons.PROTOCOL_BUSY, reasons.TTL, reasons.TOO_BIG, reasons.ICMP_ERROR,
        reasons.LAN, reasons.ONLY, reasons.SHUT,
    ):  # fmt: skip
        prices[verdict] = _REFUSED
    return bytes(prices)


FRAME = _prices()  # verdict -> price of the frame


class Turns:
    """Interfaces in a circle; each has credit. Nothing here allocates but add(): no pass ends for want of memory."""

    def __init__(self):
        self._circle = []
        self._front = 0  # whose place is next
        self._again = None  # the uplink, when its quantum allows another turn
        self._some = 0  # clients that had something since the uplink's place was last passed
        self._round = 0  # counts what begin() ends
        self._rests = 0  # how often nobody had anything, modulo 2**16,
        self._rested = array("H", bytes(2 * NUMBERS))  # and when each interface was last credited
        self.owing = 0  # interfaces put off in this round
        self.work = 0  # of the turn that goes on

    def __len__(self):
        return len(self._circle)

    def add(self, interface):
        """Its place is the last. MemoryError: it has none."""
        self._circle.insert(self._front, interface)
        self._front += 1
        if self._front == len(self._circle):
            self._front = 0

    def remove(self, interface):
        at = self._circle.index(interface)
        del self._circle[at]
        if at < self._front:
            self._front -= 1
        elif self._front == len(self._circle):
            self._front = 0
        if interface is self._again:
            self._again = None
        if interface.round == self._round:
            interface.round = -1
            self.owing -= 1

    def next(self):
        """Whose place is next; idle() or credit() passes it."""
        return self._again or self._circle[self._front]

    def idle(self, interface):
        """It has nothing to send. It saves no credit, but pays off its debt. Returns how many places were passed."""
        if interface is self._again:
            self._again = None
            return 0
        if self._circle and interface is self._circle[self._front]:  # it may have gone
            self._pass(interface)
        interface.credit = min(interface.credit + _QUANTUM, 0)
        return 1

    def credit(self, interface, alone):
        """It has something: credit its quantum. True: it has a turn, as it owes nothing or nobody else has anything."""
        if self._again:
            self._again = None
            return True
        quantum = self._pass(interface)
        number = interface.number
        if number != UPLINK:
            self._some += 1
        if self._rested[number] != self._rests:
            self._rested[number] = self._rests
            interface.credit = max(interface.credit, 0)
        interface.credit += quantum
        if alone or interface.credit > quantum:
            interface.credit = quantum
        return interface.credit > 0

    def alone(self, interface):
        """Nobody else has anything: it has a turn, whatever it owes, and its place is passed."""
        self._again = None
        self._front = self._circle.index(interface) + 1
        if self._front == len(self._circle):
            self._front = 0
        interface.credit = _QUANTUM

    def charge(self, interface):
        """Charge it for the work of its turn, which is over."""
        interface.credit -= self.work
        if interface.number == UPLINK and self.work and interface.credit > 0:
            self._again = interface

    def rest(self):
        """Nobody has anything."""
        self._rests = self._rests + 1 & 0xFFFF

    def begin(self):
        """Somebody has had a turn: whoever was put off before is asked again."""
        self._round += 1
        self.owing = 0

    def put_off(self, interface):
        """Note that it has something and no credit."""
        interface.round = self._round
        self.owing += 1

    def pay(self):
        """Only those put off have anything: credit as many rounds at once as it takes until one of them has credit."""
        weight = max(self.owing - 1, 1)  # of the uplink, if it is one of them
        rounds = -1
        for interface in self._circle:
            if interface.round == self._round:
                each = -interface.credit // (_QUANTUM * (weight if interface.number == UPLINK else 1))
                rounds = each if rounds < 0 else min(rounds, each)
        for interface in self._circle:
            if interface.round == self._round:
                interface.credit += rounds * _QUANTUM * (weight if interface.number == UPLINK else 1)
        self.begin()

    def _pass(self, interface):
        """Pass its place. Returns its quantum."""
        self._front += 1
        if self._front == len(self._circle):
            self._front = 0
        if interface.number != UPLINK:
            return _QUANTUM
        quantum = _QUANTUM * max(self._some, 1)
        self._some = 0
        return quantum
