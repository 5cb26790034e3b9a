"""Clients that lie in their tx ring: fatally, so that their link ends, or about one packet, which is answered with an error.

Rows of cases/xen_attack_cases.jsonl and advisories are named where they are played. While one lies, another forwards;
afterwards everything that the firewall holds is as it was before.
"""
import pytest
from attacks import LIAR, LONG, SERVER, Lies, answered, forwarding, frame, net, one, rest, row  # noqa: F401
from frontend import CLOSED, CLOSING, CONNECTED
from rings import ERROR, EXTRA_INFO, GSO, GSO_TCPV4, MORE_DATA, OKAY, PAGE, TX_BLANK
from packets import ACK, Look, looks, tcp

fatal = Lies()  # the client's link ends, and nothing else
bad = Lies()  # the packet is answered with ERROR, what stands around it is taken


@fatal("XSA-39")
def tx_producer_257_ahead(client):
    client.tx.publish(client.tx.consumed + 257)


@fatal("XSA-39")
def tx_producer_backwards(client):
    client.tx.publish(client.tx.produced - 1)


@fatal("XSA-39")
def tx_producer_far_ahead(client):
    client.tx.publish(client.tx.produced + 0x80000000)


@fatal("tx-size-0", "XSA-90")
def tx_first_slot_of_size_0(client):
    one(client, frame(), size=0)


@fatal("tx-size-0", "XSA-90")
def tx_size_0_behind_good_frames(client):
    for i in range(5):
        client.queue(frame(sport=5000 + i))
    one(client, frame(), size=0)


@fatal("XSA-39", "QSB-089")
def tx_page_crossed_by_one_octet(client):
    one(client, frame(LONG), offset=PAGE - 59, size=60)


@fatal("XSA-39")
def tx_offset_65535(client):
    one(client, frame(LONG), offset=65535, size=65535)


@fatal("XSA-39")
def tx_offset_4096(client):
    """The first octet behind the page."""
    one(client, flags=0, offset=PAGE, size=60)


@fatal("XSA-39")
def tx_fragment_at_offset_4096(client):
    one(client, frame(LONG), flags=MORE_DATA)
    one(client, offset=PAGE, size=1)


@fatal()
def tx_more_than_a_page_left_for_the_first_slot(client):
    """Sizes that do not add up: the fragments leave 4,097 octets of the whole to it."""
    one(client, frame(LONG), flags=MORE_DATA, size=PAGE + 1 + 60)
    one(client, b"x" * 60)


@fatal()
def tx_fragment_crosses_its_page(client):
    one(client, frame(LONG), flags=MORE_DATA)
    one(client, LONG, offset=PAGE - len(LONG) + 1)


@fatal()
def tx_more_data_into_nothing(client):
    one(client, frame(LONG), flags=MORE_DATA)


@fatal()
def tx_chain_of_21_slots(client):
    one(client, frame(LONG), flags=MORE_DATA)
    for i in range(20):
        one(client, b"x", flags=MORE_DATA if i < 19 else 0)


@fatal("XSA-39")
def tx_endless_chain(client):
    for _ in range(256):
        one(client, b"x", flags=MORE_DATA)


@fatal()
def tx_extra_missing(client):
    one(client, frame(LONG), flags=EXTRA_INFO)


@fatal("tx-gso-0")
def tx_gso_size_0(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 0, 0, GSO_TCPV4)


@fatal("tx-gso-0")
def tx_gso_type_none(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 0, 500, 0)


@fatal("tx-gso-0")
def tx_gso_type_unknown(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 0, 500, 7)


@fatal("tx-gso-0")
def tx_extra_of_type_0(client):
    one(client, frame(LONG), flags=EXTRA_INFO)
    client.extra(0, 0, 500, GSO_TCPV4)


@fatal()
def tx_extra_for_multicast(client):
    """Never offered: feature-multicast-control."""
    one(client, frame(LONG), flags=EXTRA_INFO)
    client.extra(2, 0, 0, 0)


@fatal("XSA-270")
def tx_extra_for_hash(client):
    """XSA-270: never offered, no control ring either."""
    one(client, frame(LONG), flags=EXTRA_INFO)
    client.extra(4, 0, 0, 0)


def tx_extra_of_type(kind):
    def lie(client):
        one(client, frame(LONG), flags=EXTRA_INFO)
        client.extra(kind, 0, 500, GSO_TCPV4)

    lie.__name__ = "tx_extra_of_type_%d" % kind
    return lie


for _kind in (3, 5, 6, 128, 255):
    fatal("XSA-270")(tx_extra_of_type(_kind))


@fatal()
def tx_extra_unknown_behind_a_good_one(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 1, 500, GSO_TCPV4)
    client.extra(5, 0, 0, 0)


@fatal()
def tx_extra_twice(client):
    one(client, tcp(LIAR, 1, SERVER, 2, ACK, LONG, blank=True), flags=EXTRA_INFO | TX_BLANK)
    client.extra(GSO, 1, 500, GSO_TCPV4)
    client.extra(GSO, 0, 500, GSO_TCPV4)


@fatal("XSA-39")
def tx_endless_extras(client):
    one(client, frame(LONG), flags=EXTRA_INFO)
    for _ in range(200):
        client.extra(GSO, 1, 500, GSO_TCPV4)


@row("XSA-374")
@fatal.each
def test_a_lie_in_tx_costs_only_the_liar(net, lie):
    """XSA-374 too: it is cleaned up after once, though the frontend breaks its ring and then disconnects."""
    before = rest(net)
    liar = net.client(LIAR)
    liar.end.auto = False
    with forwarding(net):
        lie(liar.end)
        if liar.end.tx.words[0] == liar.end.tx.consumed:
            liar.end.tx.publish()
        liar.end.peer.evtchn_send(liar.end.port)
        net.settle()
        assert liar.end.their_state() == CLOSING
    net.uplink.end.frames.clear()
    assert len(net.lines("vif %s: link closed" % liar.end.name)) == 1
    liar.end.set_state(CLOSED)
    liar.end.auto = True
    liar.end.reconnect()  # it may begin again, honestly
    liar.send(frame())
    assert Look(net.uplink.recv()).data == b"data"
    net.detach(liar)
    assert rest(net) == before


# ---- a client whose lie costs it that packet -------------------------------------------------------


@bad("tx-gref-bad", "XSA-361", "XSA-362")
def bad_gref_never_granted(client):
    client.request(1900, 0, 0, 1, 60)


@bad("tx-gref-bad")
def bad_gref_0(client):
    client.request(0, 0, 0, 1, 60)


@bad("tx-gref-bad")
def bad_gref_all_ones(client):
    client.request(0xFFFFFFFF, 0, 0, 1, 60)


@bad("tx-gref-bad")
def bad_gref_revoked(client):
    ref = client.peer.grant(client.peer.page(), 2)
    client.request(ref, 0, 0, 1, 60)
    client.queue(frame(b"last"))
    client.peer.revoke(ref)
    client.kick()


@bad("tx-gref-bad")
def bad_gref_of_another_domain(client):
    client.request(client.peer.grant(client.peer.page(), 9), 0, 0, 1, 60)


@bad("QSB-089")
def total_of_13_octets(client):
    one(client, frame()[:13])


@bad.each
def test_a_bad_request_is_answered_with_an_error(net, lie):
    liar = net.client(LIAR)
    before = rest(net)
    client = liar.end
    with forwarding(net):
        client.queue(frame(b"first"))
        lie(client)
        if lie is not bad_gref_revoked:  # whose number would be given out again
            client.queue(frame(b"last"))
        client.kick()
        net.settle()
    answered(client, [OKAY, ERROR, OKAY])
    assert [seen.data for seen in looks(net.uplink.end.frames)] == [b"first", b"last"]
    net.uplink.end.frames.clear()
    assert liar.end.their_state() == CONNECTED and rest(net) == before


@row("tx-gref-bad")
def test_a_bad_fragment_costs_the_packet_and_its_siblings_nothing(net):
    liar = net.client(LIAR)
    before = rest(net)
    client = liar.end
    with forwarding(net):
        one(client, frame(LONG)[:100], flags=MORE_DATA, size=100 + 50 + 60)
        client.request(1900, 0, MORE_DATA, 77, 50)
        one(client, b"y" * 60)
        client.kick()
        net.settle()
    answered(client, [OKAY, ERROR, OKAY])
    assert net.uplink.recv() is None
    assert rest(net) == before


@row("XSA-432", "QSB-089")
@pytest.mark.parametrize("slots", [17, 18, 19, 20])
def test_more_than_18_slots_are_an_error_up_to_20(net, slots):
    """XSA-432: the whole packet is smaller than the header area, and split to the limit and beyond."""
    liar = net.client(LIAR)
    before = rest(net)
    octets = frame(b"z" * 20)
    with forwarding(net):
        liar.end.queue(octets, sizes=[2] * (slots - 1))
        liar.end.kick()
        net.settle()
    answered(liar.end, [OKAY if slots <= 18 else ERROR] * slots)
    seen = net.uplink.recv()
    assert (seen is not None) == (slots <= 18)
    if seen:
        assert Look(seen).data == b"z" * 20
    assert liar.end.their_state() == CONNECTED and rest(net) == before and not net.uplink.end.dirty


@row("XSA-423")
@pytest.mark.parametrize("sizes", [[1] * 17, [14, 1, 1, 1, 1, 1, 1, 20], [14, 20, 8], [13, 3, 30], [33, 2, 5, 7]],
                         ids=lambda sizes: "-".join(map(str, sizes))[:20])
def test_headers_split_over_slots_are_judged_whole(net, sizes):
    """XSA-423. And the netvm sees them once, rewritten: nothing of the client's address stays behind in a page."""
    liar = net.client(LIAR)
    before = rest(net)
    for data in (b"", b"d" * 300, b"e" * 1400):
        with forwarding(net):
            liar.end.queue(frame(data), sizes=sizes)
            liar.end.kick()
            net.settle()
        if sum(sizes) < len(frame(data)):
            seen = Look(net.uplink.recv())
            assert (seen.src, seen.data) == (net.address, data)
        else:
            net.uplink.end.frames.clear()
        assert not net.uplink.end.dirty
    assert rest(net) == before


@row("CVE-2023-46838")
def test_empty_fragments_are_answered_and_skipped(net):
    liar = net.client(LIAR)
    before = rest(net)
    octets = frame(LONG)
    with forwarding(net):
        one(liar.end, octets[:500], flags=MORE_DATA, size=len(octets))
        for part in (b"", octets[500:], b""):
            one(liar.end, part, flags=MORE_DATA)
        one(liar.end, b"")
        liar.end.kick()
        net.settle()
    answered(liar.end, [OKAY] * 5)
    assert Look(net.uplink.recv()).data == LONG
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
    with forwarding(net):
        one(liar.end, frame(LONG), flags=MORE_DATA, size=100)
        one(liar.end, b"x" * 101)
        liar.end.kick()
        net.settle()
    answered(liar.end, [ERROR] * 2)
    assert net.uplink.recv() is None
    assert rest(net) == before


@row("tx-64k")
def test_a_packet_of_65535_octets(net):
    """Forwarded in fragments, all of it: a datagram of 65,521 octets."""
    liar = net.client(LIAR)
    before = rest(net)
    data = bytes(i * 7 & 0xFF for i in range(65535 - 42))
    octets = frame(data)
    assert len(octets) == 65535
    with forwarding(net):
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
    assert not net.uplink.end.dirty and rest(net) == before


@row("tx-id-dup", "MSA00")
def test_the_same_id_in_every_slot(net):
    liar = net.client(LIAR)
    before = rest(net)
    with forwarding(net):
        for i in range(60):
            _, ref = liar.end.page(frame(sport=6000 + i))
            liar.end.request(ref, 0, 0, 9, len(frame()))
        liar.end.kick()
        net.settle()
    assert liar.end.responses == [(9, OKAY)] * 60
    assert sorted(seen.sport for seen in looks(net.uplink.end.frames)) == list(range(6000, 6060))
    net.uplink.end.frames.clear()
    assert rest(net) == before


@row("QSB-089")
def test_values_just_inside_the_limits_are_taken(net):
    """Beside each lie about a length or a counter its honest neighbour: a whole ring, a whole page, the least frame."""
    wire = net.client(LIAR)
    before = rest(net)
    for i in range(256):
        wire.end.queue(frame(sport=6000 + i))
    wire.end.kick()
    net.settle()
    answered(wire.end, [OKAY] * 256)
    assert len(net.uplink.end.frames) == 256
    net.uplink.end.frames.clear()
    octets = frame(LONG)
    id, ref = wire.end.page(bytes(PAGE - len(octets)) + octets)
    wire.end.request(ref, PAGE - len(octets), 0, id, len(octets))
    wire.end.kick()
    assert Look(net.uplink.recv()).data == LONG
    one(wire.end, octets[:14])
    wire.end.kick()
    net.settle()
    answered(wire.end, [OKAY] * 2)
    assert wire.end.connected() and rest(net) == before
