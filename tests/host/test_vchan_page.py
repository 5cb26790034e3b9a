"""The memory of a vchan: both our ends against each other, and a peer that writes what it likes."""
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stand_in

from peererror import PeerError

LEFT_CONS, LEFT_PROD, RIGHT_CONS, RIGHT_PROD = range(4)
CLIENT_NOTIFY, SERVER_NOTIFY = 22, 23
MASK = 0xFFFFFFFF


class Hypervisor(stand_in.Hypervisor):
    """With what changes single bits."""

    def or8(self, page, offset, bits):
        was = page[offset]
        page[offset] = was | bits
        return was

    def and8(self, page, offset, mask):
        was = page[offset]
        page[offset] = was & mask
        return was


@pytest.fixture(scope="module")
def vchan_page():
    with stand_in.imported("vchan.page", Hypervisor()) as module:
        yield module


class Pair:
    """A page with two rings and both ends of it, all four indices at `first`."""

    def __init__(self, vchan_page, left=10, right=11, first=0):
        self.page = bytearray(4096)
        self.words = memoryview(self.page).cast("I")
        for word in range(4):
            self.words[word] = first
        self.left, self.right = bytearray(1 << left), bytearray(1 << right)
        rings = memoryview(self.left), memoryview(self.right)
        self.server = vchan_page.Side(self.page, *rings, True)
        self.client = vchan_page.Side(self.page, *rings, False)


@given(st.integers(0, MASK), st.lists(st.tuples(st.booleans(), st.binary(max_size=3000), st.integers(1, 3000)), max_size=12))
def test_octets_arrive_from_any_index_on(vchan_page, first, steps):
    pair = Pair(vchan_page, first=first)
    streams = {True: bytearray(), False: bytearray()}
    for from_server, octets, limit in steps:
        sender, receiver = (pair.server, pair.client) if from_server else (pair.client, pair.server)
        n = min(sender.room(), len(octets))
        if n:
            sender.put(octets, 0, n)
            streams[from_server] += octets[:n]
        n = min(receiver.ready(), limit)
        if n:
            got, _ = receiver.take(n)
            assert got == streams[from_server][:n]
            del streams[from_server][:n]
        assert receiver.ready() == len(streams[from_server])
        assert sender.room() == len(sender.outgoing) - len(streams[from_server])


def test_a_full_ring_is_no_lie(vchan_page):
    pair = Pair(vchan_page, first=MASK - 5)
    pair.client.put(bytes(range(256)) * 4, 0, 1024)
    assert pair.client.room() == 0 and pair.server.ready() == 1024
    assert pair.server.take(1024)[0] == bytes(range(256)) * 4


@pytest.mark.parametrize("ahead", [1025, 2049, 0x80000000, MASK])
def test_more_octets_than_the_ring_has(vchan_page, ahead):
    pair = Pair(vchan_page, first=7)
    pair.words[LEFT_PROD] = 7 + ahead & MASK
    with pytest.raises(PeerError):
        pair.server.ready()


@pytest.mark.parametrize("ahead", [1, 1024, 0x80000000])
def test_more_octets_taken_than_were_given(vchan_page, ahead):
    pair = Pair(vchan_page)
    pair.client.put(b"x" * 10, 0, 10)
    pair.words[LEFT_CONS] = 10 + ahead
    with pytest.raises(PeerError):
        pair.client.room()


def test_our_own_indices_are_not_read_back(vchan_page):
    pair = Pair(vchan_page)
    pair.client.put(b"abcdef", 0, 6)
    assert pair.server.take(3)[0] == b"abc"
    pair.words[LEFT_CONS] = 77  # the server's own, overwritten by the client
    assert pair.server.ready() == 3 and pair.server.take(3)[0] == b"def"
    assert pair.words[LEFT_CONS] == 6


def test_orders_are_not_read_again(vchan_page):
    pair = Pair(vchan_page)
    vchan_page.set_orders(pair.page, 20, 20)
    pair.words[LEFT_PROD] = 1025
    with pytest.raises(PeerError):
        pair.server.ready()


def test_an_event_is_wanted_once(vchan_page):
    pair = Pair(vchan_page)
    assert not pair.client.put(b"a", 0, 1)
    pair.server.arm(True, False)
    assert pair.page[CLIENT_NOTIFY] == 1
    assert pair.client.put(b"a", 0, 1) and not pair.client.put(b"a", 0, 1)
    pair.client.arm(False, True)
    assert pair.page[SERVER_NOTIFY] == 2
    assert pair.server.take(1)[1] and not pair.server.take(1)[1]


def test_writing_does_not_answer_a_wish_to_hear_of_reading(vchan_page):
    pair = Pair(vchan_page)
    pair.client.arm(False, True)
    assert not pair.server.put(b"a", 0, 1)
    pair.client.put(b"a", 0, 1)
    assert pair.server.take(1)[1]


@pytest.mark.parametrize("left, right", [(10, 11), (11, 10), (10, 12), (11, 12), (12, 10), (12, 12), (16, 16), (18, 18)])
def test_orders_that_can_be(vchan_page, left, right):
    page = bytearray(4096)
    page[16:20] = struct.pack("<HH", left, right)
    assert vchan_page.orders(page) == (left, right)


@pytest.mark.parametrize("left, right", [(0, 12), (9, 12), (12, 9), (10, 10), (11, 11), (19, 12), (12, 21), (65535, 12)])
def test_orders_that_cannot_be(vchan_page, left, right):
    page = bytearray(4096)
    page[16:20] = struct.pack("<HH", left, right)
    with pytest.raises(PeerError):
        vchan_page.orders(page)


def test_small_rings_lie_in_the_page(vchan_page):
    page = bytearray(range(256)) * 16
    page[1024], page[2047], page[2048], page[4095] = b"abcd"
    small, larger = vchan_page.ring(page, None, 10), vchan_page.ring(page, None, 11)
    assert (len(small), small[0], small[-1]) == (1024, ord("a"), ord("b"))
    assert (len(larger), larger[0], larger[-1]) == (2048, ord("c"), ord("d"))


@pytest.mark.parametrize("octets, order", [(1, 12), (4096, 12), (4097, 13), (65536, 16), (1 << 18, 18)])
def test_rings_that_we_offer(vchan_page, octets, order):
    assert vchan_page.order_for(octets) == order
    assert vchan_page.pages(order) == 1 << order - 12


def test_a_ring_too_large_to_offer(vchan_page):
    with pytest.raises(ValueError):
        vchan_page.order_for((1 << 18) + 1)
