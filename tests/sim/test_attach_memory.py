"""Memory that is refused while a link joins the firewall: it has joined whole, or not at all, and the next attempt works.

Each allocation in turn, with lists and dictionaries of their own: these grow but once.
"""
from tests.sim.starving import STARVED

_SCRIPT = STARVED + """
import loop
from firewall.main import Firewall
from firewall.interfaces import Interface
from firewall.turns import Turns

class Ring:
    req_cons = rsp_cons = 0
    def waiting(self):
        return 0

class Rings:
    dropped = failed = 0
    sg = gso = csum = True
    closed = False
    domid = 1
    held = ()
    def __init__(self, *ports):
        self.ports, self.port = ports, ports[0]
        self.tx, self.rx = Ring(), Ring()
        self.flushed = False
    def flush(self):
        self.flushed = True
    def close(self):
        self.closed = True

class Vif:
    def __init__(self, n):
        self.name, self.address, self.mac = "%d.0" % n, 0x0A890000 + n, b"abcdef"
        self.link = Rings(n)
    def mtu(self):
        return 1500

def has(firewall, owner):
    # in how many of the places it is in
    forwarder = firewall.forwarder
    joined = [each for each in forwarder.interfaces.by_number if each and each.rings]
    lists = (joined, forwarder.turns._circle, forwarder.clients)
    return sum(1 for each in lists for interface in each if interface.owner is owner)

class Settings:
    def attached(self, address):
        pass
    def detached(self, address):
        pass

firewall = Firewall(None, lambda *_: Settings(), fast=False)  # the rings here are stubs
mind = firewall.neighbours
firewall.set_network(0x0A890001, 0x0A890002)

def begin(others):
    forwarder = firewall.forwarder
    forwarder.turns = Turns()
    forwarder.clients = forwarder.delivery.clients = []
    loop._passes.wakes = {}
    had = [Vif(100 + i) for i in range(others)]
    for vif in had:
        firewall._attach(vif)
    return had

def end(had):
    for vif in had:
        firewall._detach(vif)
    assert not firewall.forwarder.clients and not mind.interfaces.numbers() and not loop._passes.wakes

def clients(n, others):
    had = begin(others)
    vif = Vif(1)
    client = Interface(others + 1, None, None)
    mind.interfaces.enter(client)
    failed = starved(n, firewall.forwarder.add, client, vif)
    if failed:
        assert has(firewall, vif) == 0, n
        firewall.forwarder.add(client, vif)
    assert has(firewall, vif) == 3
    firewall.forwarder.remove(client)
    mind.interfaces.leave(client)
    assert has(firewall, vif) == 0 and len(firewall.forwarder.clients) == others
    end(had)
    return failed

def uplink(n, others):
    had = begin(others)
    side = firewall.uplink
    side.state, side.waiting, side.mtu, side.domid = 1, Rings(7, 8), 1500, 3
    link = side.waiting
    failed = starved(n, side._open, True)
    if failed and side.link is None:
        assert has(firewall, side) == 0 and not firewall.up and firewall.neighbours.uplink is None, n
        assert side.waiting is link and not link.closed and side.state == 1, n
        assert 7 not in loop._passes.wakes and 8 not in loop._passes.wakes, n
        side._open(True)
    assert has(firewall, side) == 2 and firewall.up and firewall.neighbours.uplink, n
    assert side.link is link and link.flushed and side.state == 3
    starve.after(n % 40)
    starve.on()
    side._drop_link()  # from the ring service too, where nothing may escape
    starve.off()
    starve.after(-1)
    assert link.closed and has(firewall, side) == 0 and not firewall.up
    end(had)
    return failed

def swept(what, others):
    n = 0
    while True:
        failed = what(n, others)
        if not failed and n > 60:
            return
        n += 1

for others in (0, 7, 8):
    swept(clients, others)
    swept(uplink, others)
table = firewall.neighbours.clients
places = sum(1 for each in table.by_slot if each is None)
for n in range(40):
    starved(n, table.attach, 0x0A890005)
    if 0x0A890005 in table.by_address:
        table.detach(table.by_address[0x0A890005])
assert sum(1 for each in table.by_slot if each is None) == places, (sum(1 for each in table.by_slot if each is None), places)
for n in range(60):
    failed = starved(n, mind.attach, 0x0A890005, 9, b"abcdef", 1500)
    assert failed == (mind.interfaces.by_number[9] is None), n
    if failed:
        assert 0x0A890005 not in table.by_address, n
        mind.attach(0x0A890005, 9, b"abcdef", 1500)
    while starved(n % 8, mind.detach, 9):
        n += 1
    assert 0x0A890005 not in table.by_address and mind.interfaces.by_number[9] is None, n
assert not failed and sum(1 for each in table.by_slot if each is None) == places, (sum(1 for each in table.by_slot if each is None), places)
print("done")
"""


def test_whoever_joins_has_joined_whole_or_not_at_all(machine, run):
    """A list that could not grow left a client in the ring service whose rings were gone, and an uplink connected that nobody used; a client's place in the table was lost."""
    firewall = run(machine, _SCRIPT)
    assert firewall.lines("done"), firewall.console
