"""The fast path against the slow one, rings and all: the same frames and events, honest and hostile, through both.

A copy of the checkout, in which the same program is told `fast=off`, is the other side; see tests/equal.
"""
import os
import shutil

import pytest
from hypervisor import CHECKOUT, LIBRARY, PROGRAM
from tests.equal.__main__ import compare
from tests.sim.network import Network
from packets import ACK, SYN, Look, echo, tcp, udp

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"


@pytest.fixture
def slow(tmp_path):
    for folder in ("tests", "firewall", "port/modules"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(os.path.join(CHECKOUT, folder), str(tmp_path / folder), ignore=left_out)
    for made in (PROGRAM, LIBRARY):
        copy = tmp_path / os.path.relpath(made, CHECKOUT)
        os.makedirs(str(copy.parent), exist_ok=True)
        shutil.copy(made, str(copy))
    network = tmp_path / "tests" / "sim" / "network.py"
    text = network.read_text()
    assert text.count('words = "run=forward ') == 1
    network.write_text(text.replace('words = "run=forward ', 'words = "fast=off run=forward '))
    return str(tmp_path)


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
def test_packets_of_known_flows_go_by_it_and_first_ones_do_not(net, proto):
    def there(n):
        if proto == "tcp":
            return tcp(A, 4002, SERVER, 80, ACK if n else SYN)
        return udp(A, 4001, SERVER, 53) if proto == "udp" else echo(A, SERVER, seq=n)

    net.a.send(there(0))
    first = Look(net.uplink.recv())
    assert fast(net) == 0
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
