"""What all rings have, in one look: a row of addresses an interface, in the order in which they came."""
import xen
from micropython import const

from firewall.fast import rings as kernels
from firewall.interfaces import NUMBERS, UPLINK

_ROW = const(8)  # words
SOME = const(0xFFFF)  # of what look() says: how many interfaces have something for a turn
ANSWERED = const(0x10000)  # the netvm has sent frames
HOLDING = const(0x20000)  # a client has not given buffers for what is held
ROOM = const(0x40000)  # the uplink has room for the longest frame


class Look:
    """has: an octet by an interface's number, 1: it had something when last looked at."""

    def __init__(self):
        self.has = bytearray(NUMBERS)
        self._rows = xen.view(xen.mem(4 * _ROW * NUMBERS), "I")
        self._numbers = xen.view(xen.mem(2 * NUMBERS), "H")
        self._count = 0
        self._of_clients = (self._rows, self._numbers, self.has)
        self._tables = self._of_clients

    def add(self, number, rings):
        """These rings have come. MemoryError: they have not."""
        if number == UPLINK:
            last = rings.rx.words, rings.rx.counters
            lent = rings.counters, rings.tx_lent.counters, rings.rx_lent.counters, rings.quarantine.counters
            tables = self._of_clients + lent
        else:
            last = (rings.counters,)
            tables = self._tables
        at = _ROW * number
        for memory in (rings.tx.words, rings.tx.counters) + last:
            kernels.enter(self._rows, at, memory)
            at += 2
        self._tables = tables
        self._numbers[self._count] = number
        self._count += 1
        self.has[number] = 0

    def remove(self, number):
        """Its rings are about to go."""
        numbers = self._numbers
        there = 0
        for i in range(self._count):
            if numbers[i] != number:
                numbers[there] = numbers[i]
                there += 1
        self._count = there
        if number == UPLINK:
            self._tables = self._of_clients
        self.has[number] = 0

    def look(self):
        """How many interfaces have something for a turn | ANSWERED, HOLDING, ROOM."""
        return kernels.look(self._tables, self._count)

    def arm(self):
        """Ask all for an event with the next that they send. As look(): what has come meanwhile."""
        kernels.arm(self._tables, self._count)
        xen.mb()
        return kernels.look(self._tables, self._count)

    def sending(self):
        """The number of a client with copies in the running burst; -1: there is none."""
        place = kernels.sending(self._tables, self._count, 0)
        return self._numbers[place] if place < self._count else -1
