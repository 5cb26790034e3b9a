"""Whoever floods the firewall without end leaves its tasks their time: rings that are never empty, in both directions.

Neighbours do their part within the firewall's hypercalls, so that it finds more to do in every pass and never sleeps.
"""
import itertools

import pytest
from packets import udp
from passing import passes
from tests.sim.network import Network

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
STEP = 50_000  # ns that pass in a hypercall
TOGETHER = 12  # frames, of each that floods


class Flood:
    """While it goes on the firewall is asked, by its tasks: again and again, as soon as it has answered."""

    def __init__(self, net, kind, seconds):
        self.net, self.machine, self.kind = net, net.machine, kind
        self.port = passes(net, net.a)
        self.numbers = itertools.count()
        self.end = self.machine.now + int(seconds * 1e9)
        self.asked, self.took, self.passed = 0, [], 0

    def run(self):
        self.machine.preempt(1, self._go_on)
        self._send()
        self.machine.settle()
        assert self.machine.now >= self.end, "it went to sleep"

    def _go_on(self, _firewall):
        machine = self.machine
        machine.header.clock_ns += STEP
        machine.serve()
        for wire in self.net.wires:
            self.passed += len(wire.end.frames)
            wire.end.frames.clear()
        self._ask()
        if machine.now < self.end:
            self._send()
        else:
            machine.preempt(0, None)

    def _send(self):
        net = self.net
        if self.kind in ("hits", "both", "new", "refused") and net.a.end.room() > TOGETHER:
            for _ in range(TOGETHER):
                n = next(self.numbers)
                sport = 4001 if self.kind in ("hits", "both") else 1024 + n % 60000
                net.a.end.queue(udp(A, sport, SERVER if self.kind != "refused" else B, 53, b"flood"))
            net.a.end.kick()
        if self.kind in ("answers", "both"):
            for _ in range(min(TOGETHER, net.uplink.end.posted())):
                net.uplink.end.send(udp(SERVER, 53, net.address, self.port, b"flood"))

    def _ask(self):
        node = self.machine.read("/local/domain/2/data/test").decode()
        if self.asked and node.startswith("%d " % (1000 + len(self.took))):
            self.took.append(self.machine.now - self.asked)
            self.asked = 0
        if not self.asked:
            self.asked = self.machine.now
            self.machine.write("/local/domain/2/test", "%d figures" % (1000 + len(self.took)))


@pytest.mark.parametrize("fast", ["on", "off"])
@pytest.mark.parametrize("kind", ["hits", "answers", "both", "new", "refused"])
def test_a_flood_leaves_tasks_their_time(machine, kind, fast):
    net = Network(machine=machine, cmdline="fast=" + fast)
    net.a, net.b = net.client(A), net.client(B)
    net.tell("figures")
    flood = Flood(net, kind, 0.1)
    flood.run()
    assert len(flood.took) > 6 and max(flood.took) < 20_000_000, flood.took
    assert flood.passed > 300 or kind == "refused"
    net.settle()
    assert net.b.pings()
