"""Datagrams that come in by the uplink in pieces: each is counted to the client it is for, so that many can be under way."""
import itertools

import pytest
from packets import ACK, MF, SYN, Look, echo, error, fragments, ip, tcp, udp
from scenes import A, B, OURS, SERVER, nothing


def answers(net, wire, count, octets=8192, sport=4001):
    """That many datagrams for a flow of this client, each as its pieces."""
    wire.send(udp(wire.address, sport, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    wholes = (udp(SERVER, 80, OURS, port, bytes([i]) * octets, ident=1000 * port + i & 0xFFFF) for i in range(count))
    return [fragments(whole, *[1480] * (octets // 1480)) for whole in wholes]


def interleaved(net, *datagrams):
    for pieces in itertools.zip_longest(*datagrams):
        for frame in pieces:
            if frame:
                net.uplink.send(frame)


def arrived(wire):
    """How many whole datagrams came: each is cut again on the way."""
    count, frame = 0, wire.recv(0)
    while frame is not None:
        count += not Look(frame).fragment & MF
        frame = wire.recv(0)
    return count


def test_40_datagrams_of_8_kib_interleaved_arrive(net):
    client = net.client(A)
    interleaved(net, *answers(net, client, 40))
    assert arrived(client) == 40
    assert net.neighbours.fragments.octets == 0


def test_40_datagrams_for_ten_clients(net):
    clients = [net.client("10.137.1.%d" % i) for i in range(1, 11)]
    interleaved(net, *(pieces for wire in clients for pieces in answers(net, wire, 4)))
    assert [arrived(wire) for wire in clients] == [4] * 10


def test_first_pieces_that_come_late_count_like_those_that_come_early(net):
    """What nobody claims is few, and a claim is no way past the limit of who gets it."""
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    held = net.neighbours.fragments
    for i in range(400):
        first, second, _ = fragments(udp(SERVER, 80, OURS, port, bytes(40), ident=i), 16, 16)
        net.uplink.send(second)
        net.uplink.send(first)
        assert max(map(len, held._queues.values())) <= 96
    assert net.counters["too many fragments"] == 400 - 96
    assert len(held._by_key) == 96


def test_more_than_fit_are_not_all_lost(net):
    """The oldest are finished; each new one that pushed out an old one would be pushed out itself."""
    client = net.client(A)
    interleaved(net, *answers(net, client, 90))
    assert 40 <= arrived(client) < 90
    sender = net.client(B)
    for pieces in zip(*(fragments(udp(B, 7, SERVER, 80, bytes(8192), ident=i), *[1480] * 5) for i in range(40))):
        for frame in pieces:
            sender.send(frame)
    assert arrived(net.uplink) >= 10


def test_one_clients_pieces_from_outside_leave_anothers_whole(net):
    a, b = net.client(A), net.client(B)
    junk, good = answers(net, a, 200), answers(net, b, 4)
    interleaved(net, *(pieces[:-1] for pieces in junk[:100]))
    interleaved(net, *(pieces[:-1] for pieces in junk[100:]), *good)
    assert arrived(b) == 4
    assert net.neighbours.fragments.octets <= 524288
    net.advance(2)
    interleaved(net, *answers(net, a, 4, sport=4002))  # what rests makes room in its own share
    assert arrived(a) == 4


def test_strangers_pieces_from_outside_leave_a_clients_whole(net):
    """Without a flow there is a small share for what came before its first piece; the first piece ends it."""
    client = net.client(A)
    good = answers(net, client, 20)

    def strange(ident, start, octets=1480):
        return ip("203.0.113.9", OURS, 17, bytes(octets), ident=ident, fragment=MF | start // 8)

    for i, pieces in enumerate(zip(*good)):
        for frame in pieces:
            net.uplink.send(frame)
        for ident in range(100):
            net.uplink.send(strange(ident + 100 * i, 1480))
    assert arrived(client) == 20
    held = net.neighbours.fragments
    assert 0 < held.octets <= 131072
    before = held.octets
    net.uplink.send(strange(1, 0))
    assert held.octets == before - 1480 - 128
    assert net.counters["of no flow"] == 1
    net.uplink.send(strange(7777, 0))
    assert held.octets == before - 1480 - 128 and net.counters["of no flow"] == 2


def test_pieces_from_outside_in_any_order_find_their_client(net):
    client = net.client(A)
    order = answers(net, client, 1)[0]
    for i, pieces in enumerate(itertools.permutations(order[:3] + order[-1:])):
        for frame in pieces + tuple(order[3:-1]):
            nothing(client)
            net.uplink.send(frame)
        assert arrived(client) == 1
    assert net.neighbours.fragments.octets == 0


@pytest.mark.parametrize("build", ["tcp", "icmp", "gre", "error"])
def test_pieces_of_every_protocol_come_in(net, build):
    client = net.client(A)
    first, answer = {
        "tcp": (tcp(A, 4001, SERVER, 80), lambda out: tcp(SERVER, 80, OURS, out.sport, SYN | ACK, bytes(3000), ident=4)),
        "icmp": (echo(A, SERVER), lambda out: echo(SERVER, OURS, ident=out.echo_id, kind=0, data=bytes(3000))),
        "gre": (ip(A, SERVER, 47, bytes(8)), lambda out: ip(SERVER, OURS, 47, bytes(3000), ident=4)),
        "error": (udp(A, 1, SERVER, 80, bytes(1000)), lambda out: error(SERVER, OURS, 3, 3, out.datagram)),
    }[build]
    client.send(first)
    for frame in fragments(answer(Look(net.uplink.recv())), 800):
        net.uplink.send(frame)
    assert arrived(client) == 1


def test_what_is_held_for_a_client_goes_with_it_and_with_the_uplink(net):
    held = net.neighbours.fragments
    for end in (lambda wire: net.detach(wire), lambda wire: (net.netvm(OURS), net.detach(wire))):
        client = net.client(A)
        pieces = answers(net, client, 2)
        interleaved(net, pieces[0][:-1], pieces[1][:-1])
        assert held.octets > 10000
        end(client)
        assert held.octets == 0 and not held._by_key and not held._queues and not held._octets_of


def test_pieces_wait_30_s_whoever_they_are_for(net):
    client = net.client(A)
    held = net.neighbours.fragments
    pieces = answers(net, client, 2)
    net.uplink.send(pieces[0][1])
    net.advance(20)
    net.uplink.send(pieces[1][0])
    net.uplink.send(pieces[0][0])
    net.advance(11)
    assert len(held._by_key) == 1
    net.advance(20)
    assert held.octets == 0
