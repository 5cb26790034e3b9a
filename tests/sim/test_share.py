"""Whatever one neighbour brings, in whatever form: who asks for little gets it, who asks for all gets an equal part.

A quiet client's rate is modest: 400 frames a second, where the firewall could carry some 15,000. Time is the work done
(share.py).
"""
import random
import re

import pytest
from machine import Machine
from tests.sim.network import Network
from packets import ACK, SYN, Look, echo, tcp, udp
from share import World

SERVER = "192.0.2.50"
QUIET, FLOODER, OTHER = "10.137.0.21", "10.137.0.22", "10.137.0.23"
RATE, SECONDS = 400, 0.4
LONGEST = 5000  # us between two services of the rings
MARK, BULK = b"quiet client", b"bulk of another"
NETVM = dict(gso=False)  # for whom super-frames have to be cut
FLOODS = 4  # TCP flows of the flooder


class Scene:
    def __init__(self, machine, rules=("action=accept",), gso=True, netvm=()):
        self.net = Network(machine=machine, **dict(netvm))
        self.quiet = self.net.client(QUIET)
        self.flooder = self.net.client(FLOODER, rules=rules, gso=gso)
        self.world = World(self.net)

    def open_tcp(self, wire, port=3000):
        """A flow of the wire's; its port outside."""
        wire.send(tcp(wire.address, port, SERVER, 80, SYN))
        outside = Look(self.net.uplink.recv()).sport
        self.net.uplink.send(tcp(SERVER, 80, self.net.address, outside, SYN | ACK))
        assert wire.recv()
        wire.send(tcp(wire.address, port, SERVER, 80, ACK))
        assert self.net.uplink.recv()
        return outside

    def open_udp(self, wire, port=3000):
        wire.send(udp(wire.address, port, SERVER, 80))
        return Look(self.net.uplink.recv()).sport

    def run(self):
        """How many of its frames the quiet client got through, of how many."""
        frames = [udp(QUIET, 1000 + i, SERVER, 53, MARK) for i in range(20)]
        quiet = self.world.steady(self.quiet, frames, RATE, self.net.uplink, MARK)
        self.net.firewall.status()  # from now on it looks for the longest gap anew
        self.world.run(SECONDS)
        (line,) = [line for line in self.net.firewall.status() if "since last asked" in line]
        self.longest = int(re.search(r"(\d+) us", line)[1])
        return quiet


def pieces(datagram, octets):
    """Fragments of an Ethernet frame, each with so many octets of data."""
    from scapy.all import IP, fragment, raw
    return [datagram[:14] + raw(piece) for piece in fragment(IP(datagram[14:]), octets)]


def super_frame(src, sport, dst, dport):
    return bytes(tcp(src, sport, dst, dport, ACK, bytes(60000), blank=True)), True, 1448


def incomplete(src, dst, sport, dport):
    """First pieces of datagrams that are never whole."""
    found = []
    for ident in range(200):
        whole = bytearray(udp(src, sport, dst, dport, bytes(4000)))
        whole[18:20] = ident.to_bytes(2, "big")
        found += pieces(bytes(whole), 1400)[:2]
    return found


def scattered(frame):
    """In slots of few octets."""
    return bytes(frame), False, 0, [80] * 16


def random_flows(build):
    dice = random.Random(7)
    return [build(FLOODER, dice.randrange(1024, 65536), "198.51.%d.%d" % (dice.randrange(256), dice.randrange(1, 255)),
                  dice.randrange(1, 65536)) for _ in range(20000)]


def syn(src, sport, dst, dport):
    return tcp(src, sport, dst, dport, SYN)


FROM_CLIENT = {  # form -> (what the scene is like, frames of the flooder)
    "super-frames to be cut": (dict(netvm=NETVM), lambda s: [super_frame(FLOODER, s.open_tcp(s.flooder) and 3000, SERVER, 80)]),
    "super-frames as they are": (dict(), lambda s: [super_frame(FLOODER, s.open_tcp(s.flooder) and 3000, SERVER, 80)]),
    "packets to be cut into pieces": (dict(), lambda s: [udp(FLOODER, 3000, SERVER, 80, bytes(60000))]),
    "pings of 65,000 octets to us": (dict(), lambda s: [echo(FLOODER, s.net.gateway, seq=1, data=bytes(64900))]),
    "pieces to be put together": (dict(), lambda s: pieces(bytes(udp(FLOODER, 3000, SERVER, 80, bytes(60000))), 1400)),
    "pieces of datagrams never whole": (dict(), lambda s: incomplete(FLOODER, SERVER, 3000, 80)),
    "small denied packets": (dict(rules=()), lambda s: random_flows(udp)),
    "small packets of one flow": (dict(), lambda s: [udp(FLOODER, 3000, SERVER, 80)]),
    "packets in many slots": (dict(), lambda s: [scattered(udp(FLOODER, 3000, SERVER, 80, bytes(1350)))]),
    "new flows": (dict(), lambda s: random_flows(udp)),
    "spoofed packets": (dict(), lambda s: [udp("10.137.0.99", 3000, SERVER, 80)]),
}
FROM_UPLINK = {
    "super-frames to be cut": (dict(gso=False), lambda s: [super_frame(SERVER, 80, s.net.address, s.open_tcp(s.flooder))]),
    "super-frames as they are": (dict(), lambda s: [super_frame(SERVER, 80, s.net.address, s.open_tcp(s.flooder))]),
    "packets to be cut into pieces": (dict(), lambda s: [udp(SERVER, 80, s.net.address, s.open_udp(s.flooder), bytes(60000))]),
    "pings of 65,000 octets to us": (dict(), lambda s: [echo(SERVER, s.net.address, seq=1, data=bytes(64900))]),
    "pieces to be put together": (dict(), lambda s: pieces(
        bytes(udp(SERVER, 80, s.net.address, s.open_udp(s.flooder), bytes(60000))), 1400)),
    "pieces of datagrams never whole": (dict(), lambda s: incomplete(SERVER, s.net.address, 80, s.open_udp(s.flooder))),
    "small packets of no flow": (dict(), lambda s: [udp(SERVER, 80, s.net.address, 7)]),
    "small packets of one flow": (dict(), lambda s: [udp(SERVER, 80, s.net.address, s.open_udp(s.flooder))]),
}


OF_NO_FLOW = {
    "UDP to one port": lambda net, port: udp(SERVER, 80, net.address, 9, bytes(8)),
    "UDP to other ports": lambda net, port: udp(SERVER, 80, net.address, port),
    "UDP of other sources": lambda net, port: udp("198.51.%d.%d" % (port >> 8, port & 127 | 1), 80, net.address, 9),
    "SYNs": lambda net, port: tcp(SERVER, 80, net.address, port, SYN),
    "pings": lambda net, port: echo(SERVER, net.address, ident=port),
}


@pytest.mark.parametrize("form", OF_NO_FLOW)
def test_what_the_uplink_brings_of_no_flow_takes_less_work_than_what_is_carried(machine, form, figure):
    """Linux' netback queues half a MiB: 10,000 small frames that took 0.11 ms each let each answer wait for 1.2 s."""
    def brought(frames):
        flood = world.flood(scene.net.uplink, frames)
        world.run(0.1)
        world.sources.remove(flood)
        return flood.brought

    scene = Scene(machine)
    world = scene.world
    carried = brought([udp(SERVER, 80, scene.net.address, scene.open_udp(scene.flooder))])
    before = scene.net.counters.get("of no flow", 0)
    dropped = brought([OF_NO_FLOW[form](scene.net, port) for port in random.Random(3).sample(range(1024, 65536), 2000)])
    figure("dropped while 100 are carried, of no flow: %s" % form, "%d" % (100 * dropped / carried), "100")
    assert scene.net.counters.get("of no flow", 0) - before >= dropped - 300  # but for what lies in the ring
    assert dropped > carried


@pytest.mark.parametrize("form", FROM_CLIENT)
def test_a_quiet_client_keeps_its_rate_whatever_another_client_brings(machine, form, figure):
    scene_is, frames = FROM_CLIENT[form]
    scene = Scene(machine, **scene_is)
    flood = scene.world.flood(scene.flooder, frames(scene))
    quiet = scene.run()
    figure("quiet client beside a client's %s" % form, "%d of %d (%d brought; longest gap %d us)" % (
        quiet.came, quiet.due, flood.brought, scene.longest), "90 %")
    assert flood.brought > 30 and quiet.due > 100 and quiet.came >= 0.9 * quiet.due
    assert scene.longest < LONGEST


@pytest.mark.parametrize("form", FROM_UPLINK)
def test_a_quiet_client_keeps_its_rate_whatever_the_uplink_brings(machine, form, figure):
    scene_is, frames = FROM_UPLINK[form]
    scene = Scene(machine, **scene_is)
    flood = scene.world.flood(scene.net.uplink, frames(scene))
    quiet = scene.run()
    figure("quiet client beside the uplink's %s" % form, "%d of %d (%d brought; longest gap %d us)" % (
        quiet.came, quiet.due, flood.brought, scene.longest), "90 %")
    assert flood.brought > 30 and quiet.due > 100 and quiet.came >= 0.9 * quiet.due
    assert scene.longest < LONGEST


def bulk(address, sport, octets=1000):
    return [bytes(udp(address, sport, SERVER, 80, BULK + bytes(octets)))]


def greedy(machine, form=None, clients=1, **scene_is):
    """What a client that asks for all gets through in SECONDS, beside a flooder of some form, or alone."""
    dear = dict(FROM_CLIENT[form][0]) if form else {}
    scene = Scene(machine, **{**dear, **scene_is})
    other = scene.net.client(OTHER)
    if form:
        scene.world.flood(scene.flooder, FROM_CLIENT[form][1](scene))
    scene.world.flood(other, bulk(OTHER, 4000))
    counted = scene.world.steady(scene.quiet, [b""], 0, scene.net.uplink, BULK)
    scene.world.run(SECONDS)
    return counted.came


@pytest.mark.parametrize("form", ["super-frames to be cut", "pings of 65,000 octets to us", "small denied packets", "new flows",
                                  "pieces to be put together", "packets in many slots"])
def test_two_that_ask_for_all_have_half_each_whatever_they_bring(form, figure):
    """A client's bulk beside another's form: at least 86 % of half of what it has alone, with the same netvm.

    A client alone that brings nothing but hits is machine code's all the time, and has its work done for less. Beside
    packets in many slots it is 84 %: there the netvm's ring is what is scarce, and each has half of its slots.
    """
    least = 0.42 if form == "packets in many slots" else 0.43
    with Machine() as machine:
        alone = greedy(machine, netvm=FROM_CLIENT[form][0].get("netvm", ()))
    with Machine() as machine:
        beside = greedy(machine, form)
    figure("bulk beside a client's %s, of %d alone" % (form, alone), "%d" % beside, "%d" % (least * alone))
    assert alone > 500 and beside >= least * alone


def test_the_uplink_has_as_much_as_all_clients_together(machine, figure):
    """Three clients send all they can, and the uplink brings all it can: it is carried as much as all of them."""
    scene = Scene(machine)
    third = scene.net.client(OTHER)
    wires = [scene.quiet, scene.flooder, third]
    down = [bytes(udp(SERVER, 80, scene.net.address, scene.open_udp(wire), BULK + bytes(1000))) for wire in wires]
    for wire in wires:
        scene.world.flood(wire, bulk(wire.address, 4000))
    scene.world.flood(scene.net.uplink, down)
    sent = scene.world.steady(scene.quiet, [b""], 0, scene.net.uplink, BULK)
    received = [scene.world.steady(scene.quiet, [b""], 0, wire, BULK) for wire in wires]
    scene.world.run(SECONDS)
    came = sum(each.came for each in received)
    figure("bulk of three clients and of the uplink", "%d and %d frames" % (sent.came, came))
    assert 0.8 < came / sent.came < 1.25


def test_three_clients_that_ask_for_all_have_equal_parts(machine):
    scene = Scene(machine)
    third = scene.net.client(OTHER)
    counted = []
    for wire in (scene.quiet, scene.flooder, third):
        mark = b"bulk of " + wire.address.encode()
        scene.world.flood(wire, [bytes(udp(wire.address, 4000, SERVER, 80, mark + bytes(1000)))])
        counted.append(scene.world.steady(scene.quiet, [b""], 0, scene.net.uplink, mark))
    scene.world.run(SECONDS)
    came = [each.came for each in counted]
    assert min(came) > 300 and max(came) - min(came) < 0.05 * max(came)


def churn(kind):
    """Floods that RFC 3511 asks about: (rules of the flooder, frames)."""
    if kind == "SYN flood":
        return ("action=accept",), random_flows(syn)
    if kind == "UDP flood, random ports and addresses":
        return ("action=accept",), random_flows(udp)
    return ("action=accept dst4=203.0.113.0/24",), [udp(FLOODER, 3000 + i, SERVER, 9, b"") for i in range(500)]


@pytest.mark.parametrize("kind", ["SYN flood", "UDP flood, random ports and addresses", "small frames to a denied destination"])
def test_behaviour_70_71_72_others_keep_their_rate_and_connect(machine, kind, figure):
    """The flood lasts from before; others keep 90 % of their rate, and 20 connections are made, each within a second."""
    rules, frames = churn(kind)
    scene = Scene(machine, rules)
    scene.world.flood(scene.flooder, frames)
    caller = scene.net.client(OTHER)
    asked, done = {}, {}

    def call(world):
        if len(asked) < 20 and world.elapsed() > 0.1 + 0.01 * len(asked):
            port = 5000 + len(asked)
            asked[port] = world.elapsed()
            caller.end.send(bytes(tcp(OTHER, port, SERVER, 443, SYN)))

    def accept(frame):
        seen = Look(frame)
        if seen.proto == 6 and seen.dport == 443 and seen.dst == SERVER:
            return tcp(SERVER, 443, scene.net.address, seen.sport, SYN | ACK)
        return None

    def finish(frame):
        seen = Look(frame)
        if seen.proto == 6 and seen.flags == SYN | ACK:
            done[seen.dport] = scene.world.elapsed()
        return None

    class Caller:
        act = staticmethod(call)

    scene.world.sources.append(Caller)
    scene.world.replies += [(scene.net.uplink, accept), (caller, finish)]
    quiet = scene.run()
    took = [done[port] - asked[port] for port in done]
    figure("quiet client beside: %s" % kind, "%d of %d" % (quiet.came, quiet.due), "90 %")
    figure("longest of 20 connections beside: %s" % kind, "%.1f ms" % (1000 * max(took, default=0)), "1 s")
    assert quiet.came >= 0.9 * quiet.due
    assert len(asked) == len(done) == 20 and max(took) < 1
