"""The nodes of a tree that is being written, beside a dict: in order, out of order, at random, and packed."""
import random
import tracemalloc

import pytest

from firewall.qubes import ruletrees
from firewall.qubes.nodes import Nodes, Run

KEYS = ["%04d" % i for i in range(300)] + ["policy", "", "p", "po", "pong", "00/1", "00/2", "00a"]


def packed(nodes):
    whole = b""
    for key in sorted(nodes):
        name = key.encode()
        whole += bytes([len(key)]) + name + len(nodes[key]).to_bytes(2, "little") + nodes[key]
    return whole


def same(nodes, twin, keys):
    assert len(nodes) == len(twin)
    for key in keys:
        assert (key in nodes, nodes.get(key)) == (key in twin, twin.get(key)), key


@pytest.mark.parametrize("seed", range(20))
def test_as_a_dict_whatever_is_done(seed):
    dice = random.Random(seed)
    nodes, twin = Nodes(), {}
    in_order = iter(sorted(dice.sample(KEYS, 150)))
    for step in range(400):
        key = next(in_order, None) if dice.random() < 0.9 or step < 100 else dice.choice(KEYS)
        key = dice.choice(KEYS) if key is None else key
        what = dice.random() if step > 100 else 0
        if what < 0.8:
            twin[key] = bytes(dice.randrange(256) for _ in range(dice.choice([0, 1, 40, 200])))
            nodes.put(key, twin[key])
        elif what < 0.95:
            assert nodes.pop(key) == twin.pop(key, None)
        else:
            assert sorted(nodes.below(key)) == sorted(each for each in twin if each.startswith(key))
        if step % 40 == 0:
            same(nodes, twin, KEYS)
    same(nodes, twin, KEYS)
    assert bytes(ruletrees.pack(nodes)) == packed(twin) and ruletrees.unpack(ruletrees.pack(nodes)) == twin


def test_in_order_they_are_few_objects():
    nodes = Nodes()
    for key in KEYS[:300]:
        nodes.put(key, b"action=accept")
    nodes.put("policy", b"drop")
    assert [type(table) for table in nodes.tables.values()] == [Run] * 4 and len(nodes) == 301
    assert nodes.get("0300") is None and "spoiled" not in nodes  # for which none is opened
    assert [type(table) for table in nodes.tables.values()] == [Run] * 4
    assert nodes.get("0150") == b"action=accept"
    assert [type(nodes.tables[each]) for each in ("00", "01", "02", "po")] == [Run, dict, Run, Run]


def test_one_that_comes_again_has_its_last_value():
    nodes = Nodes()
    for key, value in (("0000", b"a"), ("0001", b"b"), ("0001", b"c"), ("0000", b"d"), ("0002", b"")):
        nodes.put(key, value)
    assert len(nodes) == 3 and ruletrees.unpack(ruletrees.pack(nodes)) == {"0000": b"d", "0001": b"c", "0002": b""}


def test_thousands_that_begin_alike_are_opened_in_a_short_step():
    """A run has an end, and what comes behind is in a dict: to open it is the work of a few."""
    nodes = Nodes()
    for i in range(1000):
        nodes.put("aa%04d" % i, b"value")
        assert not isinstance(nodes.tables["aa"], Run) or len(nodes.tables["aa"]) <= 128
    assert len(nodes) == 1000 and nodes.get("aa0500") == b"value" and len(nodes.below("aa00")) == 100


@pytest.mark.parametrize("key, value", [("x" * 256, b""), ("0000", bytes(1 << 16)), ("é" * 3, b"")])
def test_what_cannot_be_packed_so_is_kept(key, value):
    nodes = Nodes()
    nodes.put(key, value)
    assert nodes.get(key) == value and len(nodes) == 1 and isinstance(nodes.tables[key[:2]], dict)


def test_memory_is_what_is_packed_and_as_much_again_at_most():
    nodes = Nodes()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for i in range(4000):
        nodes.put("%04d" % i, b"action=accept dst4=198.18.0.1 proto=tcp dstports=1-100")
    octets = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(ruletrees.pack(nodes)) < octets < 3 * len(ruletrees.pack(nodes))
