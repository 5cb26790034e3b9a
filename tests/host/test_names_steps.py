"""What is done for names as time passes, in steps: how long each is, and what may come between them."""
import random

import pytest
from counting import bytecodes
from test_names_tables import Ways, addresses, in_force, learn

from firewall.names.names import Names
from firewall.names.table import FOR_EVER

S = 1000
CLIENT = 0x0A890015


@pytest.fixture
def names():
    made = Names(Ways(), random.Random(1).randbytes, lambda text: None)
    made.attached(CLIENT)
    return made


def all_that_can_be_known(names):
    """The hosts of 1,000 rules, of which 32 have 256 addresses each: as many as a table takes."""
    hosts = ["n%d.example.org" % i for i in range(1000)]
    in_force(names, *["action=accept dsthost=%s" % host for host in hosts])
    for i in range(32):
        names.table.settle(hosts[i], addresses(256, i << 16 | 0x0B000000), 0)
    return hosts


def longest(steps, *end):
    """Most bytecodes of a step, up to a result; end: what stands for one if the steps have none."""
    most, result = 0, None
    while result is None:
        count, result = bytecodes(next, steps, *end)
        most = max(most, count)
    return most


def test_a_tick_over_all_that_can_be_known_is_made_of_short_steps(names):
    """8,192 addresses of names in rules and as many learnt ones became past in one step, of 9 to 50 ms."""
    hosts = all_that_can_be_known(names)
    known = names.clients[CLIENT]
    for i in range(16):
        known.learnt.learn(hosts[i], addresses(256, i << 16 | 0x0C000000), 0)
    names._see_past(known)
    assert names.table.addresses == 8192 and known.learnt.addresses == 4096 and known.wake == 300 * S
    names.set_resolvers([0x0A8B0101])
    names.set_up(True, 0x0A890008)
    for now in (S, 301 * S, 601 * S):
        assert longest(names.ticking(now)) < 12000  # some 1 us each
    assert known.wake == FOR_EVER and all(not name.admits(601 * S) for name in names.table.names.values())


def test_what_is_learnt_between_two_steps_becomes_past_in_time(names):
    """A step writes when the next address becomes past; what was learnt since the one before may be earlier."""
    names.set_wildcards({1: "*.example.org"})
    in_force(names, "action=accept dsthost=wild-1.firewall")
    known = names.clients[CLIENT]
    for i in range(100):
        known.learnt.learn("n%d.example.org" % i, addresses(3, i << 16 | 0x0C000000, 300 if i else 3600), 0)
    names._see_past(known)
    steps = names.ticking(301 * S)
    while known.wake == 300 * S:
        next(steps)
    learn(names, "new.example.org", 0x0D000000, 301 * S)
    assert [each for each in steps][-1] <= 601 * S and known.wake == 601 * S


def test_ending_and_forgetting_all_that_can_be_known_is_made_of_short_steps(names):
    """Other resolvers, and the look at which past addresses still have flows: 8,192 addresses were one step."""
    all_that_can_be_known(names)
    past, epoch = set(), names.table.epoch
    table = names.table
    assert longest(table.end(S), True) < 12000 and table.epoch > epoch
    assert all(name.answered is None and not name.admits(S) for name in table.names.values())
    assert longest(table.past(2 * S, past), True) < 12000 and len(past) == 8192
    assert longest(table.prune(past, set(), 2 * S), True) < 12000 and table.addresses == 0


def test_a_name_that_is_left_while_addresses_are_forgotten_counts_once(names):
    hosts = ["n%d.example.org" % i for i in range(9)]
    in_force(names, *["action=accept dsthost=%s" % host for host in hosts])
    for i in range(9):
        names.table.settle(hosts[i], addresses(100, i << 16 | 0x0B000000, 1), 0)
    past = set()
    list(names.table.past(5000 * S, past))
    steps = names.table.prune(past, set(), 5000 * S)
    next(steps)
    in_force(names, "action=accept")
    list(steps)
    assert names.table.addresses == 0 and not names.table.names


def test_what_memory_was_refused_for_while_all_was_ended_is_ended_again(names, monkeypatch):
    in_force(names, "action=accept dsthost=a.example.org")
    names.set_resolvers([1])
    names.table.settle("a.example.org", addresses(3, 0x0B000000), 0)
    names.set_resolvers([2])
    real = names.table.end

    def refused(now):
        monkeypatch.setattr(names.table, "end", real)
        raise MemoryError
    monkeypatch.setattr(names.table, "end", refused)
    with pytest.raises(MemoryError):
        names.tick(S)
    assert names.table.names["a.example.org"].admits(S)
    names.tick(S)
    assert not names.table.names["a.example.org"].admits(S)
