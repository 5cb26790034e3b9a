"""Whatever fails while frames go to the netvm or come from it: pages, grants and ports are all there afterwards."""
import pytest

# Xen as netfront/link.py and quarantine.py see it: everything that they lend is counted, and one call fails
_FAULTY = """
import gc
import xen
import granted as granted_module
import netfront.intake as intake_module
import netfront.lent as lent_module
import netfront.link as link_module
import net.quarantine as quarantine_module
from net.batch import Batch
from net.frame import Frame, from_octets
from net.pool import Pool
from net.quarantine import Quarantine

COUNTED = {"grant": ("grants", 1), "revoke": ("grants", -1), "evtchn_alloc": ("ports", 1), "evtchn_close": ("ports", -1),
           "mem": ("pieces", 1), "free": ("pieces", -1)}

class Faulty:
    def __init__(self):
        self.have = {"grants": 0, "ports": 0, "pieces": 0}
        self.left = -1
        self.error = None
    def __getattr__(self, name):
        function = getattr(xen, name)
        if name not in COUNTED:
            return function
        def counted(*args):
            if name not in ("revoke", "free", "evtchn_close"):
                if self.left == 0:
                    self.left = -1
                    raise self.error
                self.left -= 1
            result = function(*args)
            if result is not False:
                what, n = COUNTED[name]
                self.have[what] += n
            return result
        return counted

class Terms:
    sg = gso = csum = split = True

faulty = Faulty()
MODULES = link_module, intake_module, lent_module, granted_module, quarantine_module
for module in MODULES:
    module.xen = faulty
pool = Pool(300)
batch = Batch(18)
quarantine = Quarantine(pool)
FIRST = dict(faulty.have)

def make():
    return link_module.FrontLink("uplink", pool, quarantine, 1, Terms)

def frame_of(parts, gso=0):
    frame = Frame(True, True, gso)
    for i in range(parts):
        frame.add(pool.take(), 100 * i, 1000)
    return frame

def whole():
    assert pool.free == 300 and quarantine.size() == 0, (pool.free, quarantine.size())
    assert faulty.have == FIRST, faulty.have

def fails(n, error):
    faulty.left, faulty.error = n, error

def came(link, packets, slots):
    # the netvm answers so many packets of so many slots
    at = link.rx.rsp_cons
    for packet in range(packets):
        for slot in range(slots):
            word = 16 + (at & 255) * 2
            link.rx.words[word] = 4 << 16 | at & 255
            link.rx.words[word + 1] = 60 << 16 | (4 if slot < slots - 1 else 0)
            at += 1
    link.rx.words[2] = at & 0xFFFFFFFF

class Full:
    # so full a heap that only so many blocks of these octets can be had
    def __init__(self, blocks, octets=8):
        self.spare = [bytearray(octets) for _ in range(blocks)]
        self.kept = None
    def __enter__(self):
        size = 1 << 20
        while size >= 4:
            try:
                while True:
                    self.kept = [bytearray(size), self.kept]
            except MemoryError:
                size >>= 3
        for i in range(len(self.spare)):
            self.spare[i] = None
        gc.collect()
    def __exit__(self, *why):
        self.kept = None
        gc.collect()
"""

_XEN = _FAULTY + """
made = 0
for error in (OSError(28), MemoryError("out")):
    for n in range(6):
        fails(n, error)
        try:
            link = make()
            made += 1
            link.close()
        except (OSError, MemoryError) as e:
            assert e is error
        fails(-1, None)
        whole()
assert made == 2, made  # two ports, one piece, two grants; then nothing is left that could fail

for error in (OSError(28), MemoryError("out")):
    for parts, gso in ((1, 0), (5, 0), (18, 1448)):
        for n in range(parts + 1):
            link = make()
            link.post()
            before = link.dropped
            fails(n, error)
            link.send(frame_of(parts, gso))
            fails(-1, None)
            assert link.dropped == before + (n < parts)
            assert link.in_flight() == (parts if n == parts else 0)
            link.send(frame_of(parts, gso))  # the next one goes
            link.flush()
            assert link.in_flight() == (2 * parts if n == parts else parts)
            link.close()
            whole()
    for n in range(34):
        link = make()
        fails(n, error)
        link.post()
        posted = link.lent()
        fails(-1, None)
        assert posted == min(n, 32)
        while link.post():
            pass
        assert link.lent() == 256
        link.close()
        whole()
print("done")
"""

_HEAP = _FAULTY + """
for module in MODULES:
    module.xen = xen  # the counting itself would need memory

def room():
    # how many grants and ports can be had
    page, counts = xen.mem(4096), []
    for get, give in ((lambda: xen.grant(xen.gfn(page), 1, False), xen.revoke), (lambda: xen.evtchn_alloc(1), xen.evtchn_close)):
        had = []
        try:
            while True:
                had.append(get())
        except OSError:
            pass
        for each in had:
            give(each)
        counts.append(len(had))
    xen.free(page)
    return counts + [xen.memory()]

from firewall.forward import Forwarder
from firewall.interfaces import UPLINK, Interface, Interfaces
from firewall.main import _words
octets = bytes(9000)
seen = set()
interfaces = Interfaces(_words)
forwarder = Forwarder(None, interfaces, pool, fast=False)
make().close()
began = room()
assert began[0] > 256 and began[1] > 64, began

class Owner:
    name = "uplink"
    def broken(self, reason):
        raise AssertionError(reason)

def each(blocks, what):
    link = make()
    while link.post():
        pass
    link.flush()
    owner = Owner()
    owner.link = link
    uplink = Interface(UPLINK, None, None)
    interfaces.enter(uplink)
    forwarder.add(uplink, owner)
    full = Full(blocks)
    outcome = "done"
    frames = ()
    argument = what.prepare(link)
    full.__enter__()
    try:
        frames = what.act(forwarder, link, argument)
    except MemoryError:
        outcome = "failed"
    full.__exit__()
    if frames:
        outcome += " %d" % len(frames)
        for frame in frames:
            frame.release(pool)
    seen.add((what.__name__, outcome))
    if what.leaves:
        what.leaves(argument)
    forwarder.remove(uplink)
    interfaces.leave(uplink)
    link.close()
    gc.collect()
    whole()

class Emit:
    prepare = lambda link: None
    act = lambda forwarder, link, _: forwarder.delivery.emit(UPLINK, octets)
    leaves = None

class Send:
    prepare = lambda link: frame_of(5)
    act = lambda forwarder, link, frame: forwarder.delivery.send(forwarder.uplink, frame)
    leaves = None

class Wait:  # behind others, in the backlog
    def prepare(link):
        link.tx_free = 0
        return frame_of(5)
    act = lambda forwarder, link, frame: forwarder.delivery.send(forwarder.uplink, frame)
    leaves = None

class Receive:
    prepare = lambda link: came(link, 6, 3)
    act = lambda forwarder, link, _: link.receive(batch, 18)
    leaves = None

for what in (Emit, Send, Wait, Receive):
    for blocks in range(45):
        each(blocks, what)

link = full = None  # they have a place among the globals
for blocks in range(30):
    full = Full(blocks, 2100)
    full.__enter__()
    link = None
    try:
        link = make()
    except MemoryError:
        pass
    full.__exit__()
    seen.add(("Make", "failed" if link is None else "done"))
    if link:
        link.close()
    whole()
assert room() == began, (room(), began)
for name in ("Emit", "Send", "Wait", "Receive", "Make"):
    print(name, len([1 for each in seen if each[0] == name]), sorted(each[1] for each in seen if each[0] == name))
print("done")
"""


@pytest.mark.parametrize("text", [_XEN, _HEAP], ids=["Xen refuses", "no memory"])
def test_whoever_fails_gives_back(machine, run, text):
    """A failure between "the link has it" and the end of send() lost the pages; so did one in receive() and in the making."""
    machine.peer(1)
    firewall = run(machine, text)
    assert firewall.lines("done"), firewall.console
    for name in ("Emit", "Receive", "Make") if text is _HEAP else ():  # with and without success
        assert not firewall.lines(name + " 1"), firewall.console
