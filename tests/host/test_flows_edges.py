"""Edges of the flow table that planted faults showed to be seen by nobody: a full index, the sweep, who goes first."""
import itertools
import random

import pytest
from packets import udp
from test_flows_model import POOL, TIMEOUT, Table

from firewall.flows import state as flowstate
from firewall.flows.record import BACK, SEEN
from firewall.neighbours import Neighbours
from tests.network import Network, words


@pytest.mark.parametrize("rested", [TIMEOUT, TIMEOUT + 1])
@pytest.mark.parametrize("swept", [False, True])
def test_flows_expire_by_what_is_said_of_themselves(rested, swept):
    """At every value of a clock of 32 bits: also where some other word of a record is near it."""
    for now in range((1 << 32) - TIMEOUT, (1 << 32) + 6 * TIMEOUT, TIMEOUT // 4 - 1):
        table = Table()
        table.attach(1)
        for remote in range(1, 6):
            assert table.open(1, 1, remote, now - rested & 0xFFFFFFFF)
        halves = [table.half(1, 1, remote, back) for remote in range(1, 6) for back in (False, True)]
        assert -1 not in halves
        if swept:
            table.flows.tick(now & 0xFFFFFFFF, 1000)
            assert table.flows.count == (5 if rested == TIMEOUT else 0)
        else:
            assert {table.flows.live(half, now & 0xFFFFFFFF) for half in halves} == {rested == TIMEOUT}


@pytest.mark.parametrize("fresh", [False, True], ids=["a record used before", "a fresh record"])
@pytest.mark.parametrize("which", ["there", "back", "mapping"])
def test_a_flow_that_the_index_has_no_place_for_leaves_nothing(which, fresh):
    """Neither half, nor a mapping; and the next one finds the record as it was."""
    table = Table()
    table.attach(1)
    for remote in (1001, 1002, 1003):
        assert table.open(1, 1, remote, 0)
    if not fresh:
        for remote in (1003, 1002):
            table.flows.remove(table.half(1, 1, remote) >> 1)
    flows, full = table.flows, []
    before = flows.count, table.clients.by_address[1].flows, flows._fresh, flows._free
    index = flows.mappings.index if which == "mapping" else flows.index
    add = index.add

    def no_place(half, *key):
        full.append(half)
        return False if len(full) == (2 if which == "back" else 1) else add(half, *key)

    index.add = no_place
    assert not table.open(1, 2, 1004, 0)
    assert full
    index.add = add
    assert before == (flows.count, table.clients.by_address[1].flows, flows._fresh, flows._free)
    assert table.half(1, 2, 1004) == table.half(1, 2, 1004, back=True) == -1
    table.sound()
    for remote in (1004, 1005, 1006):
        assert table.open(1, 2, remote, 0)
        table.sound()
    assert not table.unmapped
    flows.tick(TIMEOUT + 1, 10000)
    assert flows.count == 0
    table.sound()


@pytest.mark.parametrize("visits, cursor", [(0, 3), (1, 4), (4, 7), (5, 1), (7, 3), (8, 3), (10000, 3)])
def test_a_sweep_goes_once_round(visits, cursor):
    """Not on and on, while there are visits left, over few flows that all live."""
    table = Table()
    table.attach(1)
    for remote in range(7):
        assert table.open(1, 1, remote, 0)
    table.flows.tick(1, 3)
    assert table.flows._cursor == 3
    table.flows.tick(1, visits)
    assert table.flows._cursor == cursor and table.flows.count == 7


def test_nothing_is_left_of_flows_that_were_cleared():
    """Of nobody, also of a client that is leaving: all have what a fresh table gives them."""
    table = Table()
    for address in (1, 2, 3):
        table.attach(address)
        for remote in range(8):
            assert table.open(address, remote & 3, remote, 0)
        for remote in range(4):
            table.answer(table.half(address, remote & 3, remote))
            table.answer(table.half(address, remote & 3, remote))
    leaving = table.clients.by_address[3]
    leaving.interfaces = []
    table.clients.detach(leaving)
    table.flows.tick(0, 30)
    table.flows.clear()
    table.sound()
    assert table.flows.count == 0
    assert all(client.flows == 0 and not any(client.mapped) for client in table.clients.by_slot if client)
    assert table.half(1, 1, 1) == table.half(1, 1, 1, back=True) == -1
    table.flows.tick(0, 1000)
    assert not table.clients.leaving
    for address in (1, 2):
        for remote in range(16):
            assert table.open(address, remote & 3, remote, 1)
            table.sound()
    assert not table.unmapped


@pytest.mark.parametrize("count", [0, 1, 63, 1023, 1024, 1025, 1500, 4096])
def test_a_table_of_any_length_is_wiped(count):
    table = words(count)
    for i in range(count):
        table[i] = i + 1
    Table().flows.wipe(table)
    assert not any(table)


def test_a_full_table_takes_from_who_is_leaving_first():
    """From each as long as it has one; nobody who stays loses any."""
    table = Table(capacity=32, share=4)
    for address in (1, 2, 3):
        table.attach(address)
    for address, count in ((1, 20), (2, 2), (3, 10)):
        for remote in range(count):
            assert table.open(address, 1, remote, 0)
    clients = [table.clients.by_address[address] for address in (1, 2, 3)]
    for client in clients[1:]:
        client.interfaces = []
        table.clients.detach(client)
    for i in range(12):
        assert table.flows.count == 32
        assert table.open(1, 1, 100 + i, 0)
        table.sound()
        assert [client.flows for client in clients] == [21 + i, max(0, 1 - i), min(10, 11 - i)]
        assert all(table.half(1, 1, remote) >= 0 for remote in range(20))
    table.flows.tick(0, 1000)
    assert not table.clients.leaving and table.flows.count == 32


@pytest.mark.parametrize("state, answers_count", [
    (flowstate.ICMP_ASSURED, False), (flowstate.UDP_ASSURED, True), (flowstate.OTHER_ASSURED, True), (flowstate.OPEN, True),
])
@pytest.mark.parametrize("which", [0, 7, 15])
def test_of_flows_in_use_the_longest_idle_goes(state, answers_count, which):
    """By the packets of both sides; of ICMP by the questions alone: nobody waits for a second answer."""
    table = Table(capacity=16, share=4)
    table.attach(1)
    for remote in range(16):
        assert table.open(1, 1, remote, 0)
    for remote in range(16):
        half = table.half(1, 1, remote)
        table.flows.move(half >> 1, state)
        table.flows.records[half * 16 + SEEN] = 1000 if remote == which else 2000
        table.flows.records[half * 16 + BACK + SEEN] = 3000 if remote == which else 1500
    table.attach(2)
    assert table.open(2, 1, 1, 4000)
    table.sound()
    gone = [remote for remote in range(16) if table.half(1, 1, remote) < 0]
    assert gone == [(1 if which == 0 else 0) if answers_count else which]


def test_of_flows_that_rested_as_long_the_first_goes():
    """And of the largest holder, also if none has rested at all."""
    for rested in (0, 1, 2):
        table = Table(capacity=16, share=4)
        table.attach(3)
        table.attach(1)
        for remote in range(4):
            assert table.open(3, 1, remote, 4000 - rested)
        for remote in range(12):
            assert table.open(1, 1, remote, 4000 - rested)
            table.flows.move(table.half(1, 1, remote) >> 1, flowstate.UDP_ASSURED)
        table.attach(2)
        assert table.open(2, 1, 1, 4000)
        table.sound()
        assert [remote for remote in range(12) if table.half(1, 1, remote) < 0] == [0]
        assert all(table.half(3, 1, remote) >= 0 for remote in range(4))


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("held", [each for n in range(4) for each in itertools.permutations(range(3), n)])
def test_a_mapping_is_in_use_as_long_as_one_of_its_flows_is(held, before):
    """Whichever of them, in whatever order they come to be used and end; also the first mapping there ever was."""
    for ending in itertools.permutations(range(3)):
        table = Table()
        table.attach(1)
        client = table.clients.by_address[1]
        for port in range(100, 100 + before):
            assert table.open(1, port, 999, 0)
            table.answer(table.half(1, port, 999)), table.answer(table.half(1, port, 999))
        for remote in range(3):
            assert table.open(1, 1, remote, 0)
        used = set()
        for remote in held:
            table.answer(table.half(1, 1, remote)), table.answer(table.half(1, 1, remote))
            used.add(remote)
            table.sound()
            assert not client.maps_first[POOL << 1] and client.maps_first[POOL << 1 | 1]
        for remote in ending:
            table.flows.remove(table.half(1, 1, remote) >> 1)
            used.discard(remote)
            table.sound()
            left = remote != ending[-1]
            assert bool(client.maps_first[POOL << 1]) == (left and not used)
        assert table.unmapped == [1] and client.mapped[POOL] == before


def test_without_another_share_a_client_gets_512():
    """The image names none: what others hold leaves 512 flows to each client that is attached."""
    neighbours = Neighbours(4096, words, random.Random(1).randbytes)
    neighbours.attach(1, 1, b"abcdef")
    assert neighbours.flows.cap(neighbours.clients.by_address[1]) == 4096
    neighbours.attach(2, 2, b"abcdef")
    neighbours.attach(3, 3, b"abcdef")
    assert neighbours.flows.cap(neighbours.clients.by_address[1]) == 4096 - 2 * 512


@pytest.mark.parametrize("visits, left", [(17, 9), (18, 8), (34, 8), (35, 7), (52, 6)])
def test_a_removal_counts_as_sixteen_visits_of_the_sweep(visits, left):
    """So that a slice of a table in which all flows have ended takes no longer than any other."""
    table = Table()
    table.attach(1)
    for remote in range(1, 11):
        assert table.open(1, 1, remote, 0)
    table.flows.tick(TIMEOUT + 1, visits)
    assert table.flows.count == left
    table.sound()


def test_another_address_of_ours_frees_all_mappings():
    """As many flows as the table has, each with a mapping of its own, again and again."""
    net = Network(capacity=16)
    client = net.client("10.137.0.21")
    for last in (2, 3, 4):
        net.netvm("10.138.0.%d" % last)
        for port in range(16):
            client.send(udp("10.137.0.21", 4000 + port, "192.0.2.50", 53))
            assert net.uplink.recv()
        assert net.neighbours.flows.count == 16
