"""A frame's parts: however a peer splits it, its head comes to lie in one piece, and nothing of it is lost."""
import pytest
from hypothesis import given
from hypothesis import strategies as st
from net.frame import HEADERS, Frame

PAGE = 4096


class Pool:
    """As pool.Pool, without Xen."""

    def __init__(self, pages):
        self.octets = memoryview(bytearray(pages * PAGE))
        self.stack = list(range(pages))
        self.mark = [0] * pages

    def take(self):
        return self.stack.pop()

    def give(self, page):
        assert page not in self.stack
        self.stack.append(page)

    def written(self, page, octets):
        self.mark[page] = max(self.mark[page], octets)

    def part(self, page, offset, octets):
        assert 0 <= offset and offset + octets <= PAGE
        return self.octets[page * PAGE + offset :][:octets]


def split(pool, octets, parts):
    """A Frame with these octets; parts: (offset, octets) of each, the last one has what is left."""
    frame = Frame(False, False, 0)
    for offset, n in parts:
        data, octets = octets[:n], octets[n:]
        if not data:
            break
        page = pool.take()
        pool.part(page, offset, len(data))[:] = data
        pool.written(page, offset + len(data))
        frame.add(page, offset, len(data))
    assert not octets
    return frame


def levels(octets, parts):
    pool = Pool(24)
    frame = split(pool, octets, parts)
    frame.level(pool, HEADERS)
    assert frame.gather(pool) == octets
    assert len(frame.head(pool)) >= min(HEADERS, len(octets))
    assert len(pool.stack) + len(frame.parts) == 24 and frame.octets == len(octets)
    assert all(pool.mark[page] >= offset + n for page, offset, n in frame.parts), "not cleared when it is lent"
    frame.release(pool)
    assert len(pool.stack) == 24


OCTETS = bytes(i * 31 + (i >> 8) & 0xFF for i in range(1400))


@pytest.mark.parametrize("octets", [14, 15, 60, HEADERS, HEADERS + 1, 1400])
def test_a_head_at_the_end_of_its_page(octets):
    """16 octets at 4080, then the rest; and every other number of octets there."""
    for first in range(1, min(octets, HEADERS + 2)):
        levels(OCTETS[:octets], [(PAGE - first, first), (0, 4000)])
        levels(OCTETS[:octets], [(PAGE - first, first), (PAGE - 1, 1), (100, 2), (0, 4000)])


parts = st.integers(0, PAGE - 1).flatmap(lambda offset: st.tuples(st.just(offset), st.integers(1, PAGE - offset)))


@given(st.lists(parts, min_size=1, max_size=17), st.integers(1, 1400))
def test_any_split(some, octets):
    levels(OCTETS[:octets], some + [(0, 4000)])
