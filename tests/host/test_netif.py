"""netif.parse(): what a frontend may say about a packet, and every lie about it."""
from array import array
from collections import namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import netif
from net.batch import Batch
from peererror import PeerError

BLANK, VALIDATED, MORE, EXTRA = 1, 2, 4, 8


def slot(size, flags=0, offset=0, gref=7):
    return [gref, flags << 16 | offset, size << 16]


def gso(size=1448, kind=1, gso_type=1, more=0):
    """An extra info: type, flags; size, and the type of gso behind it."""
    return [size << 16 | more << 8 | kind, gso_type, 0]


Packet = namedtuple("Packet", "first end extras total offloads gso_size bad fragments")


def packet_of(batch, row):
    parts = range(batch.part[row], batch.part[row] + batch.parts[row])
    fragments = [(batch.gref[part], batch.offset[part], batch.length[part], batch.slot[part]) for part in parts]
    return Packet(batch.first[row], batch.end[row], batch.extras[row], batch.octets[row], batch.offloads[row],
                  batch.gso_size[row], bool(batch.bad[row]), fragments)


def parse(*slots, first=0, n=None):
    """The packet that begins at slot `first`."""
    batch = Batch(len(slots))
    words = [word for each in slots for word in each]
    batch.slots[: len(words)] = array("I", words)
    assert netif.parse(batch, first, len(slots) if n is None else n) == 0 and batch.packets == 1
    return packet_of(batch, 0)


def refused(text, *slots, **more):
    with pytest.raises(PeerError) as caught:
        parse(*slots, **more)
    assert str(caught.value) == text


def test_the_numbers_are_xens():
    """Xen public/io/netif.h"""
    assert (netif.TX_CSUM_BLANK, netif.TX_DATA_VALIDATED, netif.MORE_DATA, netif.EXTRA_INFO) == (BLANK, VALIDATED, MORE, EXTRA)
    assert (netif.RX_DATA_VALIDATED, netif.RX_CSUM_BLANK) == (1, 2)
    assert (netif.EXTRA_GSO, netif.EXTRA_MORE, netif.GSO_TCPV4) == (1, 1, 1)
    assert (netif.OKAY, netif.ERROR, netif.NULL, netif.SLOTS_MAX) == (0, -1, 1, 18)
    assert (netif.TX_WORDS, netif.RX_WORDS, netif.TX_FLAGS, netif.RX_FLAGS) == (3, 2, 16, 0)


def test_the_numbers_that_follow():
    assert (netif.MTU, netif.MTU_LEAST, netif.MTU_MOST, netif.MTU_ONE_PAGE) == (1500, 576, 65535 - 14, 4096 - 14)
    assert netif.CHAIN >= 18 + 2 + 1 + 2  # of 20 slots one is too many; two extra infos, of which the second is refused
    assert netif.NO_PAGE == 65535  # a pool has so many at most, from 0 on


def test_packets_one_behind_the_other():
    """Each has its own rows; what stood there, of this batch or one before, is gone."""
    batch = Batch(8)
    chains = [[slot(3000, MORE | EXTRA | BLANK), gso(), slot(1000)], [slot(60)], [slot(90, MORE), slot(90)], [slot(9)], [slot(70)]]
    words = [word for chain in chains for each in chain for word in each]
    batch.slots[: len(words)] = array("I", words)
    for _ in range(2):
        batch.begin(None, 0, 3, 16)
        assert batch.packets == batch.rows == 0
        first = 0
        for row, chain in enumerate(chains):
            assert netif.parse(batch, first, first + len(chain)) == row
            first += len(chain)
        packets = [packet_of(batch, row) for row in range(batch.packets)]
        assert [each.fragments for each in packets] == [
            [(7, 0, 2000, 0), (7, 0, 1000, 2)], [(7, 0, 60, 3)], [(7, 0, 90, 5)], [], [(7, 0, 70, 7)]]
        assert [each.gso_size for each in packets] == [1448, 0, 0, 0, 0] and [each.bad for each in packets] == [False] * 3 + [True, False]
        assert len({part for row in range(5) for part in range(batch.part[row], batch.part[row] + batch.parts[row])}) == 5
        assert batch.rows <= first
        batch.gso_size[1:3] = array("H", [5, 5])


@pytest.mark.parametrize("flags", range(4))
def test_one_slot(flags):
    packet = parse(slot(99), slot(60, flags, 4036, gref=0x80000001), slot(99), first=1)
    assert (packet.first, packet.end, packet.extras, packet.total, packet.gso_size) == (1, 2, 0, 60, 0)
    assert packet.fragments == [(0x80000001, 4036, 60, 1)] and not packet.bad
    assert packet.offloads == flags


@pytest.mark.parametrize("size, bad", [(1, True), (13, True), (14, False), (15, False), (4096, False)])
def test_less_than_a_frame(size, bad):
    assert parse(slot(size)).bad == bad


def test_a_page_is_the_most_of_a_slot():
    """Offset and size together: 4096 and 4097 octets, in the first slot and in another one."""
    assert parse(slot(100, offset=3996)).fragments == [(7, 3996, 100, 0)]
    refused("tx packet crosses a page: offset 3997, 100 octets", slot(100, offset=3997))
    refused("tx packet crosses a page: offset 4096, 60 octets", slot(60, offset=4096))
    refused("tx packet crosses a page: offset 65535, 60 octets", slot(60, offset=65535))
    refused("tx packet crosses a page: offset 0, 4097 octets", slot(4097))
    assert parse(slot(200, MORE), slot(100, offset=3996)).fragments == [(7, 0, 100, 0), (7, 3996, 100, 1)]
    refused("tx fragment crosses a page: offset 3997, 100 octets", slot(200, MORE), slot(100, offset=3997))
    refused("tx fragment crosses a page: offset 4096, 1 octets", slot(200, MORE), slot(1, offset=4096))
    assert not parse(slot(4100, MORE), slot(4096)).bad


def test_what_cannot_be_used_is_not_looked_at():
    """A first slot without octets of its own may say any offset, as the fragments hold everything; likewise an empty one."""
    packet = parse(slot(100, MORE, offset=65535), slot(100, gref=8))
    assert packet.fragments == [(8, 0, 100, 1)] and not packet.bad
    packet = parse(slot(100, MORE), slot(0, MORE, offset=4096), slot(40, gref=9))
    assert packet.fragments == [(7, 0, 60, 0), (9, 0, 40, 2)] and not packet.bad and packet.end == 3


def test_an_empty_packet():
    refused("tx packet of size 0", slot(0))
    refused("tx packet of size 0", slot(0, MORE), slot(60))


@pytest.mark.parametrize("size, bad", [(99, True), (100, False), (101, False)])
def test_sizes_that_do_not_add_up(size, bad):
    """The fragments have 100 octets: a packet of fewer is answered with an error; all its slots are counted."""
    packet = parse(slot(size, MORE), slot(60, MORE), slot(40))
    assert packet.bad == bad and packet.end == 3
    packet = parse(slot(13, MORE), slot(13))
    assert packet.bad and packet.end == 2


def test_the_first_fragment_alone_is_too_much():
    packet = parse(slot(100, MORE), slot(101, MORE), slot(0))
    assert packet.bad and packet.end == 3 and packet.total == 100


@pytest.mark.parametrize("count", range(2, 24))
def test_the_number_of_slots(count):
    """18 are a packet, 19 and 20 a mistake that is answered, 21 the end of the ring; by extra infos too."""
    for extras in (0, 1):
        slots = [slot(20 * count, MORE | (EXTRA if extras else 0))] + [gso()] * extras
        slots += [slot(20, MORE) for _ in range(count - 2)] + [slot(20)]
        if count > 20:
            refused("tx packet of more than 20 slots", *slots)
            continue
        packet = parse(*slots)
        assert packet.bad == (count > 18) and packet.end == count + extras and packet.extras == extras
        if not packet.bad:
            assert [each[2:] for each in packet.fragments] == [(20, 0)] + [(20, i + extras) for i in range(1, count)]


def test_64_kib():
    """65,535 octets are the most that a size can say: 15 pages and the first slot with the rest."""
    slots = [slot(65535, MORE)] + [slot(4096, MORE) for _ in range(14)] + [slot(4096)]
    packet = parse(*slots)
    assert packet.total == 65535 and not packet.bad and packet.fragments[0] == (7, 0, 65535 - 15 * 4096, 0)
    refused("tx packet crosses a page: offset 0, 8191 octets", *(slots[:14] + [slot(4096)]))


@pytest.mark.parametrize("n", range(1, 4))
def test_a_chain_that_ends_in_the_air(n):
    """More is announced than was put: at each place, whatever lies behind in the copy."""
    chain = [slot(100, MORE), slot(20, MORE), slot(20, MORE), slot(20)]
    refused("tx fragment missing after %d slots" % n, *chain, n=n)
    refused("tx fragment missing after %d slots" % n, slot(1), slot(1), *chain, first=2, n=2 + n)
    refused("tx extra info missing", slot(100, EXTRA), gso(), n=1)
    refused("tx fragment missing after 1 slots", slot(100, EXTRA | MORE), gso(), slot(20), n=2)
    refused("tx extra info missing", slot(100, EXTRA), gso(more=1))


@pytest.mark.parametrize("size", [1, 1448, 65535])
def test_a_super_frame(size):
    packet = parse(slot(3000, MORE | EXTRA | BLANK), gso(size), slot(1000))
    assert (packet.gso_size, packet.extras, packet.end, packet.bad) == (size, 1, 3, False)
    assert packet.fragments == [(7, 0, 2000, 0), (7, 0, 1000, 2)]
    assert parse(slot(60, EXTRA), gso(size)).end == 2
    assert parse(slot(1), slot(1), slot(60, EXTRA), gso(size), first=2).gso_size == size


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 5, 255])
def test_extra_infos_of_another_type(kind):
    refused("tx extra info of type %d" % kind, slot(100, EXTRA), gso(kind=kind))
    refused("tx extra info of type %d" % kind, slot(100, EXTRA), gso(more=1), gso(kind=kind))


def test_gso_twice():
    refused("tx extra info of type 1 twice", slot(100, EXTRA), gso(more=1), gso(more=1))
    refused("tx extra info of type 1 twice", slot(100, EXTRA), gso(1, more=1), gso())


@pytest.mark.parametrize("gso_type", [0, 2, 3, 255])
def test_gso_of_another_type(gso_type):
    refused("tx gso type %d, size 1448" % gso_type, slot(100, EXTRA), gso(gso_type=gso_type))


def test_gso_of_nothing():
    refused("tx gso type 1, size 0", slot(100, EXTRA), gso(0))


def test_only_the_octets_that_are_named_count():
    """Pads and flags that are not defined do not change what a slot says."""
    junk = gso(1448)
    junk[0] |= 0xFE << 8
    junk[1] |= 0xFFFFFF00
    junk[2] = 0xFFFFFFFF
    packet = parse([7, 0xFFF0 << 16 | 5 | EXTRA << 16, 60 << 16 | 0xFFFF], junk)
    assert (packet.total, packet.gso_size, packet.extras, packet.fragments) == (60, 1448, 1, [(7, 5, 60, 0)])


slots_of_any_kind = st.lists(st.tuples(
    st.integers(0, 0xFFFFFFFF),
    st.tuples(st.integers(0, 15), st.sampled_from([0, 1, 4000, 4095, 4096, 65535])).map(lambda pair: pair[0] << 16 | pair[1]),
    st.sampled_from([0, 1, 13, 14, 60, 96, 4096, 4097, 65535]).map(lambda size: size << 16),
), min_size=1, max_size=24)


@given(slots_of_any_kind)
def test_whatever_is_said(slots):
    """A packet that is not bad is exactly its fragments, each within a page and within the slots it took."""
    try:
        packet = parse(*slots)
    except PeerError:
        return
    assert 1 <= packet.end <= len(slots) and packet.extras < packet.end
    if packet.bad:
        return
    assert sum(octets for _, _, octets, _ in packet.fragments) == packet.total
    taken = [number for _, _, _, number in packet.fragments]
    assert taken == sorted(set(taken)) and all(number < packet.end for number in taken)
    for gref, offset, octets, number in packet.fragments:
        assert octets and offset + octets <= 4096 and gref == slots[number][0]
