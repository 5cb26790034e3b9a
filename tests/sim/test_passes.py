"""What one pass of the ring service may take, with hypercalls that take their time."""
import re

from network import Network  # first: it knows the way to tests/host
from packets import udp

SERVER = "192.0.2.50"
MS = 1_000_000


def test_many_busy_clients_share_a_pass_in_turn(machine):
    """Each of five has a full burst waiting, and each takes 6 ms: none of them lets all others and the loop wait for five."""
    net = Network(machine=machine)
    wires = [net.client("10.137.0.%d" % (30 + i)) for i in range(5)]
    net.settle()
    net.firewall.status()
    for wire in wires:
        for port in range(60):
            wire.end.send(bytes(udp(wire.address, 1000 + port, SERVER, 53)), False, 0)

    def take_time(firewall):
        machine.header.clock_ns += 3 * MS

    machine.preempt(1, take_time)
    net.settle()
    machine.preempt(0, None)
    net.settle()
    assert len(net.uplink.end.frames) == 5 * 60
    (line,) = [line for line in net.firewall.status() if "since last asked" in line]
    assert int(re.search(r"(\d+) us", line)[1]) < 20000, line
