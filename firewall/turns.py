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
ENDED = const(100)  # one that has to go for it,
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
QUANTUM = const(100)  # less than a turn that leaves something in its ring: a client needs no second one at a place
ZERO = const(1 << 30)
# words
FRONT = const(0)  # whose place is next
AGAIN = const(1)  # 1: the uplink's quantum allows another turn
SOME = const(2)  # clients that had something since the uplink's place was last passed
ROUND = const(3)  # counts what begin() ends, modulo 2**32
RESTS = const(4)  # how often nobody had anything, modulo 2**16
OWING = const(5)  # interfaces put off in this round
COUNT = const(6)  # places in the circle


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
    """Interfaces in a circle; each has credit. Nothing here allocates but add(): no pass ends for want of memory.

    What changes is in arrays, by an interface's number, as fast/circle.py changes it too. words: see above.
    """

    def __init__(self):
        self._circle = []
        self._uplink = None
        self.words = array("I", bytes(4 * 7))
        self.words[ROUND] = 1
        self.numbers = array("H", bytes(2 * NUMBERS))  # the circle
        self.credits = array("I", [ZERO] * NUMBERS)  # of work; ZERO stands for none, so that no word is less than 0
        self.rounds = array("I", bytes(4 * NUMBERS))  # when each was last put off for want of credit
        self.rested = array("H", bytes(2 * NUMBERS))  # at which rest each was last credited
        self.work = 0  # of the turn that goes on
        self.open = None  # whose turn is not over, but has to wait for the next pass

    def __len__(self):
        return len(self._circle)

    @property
    def owing(self):
        """Interfaces put off in this round."""
        return self.words[OWING]

    def add(self, interface):
        """Its place is the last. MemoryError: it has none."""
        front = self.words[FRONT]
        self._circle.insert(front, interface)
        self.credits[interface.number] = ZERO  # what another owed under this number it does not
        if interface.number == UPLINK:
            self._uplink = interface
        self._written()
        self.words[FRONT] = (front + 1) % len(self._circle)

    def remove(self, interface):
        words = self.words
        at = self._circle.index(interface)
        del self._circle[at]
        self._written()
        if at < words[FRONT]:
            words[FRONT] -= 1
        elif words[FRONT] == len(self._circle):
            words[FRONT] = 0
        if interface.number == UPLINK:
            words[AGAIN] = 0
        if words[OWING] and self.rounds[interface.number] == words[ROUND]:
            self.rounds[interface.number] = 0
            words[OWING] -= 1

    def next(self):
        """Whose place is next; idle() or credit() passes it."""
        words = self.words
        return self._uplink if words[AGAIN] else self._circle[words[FRONT]]

    def idle(self, interface):
        """It has nothing to send. It saves no credit, but pays off its debt. Returns how many places were passed."""
        if interface.number == UPLINK and self.words[AGAIN]:
            self.words[AGAIN] = 0
            return 0
        if self._circle and interface is self._circle[self.words[FRONT]]:  # it may have gone
            self._pass(interface)
        self.credits[interface.number] = min(self.credits[interface.number] + QUANTUM, ZERO)
        return 1

    def credit(self, interface, alone):
        """It has something: credit its quantum. True: it has a turn, as it owes nothing or nobody else has anything."""
        words = self.words
        if words[AGAIN]:
            words[AGAIN] = 0
            return True
        quantum = self._pass(interface)
        number = interface.number
        if number != UPLINK:
            words[SOME] += 1
        credit = self.credits[number]
        if self.rested[number] != words[RESTS]:
            self.rested[number] = words[RESTS]
            credit = max(credit, ZERO)
        credit += quantum
        if alone or credit > ZERO + quantum:
            credit = ZERO + quantum
        self.credits[number] = credit
        return credit > ZERO

    def alone(self, interface):
        """Nobody else has anything: it has a turn, whatever it owes, and its place is passed."""
        self.words[AGAIN] = 0
        self.words[FRONT] = (self._circle.index(interface) + 1) % len(self._circle)
        self.credits[interface.number] = ZERO + QUANTUM

    def charge(self, interface):
        """Charge it for the work of its turn, which is over."""
        number = interface.number
        self.credits[number] = credit = self.credits[number] - self.work
        if number == UPLINK and self.work and credit > ZERO:
            self.words[AGAIN] = 1

    def rest(self):
        """Nobody has anything."""
        self.words[RESTS] = self.words[RESTS] + 1 & 0xFFFF

    def begin(self):
        """Somebody has had a turn: whoever was put off before is asked again."""
        self.words[ROUND] = self.words[ROUND] + 1 & 0xFFFFFFFF
        self.words[OWING] = 0

    def put_off(self, interface):
        """Note that it has something and no credit."""
        self.rounds[interface.number] = self.words[ROUND]
        self.words[OWING] += 1

    def pay(self):
        """Only those put off have anything: credit as many rounds at once as it takes until one of them has credit."""
        now, credits = self.words[ROUND], self.credits
        weight = max(self.words[OWING] - 1, 1)  # of the uplink, if it is one of them
        rounds = -1
        for interface in self._circle:
            number = interface.number
            if self.rounds[number] == now:
                each = (ZERO - credits[number]) // (QUANTUM * (weight if number == UPLINK else 1))
                rounds = each if rounds < 0 else min(rounds, each)
        for interface in self._circle:
            number = interface.number
            if self.rounds[number] == now:
                credits[number] += rounds * QUANTUM * (weight if number == UPLINK else 1)
        self.begin()

    def _pass(self, interface):
        """Pass its place. Returns its quantum."""
        words = self.words
        words[FRONT] = (words[FRONT] + 1) % len(self._circle)
        if interface.number != UPLINK:
            return QUANTUM
        quantum = QUANTUM * max(words[SOME], 1)
        words[SOME] = 0
        return quantum

    def _written(self):
        """Write the circle down for machine code."""
        for i in range(len(self._circle)):
            self.numbers[i] = self._circle[i].number
        self.words[COUNT] = len(self._circle)
