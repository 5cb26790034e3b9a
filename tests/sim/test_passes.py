"""What one pass of the ring service may take, with hypercalls that take their time."""
import re

import pytest
from tests.sim.network import Network
from packets import udp
from passing import passes

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


def test_no_wake_up_is_lost_whenever_a_packet_comes(machine):
    """It comes with each hypercall of the pass of another, with an event only if one was asked for."""
    net = Network(machine=machine)
    wire = net.client("10.137.0.30")
    passes(net, wire, 1000)
    came = []
    for n in range(1, 13):
        net.settle()
        net.uplink.end.frames.clear()
        came.append(0)

        def more(_firewall):
            machine.preempt(0, None)
            came[-1] = 1
            wire.end.send(bytes(udp(wire.address, 1000, SERVER, 53, b"two")), False, 0)

        machine.preempt(n, more)
        wire.end.send(bytes(udp(wire.address, 1000, SERVER, 53, b"one")), False, 0)
        net.settle()
        machine.preempt(0, None)
        assert len(net.uplink.end.frames) == 1 + came[-1], n
    assert sum(came) >= 4


NEIGHBOURS = """
from firewall import forward, turns
from firewall.interfaces import Interface, Interfaces
from firewall.main import _words

class Clock:
    now = 0
    def ns(self):
        return self.now

class Ring:
    \"""Always has something.\"""
    req_cons = rsp_cons = 0
    def waiting(self):
        return 1

class Rings:
    held = ()
    turns = dropped = domid = 0
    sg = gso = csum = True
    def __init__(self, cost, slots):
        self.cost, self.slots, self.tx, self.rx = cost, slots, Ring(), Ring()
    def receive(self, *_):
        self.turns += 1
        self.tx.req_cons += self.slots
        self.rx.rsp_cons += self.slots
        clock.now += self.cost
        return ()
    def complete(self):
        return True
    def busy(self, now):
        return busy[0]
    def post(self):
        return False
    def flush(self):
        pass

class Owner:
    name = "x"
    def __init__(self, cost, slots):
        self.link = Rings(cost, slots)

class Pool:
    free = pages = 2048

busy = [False]
clock = forward.xen = Clock()
forwarder = forward.Forwarder(None, Interfaces(_words), Pool(), fast=False)
def passes(n, *owners):
    longest = 0
    for i, owner in enumerate(owners):
        interface = Interface(i, None, None)
        forwarder.interfaces.enter(interface)
        forwarder.add(interface, owner)
    for _ in range(n):
        began = clock.now
        forwarder.service()
        longest = max(longest, clock.now - began)
    print("turns", [owner.link.turns for owner in owners], "longest", longest)
"""


def turns(machine, run, text):
    (line,) = run(machine, NEIGHBOURS + text).lines("turns ")
    *counts, longest = map(int, re.findall(r"\d+", line))
    return counts, longest


def test_an_uplink_that_always_brings_something_leaves_clients_their_turns(machine, run):
    """A turn of it takes longer than a pass may. It gets as many as all clients together, and they share equally."""
    (uplink, *clients), longest = turns(machine, run, """
passes(300, Owner(2000000, 8), *[Owner(100000, 8) for _ in range(3)])
""")
    assert max(clients) - min(clients) <= 1
    assert abs(uplink - sum(clients)) <= 4
    assert longest <= 3.5 * MS  # what began within 1.2 ms, and one turn


def test_who_makes_more_work_has_fewer_turns(machine, run):
    """Turns of 24 slots cost three times as much as those of 8: the clients' work is equal, not their turns."""
    (_, dear, cheap), _ = turns(machine, run, """
idle = Owner(0, 0)
idle.link.rx.waiting = lambda: 0
passes(3000, idle, Owner(100000, 24), Owner(100000, 8))
""")
    assert dear > 500 and abs(cheap / dear - 3) < 0.1


def test_one_that_owes_much_does_not_wait_for_nobody(machine, run):
    """Alone, it is served in every pass, whatever it owes."""
    (_, client), _ = turns(machine, run, """
idle = Owner(0, 0)
idle.link.rx.waiting = lambda: 0
passes(200, idle, Owner(1000000, 200))
""")
    assert client >= 200


def test_a_client_whose_turn_costs_much_does_not_owe_for_ever(machine, run):
    """After a dear turn it waits only while others have something."""
    (_, dear, other), _ = turns(machine, run, """
idle = Owner(0, 0)
idle.link.rx.waiting = lambda: 0
a, b = Owner(100000, 2000), Owner(100000, 8)
passes(20, idle, a, b)
b.link.slots, b.link.tx.waiting = 0, lambda: 0
for _ in range(10):
    forwarder.service()
a.link.slots = 8
print("now", a.link.turns)
""")
    assert other >= 15 and dear >= 1


def test_an_uplink_without_room_still_brings_what_it_has(machine, run):
    """Clients wait for its room, and it is not made to wait for them."""
    (uplink, *clients), _ = turns(machine, run, """
busy[0] = True
passes(100, Owner(100000, 8), Owner(100000, 8), Owner(100000, 8))
""")
    assert uplink >= 100 and clients == [0, 0]


def test_clients_are_served_in_turn_again_and_again_without_room(machine, run):
    """The uplink has room for one client's turn in each pass: it is each time another's."""
    (_, *clients), _ = turns(machine, run, """
class Scarce(Rings):
    left = 1
    def complete(self):
        self.left = 1
        return True
    def busy(self, now):
        return self.left == 0

uplink = Owner(0, 0)
uplink.link = Scarce(0, 0)
uplink.link.rx.waiting = lambda: 0
clients = [Owner(100000, 8) for _ in range(3)]
for each in clients:
    def receive(*_, old=each.link.receive):
        uplink.link.left = 0
        return old()
    each.link.receive = receive
passes(99, uplink, *clients)
""")
    assert clients == [33, 33, 33]


@pytest.mark.parametrize("others, found", [(1, 1), (0, 0)])
def test_who_ends_while_room_is_made_is_seen_no_more(machine, run, others, found):
    """It alone had something when the rings were looked at: what another has sent since has its turn in this pass."""
    firewall = run(machine, NEIGHBOURS + """
from peererror import PeerError
SOME, HOLDING, ROOM, WHO = 1, 0x20000, 0x80000, 22

class Fast:
    def __init__(self):
        self.look, self.has = self, bytearray(3)
    def receive(self, interface, *_):
        interface.rings.turns += 1
        forwarder.turns.work += 50
        return True
    def remove(self, interface):
        pass

class Broken(Owner):
    def broken(self, reason):
        forwarder.remove(forwarder.interfaces.by_number[1])
        forwarder.interfaces.by_number[1] = None

def retry(_):
    raise PeerError("it lies")

owners = Owner(0, 0), Broken(0, 0), Owner(0, 0)
passes(0, *owners)
owners[1].link.held, owners[1].link.retry = True, retry
looks = [SOME | ROOM | 2 << WHO] * OTHERS
forwarder.fast, forwarder._words = Fast(), [0] * 40
forwarder._look, forwarder._tables = lambda _: looks.pop(0) if looks else 0, None
forwarder.seen = SOME | HOLDING | ROOM | 1 << WHO
assert forwarder._make_room(0) and forwarder.interfaces.by_number[1] is None
print("seen", forwarder.seen & 0xFFFF)
forwarder._turns(0, 1000000)
print("turns", [owner.link.turns for owner in owners])
""".replace("OTHERS", str(others)))
    assert firewall.lines("turns ")[-1] == "turns [0, 0, %d]" % found, firewall.console
    assert firewall.lines("seen ") == ["seen %d" % others]
