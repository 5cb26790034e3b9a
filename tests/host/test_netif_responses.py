"""netif.parse_responses(): what a netvm may say of a packet that it has put into our pages, and every lie about it."""
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import netif
from net.batch import Batch
from peererror import PeerError
from test_netif import packet_of

VALIDATED, BLANK, MORE, EXTRA = 1, 2, 4, 8
NUMBER = 250  # of slot 0, as the ring counts: some of what follows stands at its other end
FIRST = array("H", [1000 + id for id in range(256)])  # all 256 are posted


def response(status, flags=0, offset=0, id=None):
    return [id, offset, flags, status & 0xFFFF]


def gso(size=1448, kind=1, gso_type=1, more=0):
    return [more << 8 | kind, size, gso_type, 0]


def parse(*slots, first=0, n=None, lent=FIRST, number=NUMBER):
    """The packet that begins at slot `first`. An id that is None is the right one."""
    batch = Batch(len(slots))
    for i, (id, second, third, fourth) in enumerate(slots):
        id = number + i & 255 if id is None else id
        batch.slots[2 * i], batch.slots[2 * i + 1] = second << 16 | id, fourth << 16 | third
    row = netif.parse_responses(batch, first, len(slots) if n is None else n, number, lent)
    return packet_of(batch, row)


def refused(text, *slots, **more):
    with pytest.raises(PeerError) as caught:
        parse(*slots, **more)
    assert str(caught.value) == text


@pytest.mark.parametrize("flags, offloads", [(0, 0), (BLANK, 1), (VALIDATED, 2), (BLANK | VALIDATED, 3)])
def test_one_slot(flags, offloads):
    """The two offloads have each other's bits in the other ring."""
    packet = parse(response(99), response(60, flags, 4036), response(99), first=1)
    assert (packet.first, packet.end, packet.extras, packet.total, packet.gso_size, packet.bad) == (1, 2, 0, 60, 0, False)
    assert packet.fragments == [(0, 4036, 60, 1)] and packet.offloads == offloads


def test_several_slots_and_what_only_the_first_says():
    packet = parse(response(100, MORE | BLANK, 5), response(4096, MORE), response(1, VALIDATED, 4095), response(9))
    assert (packet.end, packet.total, packet.offloads) == (3, 4197, 1)
    assert packet.fragments == [(0, 5, 100, 0), (0, 0, 4096, 1), (0, 4095, 1, 2)]


def test_data_stays_in_its_page():
    for slots in ([], [response(1, MORE)]):
        for offset, status in ((3997, 100), (4096, 1), (65535, 60), (0, 4097), (4097, 0), (4097, -1)):
            said = max(status, 0)
            refused("rx response crosses a page: offset %d, %d octets" % (offset, said), *slots, response(status, 0, offset))
        assert parse(*slots, response(100, 0, 3996)).end == 1 + len(slots)


@pytest.mark.parametrize("status", [-1, -2, -32768])
def test_an_error_spoils_the_packet_and_its_slots_are_counted(status):
    for at in range(3):
        slots = [response(60, MORE), response(60, MORE), response(60)]
        slots[at][3] = status & 0xFFFF
        packet = parse(*slots)
        assert packet.bad and packet.end == 3 and [each[3] for each in packet.fragments] == [i for i in range(3) if i != at]
    assert parse(response(32767 & 0xFFF, 0)).bad is False


def test_nothing_received():
    """A slot without data has no part; a packet without data is none, which is for the link to say."""
    packet = parse(response(0, MORE), response(60, MORE), response(0))
    assert packet.fragments == [(0, 0, 60, 1)] and packet.end == 3 and packet.total == 60
    packet = parse(response(0))
    assert (packet.total, packet.fragments, packet.bad) == (0, [], False)


def test_ids_are_those_of_their_slots():
    refused("rx response with id 251, which is not posted there", response(60, id=251))
    refused("rx response with id 506, which is not posted there", response(60, id=250 + 256))
    refused("rx response with id 250, which is not posted there", response(60, MORE), response(60, id=250))
    assert parse(*[response(60, MORE)] * 9 + [response(60)]).end == 10  # 250 to 255, then 0 to 3
    for kind in ([response(60)], [response(60, MORE), response(60)], [response(60, EXTRA), gso()]):
        lent = array("H", FIRST)
        lent[NUMBER + len(kind) - 1] = netif.NO_PAGE
        refused("rx response with id %d, which is not posted there" % (NUMBER + len(kind) - 1), *kind, lent=lent)


@pytest.mark.parametrize("count", [18, 19, 20, 21])
def test_the_number_of_slots(count):
    """19 with data are taken, 20 end the connection; an extra info is not one of them."""
    for extras in ([], [gso()]):
        slots = [response(60, MORE | (EXTRA if extras else 0))] + extras + [response(60, MORE)] * (count - 2) + [response(60)]
        if count > 19:
            refused("rx packet unfinished after %d slots" % (19 + len(extras)), *slots)
        else:
            assert parse(*slots).end == count + len(extras)


@pytest.mark.parametrize("n", range(1, 4))
def test_a_chain_that_ends_in_the_air(n):
    chain = [response(60, MORE)] * 3 + [response(60)]
    refused("rx packet unfinished after %d slots" % n, *chain, n=n)
    refused("rx packet unfinished after %d slots" % n, response(1), *chain, first=1, n=1 + n)
    refused("rx extra info missing", response(60, EXTRA), gso(), n=1)
    refused("rx extra info missing", response(60, EXTRA), gso(more=1))
    refused("rx packet unfinished after 2 slots", response(60, EXTRA | MORE), gso())


@pytest.mark.parametrize("size", [1, 1448, 65535])
def test_a_super_frame(size):
    packet = parse(response(3000, MORE | EXTRA | BLANK), gso(size), response(1000))
    assert (packet.gso_size, packet.extras, packet.end, packet.total, packet.bad) == (size, 1, 3, 4000, False)
    assert packet.fragments == [(0, 0, 3000, 0), (0, 0, 1000, 2)]


def test_packets_one_behind_the_other():
    batch = Batch(8)
    said = [(0, 100 << 16 | EXTRA), (1448 << 16 | 1, 1), (0, 60 << 16 | MORE), (0, 50 << 16), (0, 40 << 16)]
    for i, (first, second) in enumerate(said):
        batch.slots[2 * i], batch.slots[2 * i + 1] = first | (0 if i == 1 else i), second
    for _ in range(2):
        batch.begin(None, 0, 2, 0)
        rows = [netif.parse_responses(batch, first, 5, 0, FIRST) for first in (0, 2, 4)]
        assert rows == [0, 1, 2] and batch.packets == 3
        packets = [packet_of(batch, row) for row in rows]
        assert [each.fragments for each in packets] == [[(0, 0, 100, 0)], [(0, 0, 60, 2), (0, 0, 50, 3)], [(0, 0, 40, 4)]]
        assert [each.gso_size for each in packets] == [1448, 0, 0]
        batch.gso_size[1:3] = array("H", [5, 5])


def test_extra_infos_of_another_kind():
    for more in (0, 1):
        for kind in (0, 2, 5, 255):
            refused("rx extra info of type %d, gso type 1, size 1448" % kind, response(60, EXTRA), gso(kind=kind, more=more), gso())
        for gso_type in (0, 2, 255):
            refused("rx extra info of type 1, gso type %d, size 1448" % gso_type, response(60, EXTRA), gso(gso_type=gso_type, more=more), gso())
        refused("rx extra info of type 1, gso type 1, size 0", response(60, EXTRA), gso(0, more=more), gso())
    refused("rx extra info of type 1, gso type 1, size 9", response(60, EXTRA), gso(more=1), gso(9))


def test_only_the_first_announces_extra_infos():
    packet = parse(response(60, MORE), response(60, EXTRA), gso())
    assert (packet.end, packet.extras, packet.gso_size) == (2, 0, 0)


slots_of_any_kind = st.lists(st.tuples(
    st.sampled_from([None] * 6 + [0, 255, 65535]), st.sampled_from([0, 1, 4000, 4095, 4096, 65535, 1448 << 4]),
    st.integers(0, 15), st.sampled_from([0, 1, 13, 60, 96, 4096, 4097, 32767, 0xFFFF]),
), min_size=1, max_size=24)


@given(slots_of_any_kind, st.integers(0, 0xFFFFFFFF))
def test_whatever_is_said(slots, number):
    """A packet that is taken is exactly its parts, each within a page, in the order of its slots."""
    try:
        packet = parse(*slots, number=number)
    except PeerError:
        return
    assert 1 <= packet.end <= len(slots) and packet.extras < packet.end
    assert sum(octets for _, _, octets, _ in packet.fragments) == packet.total
    taken = [slot for _, _, _, slot in packet.fragments]
    assert taken == sorted(set(taken)) and all(slot < packet.end for slot in taken)
    assert all(octets and offset + octets <= 4096 for _, offset, octets, _ in packet.fragments)
