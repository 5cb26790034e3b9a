"""Keys of addresses that strangers choose: those that are alike modulo the size of a table are not as keys."""
import random

import interpreter
import pytest
import scattered

from firewall.names.names import Names
from firewall.rules import matcher
from test_names_tables import CLIENT, S, learn, octets

# of MicroPython's tables as they grow (py/map.c), and of those made for a number of entries that is known
SIZES = (293, 389, 691, 919, 1627, 2161, 3229, 4831, 7243, 10861, 16273, 256, 512, 1000, 1024, 2048, 4095, 4096, 8192)


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(scattered, "_factor", scattered._factor)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [None] + list(range(12)))
def test_what_is_alike_in_a_table_is_scattered(size, seed):
    if seed is not None:
        scattered.draw(random.Random(seed).randbytes)
    for step in (size, 3 * size, size << 4, size << 8):
        chosen = [0x01000000 + step * i for i in range(min(8192, (1 << 31) // step))]
        assert len({address % size for address in chosen}) == 1
        counts = {}
        for address in chosen:
            place = scattered.key(address) % size
            counts[place] = counts.get(place, 0) + 1
        assert max(counts.values()) < 40 + 8 * len(chosen) // size


def test_each_address_has_a_key_of_its_own_and_small():
    chance = random.Random(3)
    ends = [0, 1, 2, 0xFFFFFFFF, 0xFFFFFFFE, 1 << 32, (1 << 128) - 1, 1 << 127]
    chosen = {chance.randrange(1 << chance.choice((8, 32, 33, 128))) for _ in range(20000)}.union(ends)
    for seed in range(50):
        scattered.draw(random.Random(seed).randbytes)
        assert scattered._factor % 2 and 0xFFFFFFFF * scattered._factor < 1 << 62
        assert len({scattered.key(each) for each in chosen}) == len(chosen)
        assert scattered.keys(chosen) == [scattered.key(each) for each in chosen]
    for draw in (bytes(4), b"\xff" * 4):
        scattered.draw(lambda n: draw)
        assert scattered._factor % 2 and 0xFFFFFFFF * scattered._factor < 1 << 62


def test_a_set_of_addresses():
    chance = random.Random(7)
    made, right = scattered.Addresses(), set()
    assert not made
    for _ in range(5000):
        address = chance.randrange(3000) * 10861
        assert (address in made) == (address in right)
        if chance.randrange(3):
            made.add(address)
            right.add(address)
    assert made and len(made) == len(right) and max(len(part) for part in made._parts) < 400


def test_no_large_table_has_an_address_as_its_key():
    """What a client learns, what its rules make of it, and what is past: all of it by keys."""
    names = Names(None, octets(), None)
    names.attached(CLIENT)
    names.set_wildcards({7: "*.example.org"})
    texts = b"action=accept dsthost=wild-7.firewall", b"action=drop dsthost=a.example"
    some = {"policy": b"drop", "0000": texts[0], "0001": texts[1]}
    rules = matcher.load(some, "10.137.0.21", (), names.of(CLIENT))[0]
    names.in_force(CLIENT, rules, 0)
    chosen = [0x01000000 + 4831 * i for i in range(300)]
    for i, address in enumerate(chosen):
        learn(names, "n%d.example.org" % i, address, S)
    keys = {scattered.key(address) for address in chosen}
    learnt = names.clients[CLIENT].learnt
    assert set(learnt.by_address) == keys and not keys & set(chosen)
    assert names.name_of(CLIENT, chosen[7], S) == "n7.example.org"
    names.tick(S)
    assert rules.decide(6, chosen[9], 1, -1, S) == (True, 0) and rules.decide(6, chosen[9] + 1, 1, -1, S)[0] is False
    assert set(rules._named[0].by_address) == keys
    late = 301 * S
    names.tick(late)
    assert rules.decide(6, chosen[9], 1, -1, late)[0] is False and rules.still(6, chosen[9], 1, -1)
    assert set(rules._named[0].by_past) == keys
    (past,) = [found for found in names.past(late) if found is not None]
    assert len(past) == 300 and all(address in past for address in chosen) and chosen[0] + 1 not in past


under_micropython = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)


@under_micropython
def test_a_key_takes_no_memory():
    said = interpreter.run("""
import gc, scattered, xen
scattered.draw(xen.random)
before = scattered._factor
def keys():
    gc.collect()
    gc.disable()
    had = gc.mem_alloc()
    for i in range(1000):
        scattered.key(0xFFFFFFFF - i)
    return gc.mem_alloc() - had
keys()
print(keys(), before & 1)
""")
    assert said == ["0 1"]
