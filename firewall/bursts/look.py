"""What all rings have, in one look: a row of addresses an interface, in the order in which they came."""
from array import array

import xen
from micropython import const

from firewall.fast import rings as kernels
from firewall.fast import uplink_rx, uplink_tx
from firewall.interfaces import NUMBERS, UPLINK

_ROW = const(8)  # words
_IDLE = const(4)  # the first of a ring: who asks for an event writes there
_OF_END = const(2)  # place in the tables
_OF_LOOK = const(8)  # addresses in the words
# of what is seen:
SOME = const(0xFFFF)  # how many interfaces have something for a turn
ANSWERED = const(0x10000)  # the netvm has sent frames
HOLDING = const(0x20000)  # a client has not given buffers for what is held
WAITING = const(0x40000)  # the uplink is without room, or was when last asked
ROOM = const(0x80000)  # it has room for all that a turn may bring
MORE = const(0x100000)  # more pages are to be lent to the netvm
ASKED = const(0x200000)  # machine code does not know how many may be
WHO = const(22)  # from this bit on: the number of one that has something


class Look:
    """has: an octet by an interface's number, 1: it had something when last looked at.

    look(place), end(tables, may): see fast/rings.py.
    """

    def __init__(self):
        self.has = bytearray(NUMBERS)
        self.look = kernels.look
        self.end = kernels.end
        self._rows = xen.view(xen.mem(4 * _ROW * NUMBERS), "I")
        self._numbers = xen.view(xen.mem(2 * NUMBERS), "H")
        self._idle = xen.view(xen.mem(4 * _IDLE * NUMBERS), "I")  # what stands for tx rings that are not looked at
        # how many, whether the uplink is one; and addresses: of the first three tables, and of what is the uplink's
        self.words = array("I", bytes(4 * (2 + 2 * _OF_LOOK)))
        self.place = kernels.place(self.words)
        self.tables = [self.place, xen.mb, None, None, None, None]
        self._mine = ()  # the uplink's memory, which is kept here
        common = self._rows, self._numbers, self.has
        for i in range(3):
            kernels.enter(self.words, 2 + 2 * i, common[i])

    def add(self, number, rings, arrays):
        """These rings have come. arrays: what the kernels are given of them. MemoryError: they have not."""
        last = (rings.counters,)
        if number == UPLINK:
            last = rings.rx.words, rings.rx.counters
            lent = rings.tx_lent.counters, rings.rx_lent.counters, rings.quarantine.counters
            self._mine = mine = (rings.counters,) + lent + (rings.backlog.counters,)
        at = _ROW * number
        for memory in (rings.tx.words, rings.tx.counters) + last:
            kernels.enter(self._rows, at, memory)
            at += 2
        if number == UPLINK:
            tables = self.tables
            for i in range(5):
                kernels.enter(self.words, 8 + 2 * i, mine[i])
            tables[_OF_END] = uplink_rx.lend
            tables[_OF_END + 1] = arrays[2]
            tables[_OF_END + 2] = uplink_tx.flush
            tables[_OF_END + 3] = arrays[4]
            self.words[1] = 1
        self.has[number] = 0
        self._numbers[self.words[0]] = number
        self.words[0] += 1

    def remove(self, number):
        """Its rings are about to go."""
        numbers = self._numbers
        there = 0
        for i in range(self.words[0]):
            if numbers[i] != number:
                numbers[there] = numbers[i]
                there += 1
        self.words[0] = there
        if number == UPLINK:
            self.words[1] = 0
        self.has[number] = 0

    def pause(self, number, rings, on):
        """A client's tx ring is not looked at, and no event of it is asked for, until this is called again."""
        idle = self._idle[_IDLE * number : _IDLE * (number + 1)]
        idle[0] = rings.tx.req_cons  # as if nothing were in it
        kernels.enter(self._rows, _ROW * number, idle if on else rings.tx.words)
        self.has[number] = 0

    def sending(self):
        """The number of a client with copies in the running burst; 0: there is none."""
        return kernels.sending(self.place)
