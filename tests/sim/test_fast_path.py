"""The fast path against the slow one, rings and all: the same frames and events, honest and hostile, through both.

A copy of the checkout, in which the same program is told `fast=off`, is the other side; see tests/equal.
"""
import pytest
from hypervisor import CHECKOUT
from tests.equal.__main__ import compare
from tests.sim.network import Network
from packets import ACK, SYN, Look, echo, tcp, udp
from rings import RSP_EVENT
from told import told

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"


@pytest.fixture
def slow(tmp_path):
    return told(tmp_path, 'words = "run=forward ', 'words = "fast=off run=forward ')


@pytest.mark.parametrize("seed", [5, 6])
def test_it_does_what_the_slow_path_does(slow, seed):
    score = compare("sim", slow, CHECKOUT, seed=seed, rounds=3, events=500)
    assert not score.differences and not score.raised
    assert score.events >= 1200 and score.counters["forwarded"] > 300


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.a, net.b = net.client(A), net.client(B)
    net.allow((A, B))
    return net


def fast(net):
    return net.figures()["fast"]


@pytest.mark.parametrize("proto", ["udp", "tcp", "echo"])
def test_packets_of_known_flows_go_by_it_and_plain_first_ones(net, proto):
    def there(n):
        if proto == "tcp":
            return tcp(A, 4002, SERVER, 80, ACK if n else SYN)
        return udp(A, 4001, SERVER, 53) if proto == "udp" else echo(A, SERVER, seq=n)

    net.a.send(there(0))
    first = Look(net.uplink.recv())
    assert fast(net) == 1
    if proto == "tcp":
        net.uplink.send(tcp(SERVER, 80, net.address, first.sport, SYN | ACK))
        assert net.a.recv()
    before = fast(net)
    for n in range(1, 5):
        net.a.send(there(n))
        assert net.uplink.recv()
    # steps of the state that move a flow in its client's lists are the slow path's
    assert before + 3 <= fast(net) <= before + 4


def test_between_clients_too(net):
    for n in range(4):
        net.a.send(udp(A, 1, B, 2, bytes([n])))
        assert net.b.recv()[-1] == n
    assert fast(net) == 3


def test_without_it_all_goes_the_slow_way(machine):
    net = Network(machine=machine, cmdline="fast=off")
    wire = net.client(A)
    for _ in range(3):
        wire.send(udp(A, 4001, SERVER, 53))
        assert net.uplink.recv()
    assert fast(net) == -1
    assert net.counters["forwarded"] == 3


def test_the_netvms_answers_are_taken_back_though_it_tells_of_few(net):
    """Many packets in a short time: then not each answer wakes us, and none of the pages stays with it."""
    net.a.send(udp(A, 4001, SERVER, 53))
    assert net.uplink.recv()
    net.advance(1)
    before = net.figures()["free"]
    for _ in range(20):
        for _ in range(20):
            net.a.send(udp(A, 4001, SERVER, 53, bytes(100)))
        net.settle()
        net.machine.advance(0.002)
    assert len(net.left()) == 400
    tx = net.uplink.end.tx
    assert tx.words[RSP_EVENT] - tx.produced & 0xFFFFFFFF > 20
    net.advance(0.2)
    assert net.figures()["free"] == before and net.tell("pages") == ""
    net.a.send(udp(A, 4001, SERVER, 53))
    net.settle()
    assert tx.words[RSP_EVENT] - tx.produced & 0xFFFFFFFF == 1  # at rest each of them does


def test_at_rest_with_flows_it_sleeps(net):
    """Until the first of them expires."""
    for port in range(4001, 4006):
        net.a.send(udp(A, port, SERVER, 53))
        assert net.uplink.recv()
    net.advance(5)
    before = net.firewall.domain.hypercalls
    net.advance(50)
    assert net.firewall.domain.hypercalls - before < 20  # its task that says that it is alive, and no ticks
    assert net.figures()["flows"] == 5
    net.advance(66)
    assert net.figures()["flows"] == 0


@pytest.mark.parametrize("side", ["a", "uplink"])
def test_at_rest_what_nobody_need_read_is_dropped_and_no_tick_looks_at_it(net, side):
    """IPv6, which Linux sends unasked: the reason is counted. Behind it and between it packets pass as ever."""
    wire = getattr(net, side)
    net.a.send(udp(A, 4001, SERVER, 53))
    outside = Look(net.uplink.recv()).sport
    there = udp(SERVER, 53, net.address, outside) if side == "uplink" else udp(A, 4001, SERVER, 53)
    foreign = there[:12] + b"\x86\xdd" + there[14:]
    to = net.a if side == "uplink" else net.uplink
    before = net.counters.get("Ethernet type not carried", 0)
    net.advance(20)
    due = net.firewall.domain.deadline
    for count in (1, 3):
        for _ in range(count):
            wire.send(foreign)
        net.settle()
        assert net.firewall.domain.deadline == due, "a task was to run"
    for frame in (foreign, there, foreign, there):
        wire.send(frame)
    net.settle()
    assert net.firewall.domain.deadline - net.machine.now <= 50_000_000
    assert to.recv() and to.recv() and to.recv() is None
    assert net.counters["Ethernet type not carried"] == before + 6


def test_flows_that_expire_one_after_the_other_are_swept_together(net):
    """Eight within 0.8 s, each with its mapping: it wakes for all of them, not for each."""
    for n in range(8):
        net.a.send(echo(A, SERVER, ident=100 + n))
        assert net.uplink.recv()
        net.advance(0.1)
    net.advance(50)
    assert net.figures()["flows"] == 8
    net.advance(5)
    woken, end, firewall = 0, net.machine.now + 10 * 10**9, net.firewall.domain
    while firewall.deadline <= end:
        woken += 1
        net.machine.advance((firewall.deadline - net.machine.now) / 1e9 + 1e-6)
    assert 0 < woken < 8
    assert net.figures()["flows"] == 0
