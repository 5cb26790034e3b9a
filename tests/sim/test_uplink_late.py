"""The netvm as a driver domain: its vif script takes its time, or fails; nothing of ours may be there before it has ended.

A Linux netvm maps our rings when we are connected, and goes to state 4 when its script has ended. What it was sent
before that it may never see.
"""
import math

import pytest
from device import CLOSED, CLOSING
from netvm import Netvm
from tests.sim.network import Network
from packets import Look, udp
from passing import passes_now

A, SERVER = "10.137.0.21", "192.0.2.50"
ARP = b"\x08\x06"
both = pytest.mark.parametrize("split", [True, False], ids=["split", "one channel"])


def begin(machine, **options):
    """A network with a client, and a Netvm to which the uplink is about to connect."""
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    end = Netvm(machine, 1, **options)
    net.uplink_to(end)
    return net, wire, end


def told_there_is_none(wire):
    wire.end.frames.clear()
    wire.send(udp(A, 1, SERVER, 2))
    seen = Look(wire.recv())
    assert (seen.kind, seen.code) == (3, 0)


def sent(end):
    """A list that grows by each port of the netvm's on which it finds an event."""
    ports, pending = [], end.peer.pending

    def look():
        found = pending()
        ports.extend(found)
        return found

    end.peer.pending = look
    return ports


@both
@pytest.mark.parametrize("late", [0.3, 1, 9.9])
def test_nothing_is_shown_before_the_netvm_is_ready(machine, late, split):
    """No frame, no rx slot and no event before its state 4; then everything at once, with one event on each channel."""
    net, wire, end = begin(machine, late=late, split=split)
    if late > 2:
        machine.advance(late - 2)
        assert "uplink: domain 1 has not come to state 4" in net.firewall.status()
    machine.advance((late - 0.05) % 1)
    assert end.state == 4 and not end.early and not net.lines("uplink connected")
    told_there_is_none(wire)
    events = sent(end)
    machine.until(end.connected, 1, "the uplink")
    machine.settle()
    assert not end.early and end.posted() == 256 and len(net.lines("uplink connected")) == 1
    assert [octets[12:14] for octets, _, _, _ in end.frames] == [ARP]
    assert sorted(events) == ([end.port, end.rx_port] if split else [end.port])
    passes_now(net, wire)


@both
def test_a_script_that_fails_is_not_waited_for_without_end(machine, split):
    """10 s after state 2 the rings are filled all the same, and the log says why."""
    net, wire, end = begin(machine, late=math.inf, split=split)
    machine.advance(9.9)
    assert not end.early and not net.lines("uplink connected")
    machine.advance(0.2)
    assert end.early and end.rx.words[0] == 256 and end.tx.words[0] == 1
    assert len(net.lines("has not come to state 4")) == 1
    assert net.lines("has not come to state 4") == net.lines("uplink connected")
    end.late = 0
    end._script_ended()  # dom0 has mended it
    passes_now(net, wire)


def test_a_late_state_4_is_told_to_look(machine):
    """What was sent before it, and whose event it has lost, it sees."""
    net, wire, end = begin(machine, late=10.5)
    machine.advance(10.4)
    end.peer.pending()
    end.peer.events = set()  # its event channel is masked, the event is lost
    wire.send(udp(A, 4001, SERVER, 53, b"early"))
    net.settle()
    end.peer.pending()
    end.peer.events = set()
    end.up = True
    end.late = 0
    end.set_state(4)
    net.settle()
    assert Look(end.frames[-1][0]).data == b"early"


@pytest.mark.parametrize("how", ["dom0", "netvm", "online alone", "directory"])
def test_taken_away_while_we_wait_for_it(machine, how):
    """libxl waits 10 s at most: we are closed at once."""
    net, wire, end = begin(machine, late=math.inf)
    machine.advance(3)
    before = machine.now
    if how == "dom0":
        end.detach()
        assert machine.now == before
    elif how == "netvm":
        end.auto = False
        end.set_state(CLOSING)
        net.settle()
        assert end._front_state() == CLOSED
        end.disconnect()
    elif how == "online alone":
        end.auto = False
        machine.dom0.write((end.back + "/online").encode(), b"0")
        net.settle()
        assert end._front_state() == CLOSED
        end.disconnect()
    else:
        end.kill()
    if how != "directory":
        end.leave()
        end.remove()
    net.wires.remove(net.uplink)
    told_there_is_none(wire)
    net.netvm(net.address, domid=31)
    passes_now(net, wire)


def test_taken_away_while_we_wait_to_offer_ourselves_again(machine):
    """We are closed then; a netvm that begins to close hears it once more."""
    net = Network(machine=machine)
    end = net.uplink.end
    end.auto = False
    end.disconnect()
    for _ in range(6):  # so that the delay grows to seconds
        end.set_state(CLOSED)
        net.settle()
        assert end._front_state() == CLOSED
        machine.until(lambda: end._front_state() == 1, 10, "another offer")
        end.set_state(2)
        machine.until(lambda: end._front_state() == 4, 1, "connection")
    end.set_state(CLOSED)
    net.settle()
    assert end._front_state() == CLOSED
    before = machine.xenstored.ends[2].requests
    n = len(before)
    tx = machine.dom0.start()
    machine.dom0.write((end.back + "/online").encode(), b"0", tx)
    machine.dom0.write((end.back + "/state").encode(), b"5", tx)
    machine.dom0.end(tx, True)
    net.settle()
    assert any(kind == 11 and payload.endswith(b"/state\x006") for kind, payload in before[n:])
    n = len(before)
    machine.advance(30)
    assert end._front_state() == CLOSED, "offline: it is not offered again"
    assert len(before) == n, "it does not come to rest"


def test_nodes_of_the_other_form_do_not_stay(machine):
    """A netvm that offered two channels, then one: Linux looks for two first."""
    net = Network(machine=machine)
    wire = net.client(A)
    end = net.uplink.end
    for split in (False, True):
        end.split = split
        end.xs.remove((end.back + "/feature-split-event-channels").encode())
        end.disconnect()
        end.set_state(CLOSED)
        net.again(end.connections + 1)
        assert (end.rx_port != end.port) == split
        passes_now(net, wire)


@both
def test_netvm_after_netvm_with_scripts_of_all_kinds(machine, split):
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    net.advance(1)
    before = net.holdings()
    for domid, late in enumerate((0, 5, 0.1, 0, 3), 31):
        end = net.netvm(net.address, domid=domid, split=split, late=late).end
        passes_now(net, wire)
        assert not end.early and not end.dirty
        net.no_netvm()
        net.advance(1.1)
        held = net.holdings()
        assert {name: held[name] for name in ("grants", "ports", "free")} == {name: before[name] for name in ("grants", "ports", "free")}
