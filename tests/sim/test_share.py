"""Whatever one neighbour brings, in whatever form: who asks for little gets it, who asks for all gets an equal part.

A quiet client's rate is modest: 400 frames a second, where the firewall could carry some 15,000. Time is the work done
(share.py).
"""
import random

import pytest
from network import Network  # first: it knows the way to tests/host
from packets import ACK, SYN, Look, echo, tcp, udp
from share import World

SERVER = "192.0.2.50"
QUIET, FLOODER, OTHER = "10.137.0.21", "10.137.0.22", "10.137.0.23"
RATE, SECONDS = 400, 0.4
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
        self.world.run(SECONDS)
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


def random_flows(build, rng=None):
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


@pytest.mark.parametrize("form", FROM_CLIENT)
def test_a_quiet_client_keeps_its_rate_whatever_another_client_brings(machine, form, figure):
    scene_is, frames = FROM_CLIENT[form]
    scene = Scene(machine, **scene_is)
    flood = scene.world.flood(scene.flooder, frames(scene))
    quiet = scene.run()
    figure("quiet client beside a client's %s" % form, "%d of %d (%d brought)" % (quiet.came, quiet.due, flood.brought), "90 %")
    assert flood.brought > 30 and quiet.due > 100 and quiet.came >= 0.9 * quiet.due


@pytest.mark.parametrize("form", FROM_UPLINK)
def test_a_quiet_client_keeps_its_rate_whatever_the_uplink_brings(machine, form, figure):
    scene_is, frames = FROM_UPLINK[form]
    scene = Scene(machine, **scene_is)
    flood = scene.world.flood(scene.net.uplink, frames(scene))
    quiet = scene.run()
    figure("quiet client beside the uplink's %s" % form, "%d of %d (%d brought)" % (quiet.came, quiet.due, flood.brought), "90 %")
    assert flood.brought > 30 and quiet.due > 100 and quiet.came >= 0.9 * quiet.due
