"""No wake-up is lost: whatever lies in a ring when the firewall sleeps, the event that lets it go on is on its way.

A neighbour that shows something notifies only if the event counter beside it asks for that. So whenever the firewall
sleeps, with no event pending, one of these must hold of each ring (interleaving.Schedules.asleep() looks):
  (a) nothing lies in it unread, and its event counter asks for an event with the next; or what lies there was shown by
      who has yet to read the event counter, and will find that it asks;
  (b) it cannot go on, and what ends that is asked for: a client's frames wait for room towards the netvm, and the
      answer that makes it is asked for, or one before; frames wait for a client's buffers, and the next is asked for;
  (c) all that we have shown was notified, if whoever reads it had asked for that.
Answers of the netvm are the exception in (a): nobody waits for them while there is room, so under load an event is
asked for with one in 64. docs/packet.md has the places where the firewall leaves work, and what wakes it again.

This is the real code, machine code and all, and all interleavings of it with neighbours who act only when they have an
event: after some first steps, each of the next ones is done before every access of the firewall to a ring's counters,
and while it sleeps. With 2 steps that are 100 to 700 schedules for each of the plans below, 19,670 in all, the slow
path's among them. --long: plans of 3 and 4 steps.
"""
import pytest
from interleaving import ROOMY, Client, Schedules
from packets import Look, udp
from tests.sim.network import Network

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
REST = 0.06  # s, in which the firewall's clock ticks: the first pass behind it is Python's


def begin(machine, fast, clients=(A,), post=256, **netvm):
    """Schedules of clients with a flow each, over a network in which nothing moves. netvm: see Network."""
    net = Network(machine=machine, cmdline="fast=" + fast, **netvm)
    wires = []
    for address in clients:
        wire = net.client(address, post=post)
        wire.send(udp(address, 4001, SERVER, 53))
        wire.port = Look(net.uplink.recv()).sport
        if post:
            net.uplink.send(udp(SERVER, 53, net.address, wire.port))
            assert wire.recv()
        wires.append(wire)
    if len(clients) > 1:
        net.allow((A, B), (B, A))
        wires[0].send(udp(A, 4001, B, 53))
        assert wires[1].recv()
    net.advance(0.2)
    for wire in wires:
        wire.end.frames.clear()
        wire.end.responses.clear()
    net.uplink.end.frames.clear()
    return Schedules(net, [lambda scene, wire=wire: Client(scene, wire, wire.port) for wire in wires])


def plain(machine, fast):
    return begin(machine, fast)


def laden(machine, fast):
    """For plans in which a pass has much to do."""
    return begin(machine, fast)


def rested(machine, fast):
    """Each schedule begins when the firewall has been quiet for a while."""
    schedules = begin(machine, fast)
    schedules.before = lambda: schedules.net.advance(REST)
    return schedules


def flooded(machine, fast):
    """So much was sent lately that events are asked for with every 64th answer only."""
    schedules = begin(machine, fast)
    schedules.flood()
    return schedules


def tight(machine, fast):
    """The netvm's ring has room for a turn, and no slot more."""
    schedules = begin(machine, fast)
    schedules.fill(ROOMY)
    return schedules


def tight_by_one_channel(machine, fast):
    """The same, and one event channel for both of the netvm's rings."""
    schedules = begin(machine, fast, split=False)
    schedules.fill(ROOMY)
    return schedules


def two_tight(machine, fast):
    schedules = begin(machine, fast, (A, B))
    schedules.fill(ROOMY)
    return schedules


def less_tight(machine, fast):
    schedules = begin(machine, fast)
    schedules.fill(ROOMY + 1)
    return schedules


def flooded_and_tight(machine, fast):
    schedules = begin(machine, fast)
    schedules.flood()
    schedules.fill(ROOMY)
    return schedules


def cutting(machine, fast):
    """The netvm takes no super-frames: they are cut, in several turns."""
    return begin(machine, fast, gso=False)


def two(machine, fast):
    """Two clients, who may talk to each other."""
    return begin(machine, fast, (A, B))


def without_buffers(machine, fast):
    """The client gives a buffer only where the plan says so."""
    return begin(machine, fast, post=0)


def without_pages(machine, fast):
    """The firewall has two pages to spare."""
    schedules = begin(machine, fast)
    schedules.net.tell("spare 2")
    return schedules


THREE = "a.queue a.queue a.queue a.tell"
LONG_ONES = "a.long*5 a.tell n.take n.ask n.answer*52 n.tell"
PLANS = (  # scene, first steps, steps at every access
    (plain, "a.queue a.tell", "a.queue a.tell"),
    (plain, "a.queue a.tell", "n.send n.told"),
    (plain, "n.send n.told", "a.queue a.tell"),
    (plain, "n.send n.told", "n.send n.told"),
    (plain, "n.send n.told n.send n.told", "a.take a.ask"),
    (plain, "a.queue a.tell", "a.take+a.queue a.ask"),
    (plain, "n.send n.told", "a.take+n.send a.ask"),
    (plain, "a.queue a.tell", "n.take+a.queue n.ask"),
    (plain, "a.queue a.tell", "n.take n.ask"),
    (plain, "a.queue a.tell n.take n.ask", "n.answer n.tell"),
    (laden, "n.send*256 n.told", "n.send+n.told"),
    (rested, "a.queue a.tell", "n.send n.told"),
    (rested, "n.send n.told", "a.queue a.tell"),
    (flooded, "a.queue a.tell", "a.queue a.tell"),
    (flooded, "a.queue a.tell", "n.send n.told"),
    (tight, THREE, "n.answer n.tell"),
    (tight, THREE + " n.answer n.tell", "a.queue a.tell"),
    (tight, THREE, "n.send n.told"),
    (tight_by_one_channel, THREE, "n.answer n.tell"),
    (tight_by_one_channel, THREE, "n.send n.told"),
    (two_tight, "a.queue a.queue b.queue b.tell a.tell", "n.answer n.tell"),
    (less_tight, THREE, "n.answer n.tell"),
    (flooded_and_tight, THREE, "n.answer n.tell"),
    (tight, "a.queue*39 a.long a.queue a.tell", "n.answer n.tell"),
    (less_tight, LONG_ONES, "n.answer+n.tell"),
    (cutting, "a.cut a.tell", "n.send+n.told"),
    (laden, "a.fresh*30 a.tell", "n.send+n.told"),
    (two, "a.queue a.tell", "b.queue b.tell"),
    (two, "a.cross a.tell", "b.cross b.tell"),
    (two, "a.cross a.tell", "b.take b.ask"),
    (without_buffers, "n.send n.told", "a.give a.gave"),
    (without_buffers, "n.send n.told n.send n.told a.give a.gave", "a.give a.gave"),
    (without_pages, "a.queue a.queue a.tell n.take", "n.answer n.tell"),
)
MORE = (
    (less_tight, LONG_ONES, "n.answer n.tell"),
    (cutting, "a.cut a.tell", "n.send+n.told n.take+n.answer*8+n.tell"),
    (plain, "a.queue a.tell", "n.take n.answer n.tell"),
    (without_pages, "a.queue a.queue a.tell", "n.take n.answer n.tell"),
    (plain, "a.queue a.tell", "a.queue a.tell n.send n.told"),
    (plain, "a.queue a.tell", "n.take n.ask n.answer n.tell"),
    (plain, "n.send n.told", "n.send n.told a.take a.ask"),
    (flooded, "a.queue a.tell", "n.take n.ask n.answer n.tell"),
    (tight, THREE, "n.answer n.tell n.answer n.tell"),
    (flooded_and_tight, THREE, "n.answer n.tell a.queue a.tell"),
    (without_buffers, "n.send n.told a.give a.gave", "n.send n.told a.give"),
)
SLOW = plain, rested, tight, two, without_buffers, without_pages  # these are something else without machine code


def names(value):
    return value if isinstance(value, str) else "%s: %s | %s" % (value[0].__name__, *value[1:])


on_and_off = [(plan, "on") for plan in PLANS] + [(plan, "off") for plan in PLANS if plan[0] in SLOW]


def explore(machine, plan, fast):
    scene, first, steps = plan
    schedules = scene(machine, fast)
    schedules.open()
    found = schedules.all(first, steps)
    assert found > 4 ** len(steps.split())


@pytest.mark.parametrize("plan, fast", on_and_off, ids=names)
def test_no_wake_up_is_lost(machine, plan, fast):
    explore(machine, plan, fast)


@pytest.mark.long
@pytest.mark.parametrize("plan", MORE, ids=names)
def test_no_wake_up_is_lost_between_more_steps(machine, plan):
    explore(machine, plan, "on")
