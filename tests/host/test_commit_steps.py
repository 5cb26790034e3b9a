"""What comes from QubesDB is dealt with in short steps, however much it is: between two of them the rings are served.

Counted in bytecodes of CPython, of which the image takes some 25 ns each; sorting and joining are C, and bounded by how
many keys there are in a table (firewall/qubes/nodes.py).
"""
import os
import re

from counting import bytecodes
from qubesdb_scenes import CONTENT, END, OK, RM, TREE, WRITE, Side, synced
from test_qubesdb_wire import packed

from firewall.qubes import ruletrees
from firewall.qubes.nodes import Nodes
from firewall.rules import matcher, names, text

MOST = 12000  # bytecodes in a step
TEXT = b"action=accept dst4=198.18.%d.%d proto=tcp dstports=%d-%d"
ADDRESS = "10.137.7.21"


def constant(module, name):
    """Of a module that CPython cannot import."""
    path = os.path.join(os.path.dirname(ruletrees.__file__), module + ".py")
    with open(path, encoding="utf-8") as text:
        return int(re.search(r"^%s = const\((\d+)\)" % name, text.read(), re.M)[1])


def rules(n):
    return {"%04d" % i: TEXT % (i >> 8, i & 255, i + 1, i + 100) for i in range(n)}


def longest(steps, each=1):
    """(most bytecodes of `each` steps in a row, the result)."""
    most = count = done = 0
    result = None
    while result is None:
        taken, result = bytecodes(next, steps)
        count += taken
        done += 1
        if done % each == 0:
            most, count = max(most, count), 0
    return max(most, count), result


def octets(n):
    nodes = Nodes()
    for key, value in dict(rules(n), policy=b"drop").items():
        nodes.put(key, value)
    return longest(ruletrees.packing(nodes))


def test_from_nodes_to_a_list_of_4000_rules(figure):
    packing, whole = octets(4000)
    counting, n = longest(ruletrees.count(whole))
    parsing, parsed = longest(text.parsing(ruletrees.nodes_of(whole), ADDRESS), constant("rulelists", "_SLICE"))
    sealing, made = longest(matcher.sealing(parsed, (), names.NoNames()))
    assert n == 4001 and made.count == 4000
    found = {"packing": packing, "counting": counting, "parsing": parsing, "sealing": sealing}
    for what, most in found.items():
        figure("a list of 4,000 rules: longest step, %s" % what, "%d bytecodes" % most, MOST)
    assert max(found.values()) < MOST, found


def test_no_table_of_a_tree_that_is_written_is_large():
    """One of thousands moves all its nodes when it grows, and sorts them in one go."""
    side = synced()
    for key, value in rules(4000).items():
        side.receive(packed(WRITE, "%s/%s" % (TREE, key), value))
        side.sent()
    nodes = side.database.copy.trees._open[ADDRESS]
    assert len(nodes) == 4000 and max(len(table) for table in nodes.tables.values()) <= 100


def test_each_message_is_a_short_step():
    """So many of them are dealt with before everybody else has his turn; a longer one is a turn of its own."""
    side = Side(ADDRESS)
    keys = [("/vm-config/%d" % i, b"1") for i in range(300)]
    keys += [(TREE + "/" + key, value) for key, value in sorted(rules(300).items())]
    keys += [("/connected-ips", b" ".join(b"10.137.1.%d" % i for i in range(1, 54)))]
    keys += [(TREE + "/policy", b"drop"), (TREE, b"")]
    messages = [packed(CONTENT, *key) for key in keys] + [END, packed(RM, "/vm-config/1"), packed(RM, TREE + "/")]
    messages += [packed(WRITE, TREE + "/%04d" % i, b"action=drop") for i in range(40)] + [packed(WRITE, TREE)]
    messages_a_turn = constant("connection", "_MESSAGES")
    counts = []
    for octets in messages:
        side.database.feed(octets)
        more = True
        while more:
            alone = side.database.busy()
            count, more = bytecodes(side.database.step)
            counts.append((count * (1 if alone else messages_a_turn), alone))
        side.sent()
    assert max(counts) < (MOST, False), max(counts)
    assert side.told == ["synced"] and len(side.commits) == 1


def test_what_we_write_is_made_messages_in_short_steps():
    """55 clients' lists came into force: as many counts were packed in one go."""
    side = synced()
    for i in range(200):
        assert side.database.write("/qubes-firewall-handled/10.137.1.%d" % i, b"1")
    sent = []
    while len(sent) < 200:
        count, out = bytecodes(side.database.outgoing)
        assert 0 < len(out) <= 8 * (72 + 1) and count < MOST
        sent += side.sent()
    assert len(set(sent)) == 200


def test_what_follows_a_reading_is_told_in_steps():
    """A step for each value that is told; only then all is said to be read, and the next message is dealt with."""
    side = Side()
    side.database.watch("/vm-config/", lambda path, value: side.told.append(path))
    for i in range(200):
        side.receive(packed(CONTENT, "/vm-config/%d" % i, b"1"))
    side.database.feed(END + packed(WRITE, "/vm-config/0", b"2"))
    assert side.database.step() and side.told == [] and side.database.busy()
    for done in range(200):
        assert side.database.step() and len(side.told) == done + 1 and not side.database.synced
    assert side.database.step() and side.told[-1] == "synced" and side.database.synced and not side.database.busy()
    assert side.database.step() and side.told[-1] == "/vm-config/0" and side.sent() == [packed(OK, "/vm-config/0")]
