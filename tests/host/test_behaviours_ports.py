"""Rows 79 and 80 of docs/behaviours.md: ports outside, whose they are, and keys that nobody can choose."""
import collections

from packets import Look, ip, looks, tcp, udp
from scenes import A, B, C, OURS, SERVER, nothing, reaches, replied

from tests.network import Network


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
