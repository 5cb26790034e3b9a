"""The page shared with xenstored: streams of any size go through 1024 octets, from any index on."""
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stand_in

REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, FEATURES, CONNECTION, ERROR = range(512, 519)
PORT = 1


class Hypervisor(stand_in.Hypervisor):
    """Counts the events sent."""

    def __init__(self):
        super().__init__()
        self.events = 0

    def evtchn_send(self, port):
        assert port == PORT
        self.events += 1


@pytest.fixture(scope="module")
def xenbus_ring():
    with stand_in.imported("xenbus.ring", Hypervisor()) as module:
        yield module


class Daemon:
    """The other end."""

    def __init__(self, index):
        self.page = bytearray(4096)
        self.words = memoryview(self.page).cast("I")
        for word in (REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD):
            self.words[word] = index

    def take(self, limit):
        cons = self.words[REQ_CONS]
        n = min(limit, (self.words[REQ_PROD] - cons) % 2**32)
        self.words[REQ_CONS] = (cons + n) % 2**32
        return bytes(self.page[(cons + i) % 1024] for i in range(n))

    def give(self, octets):
        prod = self.words[RSP_PROD]
        n = min(len(octets), 1024 - (prod - self.words[RSP_CONS]) % 2**32)
        for i in range(n):
            self.page[1024 + (prod + i) % 1024] = octets[i]
        self.words[RSP_PROD] = (prod + n) % 2**32
        return n


near_wrap = st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 2000, 2**32 - 1))
chunks = st.lists(st.integers(0, 1500), min_size=1, max_size=20)


@given(near_wrap, st.binary(min_size=1, max_size=5000), chunks)
def test_requests_stream_through(xenbus_ring, index, message, takes):
    daemon = Daemon(index)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    sent, seen = 0, b""
    while len(seen) < len(message):
        for limit in takes + [1]:
            sent += ring.send(message, sent)
            seen += daemon.take(limit)
    assert seen == message and sent == len(message)
    assert ring.send(message, sent) == 0


@given(near_wrap, st.binary(min_size=1, max_size=5000), chunks)
def test_responses_stream_through(xenbus_ring, index, message, limits):
    daemon = Daemon(index)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    given_, seen = 0, b""
    while len(seen) < len(message):
        for limit in limits + [1]:
            given_ += daemon.give(message[given_:])
            seen += ring.receive(limit)
    assert seen == message
    assert ring.receive(1024) == b""


def test_only_what_moved_is_told(xenbus_ring):
    daemon = Daemon(0)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    before = sys.modules["xen"].events
    ring.receive(1024)
    ring.send(b"", 0)
    assert sys.modules["xen"].events == before
    ring.send(b"abc", 0)
    daemon.give(b"abc")
    ring.receive(1024)
    assert sys.modules["xen"].events == before + 2


def test_a_full_ring_is_no_lie(xenbus_ring):
    daemon = Daemon(5)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    assert ring.send(bytes(2000), 0) == 1024
    assert ring.send(bytes(2000), 1024) == 0
    daemon.words[RSP_PROD] += 1024
    assert len(ring.receive(4096)) == 1024


@given(st.integers(1025, 2**32 - 1))
def test_an_index_that_cannot_be(xenbus_ring, distance):
    daemon = Daemon(0)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    daemon.words[RSP_PROD] = distance
    with pytest.raises(xenbus_ring.ProtocolError):
        ring.receive(1024)
    daemon.words[REQ_CONS] = -distance % 2**32
    with pytest.raises(xenbus_ring.ProtocolError):
        ring.send(b"x", 0)
    before = bytes(daemon.page[2048:2064])
    assert struct.unpack("<IIII", before)[1:3] == (0, 0)  # ours stand as they stood


def test_an_error_word_ends_it(xenbus_ring):
    daemon = Daemon(0)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    daemon.words[ERROR] = 2
    for act in (lambda: ring.send(b"x", 0), lambda: ring.receive(1)):
        with pytest.raises(xenbus_ring.ProtocolError, match="error 2"):
            act()


def test_reconnecting_is_asked_only_of_who_can(xenbus_ring):
    daemon = Daemon(0)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    assert not ring.reconnect() and ring.connected()
    daemon.words[FEATURES] = 1
    assert ring.reconnect() and not ring.connected()
    assert daemon.words[CONNECTION] == 1


@given(near_wrap, st.integers(0, 2**32 - 1))
def test_what_came_in_can_be_dropped_whatever_it_claims(xenbus_ring, index, claimed):
    daemon = Daemon(index)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    daemon.words[RSP_PROD] = claimed
    ring.drop_received()
    assert ring.receive(1024) == b""
