"""Where a series happens: tests.network.Network, or the simulated Xen. What the two cannot do alike is here.

Of each checkout its own Network is taken: names that are used of it are those which its own tests use.
"""
import os
import random
import re
import sys

import rulegen

_TIME = re.compile(r"^\S+T\S+Z ")


class Host:
    """The judge alone, in this process."""

    bursts, late, hostile, long = False, True, False, 7441

    def __init__(self, checkout, seed):
        from tests.network import Network

        dice = random.Random(seed)
        dull = dice.choices(((), (0, 0x20, 0x4A), (0x4A,)), (85, 10, 5))[0]  # few values: ports and identifications collide

        def octets(n):
            return bytes(dice.choices(dull, k=n)) if dull else dice.randbytes(n)

        capacity = dice.choice((64, 256, 1024, 4096))
        self.net = Network(dice.random() < 0.9, capacity, dice.choice((8, capacity // 4, capacity // 2)), octets=octets)

    def close(self):
        pass

    def frames(self, wire):
        frames, wire.frames = wire.frames, []
        return [(bytes(frame), blank, gso) for frame, blank, gso in frames]

    def more(self):
        return []

    def may_send(self, wire, frame, gso):
        return True

    def send(self, wire, frame, blank, gso):
        before = dict(self.net.counters)
        wire.send(frame, blank, gso)
        return ["verdict: " + name for name, n in self.net.counters.items() if n != before.get(name)]

    def client_options(self, dice):
        return {"mtu": dice.choice((1500, 1500, 1500, 1280, 9000)), "gso": dice.random() < 0.7}

    def netvm_options(self, dice):
        netmask = dice.choice(("255.255.255.255", "255.255.255.255", "255.255.255.0"))
        return {"mtu": dice.choice((1500, 1500, 1500, 1400, 576)), "gso": dice.random() < 0.7, "netmask": netmask}

    def detach(self, wire):
        self.net.detach(wire)

    def netvm(self, address, **options):
        wire = self.net.netvm(address, **options)
        self.net.address = address
        return wire

    def no_netvm(self):
        self.net.no_netvm()
        self.net.uplink = None

    def figures(self):
        net = self.net
        return "flows=%d fragments=%d %s" % (net.neighbours.flows.count, net.neighbours.fragments.octets, sorted(net.counters.items()))


class Sim:
    """The image's code in a simulated Xen: netback, netfront, rings, xenstore."""

    bursts, late, hostile, long = True, False, True, 241
    FIGURES = ("flows", "vifs", "links", "quarantine", "held", "fragments", "lost")

    def __init__(self, checkout, seed):
        sys.path.append(os.path.join(checkout, "tests", "sim"))
        sys.path.append(os.path.join(checkout, "tests", "guest"))
        from machine import Machine

        dice = random.Random(seed)
        self.machine = Machine(seed=seed & 0xFFFFFFFF, guard=dice.choice(("after", "before")))
        self.net = self.make(**self._features(dice))
        self._lines = len(self.net.firewall.lines())
        self._netvms = 0

    def make(self, **features):
        from network import Network

        net = Network(machine=self.machine, **features)
        net.set_names(rulegen.NAMES)
        return net

    def close(self):
        self.machine.close()

    def frames(self, wire):
        self.net.settle()
        end = wire.end
        frames, end.frames = end.frames, []
        return frames

    def more(self):
        """What the console has said, and the answers to clients' requests."""
        self.net.settle()
        lines = self.net.firewall.lines()
        new, self._lines = lines[self._lines :], len(lines)
        said = ["log: " + _TIME.sub("", line) for line in new]
        for wire in self.net.wires:
            responses = getattr(wire.end, "responses", None)
            bad = [each for each in responses or () if each[1] != 0]
            if bad:
                said.append("tx responses of %s: %s" % (wire.address, bad))
            if responses:
                responses.clear()
        uplink = self.net.uplink
        if uplink and uplink.end.dirty:
            said.append("octets in the uplink's pages: %s" % uplink.end.dirty)
            uplink.end.dirty = []
        return said + ([] if self.net.firewall.alive() else ["the firewall has ended: %s" % self.net.firewall.reason])

    def may_send(self, wire, frame, gso):
        if wire not in self.net.wires or not wire.end.connected() or not len(frame):
            return False
        if wire is self.net.uplink:
            return not gso or wire.end.takes_gso
        if wire.end.room() < 24:
            self.net.settle()
        return wire.end.room() >= 24

    def send(self, wire, frame, blank, gso):
        wire.send(frame, blank, gso)
        return []

    def _features(self, dice):
        sg = dice.random() < 0.8
        return {"sg": sg, "gso": sg and dice.random() < 0.7, "csum": dice.random() < 0.8}

    def client_options(self, dice):
        return dict(self._features(dice), post=dice.choice((256, 256, 256, 40)))

    def netvm_options(self, dice):
        return dict(self._features(dice), mtu=dice.choice((1500, 1500, 1400, 1280)), split=dice.random() < 0.7)

    def detach(self, wire):
        self.net.detach(wire)

    def netvm(self, address, **options):
        self._netvms += 1
        return self.net.netvm(address, domid=40 + self._netvms % 15, **options)

    def no_netvm(self):
        self.net.no_netvm()
        self.net.uplink = None

    def figures(self):
        figures = self.net.figures()
        known = {name: figures.get(name) for name in self.FIGURES}
        return "%s %s" % (known, sorted(self.net.counters.items()))

    def lie(self, wire, dice):
        """Put one thing into a ring that does not belong there; what it was."""
        end = wire.end
        if not end.connected():
            return "not connected"
        if wire is self.net.uplink:
            if end.posted() < 4:
                return "no buffers"
            id, _ = end.buffer()
            id = id if dice.random() < 0.9 else id ^ 1
            what = (id, dice.choice((0, 0, 100, 4095)), dice.choice((0, 1, 4, 8)), dice.choice((0, 13, 60, 4096, 5000, -1, -5)))
            end.respond(*what)
            end.kick(end.rx)
            return "response %s" % (what,)
        if end.room() < 24:
            return "no room"
        frame = b"\xfe" * 12 + b"\x08\0" + dice.randbytes(46)
        for _ in range(dice.randrange(3)):
            end.queue(frame)
        id, ref = end.page(frame)
        what = [ref, 0, 0, id, 60]
        at = dice.randrange(5)
        what[at] = dice.choice(((0, 7, 1000, 2047, 0xFFFFFFFF), (4037, 4096, 65535), (1, 2, 4, 8, 12, 16), (id,), (0, 1, 13, 14, 4097, 65535))[at])
        end.request(*what)
        if what[2] & 8 and dice.random() < 0.7:
            end.extra(dice.choice((0, 1, 2, 255)), 0, dice.choice((0, 1448)), dice.choice((1, 2)))
        end.kick()
        return "request %s" % (what,)

    def healed(self, wire):
        """Whether a wire works, after some time; if it does not, it has been taken away."""
        self.net.advance(3)
        if not self.net.firewall.alive() or wire.end.connected():
            return True
        if wire is self.net.uplink:
            self.machine.until(wire.end.connected, 30, "connection of the uplink")
            return True
        self.net.detach(wire)
        return False
