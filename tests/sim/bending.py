"""A random scene, in which neighbours bend what they write into their rings, by the fast path and by the slow one.

The same scene is played to two machines, one with `fast=off`. A client and a netvm send frames of known flows and bend
single fields of what they write into their rings: sizes, offsets, flags, references, ids, extra infos.
"""
import random

from hypervisor import XenError
from machine import Machine
from tests.sim.network import Network
from packets import ACK, SYN, Look, echo, tcp, udp
from rings import MASK

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
EDGES = (0, 1, 2, 4, 5, 8, 12, 13, 14, 41, 4095, 4096, 4097, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)


class Bent:
    """Stands in front of a ring's publish(): what it shows is bent before."""

    def __init__(self, ring, rng, halves):
        """halves: which of a slot's may be bent."""
        self.ring, self.rng, self.halves = ring, rng, halves
        self.due = 0  # how many fields, of what is shown next
        self.part = False  # show only some of it
        self.show = ring.publish
        ring.publish = self.publish

    def publish(self, produced=None):
        ring, rng = self.ring, self.rng
        shown = ring.words[ring.own]
        new = (ring.produced - shown) & MASK
        while self.due and new:
            self.due -= 1
            at = ring.at(shown + rng.randrange(new)) + rng.choice(self.halves)
            old = ring.halves[at]
            others = old ^ 1 << rng.randrange(16), rng.choice(EDGES), (old + rng.choice((-1, 1, 16))) & 0xFFFF
            ring.halves[at] = rng.choice(others)
        if self.part and new > 1:
            produced = shown + rng.randrange(new) & MASK
        self.part = False
        return self.show(produced)


class Scene:
    def __init__(self, seed, who, machine, fast):
        """who: "client" or "uplink" bends what it sends, "all" do so with all that they write."""
        self.rng = random.Random(seed)
        self.who = who
        self.net = net = Network(machine=machine, cmdline="fast=" + fast)
        net.a, net.b = net.client(A, post=self.rng.choice((256, 256, 30, 4))), net.client(B)
        net.allow((A, B), (B, A))
        self.ports = {}
        for wire, sport in ((net.a, 4001), (net.b, 4002)):
            wire.send(udp(wire.address, sport, SERVER, 53))
            self.ports[wire, 17] = Look(net.uplink.recv()).sport
            wire.send(tcp(wire.address, sport, SERVER, 80, SYN))
            self.ports[wire, 6] = Look(net.uplink.recv()).sport
            net.uplink.send(tcp(SERVER, 80, net.address, self.ports[wire, 6], SYN | ACK))
            wire.recv()
            wire.send(tcp(wire.address, sport, SERVER, 80, ACK))
            net.uplink.recv()
        self.bend()

    def bend(self):
        """Rings that are new are bent from now on."""
        net, rng = self.net, self.rng
        self.bent = {}
        self.bent["client"] = Bent(net.a.end.tx, rng, range(6))
        self.bent["buffers"] = Bent(net.a.end.rx, rng, (2, 3))
        self.bent["uplink"] = Bent(net.uplink.end.rx, rng, range(4))
        self.bent["answers"] = Bent(net.uplink.end.tx, rng, (0, 1))

    def frame(self, wire):
        """One that `wire` might send, most of them of a known flow: (octets, blank, gso)."""
        net, rng = self.net, self.rng
        proto = rng.choice("uuutttbe")
        data = bytes([rng.randrange(256)]) * rng.choice((0, 1, 8, 500, 1000, 1450))
        blank, gso = rng.random() < 0.3, 0
        if wire is net.uplink:
            to = rng.choice((net.a, net.b))
            if proto in "ube":
                return udp(SERVER, 53, net.address, self.ports[to, 17], data, blank=blank), blank, 0
            if rng.random() < 0.3:
                blank, gso, data = True, rng.choice((500, 1400)), data * rng.choice((2, 7, 40))
            octets = tcp(SERVER, 80, net.address, self.ports[to, 6], ACK, data[:60000], blank=blank)
            return octets, blank, gso if data else 0
        sport, other = (4001, B) if wire is net.a else (4002, A)
        if proto == "e":
            return echo(wire.address, SERVER, ident=sport, data=data), False, 0
        if proto == "t":
            if rng.random() < 0.3:
                blank, gso, data = True, rng.choice((500, 1400)), data * rng.choice((2, 7, 40))
            return tcp(wire.address, sport, SERVER, 80, ACK, data[:60000], blank=blank), blank, gso if data else 0
        target = (SERVER, 53) if proto == "u" else (other, 9)
        return udp(wire.address, sport, *target, data, blank=blank), blank, 0

    def act(self):
        """Some frames, bent or not, before the firewall has its turn."""
        net, rng = self.net, self.rng
        for _ in range(rng.choice((1, 2, 5, 9))):
            wire = rng.choice((net.a, net.a, net.b, net.uplink, net.uplink))
            octets, blank, gso = self.frame(wire)
            sizes = None
            if rng.random() < 0.4:
                sizes = [rng.choice((14, 20, 41, 42, 53, 54, 60, 100, 192, 900)) for _ in range(rng.randrange(1, 6))]
            if wire is net.uplink:
                if wire.end.rx:
                    offsets = [rng.randrange(64)] if sizes else ()
                    wire.end.send(octets, blank, gso, sizes, rng.random() < 0.5, offsets)
            elif wire.end.tx and wire.end.room() > 40:
                wire.end.queue(octets, blank, gso, sizes)
                self.due("client" if wire is net.a else "")
                wire.end.kick()
            self.due("uplink")
            self.due("buffers")
            self.due("answers")
        if rng.random() < 0.1:
            net.uplink.end.holds = not net.uplink.end.holds
        net.settle()
        if not net.uplink.end.holds and net.uplink.end.tx:
            net.uplink.end.resume()
            net.settle()

    def due(self, who):
        if who and self.who in (who, "all"):
            bent = self.bent[who]
            if self.rng.random() < 0.06:
                bent.due = self.rng.choice((1, 1, 1, 2))
            elif self.rng.random() < 0.05:
                bent.part = True

    def seen(self):
        """What all can see of it, and what is counted."""
        net = self.net
        figures = net.figures()
        told = {name: figures[name] for name in figures if name not in ("heap", "octets", "free", "fast")}
        # whose turn it is may differ: each flow's packets are compared in their order
        frames = [sorted((each[:3] for each in wire.end.frames), key=lambda each: each[0][23:38]) for wire in net.wires]
        states = [wire.end.connected() for wire in net.wires]
        for wire in net.wires:
            wire.end.frames.clear()
        return frames, states, told, net.tell("pages"), net.uplink.end.dirty, net.traffic()

    def play(self, acts):
        story = []
        for _ in range(acts):
            try:
                self.act()
            except XenError:
                break  # a netvm that answers for another packet's page finds that gone
            story.append(self.seen())
            pages, dirty = story[-1][3:5]
            # a netvm that answers for other packets than it has sent may look into what it is lent next
            assert pages == "" and (not dirty or self.who == "all"), (pages, dirty)
            if not all(story[-1][1]):
                break  # a link has ended
        return story


def both(scene, seed, who, acts):
    """What comes of a Scene with the fast path and without it; both are played, and only the one goes fast."""
    stories = []
    for fast in ("on", "off"):
        with Machine(guard=("after", "before")[seed & 1]) as machine:
            played = scene(seed, who, machine, fast)
            stories.append(played.play(acts))
            assert (played.net.figures()["fast"] > 0) == (fast == "on")
    return stories


def same(stories):
    """Whether the same came of both."""
    for step, (fast, slow) in enumerate(zip(*stories)):
        assert fast[1] == slow[1], "step %d" % step
        if all(fast[1]):  # when a link ends, whose turn it was makes a difference
            assert fast[0] == slow[0], "step %d" % step
            assert fast[2] == slow[2], "step %d" % step
            assert fast[5] == slow[5], "step %d" % step
    assert len(stories[0]) == len(stories[1])
