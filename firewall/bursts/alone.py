"""What a pass in machine code is given, and what it says: see fast/passes.py."""
from array import array

import xen
from micropython import const

from firewall import turns
from firewall.fast import circle, client_rx, client_tx, known, passes, rings, uplink_rx, uplink_tx

# words
SEEN = const(0)  # what was last seen, see look.py
MOST = const(1)  # turns in a pass
MANY = const(2)  # 1: many slots go to the netvm lately
DONE = const(3)  # 1: something was done: more than to drop what nobody need read
NUMBER = const(4)  # of whose turn it was
TAKEN = const(5)  # packets taken | slots << 16; or what else a kernel has said
LOOKED_UP = const(6)  # packets, up to the first miss
GONE = const(7)  # packets that have left
LEFT = const(8)  # 0, or what uplink_tx.put has said of the next
COUNT = const(9)  # hits in this pass
WORK = const(10)  # of the turn that Python has to end
LEAST_SLOTS = const(11)  # in a turn
MOST_SLOTS = const(12)  # in one of who brings hits alone
BURST = const(13)
BURST_SLOT = const(14)
OF = const(15)  # whose packets have failed
CALM = const(16)  # addresses, two words each, the lower first
SCALARS = const(18)
COPIES = const(20)
OF_PACKETS = const(22)
CIRCLE = const(24)
GIVEN = const(26)  # turns in this pass, with the one that Python has to end
BEGUN = const(27)  # flows begun in the last turn
MOST_BEGUN = const(28)
OF_BEGUN = const(29)
HOW = const(30)  # how the loop's last pass ended, if Python is to go on
BEGAN = const(31)  # ns, two words each: when the pass's turns began,
DUE = const(33)  # when slots to the netvm are to be counted
KNOWN_TIME = const(35)  # an address: what known() takes for the time
RAN = const(37)  # 1: the pass has had Python begin flows
LONGEST = const(38)  # ns: the pass's time
AT_REST = const(39)  # 1: the loop's pass ends for Python as soon as something was done
MAY_WAIT = const(40)  # 1: that the uplink has no room for what clients have is no matter for Python
WAITS = const(41)  # 1: so it is, and events are asked for
_TALLY = const(7)  # places in the tables
_CAME = const(24)
_WENT = const(25)
_TAPS = const(27)
# how it ended
WHOLE = const(0)  # the pass is over
REST = const(1)  # turns go on in Python
ANSWERS = const(2)  # the netvm's answers are not all in order
HELD = const(3)  # the netvm holds pages of which it said that they are ours
PACKETS = const(4)  # some packets of a turn have not left
FAILED = const(5)  # some packets for a client have failed
TURN = const(6)  # the turn of who has what is not in order


class Alone:
    """run(tables): the pass. words: see above."""

    def __init__(
        self, look, packets, of_hits, known_tables, scalars, arrays, calm, outward, order, begin, most, strays,
    ):  # fmt: skip
        """packets: of rows; of_hits: what known() is given; scalars: the rows' s; order: turns.Turns.

        begin(number, i), most: through.Bursts.begun(), and how often in a turn; strays: another of its methods; others
        as in through.py.
        """
        self.run = passes.alone
        self.serve = passes.serve
        self.words = words = array("I", bytes(4 * 42))
        words[BURST], words[BURST_SLOT] = turns.BURST, turns.BURST_SLOT
        words[MOST_BEGUN], words[OF_BEGUN] = most, turns.BEGUN
        self.tables = [
            look.look, look.place, look.end, look.tables, rings.place(words), arrays, xen.ns, None, circle.whose,
            uplink_rx.turn, client_tx.turn, known.known, of_hits, known_tables, packets,
            uplink_tx.put, client_rx.put, uplink_tx.take_back, xen.copy, outward.ops,
            rings.sending, client_rx.finish, circle.lone, circle.charge, None, None, begin, None,
            strays, rings.for_room,
        ]  # fmt: skip
        rings.enter(words, CALM, calm)
        rings.enter(words, SCALARS, scalars)
        rings.enter(words, COPIES, outward.counters)
        rings.enter(words, OF_PACKETS, packets[0])
        rings.enter(words, KNOWN_TIME, known_tables[0][9:])
        self._circle = array("I", bytes(8 * 6))
        of_turns = (order.words, order.numbers, order.credits, order.rounds, order.rested, look.has)
        for i in range(6):
            rings.enter(self._circle, 2 * i, of_turns[i])
        rings.enter(words, CIRCLE, self._circle)

    def call(self, count, least, most):
        """count(ns): slots to the netvm are to be counted. least, most: slots in a turn."""
        self.tables[_TALLY] = count
        self.words[LEAST_SLOTS], self.words[MOST_SLOTS] = least, most

    def watch(self, tap):
        """tap: capture.Taps, which is told of packets from now on; None: nobody is."""
        self.tables[_CAME] = tap.came if tap else None
        self.tables[_WENT] = tap.went if tap else None
        self.tables[_TAPS] = tap.kernel if tap else None

    def said(self, word):
        """What a kernel has said, which may be less than 0."""
        value = self.words[word]
        return value - (1 << 32) if value >> 31 else value
