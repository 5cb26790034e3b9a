"""What xenstored, dom0 and a netvm do to the uplink's directories by mistake: an error here, a node too few or too strange there.

Whatever it is, the firewall comes to rest, clients are served, and when it is over the uplink works as before.
"""
import math

import pytest
from device import CLOSED, CLOSING, INIT_WAIT
from netvm import Netvm
from tests.sim.network import OUR_MAC, Network
from attacks import bent
from packets import arp
from test_netback_store import Refusing
from xenstored import TRANSACTION_END

A = "10.137.0.21"
QUIET = 80  # requests to xenstored that a change of one node may cause, at most


@pytest.fixture
def net(machine):
    net = Network(machine=machine, uplink=False)
    net.a = net.client(A)
    net.domid = 30
    return net


def attach(net, **options):
    """Another netvm."""
    net.domid += 1
    end = Netvm(net.machine, net.domid, **options)
    net.uplink_to(end)
    return end


def detach(net, gently=True):
    """dom0 takes it away within its limits."""
    end = net.uplink.end
    if gently:
        end.detach()
        end.leave()
        end.peer.kill()
        net.wires.remove(net.uplink)
    else:
        net.no_netvm()
    net.settle()


def joined(net, end, connections=1, seconds=10, what="the uplink"):
    """Both sides are connected."""
    net.machine.until(lambda: end.connections >= connections and end.connected() and end.posted() == 256, seconds, what)


def passes(net):
    """Frames go both ways: without a flow, which would keep the firewall awake for minutes."""
    net.settle()
    end = net.uplink.end
    end.frames.clear()
    end.send(arp(1, OUR_MAC, net.upstream, net.address))
    assert end.recv()[0][12:22] == b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02"


def life(net, refusing, how):
    """A netvm is attached, works, closes and opens again, and is taken away."""
    with refusing:
        end = attach(net, late=0.5)
        joined(net, end, 1, 10, "connection, request %d" % refusing.number)
        passes(net)
        if how == "closes":
            end.disconnect()
            end.set_state(CLOSED)
            joined(net, end, 2, 15, "another connection, request %d" % refusing.number)
            passes(net)
        detach(net, how != "killed")
    return len(refusing.seen)


@pytest.mark.parametrize("how", ["closes", "killed"])
@pytest.mark.parametrize("word", ["EIO", "EAGAIN", "ENOSPC", "EQUOTA"])
def test_every_request_to_xenstored_may_fail_once(net, word, how):
    """In connecting, connecting again and disconnecting: tried again soon, and all is given back."""
    end = net.firewall.store_end
    life(net, Refusing(end), how)
    net.advance(3)
    before = net.holdings()
    requests = life(net, Refusing(end), how)
    assert requests > 30
    for number in range(requests):
        refusing = Refusing(end, number, word)
        life(net, refusing, how)
        net.advance(3)
        assert net.holdings() == before, refusing.seen[number]
    assert net.a.pings() and not net.lines("crash")


def test_an_error_costs_no_connection(net):
    """One while the uplink works: it goes on."""
    end = attach(net)
    joined(net, end)
    for word in ("EIO", "EAGAIN", "ENOSPC", "EQUOTA"):
        for number in range(6):
            with Refusing(net.firewall.store_end, number, word):
                end.write("feature-sg", "1")  # so that it looks
                net.advance(5)
            passes(net)
    assert end.connections == 1 and not net.lines("uplink closed")


def test_an_error_that_stays_is_asked_for_with_growing_gaps(net):
    end = net.firewall.store_end
    net.advance(5)
    end.refuse = lambda type, payload: "ENOSPC" if type == TRANSACTION_END else None
    netvm = attach(net)
    net.advance(60)
    before = len(end.requests)
    net.advance(600)
    assert len(end.requests) - before < 300
    assert len(net.lines("uplink: tries again")) < 25
    end.refuse = None
    joined(net, netvm, 1, 61)
    passes(net)


def test_an_error_that_stays_when_it_is_time_for_something(net):
    """The pause after a connection, or the script's 10 s, are over: that had us look every millisecond."""
    end = net.firewall.store_end
    for late, seconds in ((0, 2), (30, 12)):
        netvm = attach(net, late=late)
        if late:
            net.settle()
            end.refuse = lambda type, payload: "EIO" if payload.startswith(netvm.back.encode()) else None
        else:
            joined(net, netvm)
            netvm.disconnect()
            netvm.set_state(CLOSED)
            net.settle()
            end.refuse = lambda type, payload: "ENOSPC" if type == TRANSACTION_END else None
        if late:
            netvm.write("feature-sg", "1")
        net.advance(seconds)
        before, lines = len(end.requests), len(net.lines("uplink: tries again"))
        net.advance(20)
        assert len(end.requests) - before < 100, late
        assert len(net.lines("uplink: tries again")) - lines < 10
        end.refuse = None
        net.advance(61)
        if not late:
            joined(net, netvm, 2)
        passes(net)
        detach(net, gently=False)


# ---- nodes that are missing, empty or nonsense -------------------------------------------------------

FRONT = ["backend", "backend-id", "state", "handle", "mac", "mtu", "trusted", "tx-ring-ref", "event-channel-tx", "request-rx-copy"]
BACK = ["frontend", "frontend-id", "online", "state", "mac", "handle", "feature-rx-copy", "feature-sg", "feature-gso-tcpv4",
        "feature-split-event-channels", "feature-rx-flip"]  # fmt: skip
WRONG = {"removed": None, "empty": b"", "a path": b"/local/domain/0/x", "negative": b"-1", "large": b"77777", "control": b"\x1b[2J\x00\xff"}


def at(net, state):
    """A netvm with which the uplink has come so far."""
    end = attach(net, attach=False)
    end.auto = state != "begin"
    end.late = math.inf if state == "waiting" else 0
    end.attach()
    if state in ("connected", "closed"):
        joined(net, end)
    if state == "closed":
        end.auto = False
        end.disconnect()
        end.set_state(CLOSING)
    net.settle()
    return end


def quiet(net, what, state):
    """The firewall comes to rest, and stays there: what xenstored is asked for in ten minutes. Clients are served."""
    end = net.firewall.store_end
    before = len(end.requests)
    net.settle()
    net.machine.advance(20)
    limit = QUIET if state != "waiting" else 3 * QUIET
    assert len(end.requests) - before < limit, "%s: %d requests" % (what, len(end.requests) - before)
    before = len(end.requests)
    net.machine.advance(600 if state != "waiting" else 60)
    limit = 1 if state != "waiting" else 3 * QUIET  # a script that never ends: connected anew, ever more rarely
    assert len(end.requests) - before < limit, "%s: goes on and on" % what
    assert net.a.pings(), what
    assert "\x1b" not in net.firewall.console


def works_again(net, end, name, directory, value):
    """dom0 writes what belongs there, and the netvm goes on as a Linux netvm does."""
    path = ("%s/%s" % (directory, name)).encode()
    if value is not None and name != "state":
        net.machine.dom0.write(path, value)
    elif value is None and net.machine.store.get(path):
        net.machine.dom0.remove(path)
    end.auto = True
    end.late = 0
    if name == "state" and directory == end.front:
        net.machine.dom0.write(path, b"1")
    net.advance(5)
    if not end.connected() or name == "state" and directory == end.back:
        end.disconnect()
        end.set_state(1 if end.state == 1 else CLOSED)
        if end.state == 1:
            end.serve()
    joined(net, end, 1, 30, "connection after %s" % name)
    passes(net)


@pytest.mark.parametrize("wrong, state", [(wrong, state) for wrong in WRONG for state in ("begin", "waiting", "connected", "closed")
                                          if state != "waiting" or wrong in ("removed", "control")])
@pytest.mark.parametrize("side", ["back", "front"])
def test_each_node_of_the_uplink_may_be_wrong(net, side, wrong, state):
    """A state of ours that dom0 removed alone: the task ended and began again without end, at full CPU."""
    for name in BACK if side == "back" else FRONT:
        end = at(net, state)
        directory = end.back if side == "back" else end.front
        what = "%s %s" % (name, wrong)
        before = bent(net, directory, name, WRONG[wrong])
        quiet(net, what, state)
        works_again(net, end, name, directory, before)
        detach(net, gently=False)
    net.advance(5)
    assert net.a.pings() and net.figures()["links"] == 1


@pytest.mark.parametrize("name", ["online", "state", "backend", "backend-id"])
def test_a_directory_that_is_removed_while_a_node_is_wrong(net, name):
    """Not brought back to life by what we write."""
    end = at(net, "connected")
    bent(net, end.back if name == "online" else end.front, name, None)
    net.no_netvm()
    net.advance(10)
    assert not net.machine.dom0.directory(b"/local/domain/2/device/vif") if net.machine.store.get(b"/local/domain/2/device/vif") else True
    attach(net)
    joined(net, net.uplink.end)
    passes(net)


# ---- the netvm's state jumps as it likes --------------------------------------------------------------

STATES = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "", "x"]


@pytest.mark.parametrize("first", STATES)
def test_every_jump_of_the_netvms_state(net, first):
    """From each state to each other, with rings mapped and without; clients are served, and it works when it comes to its senses."""
    end = at(net, "connected")
    for then in STATES:
        for mapped in (True, False):
            end.auto = False
            if not mapped:
                end.disconnect()
            for state in (first, then, first, then):
                end.write("state", state)
                net.settle()
            net.advance(1)
            for state in (first, then):  # faster than we look
                end.write("state", state)
            before = len(net.firewall.store_end.requests)
            net.advance(30)
            assert len(net.firewall.store_end.requests) - before < 3 * QUIET, (first, then)
            assert net.a.pings(), (first, then)
            end.auto = True
            end.disconnect()
            end.set_state(CLOSED)
            joined(net, end, 1, 20, "connection after %s, %s" % (first, then))
            passes(net)


def test_offered_again_and_again(net):
    """InitWait, Closed, InitWait ...: nothing grows."""
    end = at(net, "connected")
    end.auto = False
    end.disconnect()
    net.advance(5)
    before = None
    for i in range(40):
        end.set_state((INIT_WAIT, CLOSED)[i & 1])
        net.advance(6)
        if i == 9:
            before = net.holdings()
    assert net.holdings() == before
