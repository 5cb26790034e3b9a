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


UPLINK_WITHOUT_END = """
from firewall import forward

class Clock:
    now = 0
    def ns(self):
        return self.now

class Rings:
    held = ()
    turns = dropped = 0
    def receive(self, *_):
        self.turns += 1
        clock.now += self.cost
        return ()
    def complete(self):
        return True
    def busy(self, now):
        return False
    def post(self):
        return False
    def flush(self):
        pass

class Owner:
    name = "x"
    def __init__(self, cost):
        self.link = Rings()
        self.link.cost = cost

clock = forward.xen = Clock()
forwarder = forward.Forwarder(None, None)
uplink, clients = Owner(2000000), [Owner(100000) for _ in range(3)]
forwarder.add(0, uplink)
for i in range(3):
    forwarder.add(i + 1, clients[i])
longest = 0
for _ in range(60):
    began = clock.now
    forwarder.service()
    longest = max(longest, clock.now - began)
print("turns", uplink.link.turns, [client.link.turns for client in clients], "longest", longest)
"""


def test_an_uplink_that_always_brings_something_leaves_clients_their_turns(machine, run):
    """What it brings takes longer than a pass may, each time: then every other pass is the clients', all of it."""
    (line,) = run(machine, UPLINK_WITHOUT_END).lines("turns ")
    uplink, *clients, longest = map(int, re.findall(r"\d+", line))
    assert uplink == 30 and clients == [30, 30, 30], line
    assert longest == 2 * MS, line


SUPER_FRAMES_WITHOUT_END = UPLINK_WITHOUT_END.split("longest = 0")[0] + """
class Frame:
    parts = ()
    sent = False
    def release(self, pool):
        pass

def emit(egress, octets):
    clock.now += 100000
    sent[0] += 1

def judge(port, frame, now):
    port.guard.judge(forwarder._cut, (forwarder.ports[0], iter([b""] * 35)))

def bring(*_):
    uplink.link.turns += 1
    clock.now += 2600000
    return ()

sent = [0]
forwarder.emit, forwarder._judge, uplink.link.receive = emit, judge, bring
for client in clients:
    client.link.receive = lambda *_, link=client.link: (setattr(link, "turns", link.turns + 1), (Frame(), Frame()))[1]
longest = 0
for _ in range(600):
    began = clock.now
    forwarder.service()
    longest = max(longest, clock.now - began)
print("turns", uplink.link.turns, [client.link.turns for client in clients], "longest", longest, "sent", sent[0])
"""


def test_super_frames_that_are_cut_leave_everyone_his_turn(machine, run):
    """Clients always send such as take several passes, and the uplink always brings what takes one."""
    (line,) = run(machine, SUPER_FRAMES_WITHOUT_END).lines("turns ")
    uplink, *clients, longest, sent = map(int, re.findall(r"\d+", line))
    assert uplink >= 30 and max(clients) - min(clients) <= 1 and min(clients) >= 10, line
    assert sent >= 70 * sum(clients) - 70
    assert longest <= 2.7 * MS, line
