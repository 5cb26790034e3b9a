"""The simulated daemon speaks the real wire protocol over the ring page, and lies only where it is told to."""
import struct

import pytest
import xenstored
from store import Store
from xenstored import (CONNECTION, CONTROL, DIRECTORY, DIRECTORY_PART, ERROR, ERROR_FIELD, ERROR_PROTO, ERROR_RINGIDX,
                       GET_DOMAIN_PATH, GET_PERMS, IS_DOMAIN_INTRODUCED, MKDIR, READ, REQ_CONS, REQ_PROD, RESET_WATCHES,
                       RING, RM, RSP_CONS, RSP_PROD, SET_PERMS, TRANSACTION_END, TRANSACTION_START, UNWATCH, WATCH,
                       WATCH_EVENT, WRITE, Xenstored)


class Guest:
    """A well-behaved guest's end of the ring, in a page of plain memory."""

    def __init__(self, first_index=0):
        self.store = Store()
        self.page = memoryview(bytearray(4096))
        self.words = self.page.cast("I")
        self.notified = 0
        dom0 = self.store.client(0)
        dom0.write(b"/local/domain/5/domid", b"5")
        dom0.set_perms(b"/local/domain/5", [("n", 5)])
        dom0.set_perms(b"/local/domain/5/domid", [("n", 0), ("r", 5)])
        self.dom0 = dom0
        self.end = Xenstored(self.store).attach(self.page, 5, self._notify, first_index)
        self.got = b""
        self.last_id = 0

    def _notify(self):
        self.notified += 1

    def put(self, octets):
        """Into the ring as it has room; the daemon runs whenever it is full."""
        while octets:
            prod = self.words[REQ_PROD]
            room = RING - ((prod - self.words[REQ_CONS]) & 0xFFFFFFFF)
            for i, octet in enumerate(octets[:room]):
                self.page[(prod + i) % RING] = octet
            self.words[REQ_PROD] = (prod + min(room, len(octets))) & 0xFFFFFFFF
            octets = octets[room:]
            self.end.serve()
            self.take()

    def take(self):
        while (self.words[RSP_PROD] - self.words[RSP_CONS]) & 0xFFFFFFFF:
            cons, prod = self.words[RSP_CONS], self.words[RSP_PROD]
            self.got += bytes(self.page[RING + (cons + i) % RING] for i in range((prod - cons) & 0xFFFFFFFF))
            self.words[RSP_CONS] = prod
            self.end.serve()

    def messages(self):
        """All whole messages that have come: (type, request id, transaction, payload)."""
        self.end.serve()
        self.take()
        out = []
        while len(self.got) >= 16:
            type, req_id, tx, length = struct.unpack_from("<IIII", self.got)
            if len(self.got) < 16 + length:
                break
            out.append((type, req_id, tx, self.got[16 : 16 + length]))
            self.got = self.got[16 + length :]
        return out

    def ask(self, type, payload, tx=0):
        """(type, payload) of the answer to one request."""
        self.last_id += 1
        self.put(struct.pack("<IIII", type, self.last_id, tx, len(payload)) + payload)
        (answer,) = [each for each in self.messages() if each[0] != WATCH_EVENT]
        assert answer[1:3] == (self.last_id, tx)
        return answer[0], answer[3]


@pytest.fixture(params=[0, 0xFFFFFE00], ids=["from 0", "over the edge"])
def guest(request):
    return Guest(request.param)


def test_every_request(guest):
    assert guest.ask(READ, b"domid\0") == (READ, b"5")  # no NUL
    assert guest.ask(WRITE, b"a/b\0value") == (WRITE, b"OK\0")
    assert guest.ask(MKDIR, b"a/c\0") == (MKDIR, b"OK\0")
    assert guest.ask(DIRECTORY, b"a\0") == (DIRECTORY, b"b\0c\0")
    assert guest.ask(DIRECTORY, b"a/c\0") == (DIRECTORY, b"")
    assert guest.ask(GET_PERMS, b"a/b\0") == (GET_PERMS, b"n5\0")
    assert guest.ask(SET_PERMS, b"a/b\0n5\0r7\0") == (SET_PERMS, b"OK\0")
    assert guest.ask(GET_PERMS, b"a/b\0") == (GET_PERMS, b"n5\0r7\0")
    assert guest.ask(RM, b"a\0") == (RM, b"OK\0")
    assert guest.ask(READ, b"a/b\0") == (ERROR, b"ENOENT\0")
    assert guest.ask(GET_DOMAIN_PATH, b"9\0") == (GET_DOMAIN_PATH, b"/local/domain/9\0")
    assert guest.ask(IS_DOMAIN_INTRODUCED, b"5\0") == (IS_DOMAIN_INTRODUCED, b"T\0")
    assert guest.ask(IS_DOMAIN_INTRODUCED, b"9\0") == (IS_DOMAIN_INTRODUCED, b"F\0")
    assert guest.ask(CONTROL, b"help\0") == (ERROR, b"EACCES\0")
    assert guest.ask(99, b"") == (ERROR, b"ENOSYS\0")


@pytest.mark.parametrize("type, payload", [
    (READ, b"domid"), (READ, b"domid\0\0"), (WRITE, b"no NUL"), (SET_PERMS, b"a\0"), (SET_PERMS, b"a\0x5\0"),
    (SET_PERMS, b"a\0n5"), (WATCH, b"a\0"), (TRANSACTION_END, b"X\0"), (GET_DOMAIN_PATH, b"x\0"),
    (DIRECTORY_PART, b"a\0x\0"),
])
def test_requests_that_make_no_sense(guest, type, payload):
    guest.ask(MKDIR, b"a\0")
    assert guest.ask(type, payload) == (ERROR, b"EINVAL\0")


def test_a_watch_fires_once_at_once_then_for_every_change(guest):
    guest.put(struct.pack("<IIII", WATCH, 77, 0, 6) + b"a\0tok\0")
    assert guest.messages() == [(WATCH, 77, 0, b"OK\0"), (WATCH_EVENT, 0, 0, b"a\0tok\0")]
    guest.dom0.write(b"/local/domain/5/a/b", b"")
    assert guest.messages() == [(WATCH_EVENT, 0, 0, b"a/b\0tok\0")]
    assert guest.ask(UNWATCH, b"a\0tok\0") == (UNWATCH, b"OK\0")
    guest.dom0.write(b"/local/domain/5/a/b", b"")
    assert guest.messages() == []


def test_a_transaction_over_the_wire(guest):
    type, number = guest.ask(TRANSACTION_START, b"\0")
    tx = int(number[:-1])
    assert type == TRANSACTION_START and tx > 0
    assert guest.ask(WRITE, b"x\0001", tx) == (WRITE, b"OK\0")
    assert guest.ask(READ, b"x\0") == (ERROR, b"ENOENT\0")
    guest.dom0.write(b"/local/domain/5/y", b"")
    assert guest.ask(TRANSACTION_END, b"T\0", tx) == (ERROR, b"EAGAIN\0")
    assert guest.ask(TRANSACTION_END, b"T\0", tx) == (ERROR, b"ENOENT\0")


def test_messages_longer_than_the_ring(guest):
    guest.dom0.write(b"/local/domain/5/long", bytes(range(256)) * 15)
    guest.dom0.set_perms(b"/local/domain/5/long", [("r", 0)])
    assert guest.ask(READ, b"long\0") == (READ, bytes(range(256)) * 15)
    assert guest.ask(WRITE, b"x\0" + bytes(4000)) == (ERROR, b"ENOSPC\0")


def test_a_directory_of_more_than_4096_octets_comes_in_parts(guest):
    names = [b"node-with-a-rather-long-name-%03d" % i for i in range(300)]
    for name in names:
        guest.dom0.mkdir(b"/local/domain/5/d/" + name)
    assert guest.ask(DIRECTORY, b"d\0") == (ERROR, b"E2BIG\0")
    seen, generations, offset = b"", set(), 0
    while not seen.endswith(b"\0\0"):
        type, payload = guest.ask(DIRECTORY_PART, b"d\0%d\0" % offset)
        generation, _, part = payload.partition(b"\0")
        assert type == DIRECTORY_PART and len(payload) <= 4096
        generations.add(generation)
        seen += part
        offset += len(part)
    assert seen[:-2].split(b"\0") == names and len(generations) == 1


def test_both_sides_are_notified(guest):
    before = guest.notified
    guest.ask(READ, b"domid\0")
    assert guest.notified > before


def test_too_long_a_request_kills_the_connection(guest):
    guest.put(struct.pack("<IIII", READ, 1, 0, 4097))
    assert guest.words[ERROR_FIELD] == ERROR_PROTO
    guest.put(struct.pack("<IIII", READ, 1, 0, 0)[:0])
    assert not guest.end.serve()


def test_indices_that_cannot_be_kill_the_connection(guest):
    guest.words[REQ_PROD] = (guest.words[REQ_CONS] + 1025) & 0xFFFFFFFF
    guest.end.serve()
    assert guest.words[ERROR_FIELD] == ERROR_RINGIDX


def test_reset_and_reconnection_forget_watches_and_transactions(guest):
    for forget in ("reset", "reconnect"):
        guest.ask(WATCH, b"a\0t\0")
        guest.ask(TRANSACTION_START, b"\0")
        assert (guest.store.watches(5), guest.store.transactions(5)) == (1, 1)
        if forget == "reset":
            assert guest.ask(RESET_WATCHES, b"\0") == (RESET_WATCHES, b"OK\0")
        else:
            guest.words[CONNECTION] = 1
            guest.end.serve()
            assert guest.words[CONNECTION] == 0 and guest.words[REQ_PROD] == 0
        assert (guest.store.watches(5), guest.store.transactions(5)) == (0, 0)
    assert guest.ask(READ, b"domid\0") == (READ, b"5")


# ---- lies

def test_lies_are_told_in_their_order_and_then_no_more(guest):
    def wrong_id(reply):
        reply.req_id += 1
        return reply

    guest.end.lies = [wrong_id, lambda reply: None, lambda reply: b"\xff" * 3]
    for _ in range(4):
        guest.put(struct.pack("<IIII", READ, 8, 0, 6) + b"domid\0")
    assert guest.messages()[0] == (READ, 9, 0, b"5")
    assert guest.got.startswith(b"\xff\xff\xff" + struct.pack("<IIII", READ, 8, 0, 1) + b"5")


def test_a_reply_in_single_octets(guest):
    guest.end.chunk = 1
    assert guest.ask(READ, b"domid\0") == (READ, b"5")


def test_silence(guest):
    guest.end.silent = True
    guest.put(struct.pack("<IIII", READ, 8, 0, 6) + b"domid\0")
    assert guest.messages() == []
    guest.end.silent = False
    assert guest.messages() == [(READ, 8, 0, b"5")]


def test_the_numbers_are_those_of_the_wire():
    assert (xenstored.DIRECTORY, xenstored.WRITE, xenstored.WATCH_EVENT, xenstored.ERROR) == (1, 11, 15, 16)
    assert (xenstored.REQ_CONS * 4, xenstored.RSP_PROD * 4, xenstored.CONNECTION * 4) == (2048, 2060, 2068)
