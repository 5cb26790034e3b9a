"""Rows 68 to 72 of docs/behaviours.md, without rings: limits and shares of the table of flows.

What 70 to 72 ask of rates is shown by the simulation; here, that floods take nothing from others' tables.
"""
import pytest
from packets import ACK, Look, tcp, udp
from scenes import A, B, SERVER, drained, in_use, nothing, opened, reaches, replied

from firewall.wire import byteorder
from tests.network import Network


def test_behaviour_68_at_its_limit_a_client_recycles_its_oldest_unanswered(net):
    with Network(capacity=16) as net:
        client = net.client(A)
        held = [in_use(net, client, 5000 + i) for i in range(4)]
        once = [replied(net, client, 5500 + i) for i in range(4)]
        for i in range(20):
            client.send(udp(A, 6000 + i, SERVER, 80))
            assert Look(net.uplink.recv()).sport == 6000 + i
        assert all(reaches(net, client, port) for port in held + once)
        assert [reaches(net, client, 6000 + i) for i in range(20)] == [False] * 12 + [True] * 8
        for i in range(12):  # now all are answered: those that were so once go, the oldest first
            assert in_use(net, client, 7000 + i) == 7000 + i
        assert not any(reaches(net, client, port) for port in once + list(range(6012, 6020)))
        assert all(reaches(net, client, port) for port in held + list(range(7000, 7012)))
        client.send(udp(A, 8000, SERVER, 80))  # now all are in use
        nothing(net.uplink)
        assert (Look(client.recv()).code, net.counters["flow limit"]) == (13, 1)


def test_behaviour_69_a_share_is_kept_for_each_client():
    with Network(capacity=64, share=16) as net:
        a, b = net.client(A), net.client(B)
        for i in range(100):
            a.send(udp(A, 5000 + i, SERVER, 80))
        assert net.neighbours.flows.count == 64 - 16
        ports = [replied(net, b, 5000 + i, "192.0.2.51") for i in range(16)]
        for i in range(100):
            a.send(udp(A, 6000 + i, SERVER, 80))
        drained(a, net.uplink)
        assert all(reaches(net, b, port, "192.0.2.51") for port in ports)


def test_behaviour_69_the_largest_holder_gives_way_its_longest_idle_first():
    with Network(capacity=64, share=16) as net:
        a = net.client(A)
        ports = []
        for i in range(64):
            ports.append(opened(net, a, 5000 + i))
            net.advance(1)
        for i in (0, 1):  # not idle any more
            a.send(tcp(A, 5000 + i, SERVER, 80, ACK))
        b = net.client(B)
        for i in range(16):
            b.send(udp(B, 5000 + i, SERVER, 80))
        drained(a, b, net.uplink)
        alive = [reaches(net, a, port, SERVER, tcp, ACK) for port in ports]
        assert alive == [True, True] + [False] * 16 + [True] * 46
        b.send(udp(B, 6000, SERVER, 80))  # at its share, it recycles its own
        assert net.neighbours.flows.count == 64
        assert net.neighbours.clients.by_address[byteorder.swap(0x1600890A)].flows == 16


def test_behaviour_69_unanswered_ones_go_before_any_held():
    with Network(capacity=64, share=16) as net:
        a = net.client(A)
        held = [opened(net, a, 5000 + i) for i in range(32)]
        for i in range(32):
            a.send(udp(A, 6000 + i, SERVER, 80))
        b = net.client(B)
        for i in range(16):
            b.send(udp(B, 5000 + i, SERVER, 80))
        drained(a, b, net.uplink)
        assert all(reaches(net, a, port, SERVER, tcp, ACK) for port in held)


FLOODS = {
    70: lambda i: tcp(A, 1024 + i % 60000, "192.0.%d.%d" % (i >> 8 & 255, i & 255), 80),
    71: lambda i: udp(A, 1 + i * 7919 % 65535, "198.51.%d.%d" % (i >> 8 & 255, i & 255), 1 + i * 31 % 65535),
    72: lambda i: udp(A, 1 + i % 60000, "203.0.113.1", 9, b""),
}


@pytest.mark.parametrize("number", FLOODS)
def test_behaviour_70_71_72_a_flood_keeps_nobody_from_connecting(number):
    with Network(capacity=2048) as net:
        flood = net.client(A, ["action=drop dst4=203.0.113.1/32", "action=accept"])
        other = net.client(B)
        before = [opened(net, other, 5000 + i) for i in range(50)]
        for i in range(5000):
            flood.send(FLOODS[number](i))
        drained(flood, net.uplink)
        after = [opened(net, other, 6000 + i) for i in range(50)]
        assert all(reaches(net, other, port, SERVER, tcp, ACK) for port in before + after)
        assert net.neighbours.flows.count <= 2048 - 512 + 100
