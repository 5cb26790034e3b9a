"""The flow table against a model of dicts and lists that is too simple to be wrong."""
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firewall.flows import state
from firewall.flows.clients import SLOTS, Clients
from firewall.flows.nat import Nat
from firewall.flows.record import BACK, EGRESS, GENERATION, KIND, LIFE, NEXT, RING, SEEN, SIDE_UPLINK, WORDS
from firewall.flows.table import Flows
from firewall.wire import ipv4
from firewall.wire.byteorder import swap
from tests.network import words

CAPACITY, SHARE = 32, 4
POOL = 1  # the one that its mappings are counted in
TIMEOUT = state.TIMEOUT[state.UDP_NEW]
TIMEOUTS = (TIMEOUT, state.TIMEOUT[state.UDP_REPLIED], state.TIMEOUT[state.UDP_ASSURED])


class Table:
    """Flows with flows of UDP entered directly: client i's address is i, its port p maps to p."""

    def __init__(self, capacity=CAPACITY, share=SHARE, seed=1):
        self.clients = Clients(words, capacity)
        self.flows = Flows(capacity, words, random.Random(seed).randbytes, self.clients, share)
        self.unmapped = []
        self.flows.mappings.on_end = lambda pool, port: self.unmapped.append(port)

    def attach(self, address):
        self.clients.attach(address).interfaces = ["some interface"]

    def open(self, address, port, remote, now):
        """True if entered; the same key must not be there."""
        client = self.clients.by_address[address]
        if not self.flows.room(client, now):
            return False
        there = (address, remote, port, ipv4.UDP, 99, remote, swap(port << 16), 0, state.UDP_NEW << 16, client.slot, 0)
        back = (remote, 99 + address, port << 16, ipv4.UDP | SIDE_UPLINK, remote, address, port << 16, 0, 1, 0, 0)
        mapped = self.flows.mappings.find(client, address, port, ipv4.UDP)
        return self.flows.add(client, there, back, mapped if mapped >= 0 else -1 - POOL, now) >= 0

    def half(self, address, port, remote, back=False):
        if back:
            return self.flows.find(remote, 99 + address, port << 16, ipv4.UDP | SIDE_UPLINK)
        return self.flows.find(address, remote, port, ipv4.UDP)

    def answer(self, half):
        """An answer comes, or, if there was one, the client's next packet."""
        egress = self.flows.records[(half & ~1) * 16 + EGRESS]
        if egress >> 16 != state.UDP_ASSURED:
            self.flows.move(half >> 1, (egress >> 16) + 1)

    def touch(self, half, now):
        self.flows.records[(half & ~1) * 16 + SEEN] = now

    def sound(self):
        """Every list, ring and index says the same."""
        flows = self.flows
        w = flows.records
        used = {r for r in range(flows._fresh) if w[r * WORDS + KIND]}
        assert len(used) == flows.count
        listed = []
        rings = set()
        for client in self.clients.by_slot:
            if client is None:
                continue
            mine = []
            for rank in range(state.RANKS):
                link, before = client.first[rank], 0
                while link:
                    at = (link - 1) * WORDS
                    assert state.RANK[w[at + EGRESS] >> 16] == rank and w[at + 14] == before
                    mine.append(link - 1)
                    link, before = w[at + NEXT], link
                assert client.last[rank] == before
            assert len(mine) == client.flows
            listed += mine
            rings |= {(client.slot, w[r * WORDS], w[r * WORDS + 2] & 0xFFFF) for r in mine}
            self.sound_mappings(client)
        assert sorted(listed) == sorted(used)
        slots = [slot & 0x1FFFF for slot in flows._slots[0] if slot]
        assert sorted(slots) == sorted([2 * r for r in used] + [2 * r + 1 for r in used])
        assert sum(1 for slot in flows._slots[1] if slot) == len(rings)

    def sound_mappings(self, client):
        """Its lists and rings: every flow in one, the HELD ones first, each mapping in the list that its head says."""
        flows = self.flows
        w = flows.records
        entries = flows.mappings._entries
        found, count = set(), 0
        for which, first in enumerate(client.maps_first):
            link, before = first, 0
            while link:
                prev, after, packed = entries[(link - 1) * 3 : link * 3]
                head = record = packed & 0xFFFF
                assert prev == before and packed >> 16 == which and which >> 1 == POOL
                ranks = []
                while True:
                    at = record * WORDS + BACK
                    assert w[at + LIFE] == SLOTS + link - 1 and w[at + GENERATION] == self.clients.lives[w[at + LIFE]]
                    ranks.append(state.RANK[w[record * WORDS + EGRESS] >> 16] == state.HELD)
                    found.add(record)
                    following = w[at + RING] & 0xFFFF
                    assert w[following * WORDS + BACK + RING] >> 16 == record
                    record = following
                    if record == head:
                        break
                assert ranks == sorted(ranks, reverse=True) and ranks[0] == which & 1
                at = head * WORDS
                assert flows.mappings.index.find(w[at], client.slot, w[at + 2] & 0xFFFF, w[at + 3]) == 2 * head
                count += 1
                link, before = after, link
            assert client.maps_last[which] == before
        assert count == client.mapped[POOL] and len(found) == client.flows


class Model:
    """What the table must be: per client a list of flows in order, each [key, rank, last seen].

    The order is that of entry, or of the last change of rank.
    """

    def __init__(self, capacity=CAPACITY, share=SHARE):
        self.capacity, self.share = capacity, share
        self.of = {}  # address: flows

    def count(self):
        return sum(map(len, self.of.values()))

    def cap(self):
        others = len(self.of) - 1
        return max(self.capacity - self.share * others, self.capacity // len(self.of))

    def recycle(self, address):
        for rank in (state.IDLE, state.ANSWERED):
            for flow in self.of[address]:
                if flow[1] == rank:
                    self.of[address].remove(flow)
                    return True
        return False

    def room(self, address, now):
        mine = self.of[address]
        if len(mine) >= self.cap():
            return self.recycle(address)
        if self.count() < self.capacity:
            return True
        most = max(len(flows) for flows in self.of.values())
        largest = next(a for a, flows in self.of.items() if len(flows) == most)
        if len(mine) >= self.share or largest == address:
            return self.recycle(address)
        if not self.recycle(largest):
            idle = max(now - flow[2] for flow in self.of[largest])
            victim = next(flow for flow in self.of[largest] if now - flow[2] == idle)
            self.of[largest].remove(victim)
        return True

    def open(self, address, port, remote, now):
        if not self.room(address, now):
            return False
        self.of[address].append([(port, remote), state.IDLE, now])
        return True

    def find(self, address, port, remote):
        return next((flow for flow in self.of.get(address, ()) if flow[0] == (port, remote)), None)

    def answer(self, address, flow):
        if flow[1] < state.HELD:
            flow[1] += 1
            self.of[address].remove(flow)
            self.of[address].append(flow)

    def mappings(self, address, held):
        """The ports of a client that have, or have not, a flow in use."""
        ports = {flow[0][0] for flow in self.of[address]}
        return {p for p in ports if held == any(f[1] == state.HELD and f[0][0] == p for f in self.of[address])}

    def expire(self, now):
        for flows in self.of.values():
            flows[:] = [f for f in flows if now - f[2] <= TIMEOUTS[f[1]]]


ADDRESS, PORT, REMOTE = st.integers(1, 4), st.integers(1, 6), st.integers(1000, 1006)
STEPS = st.one_of(
    st.tuples(st.just("open"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("open"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("open"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("answer"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("answer"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("touch"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("recycle"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("attach"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("detach"), ADDRESS, PORT, REMOTE),
    st.tuples(st.just("wait"), ADDRESS, PORT, REMOTE),
)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=300))
def test_flows_do_what_the_model_does(steps):
    table, model = Table(), Model()
    now = 1000
    for what, address, port, remote in [("attach", 1, 0, 0), ("attach", 2, 0, 0)] + steps:
        now += 1
        flow = model.find(address, port, remote)
        half = table.half(address, port, remote) if address in model.of else -1
        assert (half >= 0) == (flow is not None)
        if flow:
            assert table.half(address, port, remote, back=True) == half + 1
        if what == "open" and address in model.of and not flow:
            assert table.open(address, port, remote, now) == model.open(address, port, remote, now)
        elif what == "answer" and flow:
            table.answer(half)
            model.answer(address, flow)
        elif what == "touch" and flow:
            table.touch(half, now)
            flow[2] = now
        elif what == "recycle" and address in model.of:
            table.flows.tick(now, 10000)
            model.expire(now)
            table.unmapped.clear()
            too = port > 3
            may = model.mappings(address, False) or too and model.mappings(address, True)
            assert table.flows.mappings.recycle(table.clients.by_address[address], POOL, too) == bool(may)
            ended = table.unmapped[0] if may else None
            assert not may or ended in may and len(table.unmapped) == 1
            for flow in list(model.of[address]):
                if flow[0][0] == ended:
                    half = table.half(address, ended, flow[0][1])
                    assert not table.flows.live(half, now)
                    if remote > 1003:  # a packet meets it, else the sweep does
                        table.flows.remove(half >> 1)
            table.flows.tick(now, 10000)
            model.of[address] = [flow for flow in model.of[address] if flow[0][0] != ended]
        elif what == "attach" and address not in model.of:
            table.attach(address)
            model.of[address] = []
        elif what == "detach" and len(model.of) > 1 and address in model.of:
            client = table.clients.by_address[address]
            client.interfaces = []
            table.clients.detach(client)
            del model.of[address]
            table.flows.tick(now, 10000)
        elif what == "wait":
            now += port * 30000
            table.flows.tick(now, 10000)
            model.expire(now)
        table.sound()
        assert table.flows.count == model.count()
        for a, flows in model.of.items():
            assert table.clients.by_address[a].flows == len(flows)


@settings(max_examples=30)
@given(st.lists(st.tuples(PORT, REMOTE), max_size=60, unique=True), st.randoms())
def test_a_mapping_ends_with_its_last_flow(keys, rng):
    table = Table(capacity=64)
    table.attach(1)
    for port, remote in keys:
        assert table.open(1, port, remote, 0)
    rng.shuffle(keys)
    left = [port for port, _ in keys]
    for port, remote in keys:
        table.unmapped.clear()
        left.remove(port)
        table.flows.remove(table.half(1, port, remote) >> 1)
        assert table.unmapped == ([] if port in left else [port])
        assert (table.flows.mappings.find(table.clients.by_address[1], 1, port, ipv4.UDP) >= 0) == (port in left)
        table.sound()


@pytest.mark.parametrize("seed", [1, 2])
def test_65536_flows_find_their_place(seed):
    """In, found, out, in again; the index is at half load, and no key is ever refused."""
    table = Table(65536, 512, seed)
    table.attach(1)
    rng = random.Random(seed)
    keys = [(rng.randrange(65536), rng.randrange(1 << 32)) for _ in range(65536)]
    keys = list(dict.fromkeys(keys))
    for port, remote in keys:
        assert table.open(1, port, remote, 0)
    assert table.flows.count == len(keys)
    for port, remote in keys:
        half = table.half(1, port, remote)
        assert half >= 0 and table.half(1, port, remote, back=True) == half + 1
    assert table.half(1, 1, 1 << 31) == -1 or (1, 1 << 31) in keys
    for port, remote in keys[::2]:
        table.flows.remove(table.half(1, port, remote) >> 1)
    for port, remote in keys[::2]:
        assert table.half(1, port, remote) == -1
        assert table.open(1, port, remote, 0)
    table.sound()


def test_nothing_here_is_recursive():
    """A full table, a flood, expiry and burial under a stack of a few frames more than now."""
    table = Table(1024, 64)
    table.attach(1)
    table.attach(2)
    depth = 1
    frame = sys._getframe()
    while frame.f_back:
        depth, frame = depth + 1, frame.f_back
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 30)
    try:
        for i in range(3000):
            table.open(1, i & 0xFFFF, i, 0)
        for i in range(64):
            table.open(2, i, i, 0)
        client = table.clients.by_address[1]
        client.interfaces = []
        table.clients.detach(client)
        while table.clients.leaving:
            table.flows.tick(1, 512)
        while table.flows.count:
            table.flows.tick(TIMEOUT + 2, 512)
    finally:
        sys.setrecursionlimit(old)
    table.sound()


def test_a_tick_does_a_bounded_amount():
    """However much is to be done, tick() removes no more than its visits pay for."""
    table = Table(4096, 64)
    table.attach(1)
    for i in range(4000):
        table.open(1, i, i, 0)
    for visits, most in ((16, 1), (512, 32)):
        before = table.flows.count
        table.flows.tick(TIMEOUT + 1, visits)
        assert 1 <= before - table.flows.count <= most


def test_another_address_costs_no_gap():
    """All tables are cleared, at the size they have in the image, by less than 500 stores: a ms, not 14."""
    stores = [0]

    class Counted:
        def __init__(self, count):
            self.words = words(count)

        def __len__(self):
            return len(self.words)

        def __getitem__(self, i):
            return self.words[i]

        def __setitem__(self, i, value):
            stores[0] += 1
            self.words[i] = value

    clients = Clients(words, 65536)
    flows = Flows(65536, Counted, random.Random(1).randbytes, clients)
    nat = Nat(flows, Counted, random.Random(1).randbytes)
    nat.renumber(1)
    tables = list(flows._slots) + [table for ports in nat._ports.values() for table in (ports.used, ports.full)]
    for table in tables:
        for i in (0, len(table) // 2, len(table) - 1):
            table[i] |= 2
    stores[0] = 0
    nat.renumber(2)
    assert 0 < stores[0] < 500
    assert sum(sum(table.words) for table in tables) == 1, "port 0 of UDP alone is taken"
