"""The host sleeps: we are paused for hours, and the clock has jumped when we go on. What was due makes no storm.

qubesd pauses us and lets us go on; Xen's clock runs meanwhile, and nothing tells us of it but the qrexec services.
"""
import re

import pytest
from netvm import Netvm
from packets import ACK, SYN, Look, echo, tcp, udp
from passing import passes, passes_now
from qubesdb_server import Dom0
from test_whole_firewall import KEYS, Whole, rules
from tests.sim.network import Network

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
HOURS = 3600
NIGHT = 9 * HOURS


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.a, net.b = net.client(A), net.client(B)
    return net


def connection(net, wire, sport=1000):
    """A TCP connection in use; the port outside."""
    wire.send(tcp(wire.address, sport, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, net.address, port, SYN | ACK))
    assert wire.recv()
    wire.send(tcp(wire.address, sport, SERVER, 80, ACK))
    assert net.uplink.recv()
    return port


def test_nothing_is_said_and_everything_goes_on(net):
    """New flows at once; no line of warning, no link made anew; nothing is lost of what we hold."""
    passes(net, net.a)
    net.advance(400)
    held, lines = net.holdings(), len(net.firewall.lines())
    for seconds in (5, 90, HOURS, NIGHT, 20 * NIGHT):
        net.machine.pause(seconds)
        passes_now(net, net.a, sport=4001)
        passes_now(net, net.b, sport=4002)
        assert net.a.pings() and net.uplink.end.connections == 1
        net.advance(400)
        assert net.holdings() == held
    assert len(net.firewall.lines()) == lines


def test_a_short_sleep_leaves_flows_and_a_long_one_lets_tcp_go_on(net):
    """Below its time-out a flow is as it was. Beyond it the client's next ACK is picked up."""
    port = connection(net, net.a)
    net.machine.pause(HOURS)
    net.uplink.send(tcp(SERVER, 80, net.address, port, ACK, b"still"))
    assert Look(net.a.recv()).data == b"still"
    net.machine.pause(NIGHT)
    net.uplink.send(tcp(SERVER, 80, net.address, port, ACK, b"too late"))
    assert net.a.recv() is None, "the flow is over"
    net.a.send(tcp(A, 1000, SERVER, 80, ACK, b"x"))
    seen = Look(net.uplink.recv())
    assert seen.data == b"x"
    net.uplink.send(tcp(SERVER, 80, net.address, seen.sport, ACK, b"y"))
    assert Look(net.a.recv()).data == b"y"


def test_20000_flows_that_are_over_make_no_storm(net):
    """They are removed a few at a time, while packets pass; in the first second no more is done than in any other."""
    for n in range(20000):
        net.a.end.queue(udp(A, 1024 + n, SERVER, 1 + n % 7))
        if n % 200 == 199:
            net.a.end.kick()
            net.settle()
            net.uplink.end.frames.clear()
            net.a.end.responses.clear()
    assert net.figures()["flows"] == 20000
    net.machine.pause(NIGHT)
    port = passes_now(net, net.b)
    before = net.figures()["flows"]
    assert before > 19900, "nothing was removed at once"
    spent = net.firewall.domain.hypercalls
    net.advance(1)
    assert 200 < before - net.figures()["flows"] < 1000
    assert net.firewall.domain.hypercalls - spent < 200
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert net.b.recv(), "a flow of now is not taken for one of before"
    net.advance(60)
    assert net.figures()["flows"] <= 2


def test_no_credit_was_saved_up(net):
    """50 of our ICMP errors a second, whatever time has gone by."""
    net.set_rules(A, ["action=drop"])

    def told():
        net.a.end.frames.clear()
        for n in range(200):
            net.a.send(udp(A, 1000 + n, SERVER, 53))
        net.settle()
        return len(net.a.end.frames)

    first = told()
    assert first < 200
    net.machine.pause(NIGHT)
    assert told() == first


def test_a_sleep_is_no_gap(net):
    """Nor is one that begins in the middle of our work: Xen counts it as others' time."""
    net.firewall.status()
    net.machine.pause(NIGHT)
    passes_now(net, net.a)

    def sleep(firewall):
        net.machine.preempt(0, sleep)
        net.machine.header.clock_ns += 60 * 10**9
        firewall.domain.stolen_ns += 60 * 10**9

    net.machine.preempt(3, sleep)
    passes_now(net, net.a)
    gaps = [line for line in net.firewall.status() if "longest gap" in line]
    assert int(re.search(r"(\d+) us", gaps[-1]).group(1)) < 1000


def test_pieces_and_frames_that_waited_are_dropped_and_given_back(net):
    """A datagram without its end; a frame for a client that gave no buffers."""
    from packets import fragments

    port = passes(net, net.a)
    net.advance(1.1)
    held = net.holdings()
    net.a.send(fragments(udp(A, 1, SERVER, 53, bytes(3000)), 1400)[0])
    net.settle()
    assert net.figures()["fragments"]
    net.machine.pause(NIGHT)
    net.advance(1.1)
    assert net.figures()["fragments"] == 0 and net.holdings() == held
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert net.a.recv() is None, "the flow is over, too"


def test_an_uplink_that_was_busy_gets_its_time(net):
    """The netvm slept as well: that it has taken nothing for hours does not count. Nothing is dropped."""
    netvm = net.uplink.end
    netvm.holds = True
    for _ in range(5):
        while net.a.end.room() > 2:
            net.a.end.queue(udp(A, 4000, SERVER, 53))
        net.a.end.kick()
        net.settle()
    waiting = len(net.a.end.in_flight)
    assert waiting > 100
    net.machine.pause(NIGHT)
    assert not net.lines("takes nothing") and netvm.connections == 1
    netvm.resume()
    net.settle()
    assert net.a.end.in_flight == [] and not net.lines("takes nothing")


def test_the_netvm_died_while_we_slept(net):
    """Its domain is gone with all its nodes; our directory stays, as nobody took it from us. Then the change comes."""
    end = net.uplink.end
    front = end.front
    end.tx = end.rx = None
    end.leave()
    end.peer.kill()
    net.machine.dom0.remove(b"/local/domain/1")
    net.machine.pause(NIGHT)
    assert net.machine.store.get(front.encode()) is not None
    net.a.send(udp(A, 7, SERVER, 53))
    told = Look(net.a.recv())
    assert (told.kind, told.code) == (3, 0), "no uplink, and said so"
    net.advance(60)
    assert len(net.lines("uplink closed")) == 1
    net.machine.dom0.remove(front.encode())
    new = Netvm(net.machine, 31)
    net.machine.until(new.connected, 10, "the new uplink")
    net.wires.remove(net.uplink)
    net.uplink_to(new)
    net.advance(2.5)
    passes_now(net, net.a)


@pytest.mark.parametrize("before_unpause", [True, False])
def test_a_change_of_the_netvm_that_was_deferred(net, before_unpause):
    """Made while we slept: both directories are written when we wake, or were before."""
    old = net.uplink.end
    old.tx = old.rx = None
    old.leave()
    old.peer.kill()
    net.machine.dom0.remove(b"/local/domain/1")

    def change():
        net.machine.dom0.remove(old.front.encode())
        return Netvm(net.machine, 31)

    if before_unpause:
        new = change()
        net.machine.pause(NIGHT)
    else:
        net.machine.pause(NIGHT)
        new = change()
    net.machine.until(new.connected, 10, "the new uplink")
    net.wires.remove(net.uplink)
    net.uplink_to(new)
    net.advance(2.5)
    passes_now(net, net.a)
    assert not new.dirty


def test_a_client_that_died_while_we_slept(net):
    """dom0 has removed its directories meanwhile; another has its number, its address, or both, when we wake."""
    passes(net, net.a)
    net.a.end.kill()
    net.machine.dom0.remove(net.a.end.front.encode())
    net.machine.dom0.remove(net.a.end.back.encode())
    net.machine.pause(NIGHT)
    assert net.firewall.mapped() == 2
    net.wires.remove(net.a)
    again = net.client(A)
    passes_now(net, again)
    passes_now(net, net.b)


def test_the_whole_firewall_sleeps_twenty_nights(machine):
    """QubesDB and rules with it: nothing is read again, a change made before anybody woke counts at once."""
    keys = {**KEYS, **rules(A), **rules(B), "/connected-ips": b"%s %s" % (A.encode(), B.encode())}
    net = Whole(machine, keys)
    a, b = net.client(A, rules=None), net.client(B, rules=None)
    passes(net, a)
    level = net.level()
    for night in range(20):
        machine.pause(NIGHT)
        passes_now(net, a, sport=3000 + night)
        passes_now(net, b, sport=3000 + night)
        assert a.pings()
    machine.advance(700)
    assert {**net.level(), "packet pages": level["packet pages"]} == level
    net.dom0.daemon.commit(A, [b"action=drop"])
    machine.pause(NIGHT)
    a.send(echo(A, SERVER))
    assert Look(a.recv()).kind == 3
    assert net.dom0.left == [] and not net.lines("warning") and not net.lines(" error ")
    assert isinstance(net.dom0, Dom0)
