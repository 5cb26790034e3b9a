"""Links that come and go, the uplink and clients': what of the flows stays, and that nothing else does.

Rows 77 and 78 of docs/behaviours.md are about rings and hours: the simulation shows them.
"""
import pytest
from packets import ACK, Look, echo, ip, tcp, udp
from scenes import A, B, OURS, SERVER, drained, nothing, opened, reaches, replied

from firewall.wire import byteorder
from tests.network import Network


def test_without_an_uplink_clients_are_told_and_nothing_is_queued():
    with Network(uplink=False) as net:
        client = net.client(A)
        client.send(udp(A, 1, SERVER, 80))
        told = Look(client.recv())
        assert (told.src, told.kind, told.code) == (OURS, 3, 0)
        client.send(echo(A, OURS))
        assert Look(client.recv()).kind == 0
        for _ in range(100):
            client.send(udp(A, 1, SERVER, 80))
        assert len(client.frames) < 50
        assert net.neighbours.flows.count == 0
        uplink = net.netvm(OURS)
        nothing(uplink)
        client.send(udp(A, 1, SERVER, 80))
        assert uplink.recv()


def test_another_netvm_with_our_address_unchanged_keeps_flows(net):
    client = net.client(A)
    port = opened(net, client)
    net.no_netvm()
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert Look(client.recv()).code == 0
    net.netvm(OURS)
    assert reaches(net, client, port, SERVER, tcp, ACK)
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert Look(net.uplink.recv()).sport == port


def test_another_address_ends_all_flows_before_the_first_new_packet(net):
    client = net.client(A)
    port, other = opened(net, client), replied(net, client, 5001)
    net.no_netvm()
    net.netvm("10.138.9.9")
    assert net.neighbours.flows.count == 0
    for address in (OURS, "10.138.9.9"):
        net.uplink.send(tcp(SERVER, 80, address, port, ACK))
        net.uplink.send(udp(SERVER, 80, address, other))
    nothing(client, net.uplink)
    client.send(tcp(A, 4001, SERVER, 80, ACK))  # as after a restart; the remote will know no such connection
    assert Look(net.uplink.recv()).src == "10.138.9.9"
    assert net.neighbours.flows.count == 1
    client.send(udp(A, 5001, SERVER, 80))
    seen = Look(net.uplink.recv())
    assert (seen.src, seen.sport) == ("10.138.9.9", 5001)  # its port is free again
    for i in range(1000):
        client.send(udp(A, 6000 + i, SERVER, 80))
    assert net.neighbours.flows.count == 1002


def test_two_vifs_with_one_address_share_and_answer_on_the_last_used(net):
    emulated = net.client(A)
    paravirtual = net.client(A)
    port = replied(net, emulated, 4001)
    paravirtual.send(udp(A, 4001, SERVER, 80))
    assert Look(net.uplink.recv()).sport == port
    assert reaches(net, paravirtual, port)
    nothing(emulated)
    net.detach(paravirtual)  # the flow goes back to the one that is left
    stranger = net.client(B)  # its link has the number of the one that went
    assert stranger.number == paravirtual.number
    assert reaches(net, emulated, port)
    nothing(stranger)
    net.detach(emulated)
    assert not reaches(net, stranger, port)


@pytest.mark.parametrize("flows", [0, 1, 3])
def test_clients_may_come_and_go_faster_than_any_tick(flows):
    """There are 1023 slots; that of a client without flows is free at once, else when it is needed."""
    with Network(capacity=4096) as net:
        stays = net.client(B)
        port = replied(net, stays, 5000)
        for i in range(3000):
            wire = net.client("10.138.%d.%d" % (i >> 8 & 255, i & 255))
            for sport in range(flows):
                wire.send(udp(wire.address, sport, SERVER, 80))
                assert net.uplink.recv()
            net.detach(wire)
        assert reaches(net, stays, port)
        net.advance(200)
        assert net.neighbours.flows.count == 1 and net.neighbours.clients.by_slot.count(None) == 1023


def test_a_slot_used_again_is_not_taken_for_its_last_owner():
    """Where a client left with many flows and none of them was looked at since."""
    with Network(capacity=4096) as net:
        gone = net.client(A)
        ports = [replied(net, gone, 5000 + i) for i in range(200)]
        net.detach(gone)
        wires = [net.client("10.138.%d.%d" % (i >> 8, i & 255)) for i in range(1023)]
        assert net.neighbours.clients.by_address.keys() >= {0x0A8A0000 + i for i in range(1023)}
        assert not any(reaches(net, wires[-1], port) for port in ports)
        assert net.client(B) and byteorder.swap(0x1600890A) not in net.neighbours.clients.by_address, "too many clients"


def test_attach_and_detach_leave_nothing():
    with Network(capacity=256) as net:
        for i in range(3000):
            wire = net.client("10.137.%d.%d" % (i >> 8 & 255, i & 255 or 1))
            for sport in (1, 2):
                wire.send(udp(wire.address, sport, SERVER, 80))
                wire.send(tcp(wire.address, sport, SERVER, 80))
            wire.send(ip(wire.address, SERVER, 17, bytes(64), fragment=0x2000))
            net.detach(wire)
            net.advance(0.05)
            drained(net.uplink)
        net.advance(5)
        n = net.neighbours
        assert (n.flows.count, n.fragments.octets, n.interfaces.numbers(), n.clients.leaving) == (0, 0, [0], [])
        assert n.clients.by_slot.count(None) == 1024 and not n.clients.by_address
        assert not any(n.flows._slots[0]) and not any(n.flows._slots[1])
        assert sum(sum(ports.used) + sum(ports.full) for ports in n.nat._ports.values()) == 1, "port 0 of UDP"
