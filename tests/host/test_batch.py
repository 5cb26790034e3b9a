"""Batch.take(): the slots of one chain come into private memory, each word loaded once, none behind the chain."""
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import netif
from net.batch import Batch
from net.frame import Frame

MORE, EXTRA = netif.MORE_DATA, netif.EXTRA_INFO
RINGS = {"tx": (3, netif.TX_FLAGS), "rx": (2, netif.RX_FLAGS)}  # words of a slot, where the second one has the flags


class Ring:
    """A ring's page that counts what is read of it."""

    def __init__(self, kind, number, slots):
        """slots: first two words of each, from this number on."""
        self.width, self.shift = RINGS[kind]
        self.words = [0xDEAD] * (16 + 256 * self.width)
        self.reads = []
        for i, (first, second) in enumerate(slots):
            at = 16 + (number + i) % 256 * self.width
            self.words[at : at + self.width] = [first, second, 0xABC0000 + i][: self.width]

    def __getitem__(self, at):
        self.reads.append(at)
        return self.words[at]


def chain_of(kind, extras, parts):
    """First two words of the slots of one packet."""
    shift = RINGS[kind][1]
    slots = [(7, (MORE * (parts > 1) | EXTRA * (extras > 0)) << shift)]
    slots += [(1448 << 16 | (i < extras - 1) << 8 | 1, 1) for i in range(extras)]
    return slots + [(8, MORE * (i < parts - 2) << shift) for i in range(parts - 1)]


def take(kind, number, slots, first=0, n=None, room=8):
    """What Batch.take() returns, the ring and the batch."""
    ring = Ring(kind, number, slots)
    batch = Batch(room)
    batch.begin(ring, number, ring.width, ring.shift)
    return batch.take(first, len(slots) if n is None else n), ring, batch


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("extras", range(3))
@pytest.mark.parametrize("parts", [1, 2, 3, 18])
@pytest.mark.parametrize("number", [0, 5, 250, 0xFFFFFFFE])
def test_a_chain_and_no_more(kind, extras, parts, number):
    """Also across the end of the ring, and of the counters."""
    slots = chain_of(kind, extras, parts)
    end, ring, batch = take(kind, number, slots + chain_of(kind, 0, 4))
    assert end == len(slots)
    assert len(ring.reads) == len(set(ring.reads)) == end * ring.width, "a word was loaded twice, or one too many"
    expected = [ring.words[16 + (number + i) % 256 * ring.width + word] for i in range(end) for word in range(ring.width)]
    assert list(batch.slots[: end * ring.width]) == expected


@pytest.mark.parametrize("kind", RINGS)
def test_a_chain_that_ends_in_the_air(kind):
    """What waits is the limit; it is for the judge to say that something is missing."""
    slots = chain_of(kind, 1, 5)
    for n in range(1, len(slots)):
        assert take(kind, 0, slots, n=n)[0] == n
    assert take(kind, 0, slots + [(8, 0)] * 3)[0] == len(slots)


@pytest.mark.parametrize("kind", RINGS)
def test_packets_one_behind_the_other(kind):
    """Each take() begins where the one before has ended, and keeps what is there."""
    chains = [chain_of(kind, 0, 1), chain_of(kind, 1, 3), chain_of(kind, 0, 2)]
    slots = sum(chains, [])
    ring = Ring(kind, 254, slots)
    batch = Batch(8)
    batch.begin(ring, 254, ring.width, ring.shift)
    first = 0
    for chain in chains:
        end = batch.take(first, len(slots))
        assert end == first + len(chain)
        first = end
    assert [tuple(batch.slots[i * ring.width : i * ring.width + 2]) for i in range(first)] == slots


def test_the_longest_chain_has_its_place():
    """It begins at the last slot of those that may begin one, and never ends."""
    end, _, batch = take("tx", 0, [(7, 0)] * 7 + chain_of("tx", 0, 200), first=7, n=8 + netif.CHAIN)
    assert end == 8 + netif.CHAIN and len(batch.slots) == 3 * end


@pytest.mark.parametrize("offloads", range(4))
def test_a_frame_has_its_packets_offloads(offloads):
    batch, frame = Batch(8), Frame(None, None, None)
    batch.offloads[2], batch.gso_size[2] = offloads, 1448
    batch.describe(2, frame)
    assert (frame.blank, frame.validated, frame.gso_size) == (bool(offloads & 1), bool(offloads & 2), 1448)


@given(st.sampled_from(sorted(RINGS)), st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 15)), min_size=1, max_size=32))
def test_the_judge_sees_no_slot_that_was_not_copied(kind, slots):
    """Whatever is said: parse() never asks for a slot behind the one that take() has stopped at, and stops there itself."""
    width, shift = RINGS[kind]
    slots = [(first, (second << shift) | (60 if shift else 60 << 16)) for first, second in slots]
    end, _, batch = take(kind, 0, slots)
    whole = Batch(8)
    whole.slots[: width * len(slots)] = array("I", [word for i, each in enumerate(slots) for word in (each + (60 << 16,))[:width]])
    for i in range(end):
        if width == 3:
            batch.slots[i * 3 + 2] = 60 << 16
    posted = array("H", range(256))

    def judged(batch, n):
        try:
            row = netif.parse(batch, 0, n) if kind == "tx" else netif.parse_responses(batch, 0, n, 0, posted)
        except netif.PeerError as reason:
            return str(reason)
        return batch.end[row], batch.octets[row], batch.bad[row], batch.gso_size[row], batch.parts[row]
    assert judged(batch, end) == judged(whole, len(slots))
