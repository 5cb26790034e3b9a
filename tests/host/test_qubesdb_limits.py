"""Our copy of QubesDB when dom0 writes more than it may hold, or something fails on the way; IPv6 lists, which go first."""
import random

import pytest
from qubesdb_scenes import CONTENT, END, OK, RM, TREE, WRITE, Side, committed, stale, synced, tree
from test_qubesdb_wire import packed

from firewall.qubes import ruletrees


def test_stale_trees_are_bounded_and_attached_ones_stay():
    attached = "10.138.0.5"
    side = synced(*stale(5000), attached=[attached])
    trees = side.database.copy.trees
    assert len(trees) <= ruletrees.LIMIT and trees.forgot
    assert trees.packed(attached) is not None
    assert trees._octets == sum(len(tree[0]) for tree in trees._trees.values())
    for i in range(5000):  # and so by updates
        side.receive(packed(WRITE, "/qubes-firewall/10.139.%d.%d/policy" % (i >> 8, i & 0xFF), b"drop"),
                     packed(WRITE, "/qubes-firewall/10.139.%d.%d" % (i >> 8, i & 0xFF)))
        side.sent()
    assert len(trees) <= ruletrees.LIMIT and trees.packed(attached) is not None
    assert not trees._open and not trees._sizes
    assert len(side.commits) == 5000


def test_trees_that_are_never_committed_are_bounded():
    side = synced()
    for i in range(5000):
        side.receive(packed(WRITE, "/qubes-firewall/10.139.%d.%d/policy" % (i >> 8, i & 0xFF), b"drop"))
        side.sent()
    trees = side.database.copy.trees
    assert len(trees) <= ruletrees.LIMIT and len(trees._open) <= 8 and set(trees._sizes) == set(trees._open)


def test_a_tree_too_large_is_refused_whole():
    side = synced()
    for i in range(9999):
        side.receive(packed(WRITE, "%s/%04d" % (TREE, i), b"action=drop dst4=192.0.2.1/32"))
        side.sent()
    side.receive(packed(WRITE, TREE + "/policy", b"drop"), packed(WRITE, TREE))
    (key,) = side.nodes()
    assert key != "policy"  # so that no parser takes it
    side.receive(packed(RM, TREE + "/"), packed(WRITE, TREE + "/policy", b"drop"), packed(WRITE, TREE))
    assert side.nodes() == {"policy": b"drop"}


def test_a_large_list_is_packed_in_steps():
    """Between them the rings have their turn; nothing that comes later is dealt with before."""
    side = synced(attached=["10.137.7.21"])
    nodes = {"%04d" % i: b"action=accept dst4=192.0.2.1/32" for i in range(1500)}
    for key, value in nodes.items():
        side.receive(packed(WRITE, TREE + "/" + key, value))
        side.sent()
    side.database.feed(packed(WRITE, TREE) + packed(RM, TREE + "/"))
    steps = 0
    while not side.commits:
        assert side.nodes() is None and side.database.step()
        steps += 1
    assert steps >= 1500 // 16
    ((address, octets),) = side.commits
    assert list(ruletrees.nodes_of(octets)) == sorted(nodes.items())
    assert side.nodes() == nodes and not side.database.committing
    assert side.database.step()
    assert side.nodes() is None and side.sent()[-1] == packed(OK, TREE + "/")


def test_the_channel_ends_in_the_middle_of_a_large_commit():
    side = synced(attached=["10.137.7.21"])
    for i in range(200):
        side.receive(packed(WRITE, "%s/%04d" % (TREE, i), b"action=accept"))
        side.sent()
    side.database.feed(packed(WRITE, TREE))
    assert side.database.step() and side.database.committing
    side.begin()
    side.receive(*tree(b"action=drop"), END)
    assert side.nodes() == {"policy": b"drop", "0000": b"action=drop"} and side.commits == []


TREE6 = "/qubes-firewall/fd09:24ef:4179::a89:15"


def test_an_ipv6_list_is_kept():
    """As an IPv4 list is; nothing uses it yet."""
    side = synced(
        packed(CONTENT, TREE6 + "/policy", b"drop"), packed(CONTENT, TREE6 + "/0000", b"action=accept dst6=2001:db8::/32"),
        packed(CONTENT, TREE6), *tree(b"action=accept"),
    )  # fmt: skip
    assert side.nodes("fd09:24ef:4179::a89:15") == {"policy": b"drop", "0000": b"action=accept dst6=2001:db8::/32"}
    assert side.nodes() == {"policy": b"drop", "0000": b"action=accept"}
    side.receive(packed(RM, TREE6 + "/"), packed(WRITE, TREE6 + "/policy", b"accept"))
    assert side.nodes("fd09:24ef:4179::a89:15") is None  # being written
    side.receive(packed(WRITE, TREE6))
    assert side.nodes("fd09:24ef:4179::a89:15") == {"policy": b"accept"}
    assert side.commits[-1][0] == "fd09:24ef:4179::a89:15"
    for what in ("fd09::1::2", "fd09", "::g", ":", "10.137.7.300"):
        side.receive(packed(WRITE, "/qubes-firewall/" + what + "/policy", b"drop"), packed(WRITE, "/qubes-firewall/" + what))
    assert len(side.database.copy.trees) == 2


def test_ipv6_lists_are_forgotten_first():
    """They count within the same limits, and cost no client its IPv4 list, whoever is attached."""
    trees = ruletrees.RuleTrees()
    old = ["10.137.0.%d" % i for i in range(200)]
    for address in old:
        trees.write(address, "policy", b"drop")
        committed(trees, address)
    for i in range(3 * ruletrees.LIMIT):
        address = "fd09:24ef:4179::%x" % i
        trees.write(address, "policy", b"drop" * 300)
        if i % 100 == 7:
            trees.write("fd09::8", "%04d" % (i // 100), b"action=drop")  # a long list: being written all the while
        committed(trees, address)
        assert len(trees) <= ruletrees.LIMIT and trees._octets <= ruletrees.OCTETS
    assert all(trees.packed(address) is not None for address in old) and not trees.forgot
    assert len(ruletrees.unpack(committed(trees, "fd09::8"))) == 3 * ruletrees.LIMIT // 100 + 1
    for i in range(ruletrees.LIMIT):
        trees.write("10.138.%d.%d" % (i >> 8, i & 255), "policy", b"drop")
        committed(trees, "10.138.%d.%d" % (i >> 8, i & 255))
    assert trees.forgot and trees.packed(old[0]) is None


def test_equal_trees_are_equal_octets_however_they_came():
    keys = ["policy"] + ["%04d" % i for i in range(40)]
    seen = set()
    for order in range(5):
        trees = ruletrees.RuleTrees()
        for key in random.Random(order).sample(keys, len(keys)):
            trees.write("10.0.0.1", key, key.encode())
        seen.add(committed(trees, "10.0.0.1"))
    assert len(seen) == 1


def test_rule_trees_against_a_plain_dict():
    """Random writes, removals and commits over a few addresses: the settled tree is what a dict would hold."""
    dice = random.Random(7)
    trees = ruletrees.RuleTrees()
    model, settled = {}, {}
    for _ in range(5000):
        address = "10.0.0.%d" % dice.randrange(12)
        key = "%04d" % dice.randrange(4)
        act = dice.randrange(10)
        if act < 6:
            value = bytes(dice.randrange(300))
            model.setdefault(address, {})[key] = value
            settled[address] = False
            trees.write(address, key, value)
        elif act < 7:
            model.get(address, {}).pop(key, None)
            settled[address] = False
            trees.remove(address, key)
        elif act < 8:
            model[address] = {} if address in model else model.get(address, {})
            settled[address] = False
            trees.remove(address, None)
        else:
            model.setdefault(address, {})
            settled[address] = True
            assert ruletrees.unpack(committed(trees, address)) == model[address]
        nodes = trees.packed(address)
        assert (nodes is not None) == settled[address]
        assert nodes is None or ruletrees.unpack(nodes) == model[address]


# ---- what fails


def test_a_key_that_failed_to_be_told_is_told_by_the_next_reading():
    """Memory ran out in who watches it; the connection is made anew, and the value is the same as before."""
    side = Side()
    told = []

    def watcher(path, value):
        if not told:
            told.append("failed")
            raise MemoryError
        told.append((path, value))

    side.database.watch("/connected-ips", watcher)
    with pytest.raises(MemoryError):
        side.receive(packed(CONTENT, "/connected-ips", b"10.137.7.21"), packed(CONTENT, "/a"), END)
    side.begin()
    side.receive(packed(CONTENT, "/connected-ips", b"10.137.7.21"), END)
    assert told == ["failed", ("/connected-ips", b"10.137.7.21")] and side.told == ["synced"]


@pytest.mark.parametrize("step", ["write", "remove", "committing", "_store"])
def test_a_tree_whose_change_failed_is_refused_at_its_commit(monkeypatch, step):
    """Never taken without what failed; other trees, and its own next update, count."""
    side = synced(*tree(b"action=drop"), attached=["10.137.7.21"])
    commit = [packed(RM, TREE + "/"), packed(WRITE, TREE + "/policy", b"accept"), packed(WRITE, TREE)]
    real = getattr(ruletrees.RuleTrees, step)

    def failing(*args):
        monkeypatch.setattr(ruletrees.RuleTrees, step, real)
        raise MemoryError

    monkeypatch.setattr(ruletrees.RuleTrees, step, failing)
    side.receive(*commit)
    ((address, octets),) = side.commits
    assert address == "10.137.7.21" and octets == ruletrees.SPOILED and side.database.synced
    side.receive(*commit)
    assert side.nodes() == {"policy": b"accept"}


def test_a_tree_that_is_lost_while_others_are_written_is_refused_at_its_commit(monkeypatch):
    """Memory ran out when its nodes were packed to make room for another's: in part it would allow more than whole."""
    one = "10.137.7.21"
    others = ["10.137.8.%d" % i for i in range(16)]
    side = synced(attached=[one, *others])
    side.receive(packed(WRITE, TREE + "/policy", b"accept"))
    writes = [packed(WRITE, "/qubes-firewall/%s/policy" % other, b"accept") for other in others]
    side.receive(*writes[:8], packed(WRITE, TREE + "/0000", b"action=drop"))
    real = ruletrees.packing

    def failing(nodes):
        if "0000" not in nodes:
            return real(nodes)
        monkeypatch.setattr(ruletrees, "packing", real)
        raise MemoryError

    monkeypatch.setattr(ruletrees, "packing", failing)
    side.receive(*writes[8:], packed(WRITE, TREE))
    assert ruletrees.packing is real and side.commits == [(one, ruletrees.SPOILED)]
    side.receive(*[packed(WRITE, "/qubes-firewall/" + other) for other in others])
    assert [ruletrees.unpack(octets) for _, octets in side.commits[1:]] == [{"policy": b"accept"}] * 16


def test_attached_trees_together_have_a_limit():
    """A commit beyond it is refused, whosever; those before it stay."""
    addresses = ["10.137.9.%d" % i for i in range(20)]
    side = synced(attached=addresses)
    value = b"x" * 3000
    for address in addresses:
        base = "/qubes-firewall/" + address
        side.receive(*[packed(WRITE, "%s/%04d" % (base, i), value) for i in range(40)], packed(WRITE, base))
        side.sent()
    spoiled = [address for address, octets in side.commits if octets == ruletrees.SPOILED]
    whole = ruletrees.OCTETS // (40 * 3007)
    assert len(side.commits) == 20 and spoiled == addresses[whole:]
    assert side.database.copy.trees._octets <= ruletrees.OCTETS


def test_equal_trees_are_held_once_while_everything_is_read_again():
    side = synced(*tree(b"action=drop"), attached=["10.137.7.21"])
    before = side.database.copy.trees.packed("10.137.7.21")
    side.begin()
    side.receive(*tree(b"action=drop"), END)
    assert side.database.copy.trees.packed("10.137.7.21") is before and side.database.copy.trees.before is None
