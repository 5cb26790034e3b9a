"""Judge.would(), which explains: what it says of a packet is what happens to it, and asking changes nothing."""
import itertools

import pytest
from packets import SYN, echo, tcp, udp

from firewall import reasons
from firewall.packets.packet import QUERIES, Packet
from firewall.wire.address import parse4

A, B, C, D = "10.137.0.21", "10.137.0.22", "10.137.0.23", "10.137.0.24"
SERVER, OURS = "192.0.2.50", "10.138.0.2"
RULES = ("action=drop proto=udp dstports=99-99", "action=accept dst4=192.0.2.0/24",
         "action=accept proto=icmp icmptype=8", "action=accept dst4=10.137.0.0/24 proto=tcp")
TO = (SERVER, "198.51.100.1", OURS, A, B, C, D, "127.0.0.1", "0.1.2.3", "224.0.0.1", "255.255.255.255")
FRAMES = {
    (6, 22): lambda to: tcp(A, 1, to, 22, SYN), (17, 99): lambda to: udp(A, 1, to, 99),
    (17, 53): lambda to: udp(A, 1, to, 53), (1, 8): lambda to: echo(A, to), (1, 13): lambda to: echo(A, to, kind=13),
}  # fmt: skip
LIVES = (reasons.FORWARDED, reasons.QUEUED)


def asked(net, to, proto, port):
    """A Packet as services/explain.py makes it."""
    p = Packet()
    p.ingress = net.neighbours.clients.by_address[parse4(A)].interfaces[-1]
    p.src, p.dst, p.proto = parse4(A), parse4(to), proto
    p.kind = port if proto == 1 else -1
    p.query = p.kind in QUERIES
    p.frame, p.l4 = bytes((0, 0, port >> 8, port & 255)), 0
    return p


@pytest.mark.parametrize("rules", [RULES, ("action=accept",), (), None])
@pytest.mark.parametrize("uplink, only", [(True, False), (False, False), (True, True)])
def test_it_is_what_happens(net, rules, uplink, only):
    client = net.client(A, rules)
    for address in (B, C):
        net.client(address)
    net.allow((A, B))
    net.connected(B, C, D, only=only)  # D exists and is not attached
    if not uplink:
        net.no_netvm()
    for to, (proto, port) in itertools.product(TO, FRAMES):
        before, flows = list(net.judge.counters), net.neighbours.flows.count
        reason, rule, list_asked = net.judge.would(asked(net, to, proto, port), net.now)
        assert list(net.judge.counters) == before and net.neighbours.flows.count == flows and not net.judge.out
        refused = dict(zip(net.neighbours.accounts.refusals.what, net.neighbours.accounts.refusals.why))
        client.send(FRAMES[proto, port](to))
        verdict, = [i for i in range(reasons.COUNT) if net.judge.counters[i] != before[i]]
        assert (0 if verdict in LIVES else verdict) == reason, (to, proto, port)
        if list_asked and reason:
            what = parse4(to) << 24 | proto << 16 | port
            why = net.neighbours.accounts.refusals.why[list(net.neighbours.accounts.refusals.what).index(what)]
            assert (why & 0xFFFF) - 1 == (-1 if rule is None else rule) and what not in refused
        if list_asked and not reason:
            record = net.neighbours.flows.count - 1
            assert net.neighbours.accounts.rules[record] - 1 == (-1 if rule is None else rule)


def test_an_error_is_no_beginning_of_a_flow(net):
    net.client(A)
    assert net.judge.would(asked(net, SERVER, 1, 3), net.now) == (reasons.ICMP_TYPE, None, False)
