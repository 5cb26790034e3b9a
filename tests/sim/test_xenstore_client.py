"""The frozen client of xenstore against the daemon of the simulated Xen, honest, slow, silent and hostile."""
import random
import re

import pytest
from machine import POWEROFF, Machine
from store import OXENSTORED, XENSTORED
from xenstored import (
    CONNECTION,
    ERROR,
    ERROR_FIELD,
    FEATURES,
    HEADER,
    REQ_CONS,
    REQ_PROD,
    RSP_PROD,
    TRANSACTION_START,
    WATCH_EVENT,
)

OWN = "/local/domain/2"


def trial(machine, mode, **how):
    machine.write("/local/domain/0/secret", "for dom0")
    return machine.firewall("loglevel=debug run=try_xenstore mode=" + mode, **how)


@pytest.fixture(params=[XENSTORED, OXENSTORED], ids=lambda each: each.name)
def either(request):
    """A machine with one or the other daemon."""
    with Machine(personality=request.param) as machine:
        yield machine


# ---- an honest daemon


@pytest.mark.parametrize("first_index", [0, 1000, 2**32 - 10], ids=["new", "used", "wrapping"])
def test_requests(either, first_index):
    trial(either, "requests", first_index=first_index).wait_for("done")


@pytest.mark.parametrize("chunk", [None, 1, 100])
def test_messages_larger_than_the_ring(either, chunk):
    either.write_domain_tree(2)
    for i in range(300):
        either.write(OWN + "/data/many/a-name-of-some-length-%03d" % i, "")
    with_daemon(either, lambda end: setattr(end, "chunk", chunk))
    trial(either, "large", tree=False).wait_for("done")


def test_quotas_are_named_and_come_back(either):
    firewall = trial(either, "quotas")
    firewall.wait_for("done")
    assert re.search(r"watches (128|99) (E2BIG|EQUOTA)", firewall.console)
    assert re.search(r"nodes 9\d\d (ENOSPC|EQUOTA)", firewall.console)
    assert re.search(r"octets (ENOSPC|E2BIG)", firewall.console)


def test_transactions(either):
    firewall = trial(either, "transactions")
    firewall.wait_for("done")
    assert firewall.holdings()["transactions"] == 0


def test_a_transaction_begun_for_nobody_is_ended(machine):
    firewall = trial(machine, "cancelled_start")
    machine.advance(0.5)
    firewall.store_end.silent = True
    firewall.wait_for("cancelled")
    firewall.store_end.silent = False
    firewall.wait_for("done")
    assert len([1 for kind, _ in firewall.store_end.requests if kind == TRANSACTION_START]) > 10
    assert firewall.holdings()["transactions"] == 0


def test_watches(either):
    firewall = trial(either, "watches")
    firewall.wait_for("done")
    assert firewall.holdings()["watches"] == 2  # control's, and the one the program kept


def waiting_requests(end):
    """How many whole requests stand in the ring."""
    n = at = 0
    while at < (end.words[REQ_PROD] - end.words[REQ_CONS]) % 2**32:
        octets = bytes(end.ring[(end.words[REQ_CONS] + at + i) % 1024] for i in range(16))
        at += 16 + HEADER.unpack(octets)[3]
        n += 1
    return n


def test_at_most_20_requests_wait_for_their_answer(machine):
    """They are small: the ring would hold 46. The last of the 20 is the one that asks whether the daemon lives."""
    firewall = trial(machine, "many_at_once")
    machine.advance(0.5)
    firewall.store_end.silent = True
    machine.advance(1)
    assert waiting_requests(firewall.store_end) == 19
    machine.advance(100)
    assert waiting_requests(firewall.store_end) == 20
    firewall.store_end.silent = False
    firewall.wait_for("done")


# ---- what was there before us, what comes late


@pytest.mark.parametrize("event", [True, False])
def test_a_connection_that_is_not_there_yet(machine, event):
    """As dom0less domains find it; nothing may be written before the daemon says so."""

    def not_yet(end):
        end.words[CONNECTION] = 1
        end.silent = True

    with_daemon(machine, not_yet)
    firewall = trial(machine, "requests")
    machine.advance(100)
    end = firewall.store_end
    assert end.words[REQ_PROD] == 0
    end.words[CONNECTION] = 0
    end.silent = False
    if event:
        end.notify()
    firewall.wait_for("done", 0.1 if event else 10)
    assert len(firewall.lines("no answer for 10 s")) == 1


def with_daemon(machine, change):
    """Let change(end) happen to the next firewall's end of xenstored before the firewall starts."""
    attach = machine.xenstored.attach

    def changed(*args, **how):
        end = attach(*args, **how)
        change(end)
        return end

    machine.xenstored.attach = changed


@pytest.mark.parametrize(
    "octets",
    [
        HEADER.pack(2, 7, 0, 3) + b"abc",  # a whole reply
        HEADER.pack(WATCH_EVENT, 0, 0, 8) + b"a\0tok1\0\0",
        HEADER.pack(2, 7, 0, 300)[:9],  # the beginning of one
        b"xyz" * 200,  # the middle
        HEADER.pack(21, 5, 0, 3) + b"OK\0",  # somebody else's RESET_WATCHES
    ],
    ids=["reply", "event", "beginning", "middle", "reset"],
)
def test_what_was_meant_for_a_boot_loader_is_skipped(machine, octets):
    with_daemon(machine, lambda end: end.send(octets))
    trial(machine, "requests").wait_for("done")


@pytest.mark.parametrize("at", [1, 11, 12, 15, 16, 18])
def test_the_reply_to_the_reset_comes_in_two_pieces(machine, at):
    rest = []

    def halve(reply):
        octets = b"some of what is not ours" + reply.octets()
        rest.append(octets[24 + at :])
        return octets[: 24 + at]

    with_daemon(machine, lambda end: setattr(end, "lies", {0: halve}))
    firewall = trial(machine, "requests")
    machine.advance(1)
    assert "done" not in firewall.console
    firewall.store_end.send(rest[0])
    firewall.store_end.notify()
    firewall.wait_for("done", 1)


def test_a_slow_daemon_is_waited_for(machine):
    firewall = trial(machine, "patient")
    machine.advance(0.5)
    firewall.store_end.silent = True
    machine.advance(1)
    assert "asking" in firewall.console and "ticks" not in firewall.console
    machine.advance(95)
    assert len(firewall.lines("no answer for 10 s")) == 1
    firewall.store_end.silent = False
    firewall.wait_for("done")
    assert len(firewall.lines("answers again")) == 1
    assert re.search(r"^ticks 9\d$", firewall.console, re.MULTILINE)  # the others lived meanwhile
    assert "ProtocolError" not in firewall.console


def test_a_daemon_that_is_never_there(machine):
    machine.write_domain_tree(2)
    firewall = trial(machine, "patient", tree=False)
    firewall.store_end.silent = True
    machine.advance(0.1)
    machine.advance(4 * 3600)
    assert firewall.alive()
    firewall.store_end.silent = False
    firewall.wait_for("done", 700)


# ---- a hostile daemon


class Liar:
    """Lies in half of its replies, one way or another."""

    def __init__(self, end, seed, can_reconnect):
        self.end = end
        self.random = random.Random(seed)
        self.told = 0  # replies so far
        self.ways = [value for name, value in sorted(vars(Liar).items()) if name.startswith("lie_")]
        end.words[FEATURES] = 3 if can_reconnect else 2  # oxenstored can, xenstored cannot
        end.lie = self

    def __call__(self, reply):
        self.told += 1
        if self.random.random() < 0.5:
            return reply
        return self.random.choice(self.ways)(self, reply)

    def lie_req_id(self, reply):
        reply.req_id = self.random.choice([0, 1, reply.req_id + 1, 2**32 - 1, self.random.getrandbits(32)])
        return reply

    def lie_type(self, reply):
        reply.type = self.random.choice([0, 1, 2, 11, 15, 16, 21, 22, 127, 2**32 - 1])
        return reply

    def lie_short(self, reply):
        reply.length = self.random.randrange(len(reply.payload) + 1)
        return reply

    def lie_long(self, reply):
        reply.length = len(reply.payload) + self.random.choice([1, 16, 1000, 4096, 2**31])
        return reply

    def lie_octets(self, reply):
        return self.random.randbytes(self.random.choice([1, 3, 16, 17, 100, 1024, 5000]))

    def lie_payload(self, reply):
        reply.payload = self.random.randbytes(self.random.choice([0, 1, 2, 10, 100, 4096]))
        return reply

    def lie_error(self, reply):
        reply.type = ERROR
        reply.payload = self.random.choice(
            [b"ENOENT\0", b"EIO\0", b"EAGAIN\0", b"ENOSPC\0", b"EACCES", b"", b"\0", b"x" * 4096, b"E\0N\0", b"\xff\0"])
        return reply

    def lie_twice(self, reply):
        return reply.octets() * 2

    def lie_silent(self, reply):
        return None

    def lie_cut(self, reply):
        return reply.octets()[: self.random.randrange(16)]

    def lie_event(self, reply):
        payload = self.random.choice([b"data/\0" b"12\0", b"\0" * 9, b"123456789", b"\xff" * 9, b"a\0b", b""])
        return HEADER.pack(WATCH_EVENT, self.random.choice([0, 7]), 0, len(payload)) + payload + reply.octets()

    def lie_many_events(self, reply):
        return (HEADER.pack(WATCH_EVENT, 0, 0, 8) + b"a/b\0" b"9\0x\0") * 50 + reply.octets()

    def lie_index(self, reply):
        self.end.words[RSP_PROD] = (self.end.words[RSP_PROD] + self.random.choice([1025, 2**31, 17])) & 0xFFFFFFFF
        return reply


@pytest.mark.parametrize("can_reconnect", [False, True], ids=["xenstored", "oxenstored"])
@pytest.mark.parametrize("seed", [1, 2])
def test_10000_hostile_replies(machine, figure, seed, can_reconnect):
    firewall = trial(machine, "hostile")
    end = firewall.store_end
    liar = Liar(end, seed, can_reconnect)
    for _ in range(100000):
        machine.advance(64)
        assert firewall.alive(), firewall.console[-3000:]
        end.words[ERROR_FIELD] = 0  # what its own index lies have led the daemon to
        if liar.told >= 10000:
            break
    assert liar.told >= 10000
    end.lie = None
    machine.write(OWN + "/data/end", "honest")
    for _ in range(100):  # of 64 s: once it is honest, all comes right
        machine.advance(64)
        end.words[ERROR_FIELD] = 0
        if "done" in firewall.console:
            break
    firewall.wait_for("done")
    memory = [int(octets) for octets in re.findall(r"^memory \d+ (\d+)", firewall.console, re.MULTILINE)]
    assert len(memory) >= 3
    assert memory[-1] <= memory[0] + 4096  # level
    answered, refused = re.search(r"^outcomes (\d+) (\d+)", firewall.console, re.MULTILINE).groups()
    figure("hostile replies, %s, seed %d" % ("reconnecting" if can_reconnect else "resetting", seed),
           "%d; %s requests answered, %s refused; heap %d to %d octets" % (liar.told, answered, refused, memory[0], memory[-1]))


@pytest.mark.parametrize("can_reconnect", [False, True], ids=["xenstored", "oxenstored"])
@pytest.mark.parametrize("way", [name for name in vars(Liar) if name.startswith("lie_")])
def test_one_lie_then_honest(machine, way, can_reconnect):
    """Each lie alone, told once, in the reply to the reset, to a request and to an event."""
    for number in (0, 4, 7):
        with Machine() as fresh:
            firewall_hears_one_lie(fresh, way, number, can_reconnect)


def firewall_hears_one_lie(machine, way, number, can_reconnect):
    def prepare(end):
        liar = Liar(end, 5, can_reconnect)
        end.lie = None
        end.lies = {number: lambda reply: getattr(liar, way)(reply)}

    with_daemon(machine, prepare)
    firewall = trial(machine, "patient")
    for _ in range(20):
        machine.advance(64)
        firewall.store_end.words[ERROR_FIELD] = 0
    assert "done" in firewall.console, firewall.console[-2000:]
    assert len(firewall.lines("starts again")) <= 2
    machine.write(OWN + "/control/shutdown", "poweroff")  # nothing that was asked is lost, control's watch included
    assert firewall.wait_end() == POWEROFF
