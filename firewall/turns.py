"""Whose turn it is: deficit round-robin among all neighbours, by work.

Neighbours stand in a circle. At its place each is credited a quantum, and who owes nothing has a turn: what it brought
is taken from its ring, a few slots, and all the work that this made is charged at the prices below, whatever its form.
Who took more than its quantum waits until his credits have paid for it, while others have something; nobody saves any.
When nobody else has anything, it does not wait. The uplink is credited as much as all clients that have something
together: what it brings is for all of them.

A price of 1 stands for two steps of the interpreter as the simulation counts them (port/sim/event.c), measured there:
this text says what a turn costs, and no clock is asked.
"""
from micropython import const

from firewall import reasons
from firewall.neighbours import UPLINK

SLOT = const(25)  # of a ring: copied, answered, and its page passed on
OPENED = const(100)  # a flow begun, beside the frame that did it
SENT = const(60)  # a frame of our own making: a reply, a piece
SEGMENT = const(72)  # one of a super-frame
GATHERED = const(12)  # for each page of a frame that is put together in the heap
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
    ):  # fmt: skip
        prices[verdict] = _REFUSED
    return bytes(prices)


FRAME = _prices()  # verdict -> price of the frame


class Turns:
    """Ports in a circle; each has credit."""

    def __init__(self):
        self._circle = []  # the front is whose place is next
        self._again = None  # the uplink, when its quantum allows another turn
        self._some = 0  # clients that had something since the uplink's place was last passed

    def __len__(self):
        return len(self._circle)

    def add(self, port):
        self._circle.append(port)

    def remove(self, port):
        self._circle.remove(port)
        if port is self._again:
            self._again = None

    def next(self):
        """Whose place is next; idle() or credit() passes it."""
        return self._again or self._circle[0]

    def idle(self, port):
        """It has nothing: credits are not saved, debts are paid on. How many places that passed."""
        if port is self._again:
            self._again = None
            return 0
        if self._circle and port is self._circle[0]:  # it may have gone
            self._pass(port)
        port.credit = min(port.credit + _QUANTUM, 0)
        return 1

    def credit(self, port, alone):
        """It has something. True: it owes nothing, or nobody else has anything, and has a turn now."""
        if self._again:
            self._again = None
            return True
        quantum = self._pass(port)
        if port.number != UPLINK:
            self._some += 1
        port.credit += quantum
        if alone or port.credit > quantum:
            port.credit = quantum
        return port.credit > 0

    def charge(self, port, work):
        """It had a turn, and made so much work."""
        port.credit -= work
        if port.number == UPLINK and work and port.credit > 0:
            self._again = port

    def pay(self, debtors):
        """Nobody has anything but these: as many rounds at once as it takes until one of them has credit."""
        weight = max(len(debtors) - 1, 1)  # of the uplink, if it is one of them
        rounds = min(-port.credit // (_QUANTUM * (weight if port.number == UPLINK else 1)) for port in debtors)
        for port in debtors:
            port.credit += rounds * _QUANTUM * (weight if port.number == UPLINK else 1)

    def _pass(self, port):
        """Its quantum; the next place is next."""
        self._circle.append(self._circle.pop(0))
        if port.number != UPLINK:
            return _QUANTUM
        quantum = _QUANTUM * max(self._some, 1)
        self._some = 0
        return quantum
