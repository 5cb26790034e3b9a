"""qrexec's messages: any split of the stream, one test for each lie, and every row of qrexec_cases.jsonl."""
import json
import os
import struct
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firewall.qubes import qrexec
from peererror import PeerError
from test_numbers import CONSTANTS
from tests.sim.qrexec_dom0 import Caller, Daemon, Left, hello, message

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "..", "cases", "qrexec_cases.jsonl")) as rows:
    CASES = {row["id"]: row for row in map(json.loads, rows)}
KINDS = [qrexec.EXEC_CMDLINE, qrexec.JUST_EXEC, qrexec.SERVICE_CONNECT, qrexec.SERVICE_REFUSED, qrexec.HELLO, 0x999, 0]


def read(*pieces):
    inbox, found = qrexec.Inbox(), []
    for piece in pieces:
        inbox.feed(piece)
        found += iter(inbox.message, None)
    return found


# ---- the rows; two-at-once is also sim/test_qrexec.py's, with rings


def test_ctl():
    assert "server on port 512" in CASES["ctl"]["fact"]
    assert [CONSTANTS["firewall/qubes/agent.py", name] for name in ("DOM0", "PORT")] == [0, 512]
    daemon = Daemon()
    daemon.feed(qrexec.hello())
    assert daemon.agreed == 4


def test_hello_1():
    for version, left in ((1, True), (2, False)):
        octets = bytes.fromhex(CASES["hello-1"]["vm_sends"])[:8] + struct.pack("<I", version)
        assert left == (octets == bytes.fromhex(CASES["hello-1"]["vm_sends"]))
        daemon = Daemon()
        if left:
            with pytest.raises(Left):
                daemon.feed(octets)
        else:
            daemon.feed(octets)
        with pytest.raises(PeerError) if left else nullcontext():
            qrexec.version(octets[8:])
    assert qrexec.VERSION_MIN == 2


def test_hello_split():
    assert "two reads" in CASES["hello-split"]["fact"]
    for at in range(13):
        assert read(hello(3)[:at], hello(3)[at:]) == [(qrexec.HELLO, struct.pack("<I", 3), 4)]


def test_big_chunk_v2():
    assert "4096" in CASES["big-chunk-v2"]["fact"]
    assert [qrexec.chunk(version) for version in (2, 3, 4)] == [4096, 65536, 65536]
    for version, largest in ((2, 4096), (3, 65536)):
        caller = Caller(version)
        caller.feed(hello(4) + message(qrexec.STDOUT, bytes(largest)))
        with pytest.raises(Left):
            caller.feed(message(qrexec.STDOUT, bytes(largest + 1)))


def _trigger(ident=b"x".ljust(32, b"\0"), service=b"a.B\0"):
    return message(0x212, b"dom0".ljust(64, b"\0") + ident + service)


@pytest.mark.parametrize("octets, taken", [
    (_trigger(), True), (_trigger(b"x\0y".ljust(32, b"\0")), False), (_trigger(b"x" * 32), False),
    (_trigger(service=b"a.B"), False), (_trigger(service=b"\0"), False), (_trigger(service=b"+a\0"), False),
    (_trigger(b"a/b".ljust(32, b"\0")), False), (_trigger(service=b"a\0b\0"), False),
])
def test_trigger_ident_null(octets, taken):
    assert "SERVICE_REFUSED" in CASES["trigger-ident-null"]["then"]
    daemon = Daemon()
    daemon.feed(qrexec.hello() + octets)
    daemon.take()
    assert (len(daemon.triggers), len(daemon.refused)) == (taken, not taken)


@pytest.mark.parametrize("ident, service, target", [
    ("", "a", ""), ("x" * 32, "a", ""), ("x\0y", "a", ""), ("x/y", "a", ""), ("x", "", ""), ("x", "+a", ""),
    ("x", "a\0b", ""), ("x", "a b", ""), ("x", "a", "b" * 64), ("x", "a", "b\0c"), ("x", "a" * 1032, ""),
])
def test_what_dom0_would_refuse_is_not_sent(ident, service, target):
    for version in (2, 3, 4):
        with pytest.raises(ValueError):
            qrexec.trigger(version, ident, service, target)


@pytest.mark.parametrize("version", [2, 3, 4])
@given(st.from_regex(r"[A-Za-z0-9_. -]{1,31}", fullmatch=True),
       st.from_regex(r"[A-Za-z0-9_.-][A-Za-z0-9_.+-]{0,62}", fullmatch=True),
       st.from_regex(r"[A-Za-z0-9_.-]{0,31}", fullmatch=True))
def test_what_is_sent_dom0_takes_as_it_is(version, ident, service, target):
    daemon = Daemon(version=version)
    daemon.feed(qrexec.hello() + qrexec.trigger(version, ident, service, target))
    found, = daemon.triggers
    assert (found.ident, found.service, found.target) == (ident, service, target)


def test_two_at_once():
    assert "eight commands" in CASES["two-at-once"]["fact"] and CONSTANTS["firewall/qubes/agent.py", "RUNNING"] == 8


def test_bad_type():
    octets = bytes.fromhex(CASES["bad-type"]["dom0_sends"])
    assert read(octets, hello(4)) == [(0x999, b"x", 1), (qrexec.HELLO, struct.pack("<I", 4), 4)]


# ---- the wire


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=1500)), max_size=8),
       st.lists(st.integers(0, 9000), max_size=12))
def test_any_split_of_the_stream_gives_the_same_messages(sent, cuts):
    stream = b"".join(message(kind, payload) for kind, payload in sent)
    at = sorted({0, len(stream)} | {cut for cut in cuts if cut < len(stream)})
    assert read(*(stream[a:b] for a, b in zip(at, at[1:]))) == [
        (kind, payload[: qrexec.KEPT], len(payload)) for kind, payload in sent]


def test_what_is_long_is_passed_over_and_what_is_too_long_a_lie():
    longest = message(qrexec.EXEC_CMDLINE, b"y" * 65544)
    pieces = [longest[at : at + 1000] for at in range(0, len(longest), 1000)]
    inbox = qrexec.Inbox()
    for piece in pieces[:-1]:
        inbox.feed(piece)
        assert inbox.message() is None and len(inbox._held) + len(inbox._kept) <= 1000 + qrexec.KEPT
    assert read(*pieces, hello(4))[0] == (qrexec.EXEC_CMDLINE, b"y" * qrexec.KEPT, 65544)
    for length in (65545, 1 << 31, (1 << 32) - 1):
        with pytest.raises(PeerError):
            read(struct.pack("<II", qrexec.EXEC_CMDLINE, length))


@given(st.binary(max_size=3000))
def test_noise_is_messages_or_a_lie(noise):
    try:
        for kind, payload, length in read(noise):
            assert len(payload) == min(length, qrexec.KEPT)
    except PeerError:
        pass


@pytest.mark.parametrize("port", [0, 111, 512, 769, 1 << 31])
def test_no_port_is_named_that_dom0_never_gave_out(port):
    """dom0's daemon exits for it."""
    assert not qrexec.data_port(port)
    with pytest.raises(ValueError):
        qrexec.terminated(0, port)
    daemon = Daemon()
    daemon.feed(qrexec.hello())
    with pytest.raises(Left):
        daemon.feed(message(0x211, struct.pack("<II", 0, port)))


def test_the_ports_that_it_gives_out():
    daemon = Daemon()
    daemon.feed(qrexec.hello())
    for port in (513, 768):
        daemon.ports[port] = 7
        daemon.feed(qrexec.terminated(7, port))
    assert daemon.terminated == [(7, 513), (7, 768)] and daemon.stray == []


@pytest.mark.parametrize("octets", [
    message(0x210, bytes(128)), message(0x211, bytes(7)), message(0x211, bytes(9)), message(0x212, bytes(96)),
    message(0x212, bytes(96 + 65001)), message(0x200, bytes(9)), message(0x203, bytes(32)), message(0x300, bytes(4)),
    struct.pack("<II", 0x212, 1 << 31), message(0x9909, b"x"),
])
def test_the_daemon_of_the_tests_is_as_strict_as_dom0s(octets):
    daemon = Daemon()
    daemon.feed(qrexec.hello())
    with pytest.raises(Left):
        daemon.feed(octets)


@pytest.mark.parametrize("version, octets", [(3, message(0x213, bytes(161))), (2, message(0x212, bytes(97)))])
def test_and_minds_the_version(version, octets):
    daemon = Daemon(version=version)
    daemon.feed(qrexec.hello())
    with pytest.raises(Left):
        daemon.feed(octets)


@pytest.mark.parametrize("command, found", [
    ("user:QUBESRPC a.B+c+d work", ("a.B", "c+d", "work")), ("user:QUBESRPC a.B", ("a.B", "", "")),
    ("user:nogui:QUBESRPC a.B+ dom0 name fw", ("a.B", "", "dom0")),
    ("DEFAULT:QUBESRPC a.B none", ("a.B", "", "none")), ("user:ls -l", ("", "", "")),
    ("QUBESRPC a.B dom0", ("", "", "")), ("user:QUBESRPCa.B dom0", ("", "", "")),
    ("user:nogui:nogui:QUBESRPC a x", ("", "", "")), ("user:QUBESRPC", ("", "", "")),
    ("user:QUBESRPC +a dom0", ("", "a", "dom0")), ("", ("", "", "")), ("::", ("", "", "")),
])
def test_commands(command, found):
    assert qrexec.parse(command) == found


@given(st.text(max_size=80))
def test_any_command_is_one_of_the_two(command):
    service, argument, source = qrexec.parse(command)
    assert " " not in service + argument + source and "+" not in service


@given(st.text(max_size=80))
def test_what_is_shown_has_no_octet_that_a_terminal_minds(text):
    assert set(qrexec.shown(text)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._+\\")


def test_words():
    assert qrexec.word(b"abc\0def") == "abc" and qrexec.word(b"abc") == "abc" and qrexec.word(b"") == ""
    assert qrexec.word(b"a\xffc\0") == "" and qrexec.word(b"a\0\xff") == "a"
