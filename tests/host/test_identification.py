"""The IP identifications of what the firewall says itself: each neighbour sees a counter of its own, begun at random.

One counter for all would tell each of them how many messages the others caused (a covert channel), and what comes next.
"""
import random

from packets import Look, echo, fragments, udp
from scenes import A, B, OURS, SERVER

from tests.network import Network


def ident(wire, frame=None):
    """The identification of our answer to this client's next refused packet."""
    wire.send(frame or udp(wire.address, 1, SERVER, 80))
    return Look(wire.recv()).ident


def test_one_neighbours_messages_do_not_move_anothers_identifications():
    with Network() as net:
        a, b = net.client(A, ["action=drop"]), net.client(B, ["action=drop"])
        first = ident(a)
        for _ in range(7):
            ident(b)
            ident(b, echo(B, OURS))
        assert ident(a) == (first + 1) & 0xFFFF


def test_what_is_cut_for_the_uplink_moves_no_clients_identifications():
    with Network() as net:
        a = net.client(A, ["action=accept dst4=%s/32" % SERVER])
        refused = udp(A, 1, "192.0.2.51", 80)
        first = ident(a, refused)
        seen = []
        for _ in range(3):
            a.send(udp(A, 4001, SERVER, 80, bytes(3000)))
            seen.append({Look(net.uplink.recv()).ident for _ in range(3)})
        assert ident(a, refused) == (first + 1) & 0xFFFF
        start = min(seen[0])
        assert seen == [{start}, {(start + 1) & 0xFFFF}, {(start + 2) & 0xFFFF}]


def test_a_links_counter_begins_at_random():
    """For each link by itself: neither the same for all, nor one link's as far from another's each time."""
    begun, apart = set(), set()
    for seed in range(40):
        with Network(seed=seed) as net:
            a, b = (ident(net.client(ip, ["action=drop"])) for ip in (A, B))
            begun.add(a)
            apart.add((b - a) & 0xFFFF)
    assert len(begun) > 35 and len(apart) > 35


def test_a_link_with_a_number_used_before_begins_anew():
    with Network() as net:
        wire = net.client(A, ["action=drop"])
        first = ident(wire)
        net.detach(wire)
        wire = net.client(B, ["action=drop"])
        assert wire.number == 1 and abs(ident(wire) - first) > 4


def test_identifications_are_drawn_anew_when_the_seed_is_there():
    drawn = random.Random(5)
    with Network(octets=drawn.randbytes) as net:
        wire = net.client(A, ["action=drop"])
        first = ident(wire)
        assert net.judge.rekey()
        assert ident(wire) != (first + 1) & 0xFFFF


def test_pieces_for_a_client_carry_its_own_identification():
    with Network() as net:
        a, b = net.client(A, mtu=576), net.client(B, ["action=drop"])
        a.send(udp(A, 4001, SERVER, 80))
        port = Look(net.uplink.recv()).sport
        seen = []
        for _ in range(2):
            for piece in fragments(udp(SERVER, 80, OURS, port, bytes(1200), ident=9), 800):
                net.uplink.send(piece)
            seen.append({Look(a.recv()).ident for _ in range(3)})
            ident(b)
        assert seen[1] == {(seen[0].pop() + 1) & 0xFFFF}
