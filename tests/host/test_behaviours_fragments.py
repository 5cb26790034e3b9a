"""Rows 31 to 42 of docs/behaviours.md: fragments, DF and path MTU, through the whole firewall."""
import itertools

import pytest
from packets import DF, MF, SYN, Look, fragments, ip, tcp, tcp_segment, udp, udp_datagram
from scenes import A, B, OURS, SERVER, nothing

WHOLE = udp(A, 4001, SERVER, 80, bytes(range(200)) * 15, ident=77)  # 3008 octets behind the IP header


def joined(wire):
    """The datagram that the frames on a wire make up: (src, dst, ident, data behind the IP header)."""
    looks = []
    while True:
        frame = wire.recv(0)
        if frame is None:
            break
        looks.append(Look(frame))
    data = b""
    for look in looks:
        assert (look.fragment & 0x1FFF) * 8 == len(data) and look.ident == looks[0].ident
        assert bool(look.fragment & MF) == (look is not looks[-1])
        data += look.payload
    return looks[0].src, looks[0].dst, looks[0].ident, data


def out_of(net, data=WHOLE[34:]):
    """What came out is WHOLE, translated: ports and data, and its checksum in place."""
    src, dst, ident, seen = joined(net.uplink)
    Look(ip(src, dst, 17, seen))  # asserts the checksum
    return (src, dst, seen[8:]) == (OURS, SERVER, data[8:])


def test_behaviour_31_rules_see_the_ports_of_every_piece(net):
    client = net.client(A, ["action=accept proto=udp dstports=53-53"])
    for piece in fragments(WHOLE, 1480, 1480):  # to port 80
        client.send(piece)
        nothing(net.uplink)
    assert Look(client.recv()).code == 13
    for piece in fragments(WHOLE, 1480, 1480)[1:]:  # later pieces alone
        client.send(piece)
    nothing(client, net.uplink)


@pytest.mark.parametrize("octets", [8, 16, 24])
def test_behaviour_32_a_first_piece_without_its_whole_header_is_dropped(net, octets):
    client = net.client(A)
    segment = tcp_segment(A, 1, SERVER, 80, SYN, bytes(64), options=bytes(12))
    for piece in fragments(ip(A, SERVER, 6, segment, ident=9), octets):
        client.send(piece)
    nothing(client, net.uplink)
    assert net.counters["impossible fragment"] >= 1


def test_behaviour_32_header_just_inside(net):
    client = net.client(A)
    segment = tcp_segment(A, 1, SERVER, 80, SYN, bytes(64), options=bytes(12))
    for piece in fragments(ip(A, SERVER, 6, segment, ident=9), 32):
        client.send(piece)
    assert Look(net.uplink.recv()).dport == 80


def test_behaviour_33_tcp_offset_1_is_dropped(net):
    client = net.client(A)
    client.send(ip(A, SERVER, 6, bytes(64), ident=9, fragment=1))
    client.send(ip(A, SERVER, 6, bytes(64), ident=9, fragment=1 | MF))
    nothing(client, net.uplink)
    assert net.counters["impossible fragment"] == 2
    assert net.neighbours.fragments.octets == 0


def piece(start, octets, more, ident=77, src=A):
    data = WHOLE[34:]
    data = (data + bytes(70000))[start : start + octets]
    return ip(src, SERVER, 17, data, ident=ident, fragment=(MF if more else 0) | start // 8)


@pytest.mark.parametrize(
    "bad", [(8, 80, True), (792, 16, True), (1592, 16, True), (0, 1600, True)],
    ids=["inside", "over an end", "into the next", "all of it"],
)
def test_behaviour_34_overlap_drops_the_whole_datagram(net, bad):
    client = net.client(A)
    client.send(piece(0, 800, True))
    client.send(piece(1600, 800, True))
    client.send(piece(*bad))
    client.send(piece(800, 800, True))
    client.send(piece(2400, 608, False))
    nothing(client, net.uplink)
    for good in (piece(0, 800, True, 78), piece(800, 2208, False, 78)):  # another datagram is not touched
        client.send(good)
    assert out_of(net)


def test_behaviour_34_the_same_piece_twice_is_no_overlap(net):
    client = net.client(A)
    for frame in (piece(0, 800, True), piece(0, 800, True), piece(800, 2208, False)):
        client.send(frame)
    assert out_of(net)


def test_behaviour_35_ping_of_death(net):
    client = net.client(A)
    for ident, start, octets in ((1, 65528, 8), (2, 65520, 400), (3, 64000, 1520)):
        client.send(ip(A, SERVER, 1, bytes(octets), ident=ident, fragment=start // 8))
        client.send(ip(A, SERVER, 1, bytes(1480), ident=ident, fragment=MF))
    nothing(client, net.uplink)
    assert net.counters["impossible fragment"] >= 3


def test_behaviour_35_the_largest_datagram_passes(net):
    client = net.client(A)
    whole = udp(A, 4001, SERVER, 80, bytes(65535 - 28))
    for frame in fragments(whole, *[1480] * 44):
        client.send(frame)
    assert out_of(net, whole[34:])


@pytest.mark.parametrize("held", [(800, 800), (1600, 80)])
def test_behaviour_36_a_last_piece_that_ends_too_early_is_refused(net, held):
    client = net.client(A)
    client.send(piece(*held, True))
    client.send(piece(0, 800, True))
    client.send(piece(800, 80, False) if held[0] == 1600 else piece(800, 792, False))
    nothing(client, net.uplink)
    assert net.counters["impossible fragment"] == 1


def test_behaviour_36_two_last_pieces(net):
    client = net.client(A)
    client.send(piece(1600, 800, False))
    client.send(piece(2400, 608, False))
    client.send(piece(0, 1600, True))
    nothing(client, net.uplink)


@pytest.mark.parametrize("count, passes", [(64, True), (65, False)])
def test_behaviour_37_at_most_64_pieces(net, count, passes):
    client = net.client(A)
    whole = udp(A, 4001, SERVER, 80, bytes(count * 16 - 8), ident=5)
    for frame in fragments(whole, *[16] * (count - 1)):
        client.send(frame)
    assert (net.uplink.recv(0) is not None) == passes


def test_behaviour_38_incomplete_datagrams_are_bounded_in_memory_and_time(net):
    client, other = net.client(A), net.client(B)
    for ident in range(5000):
        client.send(piece(0, 1480, True, ident))
        other.send(piece(0, 1480, True, ident, B))
        net.uplink.send(ip(SERVER, OURS, 17, bytes(1480), ident=ident, fragment=MF))
    held = net.neighbours.fragments
    assert held.octets <= 3 * 131072
    net.advance(29)
    assert held.octets > 0
    net.advance(2)
    assert held.octets == 0 and not held._by_key and not held._queues and not held._octets_of


def test_behaviour_38_large_incomplete_datagrams_are_bounded_for_each_client(net):
    client = net.client(A)
    for ident in range(4):
        for frame in fragments(udp(A, 4001, SERVER, 80, bytes(60000), ident=ident), *[1480] * 40)[:-1]:
            client.send(frame)
            assert net.neighbours.fragments.octets <= 131072
    assert net.neighbours.fragments.octets > 59000


def test_behaviour_38_a_piece_that_comes_too_late_completes_nothing(net):
    client = net.client(A)
    client.send(piece(0, 800, True))
    net.advance(31)
    client.send(piece(800, 2208, False))
    nothing(client, net.uplink)


def test_behaviour_39_pieces_in_any_order_pass(net):
    client = net.client(A)
    pieces = fragments(WHOLE, 800, 800, 800)
    for order in itertools.permutations(pieces):
        for frame in order:
            nothing(net.uplink)
            client.send(frame)
        assert out_of(net)


def test_behaviour_39_from_outside_too(net):
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    back = udp(SERVER, 80, OURS, port, bytes(3000), ident=3)
    for frame in reversed(fragments(back, 1480, 1480)):
        net.uplink.send(frame)
    src, dst, _, data = joined(client)
    assert (src, dst, data[8:]) == (SERVER, A, bytes(3000))


def test_behaviour_40_a_flood_of_pieces_leaves_others_whole(net):
    floods, other = [net.client("10.137.1.%d" % i) for i in range(1, 9)], net.client(B)
    mine = fragments(udp(B, 4001, SERVER, 80, bytes(20000), ident=6), *[1480] * 13)
    for i, frame in enumerate(mine):
        other.send(frame)
        for flood in floods:
            for ident in range(40):
                flood.send(piece(0, 1480, True, ident * 100 + i, flood.address))
    assert len(joined(net.uplink)[3]) == 20008
    assert net.neighbours.fragments.octets <= 524288


@pytest.mark.parametrize("mtu", [1500, 1400, 576])
def test_behaviour_41_df_is_honoured_with_the_next_mtu(net, mtu):
    net.netvm(OURS, mtu=mtu)
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80, bytes(mtu - 28), fragment=DF))
    assert Look(net.uplink.recv()).total == mtu
    sent = udp(A, 4001, SERVER, 80, bytes(mtu - 27), fragment=DF)
    client.send(sent)
    told = Look(client.recv())
    assert (told.src, told.kind, told.code, told.seq, told.echo_id) == (OURS, 3, 4, mtu, 0)
    assert told.data == sent[14:][:548]
    nothing(net.uplink, client)


def test_behaviour_41_towards_a_client_with_a_small_mtu(net):
    client = net.client(A, mtu=1280)
    client.send(udp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(udp(SERVER, 80, OURS, port, bytes(1300), fragment=DF))
    told = Look(net.uplink.recv())
    assert (told.src, told.dst, told.kind, told.code, told.seq) == (OURS, SERVER, 3, 4, 1280)
    assert (told.quote.src, told.quote.dport) == (SERVER, port)
    nothing(client, net.uplink)


@pytest.mark.parametrize("gso, df, passes", [(1448, DF, True), (1448, 0, True), (1449, DF, False), (1449, 0, True)])
def test_behaviour_41_super_frames_by_their_segments(net, gso, df, passes):
    client = net.client(A)
    client.send(tcp(A, 4001, SERVER, 80))
    assert net.uplink.recv()
    segment = tcp_segment(A, 4001, SERVER, 80, 16, bytes(20000), blank=True, options=bytes(12))
    client.send(ip(A, SERVER, 6, segment, fragment=df), blank=True, gso=gso)
    frame, blank, out = net.uplink.recv_offloaded()
    if passes:
        assert Look(frame, blank=True).total == 20052 and blank and out == 1448
    else:
        assert frame is None and Look(client.recv()).seq == 1500


def test_behaviour_42_same_ids_of_two_clients_stay_apart(net):
    a, b = net.client(A), net.client(B)
    for frames in zip(*(fragments(udp(c, 4001, SERVER, 80, bytes([n]) * 3000, ident=7), 1480, 1480)
                        for c, n in ((A, 1), (B, 2)))):
        a.send(frames[0])
        b.send(frames[1])
    looks = [Look(net.uplink.recv()) for _ in range(6)]
    assert len({look.ident for look in looks[:3]}) == len({look.ident for look in looks[3:]}) == 1
    assert looks[0].ident != looks[3].ident
    for look, n in zip(looks, (1, 1, 1, 2, 2, 2)):
        assert set(look.payload[8:]) == {n}


def test_a_blank_checksum_is_complete_in_pieces(net):
    client = net.client(A)
    client.send(ip(A, SERVER, 17, udp_datagram(A, 1, SERVER, 80, bytes(3000), blank=True)), blank=True)
    src, dst, _, data = joined(net.uplink)
    Look(ip(src, dst, 17, data))
