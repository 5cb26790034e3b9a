"""The page shared with xenstored: streams of any size go through 1024 octets, from any index on."""
import random
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stand_in

REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, FEATURES, CONNECTION, ERROR = range(512, 519)
PORT = 1


class Hypervisor(stand_in.Hypervisor):
    """Counts the events sent. at_fence(): what the daemon does meanwhile."""

    def __init__(self):
        super().__init__()
        self.events = 0
        self.at_fence = None

    def mb(self):
        if self.at_fence:
            self.at_fence()

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


def test_only_a_daemon_that_may_sleep_is_told(xenbus_ring):
    """It sleeps when it has taken all requests, or when the ring that it fills is full."""
    daemon = Daemon(0)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    xen = sys.modules["xen"]

    def told(act, *words):
        before = xen.events
        act(*words)
        return xen.events - before
    assert told(ring.receive, 1024) == told(ring.send, b"", 0) == 0
    assert told(ring.send, b"abc", 0) == 1
    assert told(ring.send, b"def", 0) == 0
    daemon.take(4)
    assert told(ring.send, b"ghi", 0) == 0
    daemon.take(1024)
    assert told(ring.send, b"jkl", 0) == 1
    daemon.give(bytes(1023))
    assert told(ring.receive, 1024) == 0
    daemon.give(bytes(1024))
    assert told(ring.receive, 1) == 1
    daemon.give(bytes(1))
    assert told(ring.receive, 1024) == 1


class Sleeper(Daemon):
    """An echo that runs when it was told, and until a step has found nothing to do."""

    def __init__(self, index, chance):
        super().__init__(index)
        self.chance, self.awake, self.kept, self.seen = chance, False, b"", 0

    def step(self):
        events = sys.modules["xen"].events
        self.awake = self.awake or events != self.seen
        self.seen = events
        if not self.awake:
            return
        taken = self.take(self.chance.randint(1, 1024)) if len(self.kept) < 3000 else b""
        self.kept += taken
        n = self.give(self.kept[: self.chance.randint(1, 1024)])
        self.kept = self.kept[n:]
        self.awake = bool(taken or n)

    def sometimes(self):
        for _ in range(self.chance.randint(0, 3)):
            self.step()


@pytest.mark.parametrize("seed", range(40))
def test_nobody_waits_for_ever(xenbus_ring, seed):
    chance = random.Random(seed)
    daemon = Sleeper(chance.choice((0, 2**32 - 700)), chance)
    ring = xenbus_ring.Ring(daemon.page, PORT)
    xen = sys.modules["xen"]
    message = chance.randbytes(20000)
    daemon.seen = xen.events
    xen.at_fence = daemon.sometimes
    try:
        sent, seen, still = 0, b"", 0
        while len(seen) < len(message):
            before = sent, len(seen)
            sent += ring.send(message[: sent + chance.randint(0, 1200)], sent)
            daemon.step()
            seen += ring.receive(1024)
            daemon.sometimes()
            still = 0 if (sent, len(seen)) != before else still + 1
            assert still < 1000, "both sleep"
        assert seen == message
    finally:
        xen.at_fence = None


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
