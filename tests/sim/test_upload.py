"""An upload of 40 MB never stands still: clients and netvm act only on events, and each step of theirs comes anywhere.

A TCP sender as Linux has it: super-frames of up to 19 slots, a window, a queue that stops when the ring has no room for
the longest frame and goes on only when an event has brought some. The netvm answers late: in its lazy hours only when
nobody has anything else to do, so that its ring is full, or all that the window allows is with it. The server
acknowledges what has come. Nothing is sent again, the clock stands still, so that no tick of ours helps, and nobody
polls: whoever waits for an event that does not come waits for ever, and that fails. Who acts next, and before which
access of the firewall to a ring's counters, is drawn.
"""
import random

import pytest
from interleaving import LONGEST, ROOMY, Client, Netvm, Schedules
from packets import ACK, SYN, TCP, Look, ip, tcp, tcp_segment
from rings import MASK, PAGE
from test_all_at_once import read
from tests.sim.network import Network

A, SERVER, SPORT = "10.137.0.21", "192.0.2.50", 4001
OCTETS = 40_000_000
HOUR = 2_000_000  # octets, until the netvm is lazy, or is not any longer
MSS = 1448
FULL = 65535 - 54  # octets of data in the largest frame: its size has 16 bits
WINDOWS = 100_000, 500_000, 4_000_000
SIZES = FULL, FULL, FULL, 20 * MSS, 3 * MSS, MSS, 1


class Sender(Client):
    def __init__(self, scene, wire, window):
        super().__init__(scene, wire, wire.port)
        self.window = window
        self.sent_octets = self.known = 0  # and those that were acknowledged
        self.stopped = False

    def may_queue(self):
        return not self.stopped and self.sent_octets < min(OCTETS, self.known + self.window)

    def queue(self):
        self.tell()
        rng = self.scene.rng
        size = min(rng.choice(SIZES), OCTETS - self.sent_octets)
        segment = tcp_segment(A, SPORT, SERVER, 80, ACK, bytes(size), self.sent_octets & MASK, blank=True)
        frame = ip(A, SERVER, TCP, segment)
        sizes = [54, rng.randrange(100, PAGE)] if size > PAGE else None  # headers in a slot of their own
        self.end.queue(frame, True, MSS if size > MSS else 0, sizes)
        self.sent_octets += size
        self.show()
        self.stopped = self.end.room() < LONGEST

    def ask(self):
        super().ask()
        self.stopped = self.end.room() < LONGEST

    def received(self, frames):
        for octets, _, _, _ in frames:
            self.known = max(self.known, self.scene.acknowledged[read(octets)[2]])


class Server(Netvm):
    arrived = 0  # octets, in order
    news = False  # some are not acknowledged

    def received(self, frames):
        for octets in frames:
            _, seq, _, size = read(octets)
            assert seq == self.arrived & MASK, "a frame was lost"
            self.arrived += size
            self.news = True

    def send(self):
        self.news = False
        self.scene.acknowledged[self.arrived & MASK] = self.arrived
        port = self.scene.clients[0].port
        self.end.send(ip(SERVER, self.scene.net.address, TCP, tcp_segment(
            SERVER, 80, self.scene.net.address, port, ACK, b"", 1, self.arrived & MASK)))


class Upload(Schedules):
    def __init__(self, net, wire, seed):
        self.rng = random.Random(seed)
        self.acknowledged = {0: 0}  # octets by number
        window = WINDOWS[seed % len(WINDOWS)]
        super().__init__(net, [lambda scene: Sender(scene, wire, window)], Server)
        self.full = 0  # times that the netvm's ring was, while the firewall slept

    def steps(self):
        """What anybody may do now."""
        client, netvm = self.clients[0], self.netvm
        lazy = netvm.arrived // HOUR % 2
        found = [
            step for step, may in (
                (client.queue, client.may_queue()), (client.tell, client.shown), (client.take, client.port_has_event()),
                (client.ask, client.taking), (netvm.take, netvm.has_event(netvm.end.port)), (netvm.ask, netvm.taking),
                (netvm.answer, netvm.owed and not lazy), (netvm.tell, netvm.end.tx in netvm.shown),
                (netvm.told, netvm.end.rx in netvm.shown), (netvm.send, netvm.news),
                (netvm.take, netvm.has_event(netvm.end.rx_port)),
            ) if may
        ]  # fmt: skip
        return found or ([netvm.answer] if netvm.owed and not self.firewall.runnable() else [])

    def step(self):
        """Somebody's, a few times. False: nobody can do anything."""
        steps = self.steps()
        if not steps:
            return False
        step = self.rng.choice(steps)
        for _ in range(self.rng.choice((1, 1, 2, 12)) if step == self.netvm.answer else 1):
            step()
        return True

    def _preempted(self, _firewall):
        self.step()
        self._plan_next()

    def _plan_next(self):
        """Before which access the next step is: none in half of the turns, and in the others some."""
        rng = self.rng
        self.header.watch_at = self.header.accesses + rng.randrange(1, 60) if rng.random() < 0.5 else 0

    def play(self):
        client = self.clients[0]
        while client.known < OCTETS:
            self.history = "an upload", client.known, self.netvm.arrived
            if self.firewall.runnable() and self.rng.random() < 0.3:
                self.turn()
            elif not self.step():
                assert self.firewall.runnable(), "it stands still: %s %s %s" % self.history
                self.turn()

    def turn(self):
        self.header.accesses = 0
        self._plan_next()
        self.firewall.turn()
        self.asleep()
        self.full += not self.firewall.runnable() and self.netvm.room() < ROOMY


def upload(machine, seed, fast):
    net = Network(machine=machine, cmdline="fast=" + fast)
    wire = net.client(A)
    wire.send(tcp(A, SPORT, SERVER, 80, SYN))
    wire.port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, net.address, wire.port, SYN | ACK))
    assert wire.recv()
    net.advance(0.2)
    scene = Upload(net, wire, seed)
    scene.open()
    scene.play()
    scene.header.watch_at = 0
    assert scene.netvm.arrived == OCTETS and not net.uplink.end.dirty
    assert scene.full > 100


@pytest.mark.parametrize("seed, fast", [(1, "on"), (2, "on"), (3, "off")])
def test_an_upload_does_not_stand_still(machine, seed, fast):
    upload(machine, seed, fast)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 140))
def test_forty_uploads_do_not_stand_still(machine, seed):
    upload(machine, seed, "off" if seed % 8 == 0 else "on")
