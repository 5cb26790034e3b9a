"""Flows that clients begin towards the uplink, what the uplink brings of none, and what is of a foreign Ethernet type,
beside the judge: the plain ones, mostly in machine code.

A burst asks here about a packet of no known flow, before it makes a frame of it for the judge. What would be let out is
entered, and its packet is one of a known flow then; in a full table another flow goes for it, which he would take too.
What policy or rules refuse, while the client has used up its share of answers, is dropped, as is what comes to us from
outside and is of no flow, and IPv6. All else is the judge's: whatever is told, a port that is another's, limits of
ports, other clients, forwarded ports, questions that teach names. He is the specification;
tests/host/test_opening_same.py runs both over the same packets.
"""
from array import array

from micropython import const

from firewall import reasons
from firewall.fast import entries
from firewall.fast.opening import (
    DST, FOUND, INSIDE, KIND, PORT, PORTS, PROTO, SRC, SRC_WORD, TOTAL, enlist, enter, read, strays,
)  # fmt: skip
from firewall.fast.runs import foreign
from firewall.flows.clients import ERROR_COST, V4
from firewall.flows.nat import POOLS, _pool
from firewall.flows.record import KIND as RECORD_KIND
from firewall.flows.record import PREV, WORDS
from firewall.interfaces import UPLINK
from firewall.wire import byteorder, icmp, ipv4

LEFT, BEGUN, DROPPED, _REFUSED = range(4)


_BY_RULE = const(-1)  # instead of a reason


class Opening:
    def __init__(self, judge, tables, rows):
        """tables: those of fast/known.py. rows: packets, parts, the pool's memory."""
        self._judge = judge
        self._neighbours = n = judge.neighbours
        self._by_address = n.clients.by_address
        self._flows = flows = n.flows
        self._nat = n.nat
        self._accounts = n.accounts
        self._tables = tables
        self._rows = rows
        self._index = flows.index.tables
        self._steps = (entries.find, entries.add, flows.index.remove)
        self._found = array("I", bytes(4 * FOUND))
        self._strays = (read, entries.find, self._index, tables, rows, self._found, self._plain)
        self._reason = self._rule = 0  # why it was refused last, and by which rule, if by one
        self.ended = False  # another flow went for the one begun last

    def begin(self, interface, row, now):
        """LEFT: the judge shall see the packet of this row. BEGUN: its flow is known now. DROPPED: and counted."""
        said = self.let_out(interface, row, now, True)
        if said == LEFT:
            return DROPPED if self.strays(interface, row, row + 1) > row else LEFT
        if said != _REFUSED:
            return said
        client = interface.client
        if client.bucket.has(ERROR_COST, now):
            return LEFT  # it is to be told; else it was told enough
        reason, found = self._reason, self._found
        if reason == _BY_RULE:
            reason = reasons.DENIED
            self._accounts.decided(client.slot, self._rule)
        proto = found[PROTO]
        self._judge.counters[reason] += 1
        port = icmp.ECHO if proto == ipv4.ICMP else found[PORT]
        self._accounts.refused(client.slot, reason, found[DST], proto, port, now)
        return DROPPED

    def let_out(self, interface, row, now, anyway=False):
        """LEFT or BEGUN, as begin(), or _REFUSED. If not begun, nothing has changed.

        anyway: where there is no room another flow goes for it, the one that the judge would take; if the new one is
        LEFT then, he finds room.
        """
        found = self._found
        if interface.number == UPLINK:
            return LEFT
        if not read(entries.find, self._index, self._tables, self._rows, row, interface.number, found):
            return LEFT
        n, client, dst = self._neighbours, interface.client, found[DST]
        if found[SRC] != client.shown or dst == client.gateway or not n.uplink or dst in self._by_address:
            return LEFT
        proto = found[PROTO]
        port, kind = found[PORT], -1
        if proto == ipv4.ICMP:
            port, kind = -1, icmp.ECHO
        barred = n.barred(client.address, proto, dst, port)
        if barred:
            self._reason = barred
            return _REFUSED
        if found[TOTAL] > n.uplink.mtu:
            return LEFT
        accept, rule = client.rules[V4].decide(proto, dst, port, kind, now)
        if accept:
            return self._enter(client, interface.number, rule, now, anyway)
        self._reason, self._rule = _BY_RULE, rule
        return _REFUSED

    def strays(self, interface, first, end):
        """Rows that nobody need read count as dropped, from the first one on, those alike; the row behind them.

        They are of no flow and from the uplink, or of an Ethernet type that is dropped whatever else they say.
        """
        client = interface.client
        behind = first if client else strays(self._strays, first, end)
        reason = reasons.NO_FLOW
        if behind == first and interface.mtu:
            behind = foreign(self._rows, first, end)
            reason = reasons.ETHERNET
        if behind > first:
            self._judge.counters[reason] += behind - first
            self._accounts.unread(client, reason, behind - first)
        return behind

    def _plain(self):
        """For strays(): whether what was found has no source of ours, and no port of ours or that is forwarded."""
        found, n = self._found, self._neighbours
        src, proto, port = found[SRC], found[PROTO], found[PORT]
        if n.ours(src) or src in self._by_address or src in n.connected:
            return False
        return not (n.nat.reserved(proto, port) or proto << 16 | port in n.policy.forwards)

    def _enter(self, client, number, rule, now, anyway):
        found, flows, nat = self._found, self._flows, self._nat
        proto, outside = found[PROTO], found[INSIDE]
        if nat._kept or proto == ipv4.TCP and nat.reserved(proto, outside):
            return LEFT
        if proto == ipv4.UDP and self._neighbours.teaches(found[DST], found[PORT]):
            return LEFT
        self.ended = False
        if flows.count >= flows.capacity or client.flows >= flows.cap(client):
            if not anyway or client.flows > flows.cap(client) or not flows.room(client, now):  # he makes room himself
                return LEFT
            self.ended = True
        mapped = None
        if proto != ipv4.TCP:
            mapped = flows.mappings.find(client, found[SRC_WORD], found[PORTS] & 0xFFFF, found[KIND])
            if mapped >= 0:
                outside = byteorder.first(flows.mappings.outside(mapped))
            elif not self._is_free(client, proto, outside):
                return LEFT
        record = flows._free - 1 if flows._free else flows._fresh
        free = flows.records[record * WORDS + PREV]  # if it comes from the list
        if not enter(self._steps, self._index, self._tables, found, record, number, outside, now & 0xFFFFFFFF):
            return LEFT
        if mapped is not None and not self._map(client, record, mapped, proto, outside):
            self._undo(record, free)
            return LEFT
        if flows._free:
            flows._free = free
        else:
            flows._fresh += 1
        enlist(self._tables, record)
        client.flows += 1
        flows.count += 1
        self._judge.opened += 1
        self._accounts.decided(client.slot, rule)
        self._accounts.opened(client.slot, record, now)
        return BEGUN

    def _is_free(self, client, proto, port):
        """May a new mapping of the client have this port, and nobody's has to go for it?"""
        if self._nat._ports[proto].taken(port):
            return False
        pool = _pool(proto, port)
        first, end = POOLS[pool]
        attached = len(self._by_address)
        share = min(self._flows.share, (end - first) // attached)
        return client.mapped[pool] < end - first - share * (attached - 1)

    def _map(self, client, record, mapped, proto, outside):
        """The flow joins its mapping, or begins one. False: nothing is changed."""
        mappings = self._flows.mappings
        if mapped >= 0:
            mappings.join(record, mapped)
            return True
        if not mappings.begin(record, client, _pool(proto, outside)):
            return False
        self._nat._ports[proto].take(outside)
        return True

    def _undo(self, record, free):
        """The index of mappings has no place."""
        w, index = self._flows.records, self._flows.index
        for half in (2 * record, 2 * record + 1):
            at = half * (WORDS // 2)
            index.remove(half, w[at], w[at + 1], w[at + 2], w[at + 3])
        w[record * WORDS + RECORD_KIND] = 0
        w[record * WORDS + PREV] = free
