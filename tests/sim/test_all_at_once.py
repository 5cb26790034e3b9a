"""Streams through a firewall to which everything happens at once: a netvm that is slow or made anew, commits, clients
that come and go.

Whenever all sleep, nothing lies in a ring that could go on: who waits for an event that nobody owes stands still for
ever. What the netvm gives arrives; what clients give arrives in the end, sent again where a netvm went with it.
"""
import random

import pytest
from interleaving import LONGEST, ROOMY
from packets import ACK, SYN, TCP, Look, ip, tcp, tcp_segment
from rings import MASK, REQ_PROD, RSP_PROD, SLOTS
from tests.sim.network import Network

ADDRESSES, SERVER = ("10.137.0.21", "10.137.0.22", "10.137.0.23"), "192.0.2.50"
WINDOW = 400000  # octets that are on their way at most
MSS = 1448
SIZES = (1, 100, MSS, 3 * MSS, 20000, 60000)
STEPS, MORE_STEPS = 120, 2500


def read(octets):
    """(destination port, sequence number, acknowledged, octets of data) of a TCP packet; None: it is something else."""
    if octets[12:14] != b"\x08\x00" or octets[23] != TCP:
        return None
    head = 14 + 4 * (octets[14] & 15)
    data = 14 + int.from_bytes(octets[16:18], "big") - head - 4 * (octets[head + 12] >> 4)
    return (int.from_bytes(octets[head + 2:head + 4], "big"),) + tuple(
        int.from_bytes(octets[head + at:head + at + 4], "big") for at in (4, 8)) + (data,)


class Stream:
    """One connection with data both ways: what goes up is sent again from where the server stands, when it must be."""

    def __init__(self, net, wire, sport):
        self.net, self.wire, self.sport = net, wire, sport
        self.sent = self.arrived = self.known = 0  # octets up: sent, arrived in order, of which the client knows that
        self.given = self.got = 0  # octets down
        wire.send(tcp(wire.address, sport, SERVER, 80, SYN))
        self.port = Look(net.uplink.recv()).sport
        net.uplink.send(tcp(SERVER, 80, net.address, self.port, SYN | ACK))
        assert wire.recv()

    def send(self, rng):
        """As much as ring and window have room for, or nearly."""
        end = self.wire.end
        while self.sent - self.known < WINDOW and end.room() > LONGEST and rng.random() < 0.95:
            size = rng.choice(SIZES)
            segment = tcp_segment(self.wire.address, self.sport, SERVER, 80, ACK, bytes(size), self.sent & MASK,
                                  blank=True)
            end.queue(ip(self.wire.address, SERVER, TCP, segment), True, MSS if size > MSS else 0)
            self.sent += size
        end.kick()

    def answer(self, rng):
        """The server acknowledges what has arrived, beside data of its own."""
        if not self.net.uplink.end.rx:
            return
        for size in rng.sample(SIZES[:5], rng.randrange(1, 3)):
            segment = tcp_segment(SERVER, 80, self.net.address, self.port, ACK, bytes(size), self.given & MASK,
                                  self.arrived & MASK, blank=True)
            self.net.uplink.end.send(ip(SERVER, self.net.address, TCP, segment), True, MSS if size > MSS else 0)
            self.given += size

    def see(self):
        """What the client has got."""
        end = self.wire.end
        for octets, _, _, _ in end.frames:
            seen = read(octets)
            if seen and seen[0] == self.sport:
                self.got += seen[3]
                more = seen[2] - self.known & MASK
                self.known += more if more < 1 << 31 else 0
        end.frames.clear()
        end.responses.clear()


class Scene:
    def __init__(self, machine, seed, fast):
        self.rng = random.Random(seed)
        self.net = Network(machine=machine, cmdline="fast=" + fast)
        self.streams = [Stream(self.net, self.net.client(address), 4001) for address in ADDRESSES]
        self.slow = False
        self.done = []  # octets of streams that have ended
        self.renewed = 0

    def settle(self):
        """Until all sleep: with room in the netvm's ring no client waits, and the netvm always has buffers."""
        self.net.settle()
        end = self.net.uplink.end
        if not end.tx or not end.connected():
            return
        flight = (end.tx.words[REQ_PROD] - end.tx.words[RSP_PROD]) & MASK
        rings = [each.wire.end.tx.words for each in self.streams]
        waiting = [(words[REQ_PROD] - words[RSP_PROD]) & MASK for words in rings]
        assert not any(waiting) or SLOTS - flight < ROOMY, (waiting, flight)
        assert end.posted() >= SLOTS // 2 and not end.backlog, (end.posted(), flight)

    def move(self):
        """What has arrived moves the streams on."""
        frames, self.net.uplink.end.frames = self.net.uplink.end.frames, []
        for octets, _, _, _ in frames:
            sender = int.from_bytes(octets[34:36], "big")
            seen = read(octets)
            for each in self.streams:
                if seen and sender == each.port and seen[1] == each.arrived & MASK:
                    each.arrived += seen[3]
        for each in self.streams:
            each.answer(self.rng)
        self.settle()
        for each in self.streams:
            each.see()
            assert each.got == each.given, each.wire.address
            if each.known == each.arrived and each.sent > each.known and not self.slow:
                each.sent = each.known  # what is missing went with a netvm: again

    def serve(self, slow):
        """The netvm answers at once, or only when it is told to."""
        end, self.slow = self.net.uplink.end, slow
        end.holds = slow
        if not slow:
            end.resume()

    def renew(self):
        """dom0 takes the netvm away, and gives another, while clients send."""
        end, rng = self.net.uplink.end, self.rng
        self.serve(False)
        self.settle()
        self.move()
        end.detach()
        self.net.machine.advance(rng.choice((0, 0.01, 0.3)))
        for each in rng.sample(self.streams, rng.randrange(3)):
            each.send(rng)
        self.settle()
        connections = end.connections
        end.attach()
        self.net.machine.until(lambda: end.connections == connections + 1 and end.connected(), 15, "another connection")
        self.renewed += 1

    def another(self):
        """A client ends, and comes again."""
        self.serve(False)
        self.settle()
        self.move()
        at = self.rng.randrange(len(self.streams))
        self.net.detach(self.streams[at].wire)
        self.done.append(self.streams[at].arrived)
        wire = self.net.client(ADDRESSES[at])
        self.net.uplink.end.frames.clear()
        self.streams[at] = Stream(self.net, wire, 4001 + len(self.done) % 1000)

    def commit(self):
        rng = self.rng
        rules = ["action=drop dst4=203.0.113.%d/32" % i for i in range(rng.randrange(30))]
        self.net.set_rules(rng.choice(ADDRESSES), rules + ["action=accept"])

    def step(self):
        rng = self.rng
        for each in rng.sample(self.streams, rng.randrange(1, 4)):
            each.send(rng)
        self.settle()
        what = rng.random()
        if what < 0.25:
            self.serve(not self.slow)
        elif what < 0.55 and self.slow:
            self.net.uplink.end.resume(rng.choice((1, 2, 5, 20)))
        elif what < 0.59:
            self.renew()
        elif what < 0.64:
            self.commit()
        elif what < 0.66:
            self.another()
        self.settle()
        self.move()
        if rng.random() < 0.7:
            self.net.machine.advance(rng.choice((0.001, 0.018, 0.02, 0.03, 0.25)))
            self.settle()


@pytest.mark.parametrize("fast", ["on", "off"])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_lies_that_could_go_on(machine, seed, fast, request):
    """And all streams end whole. --long: twenty times as long."""
    scene = Scene(machine, seed, fast)
    for _ in range(MORE_STEPS if request.config.getoption("--long") else STEPS):
        scene.step()
    assert scene.renewed and scene.done
    scene.serve(False)
    for _ in range(20):
        scene.settle()
        scene.move()
        for each in scene.streams:
            if each.sent < 1000000:
                each.send(scene.rng)
    for each in scene.streams:
        assert each.known == each.arrived == each.sent, each.wire.address
