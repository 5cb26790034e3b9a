"""Services beside traffic: eight at once, callers that do not read, callers that vanish, a thousand in a row.

No packet is lost for them, no other client gets less, the rings do not wait, and memory stays level.
"""
import re

import pytest
from machine import Machine
from packets import SYN, Look, error, tcp, udp
from pcapng import Capture
from seeing import Seeing, parsed
from share import STEP_NS, World

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
MARK = b"quiet client"
LASTING = ("firewall.Watch+json", "firewall.Refused+json", "firewall.Capture+" + A, "firewall.Capture+uplink",
           "firewall.Watch", "firewall.Explain+json")
FLOWS = 3000
LONGEST = 2000  # us


def crowded(machine, cmdline=""):
    """A firewall with many flows, and rows of refusals."""
    see = Seeing(machine, cmdline)
    a = see.net.client(A, ("action=drop proto=udp dstports=99-99", "action=accept"))
    b = see.net.client(B)
    for n in range(FLOWS):
        a.send(udp(A, 1024 + n, SERVER, 53))
    for n in range(300):
        a.send(udp(A, 4000, "192.0.2.%d" % (n % 250), 99))
    see.net.settle()
    return see, a, b


def busy(see, a, b, services, seconds=0.5):
    """(The quiet client's Steady, frames that the other brought, the longest gap in us, its line, the calls)."""
    world = World(see.net)
    quiet = world.steady(b, [udp(B, 1000 + i, SERVER, 53, MARK) for i in range(20)], 400, see.net.uplink, MARK)
    flood = world.flood(a, [udp(A, 1024 + i, SERVER, 53, b"x" * 500) for i in range(8)])
    see.net.firewall.status()
    calls = [see.dom0.call(service) for service in services]
    world.run(seconds)
    line, = [line for line in see.net.firewall.status() if "since last asked" in line]
    return quiet, flood.brought, int(re.search(r"(\d+) us", line)[1]), line, calls


def test_eight_at_once_take_nothing_from_anybody(machine, figure):
    see, a, b = crowded(machine)
    alone, brought, gap, _, _ = busy(see, a, b, ())
    services = LASTING + ("firewall.Flows+json", "firewall.Counters+json")
    quiet, beside, longest, line, calls = busy(see, a, b, services)
    figure("frames of a flood without and beside eight services", "%d, %d" % (brought, beside))
    figure("longest gap without and beside eight services", "%d us, %d us" % (gap, longest), LONGEST)
    assert alone.came == alone.due and quiet.came == quiet.due
    assert longest < max(LONGEST, gap + 500), line
    see.machine.advance(30)
    assert [call.gone for call in calls] == [False] * 6 + [True] * 2
    assert len(parsed("firewall.Flows", calls[6].stdout)) >= FLOWS
    assert Capture(calls[2].stdout).packets and Capture(calls[3].stdout).packets
    assert see.dom0.left == []


def test_a_capture_of_a_flood_costs_others_nothing(machine, figure):
    """Who floods pays for it, not the client beside him, nor what the flood gets through by more than a little."""
    see, a, b = crowded(machine)
    alone, brought, gap, _, _ = busy(see, a, b, ())
    quiet, beside, longest, line, calls = busy(see, a, b, ("firewall.Capture+" + A,))
    figure("frames of a flood alone, and captured", "%d, %d" % (brought, beside))
    assert quiet.came == quiet.due
    assert beside > 0.95 * brought
    see.machine.advance(3)
    capture = Capture(calls[0].stdout)
    assert capture.seen[0] > 0.9 * beside
    assert len(capture.packets) + sum(capture.lost.values()) == sum(capture.seen.values())


def worked(see, wire, count=100):
    """ns of work that a packet of a known flow takes, alone on its way: the machine's clock passes by work."""
    header = see.machine.header
    wire.send(udp(B, 4000, SERVER, 53))
    see.net.settle()
    header.step_ns = STEP_NS
    before = header.clock_ns
    for _ in range(count):
        wire.send(udp(B, 4000, SERVER, 53))
        see.net.settle()
    header.step_ns = 0
    return (header.clock_ns - before) // count


def test_who_is_not_captured_does_not_leave_machine_code(machine, figure):
    see = Seeing(machine)
    see.net.client(A)
    b = see.net.client(B)
    alone = worked(see, b)
    call = see.call("firewall.Capture+" + A)
    machine.advance(0.1)
    beside = worked(see, b)
    figure("work of a packet without and beside a capture of another", "%d, %d" % (alone, beside))
    assert beside < 1.2 * alone
    assert not call.gone


def downloads(argument, frames, rules=("action=accept",), errors=False):
    """What a client downloads beside another's flood, in frames, without a capture and with one: (alone, beside).

    errors: every eighth frame that comes in is one that tells the flood of its port: those are judged one by one.
    """
    came = []
    for captured in (False, True):
        with Machine() as machine:
            see = Seeing(machine)
            a, b = see.net.client(A, rules), see.net.client(B)
            b.send(udp(B, 4000, SERVER, 53))
            outside = Look(see.net.uplink.recv()).sport
            answers = [udp(SERVER, 53, see.net.address, outside, MARK + bytes(1400))]
            if errors:
                a.send(frames[0])
                answers = 7 * answers + [error(SERVER, see.net.address, 3, 3, see.net.uplink.recv()[14:])]
            call = see.call("firewall.Capture+" + argument) if captured else None
            world = World(see.net)
            world.flood(a, frames)
            world.flood(see.net.uplink, answers)
            counted = world.steady(b, [b""], 0, b, MARK)
            world.run(0.5)
            came.append(counted.came)
            if captured:
                see.machine.advance(1)
                assert sum(Capture(call.stdout).seen.values()) > 1000
    return came


FLOODS = {
    "small packets": (("action=accept",), [udp(A, 1024 + i, SERVER, 9, bytes(8)) for i in range(8)], False),
    "packets that errors answer": (("action=accept",), [udp(A, 1024 + i, SERVER, 9, bytes(8)) for i in range(8)], True),
    "packets that are refused": ((), [udp(A, 1024 + i, SERVER, 9, bytes(8)) for i in range(8)], False),
}


@pytest.mark.parametrize("form", FLOODS)
@pytest.mark.parametrize("argument", [A, A + "+udp", "uplink"])
def test_a_download_beside_a_captured_flood_is_as_fast_as_beside_it_alone(argument, form, figure):
    rules, frames, errors = FLOODS[form]
    alone, beside = downloads(argument, frames, rules, errors)
    what = "frames downloaded beside %s, and with a capture of %s" % (form, argument)
    figure(what, "%d, %d" % (alone, beside), "95 %")
    assert beside >= 0.95 * alone > 500


def test_callers_that_do_not_read_stop_only_themselves(machine):
    see, a, b = crowded(machine)
    held = [see.dom0.call(service) for service in ("firewall.Flows", "firewall.Watch", "firewall.Capture+" + A)]
    see.machine.advance(0.2)
    for call in held:
        call.held = True
    for _ in range(5):
        a.send(udp(A, 1024, SERVER, 53))
        see.machine.advance(1)
    free = see.net.figures()["heap"]
    see.net.uplink.end.frames.clear()
    for n in range(2000):
        a.send(udp(A, 1024, SERVER, 53, b"x" * 400))
    see.net.settle()
    assert len(see.net.left()) == 2000
    assert len(see.objects("firewall.Flows+" + B)) == 0 and len(see.objects("firewall.Counters")) == 3
    assert abs(see.net.figures()["heap"] - free) < 20000


@pytest.mark.parametrize("service", LASTING + ("firewall.Flows+json", "firewall.Status", "firewall.Counters"))
def test_callers_that_vanish_leave_nothing(machine, service):
    see, a, b = crowded(machine)

    def one(advance):
        call = see.dom0.call(service)
        see.machine.settle() if not advance else see.machine.advance(advance)
        if not call.gone:
            call.close()
        see.machine.advance(1.5)
        assert see.dom0.daemon.ports == {} and see.dom0.left == []

    for n in range(3):
        one(0.05)
    before, heap = see.net.holdings(), see.net.figures()["heap"]
    for n in range(10):
        one((0, 0.01, 0.3, 1.2)[n % 4])
    after = see.net.holdings()
    assert after == before
    assert abs(see.net.figures()["heap"] - heap) < 10000
    assert see.net.tell("tapped") == "0"


def test_a_thousand_in_a_row(machine, figure):
    see = Seeing(machine)
    a = see.net.client(A, ("action=drop proto=udp dstports=99-99", "action=accept"))
    for n in range(20):
        a.send(udp(A, 1024 + n, SERVER, 53))
        a.send(tcp(A, 1024 + n, SERVER, 80, SYN))
        a.send(udp(A, 1024 + n, SERVER, 99))
    see.net.settle()
    ends = ("firewall.Status+json", "firewall.Flows+json", "firewall.Counters+json", "firewall.Explain",
            "firewall.Flows+" + B)
    lasts = ("firewall.Watch", "firewall.Refused+json", "firewall.Capture+uplink")

    def row(count):
        for n in range(count):
            if n % 4 == 3:
                call = see.dom0.call(lasts[n // 4 % 3])
                see.machine.settle()
                call.close()
                see.machine.advance(0.3)
            else:
                call = see.call(ends[n % 5], b"%s udp %s 99\n" % (A.encode(), SERVER.encode()))
                see.machine.until(lambda: call.gone, 20, "its end")
                assert call.code == (1 if ends[n % 5].endswith(B) else 0), call.stderr
        see.machine.advance(2)

    row(40)
    before, heap = see.net.holdings(), see.net.figures()["heap"]
    row(1000)
    assert see.net.holdings() == before
    figure("heap after 1,000 calls", "%+d octets" % (see.net.figures()["heap"] - heap), 20000)
    assert abs(see.net.figures()["heap"] - heap) < 20000
    assert see.dom0.left == [] and see.dom0.daemon.ports == {} and a.pings()
