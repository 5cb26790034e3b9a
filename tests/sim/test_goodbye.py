"""Before a client's rings are unmapped, for whatever reason, all that waits in them is answered; then comes Closing.

Linux from 6.18 on complains of every request without an answer when its device goes, and with panic_on_warn dies of it.
"""
import math

import pytest
from device import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING
from machine import POWEROFF, REBOOT
from packets import udp
from passing import SERVER, passes_now
from rings import DROPPED, EXTRA_INFO, GSO, GSO_TCPV4, MORE_DATA, NULL, OKAY
from tests.sim.network import Network

A, B, C = "10.137.0.21", "10.137.0.22", "10.137.0.23"
SHUTDOWN = "/local/domain/2/control/shutdown"


@pytest.fixture
def net(machine):
    return Network(machine=machine)


def full(net, wire, octets=b"x" * 100):
    """The uplink takes nothing, and the client has its ring full of frames that nobody takes."""
    net.uplink.end.holds = True
    for _ in range(40):
        while wire.end.room() >= 2:
            wire.end.queue(udp(wire.address, 4000, SERVER, 53, octets))
        wire.end.kick()
        net.settle()
        if waiting(wire) > 200:
            return
    raise AssertionError("everything was taken")


def waiting(wire):
    """Requests that have no answer."""
    return len(wire.end.in_flight)


def offline(net, wire):
    wire.end.offline()


def forced(net, wire):
    wire.end.offline(force=True)


def closing(net, wire):
    wire.end.auto = False
    wire.end.set_state(CLOSING)


def closed(net, wire):
    wire.end.set_state(CLOSED)


def anew(net, wire):
    wire.end.auto = False
    wire.end.set_state(INITIALISING)


def unlisted_and_detached(net, wire):
    net.connected(B, only=True)
    wire.end.offline()


@pytest.mark.parametrize("end", [offline, forced, closing, closed, anew, unlisted_and_detached])
def test_what_waits_is_answered_whatever_ends_the_link(net, end):
    wire = net.client(A)
    full(net, wire)
    before = waiting(wire)
    wire.end.responses.clear()
    mapped = net.firewall.mapped()
    end(net, wire)
    net.machine.until(lambda: net.firewall.mapped() < mapped, 10)
    net.settle()
    assert before > 200 and waiting(wire) == 0
    assert [status for _, status in wire.end.responses] == [DROPPED] * before


def test_a_directory_that_vanishes(net):
    wire = net.client(A)
    full(net, wire)
    net.machine.dom0.remove(wire.end.back.encode())
    net.settle()
    assert waiting(wire) == 0 and net.firewall.mapped() == 0


def test_all_is_answered_when_closing_is_seen(net):
    """Not after it: a client may be gone a moment later."""
    wire = net.client(A)
    full(net, wire)
    wire.end.auto = False
    seen = []

    def look():
        if not seen and wire.end.their_state() == CLOSING:
            seen.append(wire.end.tx.words[0] - wire.end.tx.words[2])
        return False

    net.machine.actors.append(look)
    closing(net, wire)
    net.settle()
    assert seen == [0]


def test_chains_are_answered_slot_by_slot(net):
    """As a backend answers them: an extra info with NULL, each other slot with its own id."""
    wire = net.client(A)
    full(net, wire)
    end = wire.end
    end.offline(force=True)
    end.auto = False
    ids = [end.in_flight[-1]]
    end.responses.clear()
    net.settle()
    assert end.responses[-1] == (ids[0], DROPPED)

    wire = net.client(B)
    net.uplink.end.holds = True
    end = wire.end
    while end.room() > 8:
        end.queue(udp(B, 1, SERVER, 53))
    end.kick()
    net.settle()
    while end.room() > 8:
        end.queue(udp(B, 1, SERVER, 53))
    end.kick()
    net.settle()
    end.responses.clear()
    count = waiting(wire)
    chain = []
    for n, (flags, size) in enumerate(((EXTRA_INFO | MORE_DATA, 3000), (MORE_DATA | EXTRA_INFO, 1000), (0, 1000))):
        id, ref = end.page(b"y" * 1000)
        end.request(ref, 0, flags, id, size)
        chain.append((id, DROPPED))
        if n == 0:
            end.extra(GSO, 0, 1400, GSO_TCPV4)
            chain.append((0, NULL))
    end.kick()
    end.offline(force=True)
    net.settle()
    assert [status for _, status in end.responses[:count]] == [DROPPED] * count
    assert end.responses[count:] == chain and waiting(wire) == 0


def test_a_ring_that_makes_no_sense_is_not_walked(net):
    """The client claims 2**31 requests: nothing is answered, nothing is written there, others go on."""
    liar, other = net.client(A), net.client(B)
    liar.end.tx.produced += 1 << 31
    liar.end.tx.publish()
    liar.end.peer.evtchn_send(liar.end.port)
    net.settle()
    assert net.firewall.mapped() == 2 and liar.end.responses == []
    assert passes_now(net, other)


@pytest.mark.parametrize("fast", ["on", "off"])
def test_of_a_link_that_a_breach_ends(machine, fast):
    net = Network(machine=machine, cmdline="fast=" + fast)
    wire = net.client(A)
    port = passes_now(net, wire)
    full(net, wire)
    wire.end.responses.clear()
    before = waiting(wire)
    wire.end.rx.produced += 1000  # of the other ring: what it says of this one is in order
    wire.end.rx.publish()
    net.uplink.end.send(udp(SERVER, 53, net.address, port))
    net.settle()
    assert net.firewall.mapped() == 0 and waiting(wire) == 0
    assert [status for _, status in wire.end.responses] == [DROPPED] * before


# ---- a client that goes on sending


def sending(net, wire, seconds):
    """It sends every 10 ms, whatever is said, as long as it has rings."""
    until = net.machine.now + seconds * 1e9

    def send():
        if wire.end.tx and net.machine.now < until:
            if wire.end.room() > 2:
                wire.end.send(udp(wire.address, 4000, SERVER, 53))
            net.machine.call_later(0.01, send)

    send()


def test_dom0s_detach_of_a_client_that_goes_on_sending(net):
    """A frontend that has closed may send until its device goes; without answers it slows down. We wait for that."""
    wire, other = net.client(A), net.client(B)
    sending(net, wire, 2)
    began = net.machine.now
    wire.end.offline()
    while wire.end.their_state() != CLOSED:
        net.machine.advance(0.05)
        assert waiting(wire) <= 10 and net.machine.now - began < 8e9
        assert passes_now(net, other)
    assert 2.9e9 < net.machine.now - began < 3.3e9 and waiting(wire) == 0
    net.machine.until(wire.end.gone, 10)


def test_of_one_that_never_stops(net):
    """4 s of dom0's 10, then it is told Closed all the same."""
    wire = net.client(A)
    sending(net, wire, math.inf)
    wire.end.offline()
    net.machine.until(lambda: wire.end.their_state() == CLOSED, 5)
    net.machine.until(wire.end.gone, 2)


def test_nothing_that_a_retired_client_sends_is_forwarded(net):
    wire = net.client(A)
    wire.end.auto = False
    wire.end.offline()
    net.settle()
    net.uplink.end.frames.clear()
    wire.end.responses.clear()
    for _ in range(5):
        wire.end.send(udp(A, 4000, SERVER, 53))
        net.machine.advance(0.05)
    assert [status for _, status in wire.end.responses] == [DROPPED] * 5
    assert net.left() == []


# ---- the end of the domain


@pytest.mark.parametrize("word, reason", [("poweroff", POWEROFF), ("reboot", REBOOT)])
def test_a_shutdown_takes_leave_of_all(net, word, reason):
    """Acknowledge, take nothing more, answer all, Closing to all, then the end."""
    wires = [net.client(ip) for ip in (A, B, C)]
    full(net, wires[0])
    states = []

    def look():
        said = [wire.end.their_state() for wire in wires]
        states.append((net.machine.read(SHUTDOWN), said, [waiting(wire) for wire in wires]))

    net.machine.actors.append(look)
    net.machine.write(SHUTDOWN, word)
    assert net.firewall.wait_end(5) == reason
    assert net.machine.read(SHUTDOWN) == b""
    for wire in wires:
        assert wire.end.their_state() == CLOSING and waiting(wire) == 0
    for shutdown, said, left in states:
        assert shutdown == b"" or set(said) == {CONNECTED}, "it is acknowledged first"
        assert CLOSING not in said or left == [0, 0, 0], "all is answered before anyone is told"
    assert net.firewall.lines()[-1].endswith("control: %s now" % word)


def test_without_a_client_it_takes_no_time(net):
    began = net.machine.now
    net.machine.write(SHUTDOWN, "poweroff")
    assert net.firewall.wait_end(1) == POWEROFF and net.machine.now - began < 100_000_000


def test_idle_clients_hold_it_up_for_less_than_a_second(net):
    for ip in (A, B, C):
        net.client(ip)
    began = net.machine.now
    net.machine.write(SHUTDOWN, "poweroff")
    assert net.firewall.wait_end(1) == POWEROFF and net.machine.now - began < 500_000_000


def test_a_client_that_never_stops_holds_it_up_for_three_seconds(net):
    wire = net.client(A)
    sending(net, wire, math.inf)
    began = net.machine.now
    net.machine.write(SHUTDOWN, "poweroff")
    assert net.firewall.wait_end(5) == POWEROFF and net.machine.now - began < 3_600_000_000
    assert waiting(wire) <= 3


def test_a_client_that_comes_meanwhile_is_not_offered_anything(net):
    wire = net.client(A)
    sending(net, wire, 1)
    net.machine.write(SHUTDOWN, "poweroff")
    net.settle()
    late = net.client(B, wait=False, rules=None)
    wire.end.auto = False
    wire.end.set_state(CLOSED)
    net.settle()
    wire.end.set_state(INITIALISING)
    net.settle()
    assert late.end.their_state() == INITIALISING and wire.end.their_state() == CLOSING != INIT_WAIT
    assert net.firewall.wait_end(5) == POWEROFF


def test_a_client_that_dom0_detaches_meanwhile(net):
    """It is removed as ever, and the end comes."""
    wire, other = net.client(A), net.client(B)
    sending(net, other, 2)
    net.machine.write(SHUTDOWN, "poweroff")
    net.settle()
    wire.end.detach()
    assert net.firewall.wait_end(5) == POWEROFF


def test_a_client_that_died_does_not_stop_it(net):
    dead, other = net.client(A), net.client(B)
    full(net, other)
    dead.end.kill()
    net.machine.write(SHUTDOWN, "poweroff")
    assert net.firewall.wait_end(5) == POWEROFF and waiting(other) == 0


def test_statuses_are_those_of_netif_h(net):
    """NETIF_RSP_DROPPED -2, ERROR -1, OKAY 0, NULL 1."""
    assert (DROPPED, OKAY, NULL) == (-2, 0, 1)
