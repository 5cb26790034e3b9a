"""Neighbours that lie, in rings, grants and xenstore: each lie a function named by its case, and what it costs.

The rows of cases/xen_attack_cases.jsonl and of the advisories (XSA, MSA, QSB) that concern a network interface. While
one lies, another client forwards; afterwards everything that the firewall holds is as it was before.
"""
import json
import os

import pytest
from frontend import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING
from network import Network
from rings import ERROR, EXTRA_INFO, GSO, GSO_TCPV4, MORE_DATA, OKAY, PAGE, TX_BLANK
from packets import ACK, ETHER, Look, echo, ip, tcp, udp

HONEST, LIAR, SERVER = "10.137.0.21", "10.137.0.66", "192.0.2.50"
LONG = b"x" * 1000
CASES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "cases", "xen_attack_cases.jsonl")
COVERED = {}  # id of a row in CASES: the tests that it has here


def case(*ids):
    """Of a lie or a test: which rows it plays."""
    def note(function):
        for each in ids:
            COVERED.setdefault(each, []).append(function.__name__)
        return function
    return note


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.honest = net.client(HONEST)
    works(net)
    return net


def works(net, sport=4001):
    """The honest client's packet leaves, and its answer comes back."""
    net.honest.send(udp(HONEST, sport, SERVER, 53, b"question"))
    seen = Look(net.uplink.recv())
    assert (seen.src, seen.data) == (net.address, b"question")
    net.uplink.send(udp(SERVER, 53, net.address, seen.sport, b"answer"))
    assert Look(net.honest.recv()).data == b"answer"


def rest(net):
    """Holdings when nothing is on its way."""
    net.machine.advance(1.1)
    return net.holdings()


def frame(data=b"data", sport=5000):
    return udp(LIAR, sport, SERVER, 7, data)


# ---- a client whose lie ends its link, and nothing else ------------------------------------------


def one(client, octets=b"", offset=0, flags=0, size=None):
    """One tx request for these octets."""
    id, ref = client.page(octets)
    client.request(ref, offset, flags, id, len(octets) if size is None else size)


@case()
def tx_producer_257_ahead(client):
    client.tx.publish(client.tx.consumed + 257)


@case()
def tx_producer_backwards(client):
    client.tx.publish(client.tx.produced - 1)


@case()
def tx_producer_far_ahead(client):
    client.tx.publish(client.tx.produced + 0x80000000)


@case("tx-size-0")
def tx_first_slot_of_size_0(client):
    one(client, frame(), size=0)


@case("tx-size-0")
def tx_size_0_behind_good_frames(client):
    for i in range(5):
        client.queue(frame(sport=5000 + i))
    one(client, frame(), size=0)


@case()
def tx_page_crossed_by_one_octet(client):
    one(client, frame(LONG), offset=PAGE - 59, size=60)


@case()
def tx_offset_65535(client):
    one(client, frame(LONG), offset=65535, size=65535)


@case()
def tx_fragment_crosses_its_page(client):
    one(client, frame(LONG), flags=MORE_DATA)
    one(client, LONG, offset=PAGE - len(LONG) + 1)


@case()
def tx_more_data_into_nothing(client):
    one(client, frame(LONG), flags=MORE_DATA)


@case()
def tx_chain_of_21_slots(client):
    one(client, frame(LONG), flags=MORE_DATA)
    for i in range(20):
        one(client, b"x", flags=MORE_DATA if i < 19 else 0)


@case()
def tx_endless_chain(client):
    for _ in range(256):
        one(client, b"x", flags=MORE_DATA)


@case()
def tx_extra_missing(client):
    one(client, frame(LONG), flags=EXTRA_INFO)


@case("tx-gso-0")
def tx_gso_size_0(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 0, 0, GSO_TCPV4)


@case("tx-gso-0")
def tx_gso_type_none(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 0, 500, 0)


@case("tx-gso-0")
def tx_gso_type_unknown(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 0, 500, 7)


@case("tx-gso-0")
def tx_extra_of_type_0(client):
    one(client, frame(LONG), flags=EXTRA_INFO)
    client.extra(0, 0, 500, GSO_TCPV4)


@case()
def tx_extra_for_multicast(client):
    """Never offered: feature-multicast-control."""
    one(client, frame(LONG), flags=EXTRA_INFO)
    client.extra(2, 0, 0, 0)


@case()
def tx_extra_for_hash(client):
    """XSA-270: never offered, no control ring either."""
    one(client, frame(LONG), flags=EXTRA_INFO)
    client.extra(4, 0, 0, 0)


@case()
def tx_extra_twice(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 1, 500, GSO_TCPV4)
    client.extra(GSO, 0, 500, GSO_TCPV4)


@case()
def tx_endless_extras(client):
    one(client, frame(LONG), flags=EXTRA_INFO)
    for _ in range(200):
        client.extra(GSO, 1, 500, GSO_TCPV4)


FATAL = [tx_producer_257_ahead, tx_producer_backwards, tx_producer_far_ahead, tx_first_slot_of_size_0,
         tx_size_0_behind_good_frames, tx_page_crossed_by_one_octet, tx_offset_65535, tx_fragment_crosses_its_page,
         tx_more_data_into_nothing, tx_chain_of_21_slots, tx_endless_chain, tx_extra_missing, tx_gso_size_0,
         tx_gso_type_none, tx_gso_type_unknown, tx_extra_of_type_0, tx_extra_for_multicast, tx_extra_for_hash,
         tx_extra_twice, tx_endless_extras]


@pytest.mark.parametrize("lie", FATAL, ids=lambda lie: lie.__name__)
def test_a_lie_in_tx_costs_only_the_liar(net, lie):
    before = rest(net)
    liar = net.client(LIAR)
    liar.end.auto = False
    lie(liar.end)
    if liar.end.tx.words[0] == liar.end.tx.consumed:
        liar.end.tx.publish()
    liar.end.peer.evtchn_send(liar.end.port)
    net.settle()
    assert liar.end.their_state() == CLOSING
    net.uplink.end.frames.clear()
    works(net)
    assert len(net.lines("vif %s: link closed" % liar.end.name)) == 1
    liar.end.set_state(CLOSED)
    liar.end.auto = True
    liar.end.reconnect()  # it may begin again, honestly
    liar.send(frame())
    assert Look(net.uplink.recv()).data == b"data"
    net.detach(liar)
    assert rest(net) == before


def rx_producer_257_ahead(client):
    client.rx.publish(client.rx.produced + 1)


def rx_producer_far_ahead(client):
    client.rx.publish(client.rx.produced + 0x40000000)


def rx_producer_backwards(client):
    client.rx.publish(client.rx.consumed - 1)


@case("rx-prod-ahead")
@pytest.mark.parametrize("lie", [rx_producer_257_ahead, rx_producer_far_ahead, rx_producer_backwards],
                         ids=lambda lie: lie.__name__)
def test_a_lie_in_rx_costs_only_the_liar(net, lie):
    before = rest(net)
    liar = net.client(LIAR)
    liar.end.auto = False
    lie(liar.end)
    liar.send(echo(LIAR, net.gateway))  # it is noticed when there is something for it
    net.settle()
    assert liar.end.their_state() == CLOSING
    works(net)
    assert len(net.lines("vif %s: link closed" % liar.end.name)) == 1
    net.detach(liar)
    assert rest(net) == before


# ---- a client whose lie costs it that packet -------------------------------------------------------


def answered(client, statuses):
    assert [status for _, status in client.responses] == statuses
    client.responses.clear()


def bad_gref_never_granted(client):
    client.request(1900, 0, 0, 1, 60)


def bad_gref_0(client):
    client.request(0, 0, 0, 1, 60)


def bad_gref_all_ones(client):
    client.request(0xFFFFFFFF, 0, 0, 1, 60)


def bad_gref_revoked(client):
    ref = client.peer.grant(client.peer.page(), 2)
    client.request(ref, 0, 0, 1, 60)
    client.queue(frame(b"last"))
    client.peer.revoke(ref)
    client.kick()


def bad_gref_of_another_domain(client):
    client.request(client.peer.grant(client.peer.page(), 9), 0, 0, 1, 60)


def total_of_13_octets(client):
    one(client, frame()[:13])


@case("tx-gref-bad")
@pytest.mark.parametrize("lie", [bad_gref_never_granted, bad_gref_0, bad_gref_all_ones, bad_gref_revoked,
                                 bad_gref_of_another_domain, total_of_13_octets], ids=lambda lie: lie.__name__)
def test_a_bad_request_is_answered_with_an_error(net, lie):
    liar = net.client(LIAR)
    before = rest(net)
    client = liar.end
    client.queue(frame(b"first"))
    lie(client)
    if lie is not bad_gref_revoked:  # whose number would be given out again
        client.queue(frame(b"last"))
    client.kick()
    net.settle()
    answered(client, [OKAY, ERROR, OKAY])
    assert [Look(octets).data for octets, _, _, _ in net.uplink.end.frames] == [b"first", b"last"]
    net.uplink.end.frames.clear()
    works(net)
    assert liar.end.their_state() == CONNECTED and rest(net) == before


@case("tx-gref-bad")
def test_a_bad_fragment_costs_the_packet_and_its_siblings_nothing(net):
    liar = net.client(LIAR)
    before = rest(net)
    client = liar.end
    one(client, frame(LONG)[:100], flags=MORE_DATA, size=100 + 50 + 60)
    client.request(1900, 0, MORE_DATA, 77, 50)
    one(client, b"y" * 60)
    client.kick()
    net.settle()
    answered(client, [OKAY, ERROR, OKAY])
    assert net.uplink.recv() is None
    works(net)
    assert rest(net) == before


@pytest.mark.parametrize("slots", [18, 19, 20])
def test_more_than_18_slots_are_an_error_up_to_20(net, slots):
    """XSA-432: the whole packet is smaller than the header area, and split to the limit and beyond."""
    liar = net.client(LIAR)
    before = rest(net)
    octets = frame(b"z" * 20)
    liar.end.queue(octets, sizes=[2] * (slots - 1))
    liar.end.kick()
    net.settle()
    answered(liar.end, [OKAY if slots == 18 else ERROR] * slots)
    seen = net.uplink.recv()
    assert (seen is not None) == (slots == 18)
    if seen:
        assert Look(seen).data == b"z" * 20
    works(net)
    assert liar.end.their_state() == CONNECTED and rest(net) == before and not net.uplink.end.dirty


@pytest.mark.parametrize("sizes", [[1] * 17, [14, 1, 1, 1, 1, 1, 1, 20], [14, 20, 8], [13, 3, 30], [33, 2, 5, 7]],
                         ids=lambda sizes: "-".join(map(str, sizes))[:20])
def test_headers_split_over_slots_are_judged_whole(net, sizes):
    """XSA-423. And the netvm sees them once, rewritten: nothing of the client's address stays behind in a page."""
    liar = net.client(LIAR)
    before = rest(net)
    for data in (b"", b"d" * 300, b"e" * 1400):
        liar.end.queue(frame(data), sizes=sizes)
        liar.end.kick()
        net.settle()
        if sum(sizes) < len(frame(data)):
            seen = Look(net.uplink.recv())
            assert (seen.src, seen.data) == (net.address, data)
        else:
            net.uplink.end.frames.clear()
        assert not net.uplink.end.dirty
    works(net)
    assert rest(net) == before


def test_empty_fragments_are_answered_and_skipped(net):
    """CVE-2023-46838."""
    liar = net.client(LIAR)
    before = rest(net)
    octets = frame(LONG)
    one(liar.end, octets[:500], flags=MORE_DATA, size=len(octets))
    for part in (b"", octets[500:], b""):
        one(liar.end, part, flags=MORE_DATA)
    one(liar.end, b"")
    liar.end.kick()
    net.settle()
    answered(liar.end, [OKAY] * 5)
    assert Look(net.uplink.recv()).data == LONG
    works(net)
    assert rest(net) == before


def test_a_first_slot_left_empty_by_its_fragments(net):
    """All octets lie in the fragments."""
    liar = net.client(LIAR)
    octets = frame(LONG)
    one(liar.end, b"", flags=MORE_DATA, size=len(octets))
    one(liar.end, octets)
    liar.end.kick()
    net.settle()
    answered(liar.end, [OKAY] * 2)
    assert Look(net.uplink.recv()).data == LONG


def test_fragments_that_hold_more_than_the_whole(net):
    liar = net.client(LIAR)
    before = rest(net)
    one(liar.end, frame(LONG), flags=MORE_DATA, size=100)
    one(liar.end, b"x" * 101)
    liar.end.kick()
    net.settle()
    answered(liar.end, [ERROR] * 2)
    assert net.uplink.recv() is None
    works(net)
    assert rest(net) == before


@case("tx-64k")
def test_a_packet_of_65535_octets(net):
    """Forwarded in fragments, all of it: a datagram of 65,521 octets."""
    liar = net.client(LIAR)
    before = rest(net)
    data = bytes(i * 7 & 0xFF for i in range(65535 - 42))
    octets = frame(data)
    assert len(octets) == 65535
    liar.end.send(octets)
    net.settle()
    answered(liar.end, [OKAY] * 16)
    pieces = [octets for octets, _, _, _ in net.uplink.end.frames]
    net.uplink.end.frames.clear()
    assert all(len(piece) <= 1514 for piece in pieces)
    got = bytearray(65535 - 34)
    for piece in pieces:
        at = (int.from_bytes(piece[20:22], "big") & 0x1FFF) * 8
        got[at : at + len(piece) - 34] = piece[34:]
    assert bytes(got[8:]) == data
    assert not net.uplink.end.dirty
    works(net)
    assert rest(net) == before


@case("tx-id-dup")
def test_the_same_id_in_every_slot(net):
    liar = net.client(LIAR)
    before = rest(net)
    refs = []
    for i in range(60):
        id, ref = liar.end.page(frame(sport=6000 + i))
        refs.append(ref)
        liar.end.request(ref, 0, 0, 9, len(frame()))
    liar.end.kick()
    net.settle()
    assert liar.end.responses == [(9, OKAY)] * 60
    assert len(net.uplink.end.frames) == 60
    net.uplink.end.frames.clear()
    works(net)
    assert rest(net) == before


# ---- a client that changes its mind while it is looked at ------------------------------------------


def flipper(machine, flip):
    """flip(i) is called between the firewall's hypercalls."""
    machine.header.preempt_every = 1
    count = [0]

    def actor():
        count[0] += 1
        flip(count[0])
        return False

    machine.actors.append(actor)
    return count


@case("tx-data-mutates")
def test_headers_rewritten_after_they_were_judged(net):
    """XSA-155: the page says now an allowed destination, now a denied one. Only the allowed one is ever sent to."""
    liar = net.client(LIAR, ["action=accept dst4=%s/32" % SERVER])
    end = liar.end
    good, bad = frame(b"good"), udp(LIAR, 5000, "192.0.2.99", 7, b"evil")
    page = end.peer.octets(end._own_page()[0])
    ref = end.kept[-1][1]
    flipped = flipper(net.machine, lambda i: page.__setitem__(slice(0, len(good)), (good, bad)[i * 2654435761 >> 7 & 1]))
    for i in range(200):
        end.request(ref, 0, 0, 3, len(good))
        if i % 3 == 0:
            end.kick()
            net.settle()
    end.kick()
    net.settle()
    assert flipped[0] > 200
    sent = [Look(octets) for octets, _, _, _ in net.uplink.end.frames]
    assert sent and {(seen.dst, seen.data) for seen in sent} == {(SERVER, b"good")}
    net.uplink.end.frames.clear()
    works(net)


def test_requests_rewritten_while_they_are_taken(net):
    """XSA-155 for the slot itself: what was judged is what was copied."""
    liar = net.client(LIAR)
    end = liar.end
    end.auto = False
    for _ in range(40):
        end.queue(frame())
    words = end.tx.words
    first = 16 + end.tx.consumed % 256 * 3
    good = [list(words[first + i * 3 : first + i * 3 + 3]) for i in range(40)]

    def flip(i):
        for slot in range(40):
            size = good[slot][2] & 0xFFFF | (0xFFFF0000 if i & 1 else good[slot][2] & 0xFFFF0000)
            words[first + slot * 3 + 2] = size

    flipper(net.machine, flip)
    end.kick()
    net.settle()
    assert all(len(octets) == len(frame()) for octets, _, _, _ in net.uplink.end.frames)
    net.uplink.end.frames.clear()
    works(net)


# ---- a client that takes nothing, floods, storms ---------------------------------------------------


def test_a_client_without_buffers_is_held_for_in_bounds(net):
    """XSA-392: at most 36 pages, for at most a second."""
    before = rest(net)
    deaf = net.client(LIAR, post=0)
    for i in range(200):
        deaf.send(echo(LIAR, net.gateway, seq=i))
    net.settle()
    assert net.figures()["held"] == 36
    works(net)
    net.advance(1.2)
    assert net.figures()["held"] == 0
    net.detach(deaf)
    assert rest(net) == before


def test_a_client_that_gives_buffers_late_gets_what_was_held(net):
    late = net.client(LIAR, post=0)
    for i in range(5):
        late.send(echo(LIAR, net.gateway, seq=i))
    net.settle()
    assert net.figures()["held"] == 5
    late.end.post = 3
    for _ in range(3):
        late.end.give_buffer()
    assert late.end.rx.publish(), "it was not asked to say so"
    late.end.peer.evtchn_send(late.end.port)
    net.settle()
    assert [Look(octets).seq for octets, _, _, _ in late.end.frames] == [0, 1, 2, 3, 4]


def test_a_link_closed_while_packets_wait(net):
    """XSA-424, XSA-374: the client breaks its ring, jumps to Closed, dies, with packets held for it."""
    before = rest(net)
    for way in ("broken", "closed", "dead"):
        deaf = net.client(LIAR, post=0)
        for i in range(20):
            deaf.send(echo(LIAR, net.gateway, seq=i))
        net.settle()
        assert net.figures()["held"] == 20
        if way == "broken":
            deaf.end.auto = False
            deaf.end.tx.publish(deaf.end.tx.produced + 300)
            deaf.end.peer.evtchn_send(deaf.end.port)
            net.settle()
            assert deaf.end.their_state() == CLOSING
            deaf.end.set_state(CLOSED)
        elif way == "closed":
            deaf.end.auto = False
            deaf.end.set_state(CLOSED)
        else:
            deaf.end.kept = []
            deaf.end.port = 0
            deaf.end.tx = None
            deaf.end.peer.kill()
        works(net)
        net.detach(deaf)
        assert rest(net) == before, way


def rx_gref_never_granted(client, at):
    client.rx.halves[at + 2], client.rx.halves[at + 3] = 1900, 0


def rx_gref_all_ones(client, at):
    client.rx.halves[at + 2] = client.rx.halves[at + 3] = 0xFFFF


def rx_gref_readonly(client, at):
    ref = client.peer.grant(client.peer.page(), 2, readonly=True)
    client.rx.halves[at + 2], client.rx.halves[at + 3] = ref, 0


@pytest.mark.parametrize("lie", [rx_gref_never_granted, rx_gref_all_ones, rx_gref_readonly], ids=lambda lie: lie.__name__)
def test_a_buffer_that_cannot_be_written_is_answered_with_an_error(net, lie):
    """XSA-367: the copy's status counts."""
    liar = net.client(LIAR)
    before = rest(net)
    lie(liar.end, liar.end.rx.at(liar.end.rx.consumed))
    for seq in (1, 2):
        liar.send(echo(LIAR, net.gateway, seq=seq))
    net.settle()
    assert [Look(octets).seq for octets, _, _, _ in liar.end.frames] == [2]
    works(net)
    assert liar.end.their_state() == CONNECTED and rest(net) == before


def test_xen_refusing_copies_is_survived(net):
    """XSA-361, 362: any single operation may fail, to and from clients; then everything goes on."""
    before = rest(net)
    for skip in range(8):
        net.machine.header.copy_fault.status, net.machine.header.copy_fault.count = -12, 3
        net.machine.header.copy_fault.skip = skip
        for i in range(4):
            net.honest.send(echo(HONEST, net.gateway, seq=i))
        net.settle()
        net.machine.header.copy_fault.count = 0
        net.honest.end.frames.clear()
        works(net)
    assert rest(net) == before


def test_xen_refusing_to_map_a_ring_is_survived(net):
    before = rest(net)
    for skip in (0, 1):
        net.machine.header.map_fault.status, net.machine.header.map_fault.skip = -1, skip
        net.machine.header.map_fault.count = 1
        unlucky = net.client(LIAR, wait=False)
        net.settle()
        net.machine.header.map_fault.count = 0
        assert len(net.lines("vif %s: not connected: Xen refuses" % unlucky.end.name)) == 1
        unlucky.end.reconnect()
        net.detach(unlucky)
    works(net)
    assert rest(net) == before


def test_a_storm_of_events_costs_nobody_else_his_share(net):
    """XSA-332: an event for nothing at every packet of another, and nothing is logged."""
    liar = net.client(LIAR)
    for i in range(200):
        for _ in range(20):
            liar.end.peer.evtchn_send(liar.end.port)
        works(net, 4001 + i)
    assert not net.lines("vif %s: link closed" % liar.end.name)


def test_multicast_floods_are_dropped_in_silence(net, in_ci):
    """MSA-03, CVE-2022-46770: the console tells nothing, nothing is kept, others go on."""
    liar = net.client(LIAR)
    before = rest(net)
    lines = len(net.lines())
    for i in range(2000 if in_ci else 100000):
        liar.send(udp(LIAR, 5353, "224.0.0.251", 5353))
        if i % 500 == 0:
            works(net, 4001 + i // 500)
    net.settle()
    assert net.uplink.recv() is None and len(net.lines()) == lines
    assert rest(net) == before


def test_ipv6_leaves_nowhere(net):
    """QSB-004."""
    liar = net.client(LIAR)
    for kind in (b"\x86\xdd", b"\x81\x00", b"\x88\xa8", b"\x00\x27"):
        for size in (0, 1, 40, 1500):
            liar.send(ETHER + kind + b"\x60" + bytes(size))
    assert net.uplink.recv() is None and liar.recv() is None and net.honest.recv() is None
    works(net)


def test_a_clients_address_from_the_uplink(net):
    """QSB-056."""
    net.uplink.send(udp(LIAR, 1, net.address, 4001))
    net.uplink.send(udp(HONEST, 1, net.address, 4001))
    assert net.honest.recv() is None
    works(net)


# ---- xenstore --------------------------------------------------------------------------------------


def junk_in(**nodes):
    def lie(client):
        client.make_rings()
        client.publish(**nodes)
    lie.__name__ = "_".join("%s_%s" % each for each in nodes.items())[:40]
    return lie


def port_of_nobody(client):
    client.make_rings()
    client.publish(event_channel=900)


def port_for_another_domain(client):
    client.make_rings()
    client.publish(event_channel=client.peer.evtchn_alloc(0))


def ring_of_another_domain(client):
    client.make_rings()
    client.publish(tx_ring_ref=client.peer.grant(client.peer.page(), 0))


JUNK = [junk_in(**{name: value}) for name in ("tx_ring_ref", "rx_ring_ref", "event_channel")
        for value in (None, "", "-1", "4294967296", "0x10", "1 ", "a\tb\x1b", "1900")]
JUNK += [junk_in(request_rx_copy=None), junk_in(request_rx_copy="2")]
JUNK += [junk_in(multi_queue_num_queues=value) for value in ("0", "2", "", "x")]
JUNK += [port_of_nobody, port_for_another_domain, ring_of_another_domain]


@pytest.mark.parametrize("lie", [lie for lie in JUNK if "num_queues_" != lie.__name__[-11:]], ids=lambda lie: repr(lie.__name__))
def test_junk_in_the_clients_directory(net, lie):
    """XSA-39 for xenstore; zero queues (2026). One line, its control bytes escaped (QSB-087); it may try again."""
    before = rest(net)
    liar = net.client(LIAR, wait=False, auto=False)
    net.settle()
    assert liar.end.their_state() == INIT_WAIT
    lie(liar.end)
    net.settle()
    assert liar.end.their_state() == CLOSING
    assert len(net.lines("vif %s: not connected" % liar.end.name)) == 1
    assert "\x1b" not in net.firewall.console and "\t" not in net.firewall.console
    works(net)
    liar.end.set_state(CLOSED)
    net.settle()
    for node in ("multi-queue-num-queues", "tx-ring-ref", "rx-ring-ref"):
        liar.end.xs.remove((liar.end.front + "/" + node).encode())
    liar.end.auto = True
    liar.end.reconnect()
    net.detach(liar)
    assert rest(net) == before


@pytest.mark.parametrize("state", ["", "0", "9", "-1", "7", "8", "abc", "44444444444444", "\x00\xff", "4 "])
def test_junk_in_the_clients_state(net, state):
    liar = net.client(LIAR)
    liar.end.auto = False
    liar.end.write("state", state)
    net.settle()
    works(net)
    net.detach(liar)


@case("state-flap")
def test_a_state_that_toggles(net, in_ci):
    """XSA-349, XSA-374: Closed, Initialising, Closed ... Nothing grows, and dom0 is still served."""
    before = rest(net)
    liar = net.client(LIAR)
    liar.end.auto = False
    settled = None
    rounds = 1000 if in_ci else 10000
    for i in range(rounds):
        liar.end.set_state((CLOSED, INITIALISING)[i & 1])
        if i % 10 == 0:
            net.settle()
        if i % 100 == 0:
            works(net)
        if i == rounds // 2:
            settled = rest(net)
    net.settle()
    assert rest(net) == settled
    net.detach(liar)
    assert rest(net) == before


def test_nodes_rewritten_without_end(net, in_ci):
    """XSA-349: below the frontend and in what is watched; memory stays bounded, others are served."""
    liar = net.client(LIAR)
    liar.end.auto = False
    before = rest(net)
    heap = net.figures()["heap"]
    for i in range(2000 if in_ci else 20000):
        liar.end.write("state", "4")
        liar.end.write("state/more-%d" % (i % 50), "x")
        if i % 200 == 0:
            works(net)
    net.settle()
    assert rest(net) == before and net.figures()["heap"] < heap + 50000
    works(net)


@case("ip-two")
def test_two_addresses_in_the_ip_node(net):
    both = net.client("fd09:24ef:4179::a89:1 %s" % LIAR, rules=None)
    net.set_rules(LIAR, ["action=accept"])
    both.send(frame())
    assert Look(net.uplink.recv()).data == b"data"
    six = net.client("fd09:24ef:4179::a89:2", rules=None)  # no IPv4 at all: connected, and nothing forwarded
    six.send(frame())
    assert net.uplink.recv() is None
    works(net)


@case("shutdown")
@pytest.mark.parametrize("word, ends", [("poweroff", True), ("halt", True), ("reboot", True), ("suspend", False),
                                        ("junk", False), ("", False), ("POWEROFF", False)])
def test_what_dom0_asks_by_control_shutdown(net, word, ends):
    net.machine.write("/local/domain/2/control/shutdown", word)
    net.machine.advance(2)
    assert net.firewall.alive() != ends
    if not ends:
        works(net)


def test_nothing_is_offered_that_nobody_needs(net):
    """XSA-270: no control ring, no queues, no multicast lists, no split channels."""
    path = net.honest.end.back.encode()
    offered = {name.decode() for name in net.machine.dom0.directory(path) if name.startswith((b"feature", b"multi"))}
    assert offered == {"feature-rx-copy", "feature-sg", "feature-gso-tcpv4"}


# ---- the netvm -------------------------------------------------------------------------------------


def push_tx(netvm, id, status=OKAY):
    netvm.answer(id, status)
    netvm.tx.publish()


def in_flight(net, count=3):
    """Make the netvm hold tx requests; their ids."""
    net.uplink.end.holds = True
    for i in range(count):
        net.honest.send(udp(HONEST, 4100 + i, SERVER, 9))
    net.settle()
    tx = net.uplink.end.tx
    return [tx.halves[tx.at(tx.consumed + i) + 4] for i in range(count)]


def tx_answer_of_id_256(net):
    in_flight(net)
    push_tx(net.uplink.end, 256)


def tx_answer_of_id_65535(net):
    in_flight(net)
    push_tx(net.uplink.end, 65535)


def tx_answer_of_an_id_not_in_flight(net):
    ids = in_flight(net)
    push_tx(net.uplink.end, next(id for id in range(256) if id not in ids))


def tx_answer_twice(net):
    ids = in_flight(net)
    push_tx(net.uplink.end, ids[0])
    push_tx(net.uplink.end, ids[0])


def tx_answers_nobody_asked_for(net):
    net.uplink.end.tx.publish(net.uplink.end.tx.produced + 1)


def tx_producer_of_the_netvm_backwards(net):
    net.uplink.end.tx.publish(net.uplink.end.tx.produced - 1)


def rx_producer_of_the_netvm_ahead(net):
    net.uplink.end.rx.publish(net.uplink.end.rx.produced + 257)


def rx_id_of_another_slot(net):
    id, _ = net.uplink.end.buffer()
    net.uplink.end.respond(id + 1 & 255, 0, 0, 60)
    net.uplink.end.rx.publish()


def rx_id_300(net):
    net.uplink.end.respond(300, 0, 0, 60)
    net.uplink.end.rx.publish()


def rx_page_crossed(net):
    id, _ = net.uplink.end.buffer()
    net.uplink.end.respond(id, PAGE - 59, 0, 60)
    net.uplink.end.rx.publish()


def rx_page_crossed_behind_good_frames(net):
    for i in range(4):
        put(net, udp(SERVER, 53, net.address, 4001, b"n"))
    rx_page_crossed(net)


def rx_more_data_into_nothing(net):
    id, _ = net.uplink.end.buffer()
    net.uplink.end.respond(id, 0, MORE_DATA, 100)
    net.uplink.end.rx.publish()


def rx_chain_of_20_slots(net):
    for i in range(20):
        id, _ = net.uplink.end.buffer()
        net.uplink.end.respond(id, 0, MORE_DATA if i < 19 else 0, 100)
    net.uplink.end.rx.publish()


def rx_extra_missing(net):
    id, _ = net.uplink.end.buffer()
    net.uplink.end.respond(id, 0, EXTRA_INFO, 100)
    net.uplink.end.rx.publish()


def rx_extra(net, kind, more, size, gso_type):
    end = net.uplink.end
    id, _ = end.buffer()
    end.respond(id, 0, EXTRA_INFO, 100)
    end.respond(kind | more << 8, size, gso_type, 0)
    end.rx.publish()


def rx_extra_of_type_0(net):
    rx_extra(net, 0, 0, 100, GSO_TCPV4)


def rx_extra_of_type_9(net):
    rx_extra(net, 9, 0, 100, GSO_TCPV4)


def rx_gso_size_0(net):
    rx_extra(net, GSO, 0, 0, GSO_TCPV4)


def rx_gso_type_0(net):
    rx_extra(net, GSO, 0, 100, 0)


def rx_gso_for_ipv6(net):
    """Never offered."""
    rx_extra(net, GSO, 0, 100, 2)


def rx_extras_without_end(net):
    end = net.uplink.end
    id, _ = end.buffer()
    end.respond(id, 0, EXTRA_INFO, 100)
    for _ in range(10):
        end.respond(GSO | 1 << 8, 100, GSO_TCPV4, 0)
    end.rx.publish()


def put(net, octets):
    """Into the next buffer, unpublished."""
    end = net.uplink.end
    id, ref = end.buffer()
    handle, page = end.peer.map(2, ref)
    page[: len(octets)] = octets
    end.peer.unmap(handle)
    end.respond(id, 0, 0, len(octets))


NETVM = [tx_answer_of_id_256, tx_answer_of_id_65535, tx_answer_of_an_id_not_in_flight, tx_answer_twice,
         tx_answers_nobody_asked_for, tx_producer_of_the_netvm_backwards, rx_producer_of_the_netvm_ahead,
         rx_id_of_another_slot, rx_id_300, rx_page_crossed, rx_page_crossed_behind_good_frames,
         rx_more_data_into_nothing, rx_chain_of_20_slots, rx_extra_missing, rx_extra_of_type_0, rx_extra_of_type_9,
         rx_gso_size_0, rx_gso_type_0, rx_gso_for_ipv6, rx_extras_without_end]


@pytest.mark.parametrize("lie", NETVM, ids=lambda lie: lie.__name__)
def test_a_lying_netvm_costs_the_connection(net, lie):
    """XSA-376, 405, 465: it is closed with one line, made again, and nothing has leaked."""
    before = rest(net)
    end = net.uplink.end
    lie(net)
    end.peer.evtchn_send(end.port)
    end.disconnect()  # what it does next is not to be part of the lie
    net.settle()
    assert len(net.lines("uplink closed")) == 1
    net.honest.send(echo(HONEST, net.gateway))
    assert Look(net.honest.recv()).kind == 0, "clients are served without an uplink"
    end.holds = False
    net.machine.until(lambda: end.connections == 2 and end.connected(), 15, "another connection")
    net.machine.advance(2.5)
    end.frames.clear()
    net.honest.end.frames.clear()
    works(net)
    assert rest(net) == before and not end.dirty


@case("be-grant-kept")
@pytest.mark.parametrize("side", ["tx", "rx"])
def test_a_page_that_the_netvm_keeps_is_not_used_again(net, side):
    """XSA-396, MSA-02: quarantined until its revocation succeeds."""
    before = rest(net)
    end = net.uplink.end
    end.keeps = side
    net.honest.send(udp(HONEST, 4001, SERVER, 53, b"question"))
    seen = Look(net.uplink.recv())
    if side == "rx":
        end.send(udp(SERVER, 53, net.address, seen.sport, b"answer"))
        net.settle()
    end.keeps = ""
    assert len(net.lines("uplink closed")) == 1
    net.machine.advance(1.1)  # its rings it has given back by then
    assert net.figures()["quarantine"] == 1
    frames = {end.peer.domain.mappings[handle].frame for handle in end.kept}
    kept = {frame: bytes(end.peer.octets(frame)) for frame in frames}
    net.machine.until(lambda: end.connections == 2 and end.connected(), 15, "another connection")
    net.machine.advance(2.5)
    end.frames.clear()
    net.honest.end.frames.clear()
    for i in range(100):
        works(net, 4200 + i)
    for frame, octets in kept.items():
        assert bytes(end.peer.octets(frame)) == octets, "the page was used again"
    end.let_go()
    assert rest(net) == before


def test_a_netvm_that_collects_pages_gets_no_uplink_any_more(net):
    """The quarantine is bounded: at most 512 pages, then one line, and all else lives on."""
    before = rest(net)
    end = net.uplink.end
    end.keeps = "all"
    end.collect()
    for i in range(20):
        if end.connected():
            net.honest.send(udp(HONEST, 4001 + i, SERVER, 53))
        net.machine.advance(1)
        assert net.figures()["quarantine"] <= 512
    assert len(net.lines("uplink stays down")) == 1
    net.machine.advance(60)
    assert len(net.lines("uplink stays down")) == 1
    net.honest.end.frames.clear()
    net.honest.send(echo(HONEST, net.gateway))
    assert Look(net.honest.recv()).kind == 0
    end.keeps = ""
    end.let_go()
    net.machine.until(end.connected, 15, "the uplink")
    net.machine.advance(2.5)
    end.frames.clear()
    net.honest.end.frames.clear()
    works(net)
    assert rest(net) == before


@case("be-features")
@pytest.mark.parametrize("junk", ["", "2", "-1", "yes", "11111111111111111111", "\x00", "1 ", " 1"])
def test_junk_features_read_as_the_default(machine, junk):
    net = Network(machine=machine, features={name: junk for name in ("feature-sg", "feature-gso-tcpv4",
                                                                     "feature-no-csum-offload")})
    net.honest = net.client(HONEST)
    works(net)
    net.honest.send(tcp(HONEST, 1, SERVER, 2, blank=True), blank=True)
    octets, blank, gso = net.uplink.recv_offloaded()
    assert blank, "checksums are offloaded unless it says no"
    net.honest.send(ip(HONEST, SERVER, 17, udp(HONEST, 1, SERVER, 2, bytes(3000))[34:]))
    assert all(slots == 1 for _, _, _, slots in net.uplink.end.frames)


def test_without_rx_copy_there_is_no_uplink(machine):
    net = Network(machine=machine, uplink=False)
    net.honest = net.client(HONEST)
    from netvm import Netvm
    end = Netvm(machine, features={"feature-rx-copy": None})
    machine.advance(5)
    assert end.connections == 0 and net.firewall.alive()
    assert 1 <= len(net.lines("does not copy")) <= 3
    net.honest.send(echo(HONEST, net.gateway))
    assert Look(net.honest.recv()).kind == 0


def test_a_frame_too_short_or_failed_is_dropped(net):
    end = net.uplink.end
    before = rest(net)
    for status in (0, 1, 13, -1, -2, -32768):
        id, _ = end.buffer()
        end.respond(id, 0, 0, status)
    end.kick(end.rx)
    net.settle()
    works(net)
    assert end.connections == 1 and rest(net) == before


def test_a_storm_of_events_from_the_uplink(net):
    """XSA-391."""
    end = net.uplink.end
    for i in range(100):
        for _ in range(50):
            end.peer.evtchn_send(end.port)
        works(net, 4300 + i)


def test_what_the_netvm_can_see_is_packets_and_zeros(net):
    """XSA-403, 216, MSA-01: long frames, then short ones in the same pages; both ways; pages posted for rx."""
    before = rest(net)
    client = net.client(LIAR)
    for data in (b"s" * 1400, b"", b"t" * 700, b"u" * 3):
        for i in range(300):
            client.send(frame(data, 5000))
        net.settle()
    seen = Look(net.uplink.end.frames[-1][0])
    for size in (1400, 1, 800):
        for i in range(300):
            net.uplink.send(udp(SERVER, 7, net.address, seen.sport, b"v" * size))
        net.settle()
    for i in range(20):
        client.send(tcp(LIAR, 5000, SERVER, 80, ACK, bytes(200)))
    net.settle()
    assert net.uplink.end.dirty == []
    net.uplink.end.frames.clear()
    client.end.frames.clear()
    net.detach(client)
    assert rest(net) == before


def test_every_row_has_a_test():
    with open(CASES) as file:
        rows = {json.loads(line)["id"] for line in file}
    assert rows == set(COVERED), rows ^ set(COVERED)


