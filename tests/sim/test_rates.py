"""fw-rate in the program that ships: what a client sends and gets in a time, by the machine's clock; on both paths."""
import re

import pytest
from dom0_network import OWN, Dom0Network
from frontend import Client
from machine import Machine
from packets import ACK, SYN, Look, tcp, udp
from tests.sim.network import OUR_MAC, CLIENT_MAC, Wire

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
OVER = "over the rate that a setting names"
STEP = 0.002  # s


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def net(request, machine):
    net = Dom0Network(machine, request.param)
    net.a, net.b = net.client(A), net.client(B)
    net.port = outside(net, net.a)
    return net


def outside(net, wire, sport=4001):
    """A flow in use; its port outside."""
    wire.send(udp(wire.address, sport, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(udp(SERVER, 53, OWN, port))
    assert wire.recv()
    wire.send(udp(wire.address, sport, SERVER, 53))
    assert net.uplink.recv()
    return port


def sends(net, wire, seconds, size=1400, sport=4001):
    """A client keeps its ring full for so long; the octets of frames that left, and of each second."""
    net.forget()
    frame = udp(wire.address, sport, SERVER, 53, b"x" * size)
    total = 0
    for _ in range(int(seconds / STEP)):
        while wire.end.room() > 4:
            wire.end.queue(frame)
        wire.end.kick()
        net.machine.advance(STEP)
        total += sum(len(each) for each in net.left())
    return total


def gets(net, wire, port, seconds, size=1400, each=4):
    """The netvm sends `each` frames every STEP; (octets, numbers of the frames) that came."""
    net.forget()
    total, numbers, n = 0, [], 0
    for _ in range(int(seconds / STEP)):
        for _ in range(each):
            net.uplink.end.send(udp(SERVER, 53, OWN, port, n.to_bytes(4, "big") + b"x" * size))
            n += 1
        net.machine.advance(STEP)
        for frame, *_ in wire.end.frames:
            total += len(frame)
            numbers.append(int.from_bytes(frame[42:46], "big"))
        wire.end.frames.clear()
    return total, numbers


def dropped(net):
    """How many frames were dropped for a rate, as the status tells it."""
    found = re.findall(OVER + r" (\d+)", " ".join(net.firewall.status()))
    return int(found[-1]) if found else 0


def empty(net, wire):
    """What still lies in a client's ring, or here for it, goes."""
    net.machine.advance(3)
    net.forget()


@pytest.mark.parametrize("mbit", [0.5, 4, 20])
def test_out(net, mbit):
    net.set("fw-rate-" + A, "%g" % mbit)
    seconds = 4 if mbit < 20 else 1
    total = sends(net, net.a, seconds)
    assert total == pytest.approx(mbit * 125000 * seconds, rel=0.05)
    assert dropped(net) == 0  # it waits in the ring
    # another client goes on meanwhile, at once
    net.forget()
    for i in range(30):
        net.b.end.send(udp(B, 1000 + i, SERVER, 53))
    net.settle()
    assert len([each for each in net.left() if len(each) < 100]) == 30


@pytest.mark.parametrize("mbit", [0.5, 4, 10])
def test_into(net, mbit):
    net.set("fw-rate-" + A, "%g" % mbit)
    seconds = 4 if mbit < 10 else 2
    total, numbers = gets(net, net.a, net.port, seconds)
    assert total == pytest.approx(mbit * 125000 * seconds, rel=0.05)
    assert numbers == sorted(set(numbers))
    sent = int(seconds / STEP) * 4
    waiting = sent - len(numbers) - dropped(net)
    assert 0 < waiting <= 128
    # what comes are the newest: those before were dropped from the queue's head
    between = 4 * 1446 / (mbit * 125000) / STEP  # sent from one that comes to the next
    assert sent - numbers[-1] <= waiting + between + 8
    port = outside(net, net.b)
    assert gets(net, net.b, port, 0.1)[0] > 0.99 * 50 * 4 * 1446


def test_nobody_else_and_nothing_without(net):
    """Without a rate all passes at once; one client's rate is no other's."""
    net.set("fw-rate-" + A, "1")
    assert sends(net, net.b, 0.2) > 0.2 * 125000 * 50
    net.unset("fw-rate-" + A)
    assert sends(net, net.a, 0.2) > 0.2 * 125000 * 50


def test_changed_and_removed_live(net):
    net.set("fw-rate-" + A, "1")
    assert sends(net, net.a, 2) == pytest.approx(250000, rel=0.05)
    net.set("fw-rate-" + A, "8")
    assert sends(net, net.a, 2) == pytest.approx(2000000, rel=0.05)
    gets(net, net.a, net.port, 0.3)
    net.forget()
    net.unset("fw-rate-" + A)  # what waited goes at once, on both sides
    assert len(net.left()) > 30 and len(net.a.end.frames) > 0
    net.forget()
    net.uplink.send(udp(SERVER, 53, OWN, net.port, b"now"))
    assert Look(net.a.recv()).data == b"now"
    net.set("fw-rate-" + A, "fast")
    assert net.told("/vm-config/fw-rate-" + A, "fast", "expected: 0.01 to 100000 (Mbit/s)")
    assert sends(net, net.a, 0.1) == 0 and gets(net, net.a, net.port, 0.1)[0] == 0
    net.set("fw-rate-" + A, "8")
    empty(net, net.a)
    assert outside(net, net.a, 4002)


def test_super_frames_at_a_low_rate(net):
    """One is more than a second's worth: a debt, paid before anything else goes."""
    net.a.send(tcp(A, 7, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, OWN, port, SYN | ACK))
    assert net.a.recv()
    net.set("fw-rate-" + A, "0.2")
    net.machine.advance(1)
    total, began = 0, net.machine.now
    for i in range(8):
        net.a.end.send(tcp(A, 7, SERVER, 80, ACK, b"y" * 30000, blank=True), blank=True, gso=1400)
        net.uplink.end.send(tcp(SERVER, 80, OWN, port, ACK, b"z" * 30000, blank=True), blank=True, gso=1400)
    came = 0
    for _ in range(700):
        net.machine.advance(0.01)
        total += sum(len(each) for each in net.left())
        came += sum(len(frame) for frame, *_ in net.a.end.frames)
        net.a.end.frames.clear()
    seconds = (net.machine.now - began) / 1e9
    assert total == pytest.approx(25000 * seconds, abs=30100)
    assert 60000 <= came <= 25000 * seconds + 30100 and dropped(net) > 0


def test_two_interfaces_share_it(machine):
    net = Dom0Network(machine)
    a = net.client(A)
    end = Client(machine, None, A, devid=1, peer=a.end.peer)
    other = Wire(net, end, A, CLIENT_MAC, OUR_MAC)
    net.wires.append(other)
    machine.until(end.connected, 30)
    net.set("fw-rate-" + A, "2")
    net.forget()
    total = 0
    for _ in range(1000):
        for wire in (a, other):
            while wire.end.room() > 4:
                wire.end.queue(udp(A, 4001, SERVER, 53, b"x" * 1000))
            wire.end.kick()
        machine.advance(STEP)
        total += sum(len(each) for each in net.left())
    assert total == pytest.approx(2 * 250000, rel=0.05)
    net.detach(other)
    assert sends(net, a, 2) == pytest.approx(2 * 250000, rel=0.05)


def pages(net):
    """Of packets, that are free."""
    return int(re.search(r"packet pages free: (\d+)", " ".join(net.firewall.status())).group(1))


@pytest.mark.parametrize("how", ["detach", "kill", "forgotten"])
def test_nothing_is_lost_when_it_goes_while_frames_wait(net, how):
    net.set("fw-rate-" + A, "0.1")
    empty(net, net.a)
    before = pages(net)
    for _ in range(3):
        gets(net, net.a, net.port, 0.1)
        sends(net, net.a, 0.1)
        assert pages(net) < before
        if how == "forgotten":
            net.unset("fw-rate-" + A)
            net.machine.advance(2)
            assert pages(net) == before
            net.set("fw-rate-" + A, "0.1")
            continue
        end = net.a.end
        if how == "kill":
            end.kill()
            end.offline(force=True)
            net.machine.until(end.gone, 15)
        else:
            net.detach(net.a)
        net.wires = [wire for wire in net.wires if wire is not net.a]
        net.settle()
        net.a = net.client(A)
        assert pages(net) == before
        net.port = outside(net, net.a)
        empty(net, net.a)


def test_one_who_gives_no_buffers(net):
    """Its frames wait for its rate first, and are then held and dropped as anybody's."""
    net.set("fw-rate-" + A, "8")
    net.a.end.post = 0
    gets(net, net.a, net.port, 1)
    port = outside(net, net.b)
    assert gets(net, net.b, port, 0.1)[0] > 0


def test_the_loop_sleeps_while_a_client_waits(net):
    """No pass after the other: some wakes a second, whatever lies in the ring."""
    net.set("fw-rate-" + A, "0.02")
    sends(net, net.a, 0.1)
    before = net.firewall.domain.hypercalls
    net.machine.advance(5)
    assert net.firewall.domain.hypercalls - before < 5 * 400


def test_both_paths_do_the_same():
    """Frame by frame: which come, and what is counted."""
    seen = []
    for fast in (True, False):
        with Machine() as machine:
            net = Dom0Network(machine, fast)
            a = net.client(A)
            port = outside(net, a)
            net.set("fw-rate-" + A, "3")
            seen.append((gets(net, a, port, 0.5), sends(net, a, 0.5), gets(net, a, port, 0.2, 300, 9), dropped(net)))
    assert seen[0] == seen[1] and seen[0][3] > 0


def test_a_ring_that_lies_while_it_is_not_looked_at(net):
    """It is found out when it is looked at again; nobody else suffers, and nothing is kept."""
    net.set("fw-rate-" + A, "0.5")
    before = pages(net)
    sends(net, net.a, 0.1)
    end = net.a.end
    end.auto = False
    end.tx.words[0] = end.tx.words[0] + 5000 & 0xFFFFFFFF
    end.peer.evtchn_send(end.port)
    net.settle()
    port = outside(net, net.b)
    assert gets(net, net.b, port, 0.1)[0] > 0.99 * 50 * 4 * 1446
    net.machine.advance(3)
    assert net.told("vif %s" % end.name, "tx")
    assert pages(net) == before
    assert sends(net, net.b, 0.1) > 0
