"""Windows' PV network driver: it closes before it first connects, and spins at high priority until we answer.

An HVM has two interfaces with one address: its stub domain's, live from the start, and its own, used when the driver
has loaded. The driver's dance, each step of which waits, spinning, for our state to follow:

    Closing   until ours is Closing or Closed
    Closed    until ours is Closed
    Initialising   until ours is InitWait
    Connected (with its rings)   until ours is Connected

A backend parked at InitWait wedges the whole guest (mirage 230; patch 121 of mirage-net-xen). No step may need time:
the clock stands still in all of these.

Source: Windows PV drivers, xenvif's frontend.c (FrontendClose, FrontendPrepare, FrontendConnect).
"""
import pytest
from device import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING
from packets import udp
from passing import SERVER, passes_now
from tests.sim.network import Network

A = "10.137.0.21"
DANCE = (  # what it writes, what it waits for
    (CLOSING, (CLOSING, CLOSED)), (CLOSED, (CLOSED,)), (INITIALISING, (INIT_WAIT,)), (CONNECTED, (CONNECTED,)))
SPINS = 50  # looks at our state while it waits, each with its own state written anew


class Windows:
    """The driver of one interface, stepped by the test."""

    def __init__(self, net, wire):
        self.net, self.end = net, wire.end

    def step(self, state, wanted):
        """One step of the dance. AssertionError: it would spin for ever."""
        began = self.net.machine.now
        if state == CONNECTED:
            self.end.make_rings()
            self.end.publish(multi_queue_num_queues=1)
        self.end.set_state(state)
        for _ in range(SPINS):
            self.net.machine.settle()
            if self.end.their_state() in wanted:
                break
            self.end.set_state(state)
        assert self.end.their_state() in wanted, "wedged at %d" % state
        assert self.net.machine.now == began, "it spun meanwhile"

    def dance(self, steps=DANCE):
        for state, wanted in steps:
            self.step(state, wanted)
        return self


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.stub = net.client(A)
    passes_now(net, net.stub)
    net.guest = net.client(A, wait=False, auto=False)
    net.settle()
    net.windows = Windows(net, net.guest)
    return net


def test_the_dance_before_the_first_connection(net):
    assert net.guest.end.their_state() == INIT_WAIT
    net.windows.dance()
    passes_now(net, net.guest)
    passes_now(net, net.stub, sport=4002)


def test_the_dance_again_and_again_at_run_time(net):
    """Sleep and wake of the guest, the driver reloaded: dom0 has not asked for anything, so the directory stays."""
    net.windows.dance()
    for _ in range(3):
        net.windows.dance()
        assert not net.guest.end.gone()
        passes_now(net, net.guest)
        net.advance(10)


def test_what_it_had_sent_is_answered_when_it_closes(net):
    net.windows.dance()
    end = net.guest.end
    net.uplink.end.holds = True
    while end.room() > 2:
        end.queue(udp(A, 4000, SERVER, 53))
    end.kick()
    net.settle()
    while end.room() > 2:
        end.queue(udp(A, 4000, SERVER, 53))
    end.kick()
    net.settle()
    assert end.in_flight
    net.windows.dance(DANCE[:1])
    assert end.in_flight == []
    end.release()  # its pages are free: nobody maps them


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("who", ["stub", "guest"])
def test_either_interface_is_detached_at_each_step(net, who, steps):
    """Within dom0's time; the other goes on, from where the dance is."""
    net.windows.dance(DANCE[:steps])
    gone = net.stub if who == "stub" else net.guest
    gone.end.detach()
    gone.end.release()
    if who == "stub":
        net.windows.dance(DANCE[steps:])
        passes_now(net, net.guest)
    else:
        passes_now(net, net.stub)


def test_a_guest_that_stops_in_the_middle_holds_nobody_up(net):
    """At any step, for ever."""
    for steps in range(4):
        guest = net.client(A, wait=False, auto=False)
        net.settle()
        Windows(net, guest).dance(DANCE[:steps])
        other = net.client("10.137.0.%d" % (30 + steps))
        passes_now(net, other)
        passes_now(net, net.stub)
    net.advance(60)
    passes_now(net, net.stub)


def test_it_is_taken_over_by_the_interface_that_the_guest_uses(net):
    """A flow of the stub's is answered there, until the guest goes on with it."""
    net.windows.dance()
    port = passes_now(net, net.stub, sport=5000)
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert net.stub.recv() and not net.guest.recv()
    net.guest.send(udp(A, 5000, SERVER, 53))
    assert net.uplink.recv()
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert net.guest.recv() and not net.stub.recv()
