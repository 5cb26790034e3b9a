"""The kernels that read what a neighbour writes, as plain Python, with a ring that changes as soon as it is read.

A word of a slot is loaded once: what was judged is what is used. Which is so in machine code if it is so in its source.
"""
import pytest

import kernels

SIZE = 256


class Ring:
    """Words of a ring's page. Whoever loads one of a slot a second time finds another one in its place."""

    def __init__(self, words):
        self.words = list(words)
        self.loads = [0] * len(words)

    def __getitem__(self, at):
        self.loads[at] += 1
        return self.words[at] if self.loads[at] == 1 else 0xFFFFFFFF


def slots(width, rows):
    words = [0] * 16
    for row in rows:
        assert len(row) == width
        words += row
    return Ring(words + [0] * (16 + SIZE * width - len(words)))


# two chains, the second with an extra info
REQUESTS = [
    (101, 10 | 4 << 16, 7 | 1000 << 16), (102, 20 | 4 << 16, 8 | 300 << 16), (103, 30, 9 | 200 << 16),
    (104, 40 | 15 << 16, 10 | 3000 << 16), (1 | 1400 << 16, 1, 0), (105, 0, 11 | 2000 << 16),
]  # fmt: skip


def test_of_a_clients_requests():
    ring = slots(3, REQUESTS)
    s = [0, len(REQUESTS), 40, 64, 64, 0, 5, 1000, 64] + [0] * 7
    packets, parts, ops = [0] * 512, [0] * 1280, [0] * 640
    private = [0] * 960
    kernels.of("client_tx").take(kernels.block(ring, private, packets, parts, ops, list(range(64)), [0] * 64), s)
    assert s[9:12] == [2, 6, 5]
    assert max(ring.loads[16:]) == 1
    assert [parts[4 * i + 2] for i in range(5)] == [500, 300, 200, 1000, 2000]
    assert [ops[10 * i + 8] & 0xFFFF for i in range(5)] == [500, 300, 200, 1000, 2000]
    assert [ops[10 * i] for i in range(5)] == [101, 102, 103, 104, 105]
    assert [ops[10 * i + 2] >> 16 for i in range(5)] == [10, 20, 30, 40, 0]
    assert [private[3 * i + 2] & 0xFFFF for i in (0, 1, 2, 3, 5)] == [7, 8, 9, 10, 11]
    assert packets[5] == 0 and packets[8 + 5] == 3 | 1400 << 16


@pytest.mark.parametrize("sizes,taken", [
    ([100, 60, 39], 1), ([100, 60, 40], 0), ([100, 60, 41], 0), ([100, 60, 60], 0), ([100, 101], 0), ([100, 0, 40], 0),
])  # fmt: skip
def test_what_the_first_part_is_left_is_more_than_nothing(sizes, taken):
    rows = [(1, (4 if i < len(sizes) - 1 else 0) << 16, i | size << 16) for i, size in enumerate(sizes)]
    s = [0, len(rows), 40, 64, 64, 0, 5, 1000, 64] + [0] * 7
    parts, marks = [0] * 1280, [0] * 64
    given = kernels.block(slots(3, rows), [0] * 960, [0] * 512, parts, [0] * 640, list(range(64)), marks)
    kernels.of("client_tx").take(given, s)
    assert s[9] == taken and (s[3], s[5]) == ((61, 3) if taken else (64, 0))
    assert not taken or parts[2] == 1
    assert max(marks) == (60 if taken else 0)


def responses(*rows):
    """(octets, offset, flags) in the slots of their requests."""
    return slots(2, [(i | offset << 16, flags | octets << 16) for i, (octets, offset, flags) in enumerate(rows)])


def arrived(ring, n):
    packets, parts, refs = [0] * 512, [0] * 1280, [0] * 320
    s = [0, n, 40, 64] + [0] * 12
    given = kernels.block(ring, list(range(50, 306)), list(range(900, 1156)), packets, parts, refs)
    kernels.of("uplink_rx").arrived(given, s)
    return s[4], s[5], [tuple(parts[4 * i : 4 * i + 3]) for i in range(8)], refs


def test_of_a_netvms_responses():
    ring = responses((60, 2, 4), (282, 0, 0), (3000, 0, 8 | 3), (0, 0, 0), (500, 9, 0))
    ring.words[16 + 2 * 3 :][:2] = []
    ring.words[16 + 2 * 3] = 1 | 1400 << 16
    ring.words[16 + 2 * 3 + 1] = 1
    packets, taken, parts, refs = arrived(ring, 5)
    assert (packets, taken) == (3, 5)
    assert max(ring.loads[16:]) == 1
    assert parts[:4] == [(50, 2, 60), (51, 0, 282), (52, 0, 3000), (54, 9, 500)]
    assert refs[:5] == [900, 901, 902, 903, 904]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_part_of_no_octets_is_none(at):
    rows = [(60, 0, 4), (70, 0, 4), (80, 0, 0)]
    rows[at] = (0,) + rows[at][1:]
    packets, taken, _, _ = arrived(responses((99, 0, 0), *rows), 4)
    assert (packets, taken) == (1, 1)


def test_of_a_netvms_answers():
    ring = slots(3, [(i | 0, 0, 0) for i in (3, 1, 2)])
    ring.words = [half for word in ring.words for half in (word & 0xFFFF, word >> 16)]
    ring.loads = [0] * len(ring.words)
    s, own = [9] * 16, [3, 3, 0]
    refs, gone, ids = [0] * 320, [0] * 320, [0] * 320
    shared = [0, 0, 3, 0]
    given = kernels.table(
        [shared, ring], list(range(50, 306)), list(range(900, 1156)), refs, gone, ids, [0] * 256, [0] * 64, s, own, [0],
        [0], [3], handed=(refs, lambda refs, n: 0),
    )  # fmt: skip
    module = kernels.of("uplink_tx")
    module.ptr16 = lambda given: given[1] if given[0] is shared else given
    module.ptr32 = lambda given: given[0] if given[0] is shared else given
    assert module.take_back(given, 256) == 3 and own[2] == 3 and s[2] == 0
    assert max(ring.loads) == 1
    assert (ids[:3], gone[:3], refs[:3]) == ([3, 1, 2], [53, 51, 52], [903, 901, 902])


def test_of_a_clients_buffers():
    ring = slots(2, [(i, 700 + i) for i in range(8)])
    packets, parts, ops, sent = [0] * 512, [0] * 1280, [0] * 5120, [0] * 384
    packets[2:6] = [0, 2, 3000, 3 | 1400 << 16]
    parts[0:3], parts[4:7] = [7, 3, 1000], [8, 0, 2000]
    s = [0, 1, 0, 8, 512, 0, 5, 1000, 0, 128] + [0] * 6
    assert kernels.of("client_rx").out(kernels.block(ring, packets, parts, ops, sent, [0] * 12), s) == 1
    assert max(ring.loads[16:]) == 1
    assert (ops[4], ops[14]) == (700, 702) and s[2] == 3


@pytest.mark.parametrize("number", range(17))
def test_when_a_flow_can_have_expired(number):
    """As flows/state.py says it, at every state, whichever side was seen last."""
    from firewall.flows import state
    timeouts = list(state.TIMEOUT)
    for there, back, now in ((5, 9, 100), (9, 5, 100), (0xFFFFFF00, 20, 300), (7, 7, 7 + timeouts[number] + 1)):
        w = [0] * 96
        w[32 + 3], w[32 + 8], w[32 + 11], w[32 + 27] = 17, number << 16 | 3, there, back
        left = timeouts[number] - state.idle(number, now, there, back)
        assert kernels.of("sweep").soonest(w, timeouts, 0, 3, now) == left
        assert kernels.of("sweep").soonest(w, timeouts, 0, 1, now) == 0x7FFFFFFF
