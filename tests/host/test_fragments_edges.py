"""Fragments: options when a datagram is cut, and what is counted of those that are incomplete."""
import random
import struct

import pytest
from packets import Look, echo, fragments, ip, total, udp, udp_datagram
from scenes import A, B, OURS, SERVER

from firewall import reasons
from tests.network import Network

STAMP = bytes((68, 4, 5, 0))  # not copied (its first bit is 0)
ALERT = bytes((148, 4, 0, 0))  # copied


@pytest.mark.parametrize("options, copied", [
    (b"", b""), (STAMP, b""), (ALERT, ALERT), (STAMP + ALERT, ALERT), (ALERT + STAMP, ALERT), (STAMP * 3, b""), (ALERT * 2, ALERT * 2),
])
def test_later_pieces_have_the_options_that_are_copied(options, copied):
    with Network() as net:
        client = net.client(A)
        data = bytes(i * 7 & 255 for i in range(4000))
        client.send(udp(A, 4001, SERVER, 80, data, options=options))
        pieces, body = [frame for frame, _, _ in net.uplink.frames], b""
        assert len(pieces) == 3
        for i, piece in enumerate(pieces):
            size = (piece[14] & 15) * 4
            assert piece[14] >> 4 == 4 and piece[34:14 + size] == (copied if i else options)
            assert total(piece[14:14 + size]) == 0xFFFF
            octets, word = struct.unpack("!H2xH", piece[16:22])
            assert octets == len(piece) - 14 <= 1500 and word == (0x2000 if i < 2 else 0) | len(body) // 8
            body += piece[14 + size:]
        assert body == udp_datagram(OURS, 4001, SERVER, 80, data)


def sound(held):
    """What is held is what is counted, of each holder and of all."""
    assert sorted(held._octets_of) == sorted(held._queues)
    for holder, queue in held._queues.items():
        assert held._octets_of[holder] == sum(datagram.cost for datagram in queue) > 0
        assert [each.deadline for each in queue] == sorted(each.deadline for each in queue)
        assert all(each.holder == holder and held._by_key[each.key] is each for each in queue)
    assert held.octets == sum(held._octets_of.values()) <= 524288
    assert len(held._by_key) == sum(map(len, held._queues.values()))


def test_what_is_held_is_what_is_counted():
    """Pieces of many datagrams, of both sides, in any order, their receivers known late, too many of them, and time."""
    rng = random.Random(6)
    with Network() as net:
        clients = [net.client(ip) for ip in (A, B)]
        ports = []
        for client, ip in zip(clients, (A, B)):
            client.send(udp(ip, 4001, SERVER, 80))
            ports.append(Look(net.uplink.recv()).sport)
            net.uplink.send(udp(SERVER, 80, OURS, ports[-1]))
        held, whole, most = net.neighbours.fragments, 0, 0
        for round in range(60):
            waiting = []
            for i in range(20):
                ident, size = rng.randrange(400), rng.choice((1600, 3000, 8000))
                which = rng.randrange(4)
                if which < 2:
                    frame, wire = udp((A, B)[which], 4001, SERVER, 80, bytes(size), ident=ident), clients[which]
                else:
                    frame, wire = udp(SERVER, 80, OURS, ports[which - 2], bytes(size), ident=ident), net.uplink
                pieces = fragments(frame, *[1480] * (size // 1480))
                waiting += [(wire, piece) for piece in rng.sample(pieces, rng.choice((1, len(pieces), len(pieces))))]
            rng.shuffle(waiting)
            for wire, piece in waiting:
                wire.send(piece)
                sound(held)
                most = max(most, held.octets)
            net.advance(rng.choice((0, 1, 20)))
            for wire in clients + [net.uplink]:
                whole += len(wire.frames)
                wire.frames.clear()
        assert whole > 100 and most > 100000
        net.advance(100)
        assert held.octets == 0 and not held._octets_of and not held._queues and not held._by_key


def test_what_is_said_of_a_piece():
    """Kept while there is room; of one that has to go at once, that there is a limit: what no counter showed."""
    with Network() as net:
        client = net.client(A)
        first, last = fragments(udp(A, 4001, SERVER, 80, bytes(3000)), 1480 * 2)
        client.send(first)
        assert net.verdict == reasons.KEPT
        client.send(last)
        assert net.verdict != reasons.KEPT and len(net.uplink.frames) == 3
        verdicts = []
        for ident in range(2, 10):  # 64 KiB less a little each: two are the most of one client
            for piece in fragments(udp(A, 4001, SERVER, 80, bytes(64000), ident=ident), *[1480] * 43)[:-1]:
                client.send(piece)
                verdicts.append(net.verdict)
        assert set(verdicts) == {reasons.KEPT, reasons.FRAGMENT_LIMIT}
        assert verdicts[:43] == [reasons.KEPT] * 43


class Refusing:
    """Memory of the tables of fragments, refused at the n-th time that one grows."""

    def __init__(self, held, n):
        self.left = n

        def grow():
            self.left -= 1
            if not self.left:
                raise MemoryError

        class Queue(list):
            def insert(self, at, each):
                grow()
                list.insert(self, at, each)

        class Table(dict):
            def __setitem__(self, key, value):
                if key not in self:
                    grow()
                dict.__setitem__(self, key, value)

            def setdefault(self, key, value):
                if key not in self:
                    grow()
                return dict.setdefault(self, key, Queue())

        held._octets_of, held._queues, held._by_key = Table(held._octets_of), Table(held._queues), Table(held._by_key)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("inward", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_refused_memory_leaves_what_is_counted(inward, order, beside):
    """Wherever it is refused: a piece is lost, perhaps a datagram, and no octet of the limits for ever."""
    for n in range(1, 9):
        with Network() as net:
            client = net.client(A)
            client.send(udp(A, 4001, SERVER, 80))
            ends = (SERVER, 80, OURS, 4001) if inward else (A, 4001, SERVER, 80)
            wire, there = (net.uplink, client) if inward else (client, net.uplink)
            held = net.neighbours.fragments
            if beside:  # another of the same holder, incomplete
                wire.send(fragments(udp(*ends, bytes(3000), ident=7), 1480)[0])
            pieces = fragments(udp(*ends, bytes(4000), ident=8), 1480, 1480)
            there.frames.clear()
            refusing = Refusing(held, n)
            for i in order:
                try:
                    wire.send(pieces[i])
                except MemoryError:
                    pass
                sound(held)
            there.frames.clear()
            refusing.left = 0  # there is enough again, and the sender tries again
            for piece in pieces:
                wire.send(piece)
                sound(held)
            assert there.frames
            net.advance(60)
            sound(held)
            assert held.octets == 0 and not held._by_key


def test_of_those_that_rested_as_long_the_first_goes():
    with Network() as net:
        client = net.client(A)
        frames = [fragments(udp(A, 4001, SERVER, 80, bytes(2000), ident=ident), 1480) for ident in range(33)]
        for first, _ in frames[:32]:
            client.send(first)
        net.now += 1000
        client.send(frames[32][0])
        assert net.verdict == reasons.KEPT
        for _, last in frames[1:]:
            client.send(last)
            assert net.verdict != reasons.KEPT
        client.send(frames[0][1])
        assert net.verdict == reasons.KEPT, "its first piece is not here any more"


@pytest.mark.parametrize("frame, first, passes", [
    (udp(A, 4001, SERVER, 80, bytes(40)), 8, True), (echo(A, SERVER, data=bytes(40)), 8, True),
    (ip(A, SERVER, 136, bytes(48)), 8, True), (ip(A, SERVER, 33, bytes(48)), 8, False), (ip(A, SERVER, 33, bytes(48)), 16, True),
    (ip(A, SERVER, 47, bytes(48)), 8, True),
])
def test_a_first_piece_has_the_whole_header(frame, first, passes):
    """And needs no more."""
    with Network() as net:
        client = net.client(A)
        for piece in fragments(frame, first):
            client.send(piece)
        assert (net.uplink.recv(0) is not None) == passes


def test_what_nobody_claims_is_the_uplinks():
    """It is counted to no client, has no larger share than one, and goes with the uplink."""
    with Network() as net:
        client = net.client(A)
        held = net.neighbours.fragments
        for ident in range(4):
            for piece in fragments(udp(SERVER, 80, OURS, 4001, bytes(64000), ident=ident), *[1480] * 43)[1:]:
                net.uplink.send(piece)
                assert set(held._octets_of) == {0} and held._octets_of[0] <= 131072
        assert net.verdict == reasons.FRAGMENT_LIMIT and held.octets > 131072 - 64000
        net.detach(client)
        assert held.octets > 131072 - 64000
        net.netvm(OURS)
        assert held.octets == 0 and not held._by_key


def test_three_times_as_much_is_held_of_what_comes_for_a_client():
    with Network() as net:
        client = net.client(A)
        client.send(udp(A, 4001, SERVER, 80))
        link = net.neighbours.interfaces.by_number[client.number]
        held, most = net.neighbours.fragments, 0
        for ident in range(10):
            for piece in fragments(udp(SERVER, 80, OURS, 4001, bytes(64000), ident=ident), *[1480] * 43)[:-1]:
                net.uplink.send(piece)
                most = max(most, held._octets_of.get(-link.client.slot, 0))
                sound(held)
        assert 393216 - 2000 < most <= 393216


def test_of_what_nobody_claims_there_are_as_many_as_of_one_client():
    with Network() as net:
        net.client(A)
        verdicts = []
        for ident in range(34):
            net.uplink.send(fragments(udp(SERVER, 80, OURS, 4001, bytes(2000), ident=ident), 1480)[1])
            verdicts.append(net.verdict)
        assert verdicts == [reasons.KEPT] * 32 + [reasons.FRAGMENT_LIMIT] * 2


def test_one_that_is_given_up_holds_no_data():
    with Network() as net:
        client = net.client(A)
        pieces = fragments(udp(A, 4001, SERVER, 80, bytes(4000)), 1480, 1480)
        client.send(pieces[0])
        assert net.neighbours.fragments.octets == 1480 + 64 * 2
        client.send(fragments(udp(A, 4001, SERVER, 80, bytes(4000)), 1472, 1480)[1])
        assert net.verdict == reasons.FRAGMENT and net.neighbours.fragments.octets == 64
        sound(net.neighbours.fragments)
        for piece in pieces:
            client.send(piece)
            assert net.verdict == reasons.FRAGMENT and net.neighbours.fragments.octets == 64
        net.advance(31)
        assert net.neighbours.fragments.octets == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_header_is_that_of_the_first_piece(order):
    """Its options too, those that later pieces do not have."""
    with Network() as net:
        client = net.client(A)
        body = udp_datagram(A, 4001, SERVER, 80, bytes(992))
        pieces = [ip(A, SERVER, 17, body[:800], options=STAMP, fragment=0x2000), ip(A, SERVER, 17, body[800:], fragment=100)]
        for i in order:
            client.send(pieces[i])
        seen = net.uplink.recv(0)
        assert seen[34:38] == STAMP and Look(seen).data == bytes(992)


@pytest.mark.parametrize("fragment", [0, 0x4000])
def test_what_came_in_pieces_may_leave_in_pieces(fragment):
    """Also if its sender, as Linux' at times, says of each that it must not be cut."""
    with Network() as net:
        client = net.client(A)
        body = udp_datagram(A, 4001, SERVER, 80, bytes(2992))
        for at in (0, 1480, 2960):
            more = 0x2000 if at < 2960 else 0
            client.send(ip(A, SERVER, 17, body[at : at + 1480], fragment=fragment | more | at // 8))
        assert net.verdict == reasons.QUEUED and len(net.uplink.frames) == 3 and not client.frames


def test_pieces_from_another_uplink_are_another_matter():
    """Also those of which it is known for whom they are."""
    with Network() as net:
        client = net.client(A)
        client.send(udp(A, 4001, SERVER, 80))
        held = net.neighbours.fragments
        client.send(fragments(udp(A, 4001, SERVER, 80, bytes(3000), ident=5), 1480)[0])
        mine = held.octets
        net.uplink.send(fragments(udp(SERVER, 80, OURS, 4001, bytes(3000)), 1480)[0])
        assert held.octets > mine > 0
        net.netvm(OURS)
        assert held.octets == mine
        sound(held)


def test_a_piece_is_kept_for_30_seconds(net):
    """To the millisecond."""
    net.client(A).send(fragments(udp(A, 4001, SERVER, 80, bytes(2000)), 800, 800)[0])
    held = net.neighbours.fragments
    net.neighbours.tick(net.now + 29999)
    assert held.octets > 0
    net.neighbours.tick(net.now + 30000)
    assert held.octets == 0
