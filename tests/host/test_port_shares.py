"""Ports and identifiers have shares: no client can take them all, however it holds them.

The pools are made small where the real ones would only take longer; the sweep of the real ones is test_behaviour_79.
"""
import collections
import random

import pytest
from packets import Look, echo, tcp, udp
from scenes import A, B, C, OURS, SERVER, opened, remote

from firewall import reasons
from firewall.flows import nat
from firewall.flows.ports import Ports
from firewall.flows.record import KIND, WORDS
from firewall.wire.byteorder import first
from tests.network import Network, words

POOLS = nat.POOLS
SMALL = ((0, 1024), (1024, 2048), (0, 1024))


class Udp:
    def __init__(self, first):
        self.first = first

    def out(self, src, port, dst=SERVER):
        return udp(src, port, dst, 53)

    def back(self, port, src=SERVER):
        return udp(src, 53, OURS, port)

    def outside(self, frame):
        return Look(frame).sport

    def inside(self, frame):
        return Look(frame).dport


class Echo(Udp):
    def out(self, src, port, dst=SERVER):
        return echo(src, dst, ident=port)

    def back(self, port, src=SERVER):
        return echo(src, OURS, ident=port, kind=0)

    def outside(self, frame):
        return Look(frame).echo_id

    inside = outside


KINDS = {"high": Udp(1024), "privileged": Udp(1), "identifiers": Echo(0)}


def answered(net, wire, kind, port, dst=SERVER, again=False):
    """One exchange, and the client's next packet if again; the port outside, -1 if it was refused."""
    wire.send(kind.out(wire.address, port, dst))
    frame = net.uplink.recv(0)
    if frame is None:
        wire.frames.clear()  # told by ICMP, as often as that is allowed
        return -1
    outside = kind.outside(frame)
    net.uplink.send(kind.back(outside, dst))
    assert kind.inside(wire.recv(0)) == port
    if again:
        wire.send(kind.out(wire.address, port, dst))
        assert kind.outside(net.uplink.recv(0)) == outside
    return outside


def ports_of(kind):
    return range(kind.first, kind.first + 1024 if kind.first != 1 else 1024)


def unanswered_twice(net, wire, kind):
    for dst in (remote(1), remote(2)):
        for port in ports_of(kind):
            wire.send(kind.out(wire.address, port, dst))


def unanswered_many(net, wire, kind):
    for i in range(8):
        for port in ports_of(kind):
            wire.send(kind.out(wire.address, port, remote(i)))


def answered_once(net, wire, kind):
    for port in ports_of(kind):
        answered(net, wire, kind, port)


def in_use(net, wire, kind):
    for port in ports_of(kind):
        answered(net, wire, kind, port, again=True)


def in_use_many(net, wire, kind):
    for i in range(4):
        for port in ports_of(kind):
            answered(net, wire, kind, port, remote(i), again=True)


HOLDS = (unanswered_twice, unanswered_many, answered_once, in_use, in_use_many)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(nat, "POOLS", SMALL)


@pytest.mark.parametrize("before", [True, False], ids=["attached before", "attached after"])
@pytest.mark.parametrize("hold", HOLDS, ids=lambda hold: hold.__name__)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_client_below_its_share_gets_a_port_at_once(kind, hold, before):
    """One client took all, and another's DNS was refused, its pings lost: 17 of 100 passed."""
    with Network(capacity=16384) as net:
        a = net.client(A)
        b = net.client(B) if before else None
        hold(net, a, kind)
        net.uplink.frames.clear(), a.frames.clear()
        b = b or net.client(B)
        taken = [answered(net, b, kind, port) for port in ports_of(kind)[:511]]
        assert -1 not in taken and len(set(taken)) == 511
        assert all((port < 1024) == (kind.first < 1024) for port in taken)
        for i, port in enumerate(taken):  # they work, and nobody else is reached by them
            net.uplink.send(kind.back(port))
            assert kind.inside(b.recv(0)) == ports_of(kind)[i]
            for other in (SERVER, remote(0), remote(1), remote(2), remote(7)):
                if other is not SERVER:
                    net.uplink.send(kind.back(port, other))
        assert not a.frames and not b.frames


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_at_its_limit_a_client_gives_up_its_own_oldest(kind):
    """By rank: what is in use stays, and with nothing else left the new flow is refused."""
    with Network(capacity=16384) as net:
        a, b = net.client(A), net.client(B)
        kept = answered(net, b, kind, kind.first + 5)
        ports = list(ports_of(kind))
        cap = len(ports) + (kind.first == 1) - 512
        used = [answered(net, a, kind, port, again=True) for port in ports[20:40]]
        once = [answered(net, a, kind, port) for port in ports[40 : 20 + cap]]
        assert -1 not in used + once and len(set(used + once)) == cap
        for i in range(30):
            assert answered(net, a, kind, ports[20 + cap + i], again=True) >= 0
        for outside, alive in [(port, True) for port in used + once[30:]] + [(once[0], False), (once[29], False)]:
            if not alive and kind.first == 0:
                continue  # an identifier may have been given out again, to the same client
            net.uplink.send(kind.back(outside))
            frame = a.recv(0)
            assert (frame is not None) == alive or kind.inside(frame) >= ports[20 + cap]
        for port in ports[50 : 20 + cap]:
            answered(net, a, kind, port, again=True)
        net.uplink.frames.clear(), a.frames.clear()
        a.send(kind.out(A, ports[20 + cap + 40]))
        assert Look(a.recv(0)).code == 13 and not net.uplink.frames and net.verdict == reasons.PORT_LIMIT
        assert max(net.neighbours.interfaces.by_number[a.number].client.mapped) == cap
        net.uplink.send(kind.back(kept))
        assert b.recv(0)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_last_free_ports_are_found(kind):
    """At 99 % full 16 random probes find none, more often than not."""
    with Network(capacity=16384, share=8) as net:
        a, b = net.client(A), net.client(B)
        in_use(net, a, kind)
        left = collections.Counter(answered(net, b, kind, port, again=True) for port in ports_of(kind)[:8])
        assert -1 not in left and max(left.values()) == 1
        for port in ports_of(kind)[:1000]:
            net.uplink.send(kind.back(port))
        assert len(a.frames) + len(b.frames) >= 999, "nobody lost one for it"


def test_a_search_is_right_and_looks_at_few_words():
    """Against a set: random takes and gives; what any() finds is free, and it finds one if there is one."""
    rng = random.Random(7)
    ports, free = Ports(words), set(range(65536))
    order = list(free)
    rng.shuffle(order)
    for port in order[:64000]:
        ports.take(port)
        free.discard(port)
    for first, end in nat.POOLS + ((1024, 65536), (0, 65536)):
        for start in range(256):
            found = ports.any(first, end, start)
            assert found in free and first <= found < end
    for i, port in enumerate(sorted(free)):
        assert ports.any(0, 65536, i) in free
        ports.take(port)
        free.discard(port)
    assert ports.any(0, 65536, 3) == -1
    for port in (0, 31, 32, 1023, 1024, 65535):
        ports.give(port)
        assert ports.any(0, 65536, port & 255) == port and not ports.taken(port)
        assert ports.any(0, 1024, 5) == (port if port < 1024 else -1)
        ports.take(port)
        assert ports.taken(port)


def test_the_ports_of_a_protocol_take_a_bit_each_and_one_for_each_word():
    ports = Ports(words)
    assert len(ports.used) * 32 == 65536 and len(ports.full) * 32 == len(ports.used)


def test_two_holders_leave_a_third_its_part():
    """Neither is above its limit, and no port is free."""
    kind = KINDS["high"]
    with Network(capacity=16384) as net:
        a, b = net.client(A), net.client(B)
        for i, wire in enumerate((a, b)):
            for port in range(1024 + 512 * i, 1536 + 512 * i):
                assert answered(net, wire, kind, port, again=True) >= 0
        c = net.client(C)
        taken = [answered(net, c, kind, 1024 + i, again=True) for i in range(341)]
        assert -1 not in taken and len(set(taken)) == 341
        left = collections.Counter()
        for port in range(1024, 2048):
            net.uplink.send(kind.back(port))
            for wire in (a, b, c):
                left[wire.address] += wire.recv(0) is not None
        assert sum(left.values()) == 1024 and left[C] == 341 and abs(left[A] - left[B]) <= 1


def test_nobody_takes_a_port_from_who_has_one_more():
    """They would take it from each other for ever: 1023 ports, of which one has 512 and the other 511."""
    kind = KINDS["privileged"]
    with Network(capacity=16384) as net:
        a, b = net.client(A), net.client(B)
        mine = [answered(net, a, kind, 1 + i, again=True) for i in range(512)]
        for i in range(511):
            assert answered(net, b, kind, 513 + i, again=True) >= 0
        assert answered(net, b, kind, 5, again=True) == -1
        for port in mine:
            net.uplink.send(kind.back(port))
            assert a.recv(0)


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_who_has_its_share_gives_its_own_when_no_port_is_free(kind, spare):
    """Its oldest that is not in use; with all in use it is refused. Others keep what they have."""
    with Network(capacity=16384, share=8) as net:
        a, b = net.client(A), net.client(B)
        ports = list(ports_of(kind))
        theirs = [answered(net, a, kind, port, again=True) for port in ports[:700]]
        mine = [answered(net, b, kind, port, again=not spare) for port in ports[700:]]
        assert -1 not in theirs + mine
        assert answered(net, b, kind, ports[0]) == (mine[0] if spare else -1)
        if spare:
            assert answered(net, b, kind, ports[1]) == mine[1]
        for port in theirs:
            net.uplink.send(kind.back(port))
            assert a.recv(0)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_nobody_takes_more_than_its_share(kind):
    with Network(capacity=16384, share=8) as net:
        a = net.client(A)
        in_use(net, a, kind)
        b = net.client(B)
        assert -1 not in [answered(net, b, kind, kind.first + i, again=True) for i in range(8)]
        assert answered(net, b, kind, kind.first + 8) == -1


def test_the_identifier_0_is_given_out_when_it_is_the_last():
    kind = KINDS["identifiers"]
    with Network(capacity=16384) as net:
        a = net.client(A)
        for ident in range(1, 1024):
            assert answered(net, a, kind, ident, again=True) == ident
        b = net.client(B)
        net.neighbours.nat._random = lambda count: b"\0\5"[-count:]
        assert answered(net, b, kind, 5) == 0
        for ident in range(1, 1024):
            net.uplink.send(kind.back(ident))
            assert a.recv(0)


@pytest.mark.parametrize("kind, wanted, drawn, port", [
    ("privileged", 5, 0x0000, 512), ("privileged", 5, 0x01FF, 1023), ("privileged", 5, 0xFE02, 514),
    ("high", 5000, 0x0000, 1024), ("high", 5000, 0x1234, 1024 + 0x1234), ("high", 5000, 64511, 65535), ("high", 5000, 64512, 1024),
    ("identifiers", 5, 0x0000, 0), ("identifiers", 5, 0xFFFF, 65535), ("identifiers", 5, 0x0102, 0x0102),
])
def test_any_port_of_a_pool_may_be_drawn(monkeypatch, kind, wanted, drawn, port):
    """Of the pools as they are: 0 to 1023, of which those below 512 are servers', 1024 to 65535, all identifiers."""
    monkeypatch.setattr(nat, "POOLS", POOLS)
    kind = KINDS[kind]
    with Network() as net:
        a, b = net.client(A), net.client(B)
        assert answered(net, a, kind, wanted) == wanted
        net.neighbours.nat._random = lambda count: drawn.to_bytes(2, "big")[:count]
        assert answered(net, b, kind, wanted) == port


def test_a_client_that_left_gives_its_ports_first():
    kind = KINDS["high"]
    with Network(capacity=16384) as net:
        stays, gone = net.client(A), net.client(B)
        mine = [answered(net, stays, kind, 1024 + i, again=True) for i in range(512)]
        for i in range(512):
            assert answered(net, gone, kind, 1536 + i, again=True) >= 0
        net.detach(gone)
        new = net.client(C)
        taken = [answered(net, new, kind, 1024 + i, again=True) for i in range(512)]
        assert not set(taken) & set(mine) and len(set(taken)) == 512
        for port in mine:
            net.uplink.send(kind.back(port))
            assert stays.recv(0)


def test_all_flows_of_a_mapping_that_was_taken_end_at_once():
    """However many they are; they are swept by and by."""
    kind = KINDS["privileged"]
    with Network(capacity=16384) as net:
        a = net.client(A)
        for i in range(16):
            for port in ports_of(kind):
                a.send(kind.out(A, port, remote(i)))
        net.uplink.frames.clear()
        b = net.client(B)
        removed = []
        remove = net.neighbours.flows.remove
        net.neighbours.flows.remove = lambda record: removed.append(record) or remove(record)
        b.send(kind.out(B, 700))
        assert len(removed) <= 1
        port = kind.outside(net.uplink.recv())
        for i in range(16):
            net.uplink.send(kind.back(port, remote(i)))
        assert not a.frames and not b.frames
        b.send(kind.out(B, 700, remote(3)))  # where the other's flow was
        assert kind.outside(net.uplink.recv()) == port
        net.uplink.send(kind.back(port, remote(3)))
        assert b.recv() and not a.frames
        net.advance(20)
        assert net.neighbours.flows.count == 1022 * 16 + 2


@pytest.mark.parametrize("seed", range(6))
def test_a_port_is_taken_exactly_as_long_as_a_mapping_has_it(seed, monkeypatch):
    """Random flows of clients that come and go, at all limits at once; no port has two owners, none is lost."""
    monkeypatch.setattr(nat, "POOLS", ((0, 1024), (1024, 2048), (0, 1024)))
    rng = random.Random(seed)
    with Network(capacity=2048, share=64, seed=seed) as net:
        n = net.neighbours
        wires = {}
        for _ in range(12000):
            address = rng.choice((A, A, A, B, C))
            if address not in wires:
                wires[address] = net.client(address)
            wire = wires[address]
            kind = rng.choice(list(KINDS.values()))
            port, dst = kind.first + rng.randrange(1023), remote(rng.randrange(4))
            below = n.clients.by_address[addressed(address)].mapped
            pool = 2 if kind.first == 0 else kind.first >= 1024
            least = below[pool] < min(64, 1023 // len(wires) - 1)
            if rng.random() < 0.5:
                outside = answered(net, wire, kind, port, dst, again=rng.random() < 0.7)
                assert outside >= 0 or not least
            else:
                wire.send(kind.out(address, port, dst))
                assert net.uplink.recv(0) or not least
            wire.frames.clear()
            if rng.random() < 0.002:
                net.detach(wires.pop(address))
            if rng.random() < 0.01:
                net.advance(rng.choice((1, 1, 70)))
            if rng.random() < 0.02:
                consistent(net)
        for wire in wires.values():
            net.detach(wire)
        net.advance(100)
        consistent(net)
        assert n.flows.count == 0 and not n.clients.leaving
        assert sum(sum(ports.used) for ports in n.nat._ports.values()) == 1


def addressed(text):
    return int.from_bytes(bytes(map(int, text.split("."))), "big")


def consistent(net):
    n = net.neighbours
    owners = {17: {0: None}, 1: {}}
    w = n.flows.records
    for client in n.clients.by_slot:
        for which, link in enumerate(client.maps_first if client else ()):
            while link:
                number = link - 1
                head = n.flows.mappings._entries[number * 3 + 2] & 0xFFFF
                proto, port = w[head * WORDS + KIND] & 0xFF, first(n.flows.mappings.outside(number))
                assert port not in owners[proto], "two owners"
                owners[proto][port] = client
                link = n.flows.mappings._entries[number * 3 + 1]
    for proto, ports in n.nat._ports.items():
        assert {port for port in range(2048) if ports.taken(port)} == owners[proto].keys()


def test_one_client_cannot_take_all_tcp_ports_towards_a_remote():
    with Network(capacity=16384) as net:
        a = net.client(A)
        for first, count in ((1024, 1024), (1, 1023)):
            for port in range(first, first + count):
                opened(net, a, port, dport=2049)
        b = net.client(B)
        for first in (1024, 1):
            ports = [opened(net, b, first + i, dport=2049) for i in range(200)]
            assert len(set(ports)) == 200 and all((port < 1024) == (first == 1) for port in ports)


def test_a_tcp_port_towards_a_remote_is_recycled_by_its_own_client():
    with Network(capacity=16384) as net:
        a, b = net.client(A), net.client(B)
        b.send(tcp(B, 5000, SERVER, 80))
        for port in range(1024, 2048):
            a.send(tcp(A, port, SERVER, 80))
        net.uplink.frames.clear()
        a.send(tcp(A, 5000, SERVER, 80))
        assert 1024 <= Look(net.uplink.recv()).sport < 2048
        assert net.neighbours.flows.count == 1 + 1024


@pytest.mark.parametrize("build", [udp, tcp])
def test_a_privileged_port_is_kept_or_becomes_another(build):
    """NFS, NTP and IKE servers look at it (privileged-port); RFC 4787 REQ-3a."""
    with Network(capacity=16384) as net:
        a, b = net.client(A), net.client(B)
        for port in list(range(1, 512)) + [1024, 2047]:
            a.send(build(A, port, SERVER, 2049))
            assert Look(net.uplink.recv()).sport == port
        for port in range(1, 300):
            b.send(build(B, port, SERVER, 2049))
            assert 512 <= Look(net.uplink.recv()).sport < 1024
        for port in (1024, 2047):
            b.send(build(B, port, SERVER, 2049))
            assert Look(net.uplink.recv()).sport > 1024


@pytest.mark.parametrize("build", [udp, tcp])
def test_port_0_is_not_kept(build):
    with Network() as net:
        client = net.client(A)
        client.send(build(A, 0, SERVER, 80))
        assert 512 <= Look(net.uplink.recv()).sport < 1024
