"""Edges of translation: ports of our own, flows older than the uplink, a key that another flow has."""
import pytest
from packets import ACK, SYN, Look, looks, tcp, udp
from scenes import A, B, OURS, SERVER

from firewall import reasons
from tests.network import Network

TCP, UDP = 6, 17


@pytest.mark.parametrize("build, proto", [(udp, UDP), (tcp, TCP)])
def test_a_port_of_our_own_is_a_clients_again_after_release(build, proto):
    with Network() as net:
        client, nat = net.client(A), net.neighbours.nat
        assert nat.reserve(proto, 4001)
        client.send(build(A, 4001, SERVER, 80))
        assert Look(net.uplink.recv()).sport != 4001
        client.send(build(A, 4003, SERVER, 80))
        assert nat.reserve(proto, 4003) == (proto == TCP), "a flow of UDP has it"
        nat.release(proto, 4001)
        for port in (4001, 4002):
            client.send(build(A, port, "192.0.2.51" if build is tcp else SERVER, 80))
        ports = [seen.sport for seen in looks(net.uplink.frames)][1:]
        if proto == TCP:
            assert ports == [4001, 4002]
        else:
            other = net.client(B)
            net.uplink.frames.clear()
            other.send(udp(B, 4001, SERVER, 80))
            assert Look(net.uplink.recv()).sport == 4001


def test_flows_between_clients_outlive_the_first_uplink():
    """It gives us our first address: there was no other that a flow could have had."""
    with Network(uplink=False) as net:
        a, b = net.client(A), net.client(B)
        net.allow((A, B))
        a.send(tcp(A, 4001, B, 80))
        assert b.recv()
        net.netvm(OURS)
        b.send(tcp(B, 80, A, 4001, SYN | ACK))
        assert Look(a.recv()).flags == SYN | ACK


def test_no_two_flows_have_one_key():
    """A sent to B's address before B was there, by the uplink; what B begins the other way waits for the end of that."""
    with Network() as net:
        a = net.client(A)
        a.send(udp(A, 4001, B, 4002))
        assert net.uplink.recv()
        b = net.client(B)
        net.allow((A, B), (B, A))
        b.send(udp(B, 4002, A, 4001))
        assert net.verdict == reasons.PROTOCOL_BUSY and net.neighbours.flows.count == 1
        net.advance(600)
        a.frames.clear()
        b.send(udp(B, 4002, A, 4001))
        assert net.verdict == reasons.FORWARDED and a.recv()


def test_a_key_that_only_an_ended_flow_has_is_free():
    """As above, but A has left and come again: what its flow was counts no more, swept or not."""
    with Network() as net:
        a = net.client(A)
        a.send(udp(A, 4001, B, 4002))
        assert net.uplink.recv()
        net.detach(a)
        a, b = net.client(A), net.client(B)
        net.allow((B, A))
        assert net.neighbours.flows.count == 1, "not swept yet"
        b.send(udp(B, 4002, A, 4001))
        assert Look(a.recv()).dport == 4001 and net.neighbours.flows.count == 1


@pytest.mark.parametrize("port", [4000, 4001])
def test_a_port_of_our_own_stays_so_with_another_address(port):
    """And only of its protocol."""
    with Network() as net:
        client, nat = net.client(A), net.neighbours.nat
        assert nat.reserve(UDP, port) and nat.reserve(TCP, port + 10)
        net.netvm("10.138.0.9")
        kept = []
        for build in (udp, tcp):
            for each in (4000, 4001, 4010, 4011):
                client.send(build(A, each, SERVER, 80))
                kept.append(Look(net.uplink.recv()).sport == each)
        assert kept == [each != port for each in (4000, 4001, 4010, 4011)] + [each != port + 10 for each in (4000, 4001, 4010, 4011)]


@pytest.mark.parametrize("build", [udp, tcp])
def test_a_flow_that_the_index_has_no_place_for_is_refused(build):
    """Its client is told, and no port is kept for it."""
    with Network() as net:
        client = net.client(A)
        index = net.neighbours.flows.index
        index.add = lambda *key: False
        client.send(build(A, 4001, SERVER, 80))
        assert net.verdict == reasons.FLOW_LIMIT and Look(client.recv()).code == 13 and not net.uplink.frames
        del index.add
        other = net.client(B)
        other.send(build(B, 4001, SERVER, 80))
        assert Look(net.uplink.recv()).sport == 4001
