"""The start, with a client and a netvm that are there before it: what the client sends at once is not answered as if
there were no uplink, only because that comes a moment later. Whoever asked would ask again after a second.
"""
import math

import pytest
from frontend import Client
from netvm import Netvm
from packets import Look, arp, echo, udp
from passing import passes_now
from tests.sim.network import CLIENT_MAC, OUR_MAC, Network, Wire

A, SERVER = "10.137.0.21", "192.0.2.50"
paths = pytest.mark.parametrize("fast", ["on", "off"])


class _Eager(Client):
    """It sends as soon as its rings are published, before our end is connected."""

    def publish(self, **nodes):
        super().publish(**nodes)
        self.send(udp(self.ip, 4001, SERVER, 53, b"first"))


def begin(machine, fast, netvm=True, **options):
    """(network, the client's wire, the netvm or None): both were there when the firewall was started."""
    machine.write_domain_tree(2)
    client = _Eager(machine, 5, A)
    end = Netvm(machine, 1, **options) if netvm else None
    net = Network(machine=machine, uplink=False, cmdline="clients=%s fast=%s" % (A, fast))
    wire = Wire(net, client, A, CLIENT_MAC, OUR_MAC)
    net.wires.append(wire)
    if netvm:
        net.uplink_to(end)
    return net, wire, end


def told(wire):
    return [(Look(frame[0]).kind, Look(frame[0]).code) for frame in wire.end.frames]


@paths
@pytest.mark.parametrize("late", [0, 0.01, 0.3, 0.9])
def test_the_first_packet_waits_for_the_uplink(machine, late, fast):
    net, wire, end = begin(machine, fast, late=late)
    machine.advance(late)
    machine.until(end.connected, 1, "the uplink")
    machine.settle()
    assert wire.end.connected() and told(wire) == []
    assert [Look(octets).data for octets, _, _, _ in end.frames if octets[12:14] == b"\x08\x00"] == [b"first"]
    passes_now(net, wire)


@paths
def test_who_asks_for_our_address_meanwhile_is_answered_in_time(machine, fast):
    """Linux asks thrice, a second apart."""
    net, wire, end = begin(machine, fast, late=math.inf)
    machine.advance(0.5)
    wire.send(arp(1, CLIENT_MAC, A, net.gateway))
    wire.send(echo(A, net.gateway, seq=7))
    net.settle()
    assert wire.end.frames == []
    machine.advance(0.6)
    assert [frame[0][12:14] for frame in wire.end.frames[-2:]] == [b"\x08\x06", b"\x08\x00"]


@paths
def test_a_uplink_that_does_not_come_is_waited_for_a_second(machine, fast):
    """A driver domain's script may take 10 s, or have failed."""
    net, wire, end = begin(machine, fast, late=math.inf)
    machine.advance(0.9)
    assert wire.end.connected() and told(wire) == []
    machine.advance(0.2)
    assert told(wire) == [(3, 0)]
    wire.send(udp(A, 4002, SERVER, 53))
    net.settle()
    assert told(wire) == [(3, 0)] * 2
    end.late = 0
    end._script_ended()
    passes_now(net, wire)


@paths
def test_without_a_netvm_nobody_waits(machine, fast):
    net, wire, _ = begin(machine, fast, netvm=False)
    machine.settle()
    assert wire.end.connected() and told(wire) == [(3, 0)]
    assert wire.pings()
    net.netvm(net.address)
    passes_now(net, wire)


@paths
def test_a_netvm_that_goes_later_is_not_waited_for(machine, fast):
    net, wire, end = begin(machine, fast)
    machine.until(end.connected, 1, "the uplink")
    net.settle()
    end.auto = False
    end.set_state(5)
    net.settle()
    wire.end.frames.clear()
    wire.send(udp(A, 4003, SERVER, 53))
    net.settle()
    assert told(wire) == [(3, 0)]


@paths
def test_a_firewall_that_waits_sleeps(machine, fast):
    """However much there is in the client's ring, it does not look again and again."""
    net, wire, end = begin(machine, fast, late=math.inf)
    for port in range(30):
        wire.end.send(udp(A, 5000 + port, SERVER, 53))
    net.settle()
    before = machine.now
    machine.advance(0.2)
    assert machine.now - before >= 2e8 and told(wire) == []
    machine.advance(1)
    assert told(wire) == [(3, 0)] * 31


@paths
@pytest.mark.parametrize("ms", [300, 5000])
def test_who_comes_behind_the_uplink_waits_for_the_lists_too(machine, fast, ms):
    """Machine code took what came while nothing had made the ring service wait, and no list let it out."""
    machine.write_domain_tree(2)
    end = Netvm(machine, 1)
    net = Network(machine=machine, uplink=False, cmdline="clients=%s fast=%s making=%d" % (A, fast, ms))
    net.uplink_to(end)
    machine.until(end.connected, 1, "the uplink")
    machine.advance(0.1)
    client = _Eager(machine, 5, A)
    machine.until(client.connected, 0.1, "the client")
    machine.advance(0.1)
    assert not any(octets[12:14] == b"\x08\x00" for octets, _, _, _ in end.frames)
    machine.advance(min(ms, 1000) / 1000 - 0.1)
    assert [Look(octets).data for octets, _, _, _ in end.frames if octets[12:14] == b"\x08\x00"] == [b"first"]
    assert not client.frames


@paths
def test_a_client_that_is_about_to_connect_is_waited_for(machine, fast):
    """What it sends at once comes before its list is in force, if nothing else is waited for any more."""
    machine.write_domain_tree(2)
    client = _Eager(machine, 5, A, auto=False)
    end = Netvm(machine, 1)
    net = Network(machine=machine, uplink=False, cmdline="clients=%s fast=%s making=300" % (A, fast))
    net.uplink_to(end)
    machine.until(end.connected, 1, "the uplink")
    machine.advance(0.2)
    client.auto = True
    machine.advance(0.05)
    assert client.connected() and not client.frames
    machine.advance(0.1)
    assert [Look(octets).data for octets, _, _, _ in end.frames if octets[12:14] == b"\x08\x00"] == [b"first"]
    assert not client.frames


@paths
def test_a_client_that_does_not_connect_is_waited_for_a_second(machine, fast):
    machine.write_domain_tree(2)
    Client(machine, 6, "10.137.0.22", auto=False)
    net, wire, end = begin(machine, fast)
    machine.until(end.connected, 1, "the uplink")
    machine.advance(0.9)
    assert not any(octets[12:14] == b"\x08\x00" for octets, _, _, _ in end.frames)
    machine.advance(0.2)
    assert [Look(octets).data for octets, _, _, _ in end.frames if octets[12:14] == b"\x08\x00"] == [b"first"]
    passes_now(net, wire)


_REFUSED = """
import asyncio
import starve
from firewall import starting

class Firewall:
    link = True
    making = bool
    vifs = {}
    def __init__(self):
        self.forwarder = self.uplink = self.settings = self.backends = self
        self.starting = self.busy = False
        self.tried = self.came = asyncio.Event()

def unsupervised(loop, context):
    print("unsupervised", repr(context["exception"]))

async def main():
    asyncio.core.Loop.set_exception_handler(unsupervised)
    for n in range(100):
        firewall = Firewall()
        asyncio.create_task(arrive(firewall))
        starve.after(n)
        starve.on()
        try:
            await starting.run(firewall)
        except (MemoryError, asyncio.CancelledError):
            pass
        done = not starve.off()
        starve.after(-1)
        assert (firewall.busy or n == 0) and not firewall.starting, n  # the first is the coroutine itself
        if done:
            break
    print("all is well after", n)

async def arrive(firewall):
    firewall.came.set()

asyncio.run(main())
"""


def test_without_memory_to_wait_nobody_does(machine, run):
    """Clients would have waited for ever."""
    firewall = run(machine, _REFUSED)
    assert not firewall.lines("unsupervised")
    assert firewall.lines("all is well after"), firewall.console
