"""Every row of cases/nat_cases.jsonl: a scene each, named by the row's id.

The rows say in words what is sent and seen, so each has a function here; a row without one fails.
"""
import json
import os

import pytest
from packets import ACK, FIN, SYN, UDP, Look, echo, error, fragments, ip, tcp, udp
from scenes import begun, nothing

CASES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "cases", "nat_cases.jsonl")
A, B = "10.137.7.21", "10.137.7.22"
OURS = "10.138.0.2"
SERVER, STRANGER, ROUTER = "192.0.2.50", "192.0.2.60", "203.0.113.1"
BUILD = {"tcp": tcp, "udp": udp}
FLOOD = 100000  # frames; fewer through real rings
SCENES = {}


def scene(function):
    SCENES[function.__name__.replace("_", "-")] = function
    return function


def begin(net, build=tcp, sport=4001, ip=None, **header):
    """(the client's wire, what the uplink saw of its first packet). ip: A, which tests elsewhere set anew."""
    return begun(net, build, sport, ip or A, SERVER, **header)


def goes_out(net, build):
    client, seen = begin(net, build, ttl=4)
    assert (seen.src, seen.dst, seen.dport, seen.ttl) == (OURS, SERVER, 80, 3)
    assert seen.sport >= 1024
    nothing(client, net.uplink)


@scene
def tcp_out(net):
    goes_out(net, tcp)


@scene
def udp_out(net):
    goes_out(net, udp)


@scene
def tcp_two_clients_one_port(net):
    a, p = begin(net)
    b, q = begin(net, ip=B)
    assert p.sport != q.sport
    for wire, seen in ((a, p), (b, q)):
        net.uplink.send(tcp(SERVER, 80, OURS, seen.sport, SYN | ACK))
        back = Look(wire.recv())
        assert (back.src, back.sport, back.dst, back.dport) == (SERVER, 80, wire.address, 4001)
    nothing(a, b)


def stranger(net, build, src, sport):
    client, seen = begin(net, build)
    net.uplink.send(build(src, sport, OURS, seen.sport))
    nothing(client, net.uplink)


@scene
def tcp_stranger(net):
    stranger(net, tcp, STRANGER, 80)


@scene
def udp_stranger(net):
    stranger(net, udp, STRANGER, 80)


@scene
def udp_stranger_port(net):
    stranger(net, udp, SERVER, 81)


def unasked(net, build):
    client = net.client(A)
    net.uplink.send(build(SERVER, 80, OURS, 4001))
    nothing(client, net.uplink)


@scene
def tcp_unasked(net):
    unasked(net, tcp)


@scene
def udp_unasked(net):
    unasked(net, udp)


@scene
def tcp_ttl_1(net):
    client = net.client(A)
    sent = tcp(A, 4001, SERVER, 80, ttl=1)
    client.send(sent)
    nothing(net.uplink)
    told = Look(client.recv())
    assert (told.src, told.dst, told.kind, told.code) == (net.gateway, A, 11, 0)
    assert told.data == sent[14:]


@scene
def udp_ttl_0(net):
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80, ttl=0))
    nothing(net.uplink)


def unreachable(net, build):
    client, seen = begin(net, build)
    quote = build(OURS, seen.sport, SERVER, 80)[14:][:28]
    net.uplink.send(error(ROUTER, OURS, 3, 1, quote))
    told = Look(client.recv())
    assert (told.src, told.dst, told.kind, told.code) == (ROUTER, A, 3, 1)
    inner = told.quote
    assert (inner.src, inner.sport, inner.dst, inner.dport) == (A, 4001, SERVER, 80)
    if build is udp:
        assert told.data == udp(A, 4001, SERVER, 80)[14:][:28], "the checksum inside too"


@scene
def tcp_unreach_embedded(net):
    unreachable(net, tcp)


@scene
def udp_unreach_embedded(net):
    unreachable(net, udp)


def mismatch(net, build):
    client, seen = begin(net, build)
    net.uplink.send(error(SERVER, OURS, 3, 3, build("4.3.2.1", 9, "1.2.3.4", 53)[14:]))
    nothing(client, net.uplink)


@scene
def tcp_unreach_inner_mismatch(net):
    mismatch(net, tcp)


@scene
def udp_unreach_inner_mismatch(net):
    mismatch(net, udp)


@scene
def udp_unreach_keeps_flow(net):
    client, seen = begin(net, udp)
    net.uplink.send(error(ROUTER, OURS, 3, 1, udp(OURS, seen.sport, SERVER, 80)[14:][:28]))
    assert Look(client.recv()).kind == 3
    net.uplink.send(udp(SERVER, 80, OURS, seen.sport))
    assert Look(client.recv()).proto == UDP
    client.send(udp(A, 4001, SERVER, 80))
    assert Look(net.uplink.recv()).sport == seen.sport


@scene
def udp_port_random(net):
    """A port that is free is kept (test_port_shares.py), so another client has these: 500 below 1024, 500 above."""
    client, other = net.client(A), net.client(B)
    for first in (1, 2001):
        ports = []
        for port in range(first, first + 500):
            other.send(udp(B, port, SERVER, 80))
            assert Look(net.uplink.recv()).sport == port
        for port in range(first, first + 500):
            client.send(udp(A, port, SERVER, 80))
            ports.append(Look(net.uplink.recv()).sport)
        assert len(set(ports)) == 500 and all((port < 1024) == (first == 1) for port in ports)
        assert sum(b == a + 1 for a, b in zip(ports, ports[1:])) < 25


@scene
def udp_cksum_0_embedded(net):
    client, seen = begin(net, udp)
    net.uplink.send(error(SERVER, OURS, 3, 3, udp(OURS, seen.sport, SERVER, 80, check=0)[14:][:28]))
    assert Look(client.recv()).quote.check == 0


@scene
def icmp_echo(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5, seq=9))
    seen = Look(net.uplink.recv())
    assert (seen.src, seen.dst, seen.kind, seen.seq) == (OURS, SERVER, 8, 9)
    net.uplink.send(echo(SERVER, OURS, ident=seen.echo_id, seq=9, kind=0))
    back = Look(client.recv())
    assert (back.src, back.dst, back.kind, back.echo_id, back.seq) == (SERVER, A, 0, 5, 9)


@scene
def icmp_err_of_echo(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    seen = Look(net.uplink.recv())
    net.uplink.send(error(ROUTER, OURS, 3, 1, echo(OURS, SERVER, ident=seen.echo_id)[14:]))
    told = Look(client.recv())
    assert told.dst == A and (told.quote.src, told.quote.echo_id, told.quote.seq) == (A, 5, 9)


@scene
def multicast(net):
    """The log and the other client's rate are looked at in the simulation; here, that nothing is kept."""
    client, other = net.client(A), net.client(B)
    frame = udp(A, 5353, "224.0.0.251", 5353)
    for _ in range(FLOOD):
        client.send(frame)
    nothing(client, other, net.uplink)
    assert net.neighbours.flows.count == 0
    other.send(udp(B, 1, SERVER, 80))
    assert Look(net.uplink.recv()).dst == SERVER


@scene
def igmp(net):
    client = net.client(A)
    for _ in range(2):
        client.send(ip(A, SERVER, 2, bytes.fromhex("1600f9fee0000001")))
        seen = Look(net.uplink.recv())
        assert (seen.src, seen.dst, seen.proto) == (OURS, SERVER, 2)


@scene
def idle_udp_120(net):
    client, seen = begin(net, udp)
    net.uplink.send(udp(SERVER, 80, OURS, seen.sport))
    assert client.recv()
    net.advance(119)
    net.uplink.send(udp(SERVER, 80, OURS, seen.sport))
    assert Look(client.recv()).dport == 4001


@scene
def frag_sizes_1500(net):
    client = net.client(A)
    whole = echo(A, SERVER, data=bytes(1500))
    ways = ([whole], fragments(whole, 1480), fragments(whole, 800, 400))
    for way in ways:  # a client with a larger MTU, one with ours, one with odd habits
        for piece in way:
            client.send(piece)
        first, second = Look(net.uplink.recv()), Look(net.uplink.recv())
        assert (first.total, second.total) == (1500, 48)
        assert (first.fragment, second.fragment) == (0x2000, 185)
        assert first.ident == second.ident
        nothing(net.uplink, client)


@scene
def rules_change_cuts_flow(net):
    client = net.client(A)
    frames = {}
    for server in (SERVER, STRANGER):
        client.send(tcp(A, 4001, server, 80))
        seen = Look(net.uplink.recv())
        net.uplink.send(tcp(server, 80, OURS, seen.sport, SYN | ACK))
        assert client.recv()
        client.send(tcp(A, 4001, server, 80, ACK))
        assert net.uplink.recv()
        frames[server] = tcp(server, 80, OURS, seen.sport, ACK, b"data")
    net.set_rules(A, ["action=drop dst4=%s/32" % SERVER, "action=accept"])
    net.uplink.send(frames[SERVER])
    nothing(client, net.uplink)
    net.uplink.send(frames[STRANGER])
    assert Look(client.recv()).data == b"data"
    client.send(tcp(A, 4001, SERVER, 80, ACK, b"data"))
    nothing(net.uplink)
    client.send(tcp(A, 4001, STRANGER, 80, ACK | FIN))
    assert Look(net.uplink.recv()).dst == STRANGER


@scene
def rules_same_keeps_flow(net):
    client, seen = begin(net)
    net.set_rules(A, ["action=accept"])
    net.uplink.send(tcp(SERVER, 80, OURS, seen.sport, SYN | ACK))
    assert Look(client.recv()).dport == 4001
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert Look(net.uplink.recv()).sport == seen.sport


with open(CASES) as file:
    IDS = [json.loads(line)["id"] for line in file]


@pytest.mark.parametrize("case", IDS)
def test_nat_case(case, net):
    SCENES[case](net)
