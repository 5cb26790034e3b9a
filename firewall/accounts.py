"""What is counted for whoever asks: new flows, hits of rules, and what was refused, to whom and why.

The judge tells of each first packet of a flow and of each packet that it drops; those of known flows pass by all of it.
Nothing here decides anything. All tables are made once, or when a client comes: no packet allocates.

    by_slot[slot]   the Account of a client (slot 0: the uplink), begun anew with each client; made once
    rules[record]   the rule that let the flow in, + 1; 0: the policy did
    begun[record]   ms of its first packet, modulo 2**32
    refusals        the last ROWS of them, alike ones in one row
"""
from array import array

from micropython import const

from firewall import reasons
from firewall.flows.clients import SLOTS
from firewall.flows.lists import Lists
from firewall.wire import ipv4

ROWS = const(256)  # refusals kept
_LINKS = const(4)  # words of a row: its neighbours in the order of entry, of all rows and of its client's
_OF_CLIENT = const(2)  # where the latter are
_PLACES = const(1024)  # of the index, in buckets of four
_LOOKS = const(8)  # rows looked at for one that may go

# what somebody has decided, and no fault in the packet's form; of some the ports were not read yet
_ADDRESSES = (reasons.SPOOFED, reasons.BAD_SOURCE, reasons.BAD_DESTINATION, reasons.LAND)
_POLICY = (
    reasons.DENIED, reasons.OTHER_CLIENT, reasons.NOT_ATTACHED, reasons.NO_UPLINK, reasons.FLOW_LIMIT,
    reasons.PORT_LIMIT, reasons.PROTOCOL_BUSY, reasons.OURS, reasons.ICMP_TYPE, reasons.LAN, reasons.ONLY, reasons.SHUT,
)  # fmt: skip
_NO_HITS = array("I", [0])  # of whoever has no list of his own; they mean nothing
_TOLD = bytes([2 if i in _POLICY else 1 if i in _ADDRESSES else 0 for i in range(reasons.COUNT)])


class Account:
    """Of a neighbour, since it was attached. refused: packets that the refusals tell of; drops: by reason, all.

    hits: how often each rule of its list has decided, by its number; the last one is the policy's. serial: another one
    for each neighbour that ever was.
    """

    def __init__(self):
        self.serial = 0
        self.drops = array("L", bytes(8 * reasons.COUNT))  # "Q" would make an object of each number read
        self.begin(0)

    def begin(self, address):
        """It is another one's. Allocates nothing."""
        self.serial += 1
        self.address = address
        self.hits = _NO_HITS
        self.loaded = -1  # ms, when its list came into force; main.py writes it
        self.new_flows = 0
        self.refused = 0
        for i in range(reasons.COUNT):
            self.drops[i] = 0


class Accounts:
    def __init__(self, capacity, words):
        """capacity: flows. words(n): a zeroed u32 view of n words outside the heap."""
        self.by_slot = [None] * SLOTS
        self.rules = words(capacity)
        self.begun = words(capacity)
        self.refusals = Refusals(words)
        self._rule = -1  # which has decided last, if its packet's end is not known yet
        self.begin(0, 0)

    def begin(self, slot, address):
        """A client has come, which has this slot from now on. Slot 0 is the uplink's."""
        if self.by_slot[slot] is None:
            self.by_slot[slot] = Account()  # kept from now on
        self.by_slot[slot].begin(address)

    def ruled(self, slot, rules):
        """A client has another RuleList."""
        self.by_slot[slot].hits = rules.hits

    def decided(self, slot, number):
        """This rule of a client's list, or its policy if None, has decided about the first packet of a flow."""
        hits = self.by_slot[slot].hits
        last = len(hits) - 1
        if number is None:
            self._rule = -1
            hits[last] += 1
        else:
            self._rule = number
            hits[number if number < last else last - 1] += 1

    def opened(self, slot, record, now):
        """Its flow has begun."""
        self.by_slot[slot].new_flows += 1
        self.rules[record] = self._rule + 1
        self.begun[record] = now & 0xFFFFFFFF
        self._rule = -1

    def dropped(self, client, verdict, p, now):
        """A packet was dropped that came from a client, or from the uplink if None. p: what was read of it."""
        told = _TOLD[verdict]
        if not told or not client:
            self.unread(client, verdict, 1)
            return
        port = 0
        if told > 1:
            port = p.kind if p.proto == ipv4.ICMP else max(p.destination_port(), 0)
        self.refused(client.slot, verdict, p.dst, p.proto, port, now)

    def unread(self, client, verdict, count):
        """So many packets were dropped for a reason that is not told, or from the uplink, if client is None."""
        self.by_slot[client.slot if client else 0].drops[verdict] += count
        self._rule = -1

    def refused(self, slot, verdict, dst, proto, port, now):
        """A client's packet was dropped for a reason that is told. port: or the type of ICMP."""
        account = self.by_slot[slot]
        account.drops[verdict] += 1
        account.refused += 1
        rule = self._rule + 1 if verdict == reasons.DENIED else 0
        self._rule = -1
        self.refusals.note(slot, dst << 24 | proto << 16 | port, account.address << 24 | verdict << 16 | rule, now)


class Refusals:
    """Rows as equal columns. what: destination << 24 | protocol << 16 | port, or type of ICMP. why: client << 24 |
    reason << 16 | rule + 1. When all are in use, who has more than an even part of them gives up one of its own oldest.
    """

    def __init__(self, words):
        self.used = 0
        self.serial = 0  # of what was noted last
        self.what = [0] * ROWS
        self.why = [0] * ROWS
        self.first = [0] * ROWS  # ms
        self.last = [0] * ROWS
        self.count = [0] * ROWS
        self.changed = [0] * ROWS  # serial of what was noted there last
        self._slot = words(ROWS)
        self._index = words(_PLACES)  # row + 1
        self._place = words(ROWS)  # in the index
        self._turn = 0  # which place of a full bucket is given to another
        self._table = table = words(ROWS * _LINKS)
        self._all = Lists(table, _LINKS, 0)
        self._own = Lists(table, _LINKS, _OF_CLIENT)
        self._first, self._last = words(1), words(1)  # ends of the list of all,
        self._firsts, self._lasts = words(SLOTS), words(SLOTS)  # and of each client's
        self._held = words(SLOTS)  # rows, by slot
        self._holders = 0  # slots that have any

    def note(self, slot, what, why, now):
        """Something was refused to the client with this slot."""
        mixed = what ^ why ^ what >> 24 ^ why >> 24 ^ what >> 40
        bucket = (mixed ^ mixed >> 10) & _PLACES - 4
        row = self._find(bucket, what, why)
        if row < 0:
            row = self._enter(slot, bucket)
            self.what[row] = what
            self.why[row] = why
            self.first[row] = now
            self.count[row] = 0
        self.serial += 1
        self.changed[row] = self.serial
        self.last[row] = now
        self.count[row] += 1

    def _find(self, bucket, what, why):
        for place in range(bucket, bucket + 4):
            row = self._index[place] - 1
            if row >= 0 and self.what[row] == what and self.why[row] == why:
                return row
        return -1

    def _enter(self, slot, bucket):
        """A row for this client, in the index, with nothing in it yet."""
        if self.used < ROWS:
            row = self.used
            self.used += 1
        else:
            row = self._leave(self._oldest(slot))
        place = bucket
        while place < bucket + 4 and self._index[place]:
            place += 1
        if place == bucket + 4:  # the row that had it is found no more: what is like it begins another
            self._turn = self._turn + 1 & 3
            place = bucket + self._turn
        self._index[place] = row + 1
        self._place[row] = place
        self._slot[row] = slot
        if not self._held[slot]:
            self._holders += 1
        self._held[slot] += 1
        self._all.append(self._first, self._last, 0, row)
        self._own.append(self._firsts, self._lasts, slot, row)
        return row

    def _oldest(self, slot):
        """The row that is to go for one of this client: of some that came first, the one repeated longest ago."""
        share = ROWS // (self._holders + (0 if self._held[slot] else 1)) or 1
        own = self._held[slot] >= share
        entry = self._firsts[slot] if own else self._first[0]
        found = entry - 1
        best = -1
        for _ in range(_LOOKS if own else ROWS):
            if not entry:
                break
            row = entry - 1
            if own or self._held[self._slot[row]] > share:
                if best < 0 or self.last[row] < best:
                    found, best = row, self.last[row]
                if not own:
                    break
            entry = self._table[row * _LINKS + (_OF_CLIENT if own else 0) + 1]
        return found

    def _leave(self, row):
        """This row is given up; it is in no list any more."""
        slot = self._slot[row]
        self._all.remove(self._first, self._last, 0, row)
        self._own.remove(self._firsts, self._lasts, slot, row)
        self._held[slot] -= 1
        if not self._held[slot]:
            self._holders -= 1
        if self._index[self._place[row]] == row + 1:
            self._index[self._place[row]] = 0
        return row
