"""Honest load of every kind at once, by dice: nothing is lost uncounted, doubled, mixed up, leaked; nobody starves.

Each frame carries its flow and its number there. Clients differ in what they can receive, frames in size, slots and
offloads; the netvm pauses now and then, and one more client gives no buffers at all.
"""
import random
import struct

import pytest
from attacks import row
from tests.sim.network import Network
from packets import ACK, Look, tcp, udp

SERVER = "192.0.2.50"
CLIENTS = (  # address, what it can receive; the first two may send to each other
    ("10.137.0.21", dict()), ("10.137.0.22", dict(gso=False)), ("10.137.0.23", dict(csum=False)), ("10.137.0.24", dict(sg=False)),
)
DEAF = "10.137.0.29"
NETVMS = dict(), dict(gso=False), dict(sg=False), dict(csum=False, gso=False, sg=False)
MSS = 1448


def body(flow, number, octets):
    """Octets that say where they belong, at every place."""
    return struct.pack("!HI", flow, number) + bytes((flow + number + i) & 0xFF for i in range(octets - 6))


class Flow:
    """One direction of one client's flow: what was sent, and what came."""

    def __init__(self, number, kind):
        self.number, self.kind = number, kind
        self.sent = 0
        self.last = -1
        self.frames = 0
        self.stream = bytearray()  # TCP: all that has come,
        self.wanted = bytearray()  # and that was sent

    def next(self, octets):
        data = body(self.number, self.sent, octets)
        self.sent += 1
        if self.kind == "tcp":
            self.wanted += data
        return data

    def came(self, seen):
        """UDP comes whole and in order; of TCP the octets do, however they are cut."""
        if self.kind == "tcp":
            self.stream += seen.data
            assert self.wanted.startswith(self.stream), "flow %d: its octets are mixed up" % self.number
        else:
            flow, number = struct.unpack("!HI", seen.data[:6])
            assert flow == self.number and number > self.last and seen.data == body(flow, number, len(seen.data))
            self.last = number
            self.frames += 1

    def whole(self):
        return self.stream == self.wanted if self.kind == "tcp" else self.frames == self.sent


class Load:
    def __init__(self, machine, dice, netvm):
        self.net, self.dice = Network(machine=machine, **netvm), dice
        self.takes = dict(dict(gso=True, sg=True, csum=True), **netvm)
        self.wires = [self.net.client(ip, **options) for ip, options in CLIENTS]
        self.options = [dict(dict(gso=True, sg=True, csum=True), **options) for _, options in CLIENTS]
        self.out, self.back = {}, {}  # by (client, kind)
        self.ports = {}  # (client, kind) -> outside
        for i, wire in enumerate(self.wires):
            for kind, build in (("udp", udp), ("tcp", tcp)):
                wire.send(build(wire.address, 1000 + i, SERVER, 80))
                self.ports[i, kind] = Look(self.net.uplink.recv()).sport
                self.out[i, kind], self.back[i, kind] = Flow(2 * i, kind), Flow(2 * i + 1, kind)
        self.deaf = self.net.client(DEAF, post=0)
        self.deaf.send(udp(DEAF, 1, SERVER, 80))
        self.port_of_deaf = Look(self.net.uplink.recv()).sport
        self.unheard = 0
        self.net.allow((self.wires[0].address, self.wires[1].address))
        self.between = Flow(100, "udp")
        self.net.advance(0.1)
        self.before = self.net.holdings()

    def size(self, gso):
        largest = 60000 if gso else 1400
        return self.dice.choice((6, 7, 60, 500, 1000, 1399, self.dice.randrange(6, largest)))

    def send_out(self):
        """One client sends one frame, if its ring has room."""
        i = self.dice.randrange(len(self.wires))
        wire, kind = self.wires[i], self.dice.choice(("udp", "tcp"))
        if wire.end.room() < 40:
            return
        blank = self.dice.random() < 0.7
        gso = MSS if kind == "tcp" and blank and self.dice.random() < 0.5 else 0
        data = self.out[i, kind].next(self.size(gso))
        frame = udp(wire.address, 1000 + i, SERVER, 80, data, blank=blank) if kind == "udp" else tcp(
            wire.address, 1000 + i, SERVER, 80, ACK, data, blank=blank)
        gso = gso if len(data) > gso else 0
        sizes = [self.dice.randrange(1, 200) for _ in range(self.dice.randrange(4))] if len(data) > 700 and not gso else None
        wire.end.queue(frame, blank, gso, sizes)

    def send_back(self):
        """The server answers one client."""
        i = self.dice.randrange(len(self.wires))
        kind = self.dice.choice(("udp", "tcp"))
        end = self.net.uplink.end
        blank = self.dice.random() < 0.7
        gso = MSS if kind == "tcp" and blank and self.takes["gso"] and self.dice.random() < 0.5 else 0
        data = self.back[i, kind].next(self.size(gso))
        port = self.ports[i, kind]
        frame = udp(SERVER, 80, self.net.address, port, data, blank=blank) if kind == "udp" else tcp(
            SERVER, 80, self.net.address, port, ACK, data, blank=blank)
        end.send(frame, blank, gso if len(data) > gso else 0)

    def send_between(self):
        a, b = self.wires[:2]
        if a.end.room() > 40:
            a.end.queue(udp(a.address, 7, b.address, 7, self.between.next(self.size(0))))

    def send_to_the_deaf(self):
        self.unheard += 1
        self.net.uplink.end.send(udp(SERVER, 80, self.net.address, self.port_of_deaf, bytes(self.size(0))))

    def publish(self):
        for wire in self.wires:
            wire.end.kick()

    def look(self):
        """Take what has arrived everywhere."""
        for octets, blank, gso, _ in self.net.uplink.end.frames:
            assert (self.takes["csum"] or not blank) and (self.takes["gso"] and self.takes["sg"] or not gso)
            seen = Look(octets, blank=blank)
            kind = "udp" if seen.proto == 17 else "tcp"
            i = next(i for i in range(len(self.wires)) if self.ports[i, kind] == seen.sport)
            self.out[i, kind].came(seen)
        self.net.uplink.end.frames.clear()
        for i, wire in enumerate(self.wires):
            can = self.options[i]
            for octets, blank, gso, slots in wire.end.frames:
                assert (can["csum"] or not blank) and (can["gso"] or not gso) and (can["sg"] or slots == 1)
                seen = Look(octets, blank=blank)
                kind = "udp" if seen.proto == 17 else "tcp"
                (self.between if seen.src == self.wires[0].address else self.back[i, kind]).came(seen)
            wire.end.frames.clear()

    def flows(self):
        return list(self.out.values()) + list(self.back.values()) + [self.between]


@row("behaviour 70")
@pytest.mark.parametrize("netvm", NETVMS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_leaked(machine, netvm, seed, request):
    """150 rounds of up to 30 frames; with --long 2,000. What the deaf client does not take is all that is dropped."""
    dice = random.Random("%s %d" % (netvm, seed))
    load = Load(machine, dice, netvm)
    end = load.net.uplink.end
    for _ in range(2000 if request.config.getoption("--long") else 150):
        for _ in range(dice.randrange(30)):
            dice.choice((load.send_out, load.send_out, load.send_back, load.send_between, load.send_to_the_deaf))()
        load.publish()
        if end.holds:
            if dice.random() < 0.5:
                end.resume()
        elif dice.random() < 0.1:
            end.holds = True
        if dice.random() < 0.8:
            load.net.settle()
            load.look()
        if dice.random() < 0.1:
            machine.advance(dice.choice((0.01, 0.2)))
    end.resume()
    for _ in range(3):
        load.net.settle()
        load.look()
        machine.advance(0.5)
    assert load.unheard > 100 and load.net.figures()["lost"] == load.unheard
    assert [flow.number for flow in load.flows() if not flow.whole()] == []
    assert all(flow.sent > 20 for flow in load.flows())
    assert not end.dirty
    assert load.net.holdings() == load.before
    told = load.net.lines("warning") + load.net.lines(" error ")
    assert [line for line in told if load.deaf.end.name + ": takes nothing" not in line] == []
