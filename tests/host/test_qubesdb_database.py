"""What dom0's messages do to our copy of QubesDB, and the answers; every row of qubesdb_cases.jsonl."""
import json
import os

import pytest
from qubesdb_scenes import CONTENT, END, ERROR, NOENT, OK, RM, TREE, WRITE, Side, synced, tree
from test_qubesdb_wire import packed, read

from firewall.qubes import messages as qdb_messages, ruletrees
from peererror import PeerError

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "..", "cases", "qubesdb_cases.jsonl")) as rows:
    CASES = {row["id"]: row for row in map(json.loads, rows)}


# ---- the rows


def test_hdr():
    assert qdb_messages.HEADER == 72 and "72 bytes" in CASES["hdr"]["fact"]
    assert read(packed(WRITE, "/a", b"xyz")) == [(WRITE, "/a", b"xyz")]


def test_sync_end_stale():
    side = Side()
    side.receive(packed(CONTENT, "/qubes-ip", b"10.137.0.9"))
    assert side.told == []
    side.receive(bytes.fromhex(CASES["sync-end-stale"]["dom0_sends"]))
    assert side.told == [("/qubes-ip", b"10.137.0.9"), "synced"] and side.database.synced


def test_commit():
    side = synced(*tree(b"action=accept"), attached=["10.137.7.21"])
    side.receive(packed(RM, TREE + "/"), packed(WRITE, TREE + "/policy", b"drop"),
                 packed(WRITE, TREE + "/0000", b"action=drop"))
    assert side.commits == [] and side.nodes() is None  # not to be had half
    side.receive(bytes.fromhex(CASES["commit"]["dom0_sends"]))
    assert [(address, ruletrees.unpack(nodes)) for address, nodes in side.commits] == [
        ("10.137.7.21", {"policy": b"drop", "0000": b"action=drop"})]


def test_rm_tree():
    side = synced(*tree(b"action=accept"))
    side.receive(bytes.fromhex(CASES["rm-tree"]["dom0_sends"]))
    assert side.nodes() is None and side.commits == []
    assert side.sent() == [packed(OK, TREE + "/")]
    side.receive(packed(WRITE, TREE))
    assert side.nodes() == {}  # nothing of the old list came back


def test_rm_of_what_is_below_a_rule_is_not_of_the_rule():
    """With a slash at its end a path names what is below it, never the key itself."""
    side = synced(*tree(b"action=drop", b"action=accept"))
    side.receive(packed(WRITE, TREE + "/0000/x", b"odd"), packed(WRITE, TREE))
    assert "0000/x" in side.nodes()  # and no parser takes it
    side.receive(packed(RM, TREE + "/0000/"), packed(WRITE, TREE))
    assert side.nodes() == {"policy": b"drop", "0000": b"action=drop", "0001": b"action=accept"}
    side.receive(packed(RM, TREE + "/0000"), packed(WRITE, TREE))
    assert side.nodes() == {"policy": b"drop", "0001": b"action=accept"}


def test_rm_missing():
    side = synced()
    side.receive(bytes.fromhex(CASES["rm-missing"]["dom0_sends"]))
    assert side.sent() == [packed(OK, "/no-such/")]


@pytest.mark.parametrize("case", ["vm-watch", "vm-noent"])
def test_what_drops_the_channel_is_never_sent(case):
    octets = bytes.fromhex(CASES[case]["vm_sends"])
    with pytest.raises(ValueError):
        qdb_messages.pack(octets[0], octets[1:65].rstrip(b"\0").decode())


def test_path_63():
    side = synced()
    assert side.database.write("/dns/10.137.7.21/" + "x" * 46, b"1")
    assert not side.database.write("/dns/10.137.7.21/" + "x" * 47, b"1")
    assert side.sent() == [packed(WRITE, "/dns/10.137.7.21/" + "x" * 46, b"1")]


def test_every_row_has_its_test():
    tests = {"hdr", "sync-end-stale", "commit", "rm-tree", "rm-missing", "vm-watch", "vm-noent", "path-63"}
    assert set(CASES) == tests


# ---- one connection


def test_every_update_is_answered_in_order():
    side = synced(packed(CONTENT, "/qubes-ip", b"10.137.0.9"))
    side.receive(packed(WRITE, "/qubes-ip", b"10.137.0.10"), packed(RM, "/qubes-ip"), packed(RM, "/qubes-ip"),
                 packed(WRITE, "/nobody-asked", b"x"), packed(ERROR, "/a"), packed(OK, "/b"), packed(NOENT, "/c"))
    assert side.sent() == [packed(OK, path) for path in ("/qubes-ip", "/qubes-ip", "/qubes-ip", "/nobody-asked")]
    assert side.told[2:] == [("/qubes-ip", b"10.137.0.10"), ("/qubes-ip", None)]
    assert side.database.errors == 2
    assert "/nobody-asked" not in side.database.copy.values


def test_a_rule_alone_is_no_commit():
    side = synced(*tree(b"action=drop"))
    side.receive(packed(WRITE, TREE + "/0001", b"action=accept"))
    assert side.nodes() is None and side.commits == []
    side.receive(packed(WRITE, TREE, b"not empty"))
    assert side.nodes() is None and side.commits == []
    side.receive(packed(RM, TREE + "/0000"), packed(WRITE, TREE))
    assert side.nodes() == {"policy": b"drop", "0001": b"action=accept"}


@pytest.mark.parametrize("directory", ["/", "/qubes-firewall/"])
def test_all_trees_removed_at_once(directory):
    side = synced(*tree(b"action=accept"))
    side.receive(packed(RM, directory))
    assert side.nodes() is None
    assert side.sent() == [packed(OK, directory)]


def test_the_base_key_removed_takes_no_rule_away_and_is_no_commit():
    side = synced(*tree(b"action=drop"))
    side.receive(packed(RM, TREE))
    assert side.nodes() == {"policy": b"drop", "0000": b"action=drop"} and side.commits == []


def test_half_written_at_the_first_reading():
    assert synced(*tree(b"action=accept", base=False)).nodes() is None
    # the base key of an earlier commit is there already: the missing policy tells, and no parser takes it
    assert synced(*tree(b"action=accept", policy=None)).nodes() == {"0000": b"action=accept"}


def test_content_that_was_not_asked_for():
    with pytest.raises(PeerError):
        synced().receive(packed(CONTENT, "/a"))


def test_nothing_is_read_while_too_much_waits_to_be_sent():
    side = synced()
    side.receive(packed(WRITE, "/a") * 200)
    assert side.database.choked() and not side.database.step()
    assert 0 < len(side.sent()) < 200
    side.receive(b"")
    assert len(side.sent()) > 0 and not side.database.choked()


def test_own_writes_wait_for_the_end_of_the_reading():
    side = Side()
    side.database.write("/qubes-iptables-error", b"1")
    side.database.write("/qubes-iptables-error", b"")
    assert side.sent() == []
    side.receive(END)
    assert side.sent() == [packed(WRITE, "/qubes-iptables-error", b"")]


def test_own_writes_are_bounded():
    side = Side()
    assert sum(side.database.write("/a/%d" % i, b"") for i in range(1000)) == 256
    assert side.database.write("/a/0", b"1")  # what waits already can be changed


def test_the_handled_counter_goes_on_where_it_was():
    side = synced(*tree(b"action=drop"), packed(CONTENT, "/qubes-firewall-handled/10.137.7.21", b"41"))
    side.database.handled("10.137.7.21")
    assert side.sent() == [packed(WRITE, "/qubes-firewall-handled/10.137.7.21", b"42")]


# ---- again


def test_own_writes_that_may_be_lost_are_written_again():
    side = synced()
    side.database.write("/a", b"1")
    side.database.write("/b", b"1")
    assert len(side.sent()) == 2
    side.receive(packed(OK, "/b"))
    side.database.write("/a", b"2")
    assert side.sent() == []  # the first is not answered yet
    side.begin()
    side.receive(END)
    assert side.sent() == [packed(WRITE, "/a", b"2")]
    side.receive(packed(ERROR, "/a"))
    side.begin()
    side.receive(END)
    assert side.sent() == []


def test_the_handled_counter_that_was_lost_still_counts():
    side = synced(*tree(b"action=drop"))
    side.database.handled("10.137.7.21")
    side.sent()
    side.begin()
    side.receive(*tree(b"action=drop"), END)
    side.database.handled("10.137.7.21")
    assert side.sent() == [packed(WRITE, "/qubes-firewall-handled/10.137.7.21", b"2")]


def test_the_old_copy_is_in_force_until_the_new_one_is_whole():
    side = synced(packed(CONTENT, "/qubes-ip", b"10.137.0.9"), *tree(b"action=accept"))
    side.told.clear()
    side.begin()
    side.receive(packed(CONTENT, "/qubes-ip", b"10.137.0.10"), packed(CONTENT, "/mapped-ip/a", b"1"))
    assert side.told == [] and side.database.copy.values == {"/qubes-ip": b"10.137.0.9"}
    assert side.nodes() == {"policy": b"drop", "0000": b"action=accept"}
    side.receive(END)
    assert side.told == [("/mapped-ip/a", b"1"), ("/qubes-ip", b"10.137.0.10"), "synced"]
    assert side.nodes() is None
    side.told.clear()
    side.begin()
    side.receive(packed(CONTENT, "/qubes-ip", b"10.137.0.10"), END)
    assert side.told == [("/mapped-ip/a", None), "synced"]
