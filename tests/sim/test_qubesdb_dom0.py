"""The QubesDB daemon of the tests leaves where dom0's does, and only there: what a VM sends, and what becomes of it."""
import json
import os

import pytest
from qubesdb_dom0 import (
    CONTENT, ERROR, HEADER, LIST, MULTIREAD, NOENT, OK, READ, RM, UNWATCH, WATCH, WRITE, Daemon, Left, message)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases", "qubesdb_cases.jsonl")) as rows:
    CASES = [row for row in map(json.loads, rows) if "vm_sends" in row]


def daemon():
    made = Daemon({"/a": b"1", "/b/c": b"2"})
    made.feed(message(MULTIREAD))
    made.take()
    return made


def answers(made, octets):
    made.feed(octets)
    out, found = made.take(), []
    while out:
        kind, field, length = HEADER.unpack_from(out)
        found.append((kind, field.partition(b"\0")[0].decode()))
        out = out[HEADER.size + length :]
    return found


@pytest.mark.parametrize("row", CASES, ids=lambda row: row["id"])
def test_every_row_of_what_the_vm_sends(row):
    assert row["then"] == "channel dropped"
    with pytest.raises(Left):
        daemon().feed(bytes.fromhex(row["vm_sends"]))


@pytest.mark.parametrize("octets", [
    *(message(kind, "/a") for kind in (READ, LIST, WATCH, UNWATCH, NOENT, 10, 12, 13, 14, 255)),
    message(WRITE, "/a", b"x" * 3072), message(WRITE, "/-a$", b"x"), message(WRITE, "-a", b"x"), b"\1" + b"/" * 71,
    message(WRITE, "a", b"x"), message(WRITE, "/a/", b"x"), message(RM, "/absent"), message(RM, "/absent/"),
    message(MULTIREAD), message(CONTENT, "/a", b"1"), message(OK, "/a", b"x"), message(ERROR, "/a", b"x"),
])
def test_it_leaves(octets):
    with pytest.raises(Left):
        daemon().feed(octets)


@pytest.mark.parametrize("octets, answer", [
    (message(WRITE, "/a", b"2"), OK), (message(WRITE, "/new", b"x" * 3071), OK), (message(WRITE, "/a", b""), OK),
    (message(WRITE, "/a", b"x\0y"), ERROR), (message(RM, "/a"), OK), (message(RM, "/b/"), OK),
    (message(RM, "/a", b"x"), ERROR), (message(MULTIREAD, "", b"x"), ERROR),
])
def test_it_answers_and_stays(octets, answer):
    assert [kind for kind, _ in answers(daemon(), octets)] == [answer]


@pytest.mark.parametrize("octets", [message(OK, "/a"), message(ERROR, "/a")])
def test_answers_of_the_vm_are_read_and_dropped(octets):
    assert answers(daemon(), octets) == []


def test_a_removal_whose_answer_finds_no_room():
    made = daemon()
    for _ in range(60):
        made.write("/x", b"y")
    with pytest.raises(Left):
        made.feed(message(RM, "/a"))
