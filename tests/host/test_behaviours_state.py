"""Behaviours 68 to 80 that need no rings: limits, shares, time, ports; and the uplink's comings and goings.

56, 73, 74, 77 and 78 are about logs, rings and hours: the simulation and Xen show them. What 70 to
72 ask of rates is shown there as well; here, that floods take nothing from others' tables.
"""
import collections

import pytest
from packets import ACK, FIN, RST, SYN, Look, echo, ip, looks, tcp, udp
from scenes import A, B, C, OURS, SERVER, drained, in_use, nothing, opened, reaches, replied

from firewall.flows import state as flowstate
from firewall.wire import byteorder
from tests.network import Network

MINUTE = 60


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


def test_behaviour_75_udp_lives_120_s_at_least(net):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 80))  # not answered
    unanswered = Look(net.uplink.recv()).sport
    net.advance(119)
    assert reaches(net, client, unanswered)
    net.advance(301)
    assert not reaches(net, client, unanswered)
    assert net.neighbours.flows.count == 0


def test_behaviour_75_tcp_established_lives_2_h_4_min(net):
    client = net.client(A)
    port = opened(net, client)
    net.advance(124 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)
    net.advance(124 * MINUTE)
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert Look(net.uplink.recv()).sport == port
    net.advance(124 * MINUTE + 1)
    assert not reaches(net, client, port, SERVER, tcp, ACK)


@pytest.mark.parametrize("answer", [None, SYN | ACK, ACK])
def test_behaviour_75_half_open_lives_4_minutes(net, answer):
    client = net.client(A)
    client.send(tcp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    if answer:
        assert reaches(net, client, port, SERVER, tcp, answer)
    net.advance(4 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, SYN | ACK)
    net.advance(4 * MINUTE + 1)
    assert not reaches(net, client, port, SERVER, tcp, SYN | ACK)


def test_behaviour_75_closed_and_reset_live_4_minutes(net):
    client = net.client(A)
    for sport, endings in ((1, ((A, FIN | ACK), (SERVER, FIN | ACK))), (2, ((SERVER, RST),)), (3, ((A, RST | ACK),))):
        port = opened(net, client, 4000 + sport)
        for who, flags in endings:
            if who is A:
                client.send(tcp(A, 4000 + sport, SERVER, 80, flags))
                assert net.uplink.recv()
            else:
                assert reaches(net, client, port, SERVER, tcp, flags)
    net.advance(4 * MINUTE)
    assert net.neighbours.flows.count == 3
    net.advance(2)
    assert net.neighbours.flows.count == 0


def test_simultaneous_open_passes(net):
    """RFC 5382 REQ-2a, RFC 9293 figure 7: both ends send a SYN."""
    client = net.client(A)
    client.send(tcp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    assert reaches(net, client, port, SERVER, tcp, SYN)
    client.send(tcp(A, 4001, SERVER, 80, SYN | ACK))
    assert net.uplink.recv()
    assert reaches(net, client, port, SERVER, tcp, SYN | ACK)
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert net.uplink.recv()
    net.advance(60 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)


def test_ports_are_used_again_after_the_end(net):
    client = net.client(A)
    port = opened(net, client)
    client.send(tcp(A, 4001, SERVER, 80, FIN | ACK))
    assert net.uplink.recv() and reaches(net, client, port, SERVER, tcp, FIN | ACK)
    assert opened(net, client) == port
    net.advance(60 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)


def test_icmp_query_lives_60_s(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    answer = echo(SERVER, OURS, ident=Look(net.uplink.recv()).echo_id, kind=0)
    net.advance(60)
    net.uplink.send(answer)
    assert client.recv()
    net.advance(1)
    net.uplink.send(answer)
    nothing(client)


def test_data_after_a_reset_brings_the_connection_back(net):
    """A RST may be forged: RFC 7857 2.2."""
    client = net.client(A)
    port = opened(net, client)
    assert reaches(net, client, port, SERVER, tcp, RST)
    client.send(tcp(A, 4001, SERVER, 80, ACK, b"still here"))
    assert net.uplink.recv()
    net.advance(2 * 60 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)


def test_behaviour_76_who_only_listens_is_kept_by_the_remote_it_wrote_to():
    """As Linux: an RTSP receiver says one thing and then listens. It holds nothing that another flow needs."""
    with Network(capacity=16) as net:
        client = net.client(A)
        client.send(udp(A, 5004, SERVER, 80))
        port = Look(net.uplink.recv()).sport
        for _ in range(360):
            net.advance(10)
            assert reaches(net, client, port)
            assert not reaches(net, client, port, "192.0.2.51")  # a stranger gets nothing in, and keeps nothing
        for i in range(16):  # the client's other flows do not suffer by it
            client.send(udp(A, 6000 + i, SERVER, 80))
            assert net.uplink.recv()
            in_use(net, client, 6000 + i)
        assert not reaches(net, client, port)


def test_behaviour_76_a_stranger_keeps_no_udp_mapping(net):
    client = net.client(A)
    port = replied(net, client, 4001)
    for _ in range(31):
        assert not reaches(net, client, port, "192.0.2.51")
        net.advance(10)
    assert not reaches(net, client, port)
    assert net.neighbours.flows.count == 0


def test_icmp_answers_alone_keep_no_identifier(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    answer = echo(SERVER, OURS, ident=Look(net.uplink.recv()).echo_id, kind=0)
    passed = 0
    for _ in range(20):
        net.uplink.send(answer)
        passed += client.recv(0) is not None
        net.advance(10)
    assert passed == 7


def test_behaviour_79_no_port_search_is_endless():
    """All 65,535 ports in use: a newcomer still gets its share, each at once. test_port_shares.py has the rest."""
    with Network(capacity=65536) as net:
        client = net.client(A)
        for port in range(1, 65536):
            client.send(udp(A, port, SERVER, 53, b""))
            assert Look(net.uplink.recv()).sport == port
        drawn = []
        octets = net.neighbours.nat._random
        net.neighbours.nat._random = lambda count: drawn.append(count) or octets(count)
        b = net.client(B)
        for i in range(512):
            drawn.clear()
            b.send(udp(B, 5000 + i, SERVER, 53))
            assert len(drawn) <= 17
        seen = collections.Counter(seen.sport for seen in looks(net.uplink.frames))
        assert len(seen) == 512 and max(seen.values()) == 1


def test_behaviour_79_tcp_ports_towards_one_remote(net):
    with Network(capacity=65536) as net:
        client = net.client(A)
        net.neighbours.nat._random = lambda octets: b"\x40\x00"  # a generator that is stuck
        other = net.client(B)
        for server in (SERVER, "192.0.2.51"):  # one port serves several remotes
            client.send(tcp(A, 4000, server, 80))
            assert Look(net.uplink.recv()).sport == 4000
            other.send(tcp(B, 4000, server, 80))
            assert Look(net.uplink.recv()).sport == 1024 + 0x4000
        third = net.client(C)
        third.send(tcp(C, 4000, SERVER, 80))
        assert Look(third.recv()).code == 13 and net.counters["no free port"] == 1


def test_behaviour_80_bucket_choice_depends_on_the_seed():
    """Keys chosen to share a bucket under one seed spread out under another."""

    def buckets(seed):
        with Network(capacity=4096, seed=seed) as net:
            index = net.neighbours.flows.index
            return [index._hash(1, n, 2, 17) & 1023 for n in range(20000)]

    one, two = buckets(1), buckets(2)
    chosen = [i for i in range(20000) if one[i] == one[0]]
    assert len(chosen) > 10
    assert max(collections.Counter(two[i] for i in chosen).values()) <= 4
    assert max(collections.Counter(two).values()) < 60  # 20 a bucket on average


def test_behaviour_80_keys_are_drawn_anew_when_the_seed_is_there():
    """The first ones are as good as what the processor gives; QubesDB's seed comes before any flow, and they go."""
    octets = iter(range(1, 255))
    with Network(capacity=64, octets=lambda n: bytes([next(octets)] * n)) as net:
        flows = net.neighbours.flows

        def keys():
            return flows.index._hash(1, 2, 3, 17), flows.mappings.index._hash(1, 2, 3, 17), net.judge._ident

        drawn = [keys()]
        assert net.judge.rekey()
        drawn.append(keys())
        client = net.client(A)
        port = replied(net, client, 5000)
        assert not net.judge.rekey(), "a flow is there: it would be lost"
        assert keys() == drawn[1] and reaches(net, client, port)
        net.detach(client)
        net.advance(1)
        assert net.judge.rekey(), "the last flow is gone"
        drawn.append(keys())
        assert all(len(set(each)) == 3 for each in zip(*drawn))
        client = net.client(A)
        assert reaches(net, client, replied(net, client, 5000))


# --- the uplink ---


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


# --- two interfaces with one address ---


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
        assert net.neighbours.flows.count == 1 and len(net.neighbours.clients._free) == 1022


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
        assert (n.flows.count, n.fragments.octets, n.links.keys(), n.clients.leaving) == (0, 0, {0}, [])
        assert len(n.clients._free) == 1023 and not n.clients.by_address
        assert not any(n.flows._slots[0]) and not any(n.flows._slots[1])
        assert sum(sum(ports.used) + sum(ports.full) for ports in n.nat._ports.values()) == 1, "port 0 of UDP"


def test_another_protocol_serves_one_client_for_a_remote(net):
    a, b = net.client(A), net.client(B)
    a.send(ip(A, SERVER, 47, b"gre"))
    assert Look(net.uplink.recv()).src == OURS
    b.send(ip(B, SERVER, 47, b"gre"))
    assert Look(b.recv()).code == 13
    assert net.counters["protocol and remote in use by another client"] == 1
    for destination, proto in (("192.0.2.51", 47), (SERVER, 50)):
        b.send(ip(B, destination, proto, b"gre"))
        assert Look(net.uplink.recv()).proto == proto
    net.uplink.send(ip(SERVER, OURS, 47, b"back"))
    assert Look(a.recv()).payload == b"back"
    nothing(b, net.uplink)
    net.advance(601)
    b.send(ip(B, SERVER, 47, b"gre"))
    assert net.uplink.recv()


def test_udp_checksums_of_zero(net):
    """None stays none; one that comes to zero is written as its other form (RFC 768)."""
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80, check=0))
    assert Look(net.uplink.recv()).check == 0
    for number in range(65536):  # data that makes the sum outside zero
        data = number.to_bytes(2, "big")
        if udp(OURS, 4001, SERVER, 80, data)[40:42] == b"\xff\xff":
            break
    client.send(udp(A, 4001, SERVER, 80, data))
    assert Look(net.uplink.recv()).check == 0xFFFF


def test_our_own_ports_are_never_given_out(net):
    """Neither kept nor drawn; and one that a flow has is not to be had."""
    client = net.client(A)
    nat = net.neighbours.nat
    assert nat.reserve(17, 4001) and nat.reserve(6, 4001)
    nat._random = lambda octets: (4001 - 1024).to_bytes(2, "big")
    client.send(tcp(A, 4001, SERVER, 53))
    nothing(net.uplink)
    assert Look(client.recv()).code == 13
    client.send(udp(A, 4001, SERVER, 53))
    assert Look(net.uplink.recv()).sport != 4001
    client.send(udp(A, 4002, SERVER, 53))
    assert Look(net.uplink.recv()).sport == 4002
    assert not nat.reserve(17, 4002)
    nat.release(17, 4001)
    client.send(udp(A, 4003, SERVER, 53))
    assert Look(net.uplink.recv()).sport == 4003
    other = net.client(B)
    other.send(udp(B, 4001, SERVER, 53))
    assert Look(net.uplink.recv()).sport == 4001
    assert nat.reserve(17, 4010)
    net.no_netvm()
    net.netvm("10.138.9.9")  # all flows end; what is ours stays so
    other.send(udp(B, 4010, SERVER, 53))
    assert Look(net.uplink.recv()).sport != 4010


def test_tcp_states_are_total():
    for state in range(len(flowstate.TIMEOUT)):
        for event in range(4):
            for back in (False, True):
                assert 0 <= flowstate.step(state, event, back) < len(flowstate.TIMEOUT)
    assert len(flowstate.RANK) == len(flowstate.TIMEOUT)
