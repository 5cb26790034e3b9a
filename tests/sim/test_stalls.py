"""An uplink on which nothing moves is told of, in the log and in the status; it is made anew, ever more rarely."""
import math

import pytest
from tests.sim.network import Network
from packets import Look, arp, udp
from passing import passes_now

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
STATUS = "uplink: 10.138.0.2 to domain 1, which has not answered for "


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.a = net.client(A)
    net.uplink.end.send(arp(2, b"\x02\x11\x22\x33\x44\x55", net.upstream, net.address, b"\x00\x16\x3e\x5e\x6c\x00"))
    net.settle()
    return net


def test_an_unanswered_request_is_told_kicked_and_ends_the_connection(net):
    """5 s: one line, a word in the status, an event. 10 s: Closed, Initialising. What had been sent is lost, no more."""
    net.advance(1)
    before = net.holdings()
    end = net.uplink.end
    end.holds = True
    net.a.send(udp(A, 4001, SERVER, 53))
    net.settle()
    kicks = []
    pending = end.peer.pending
    end.peer.pending = lambda: (lambda found: kicks.extend(found) or found)(pending())
    net.advance(4.9)
    assert not net.lines("stalls") and not kicks
    net.advance(0.3)
    assert len(net.lines("uplink: domain 1 has not answered for 5 s, 1 pages are with it")) == 1
    assert end.port in kicks
    assert any(line.startswith(STATUS + "5 s") for line in net.firewall.status())
    net.advance(4)
    assert len(net.lines("uplink closed: no answer for 10 s")) == 1 and len(net.lines("stalls")) == 1
    end.holds = False
    net.again(2)
    passes_now(net, net.a)
    assert not any("not answered" in line for line in net.firewall.status())
    net.advance(1.1)
    assert net.holdings() == before


def test_a_lost_event_is_mended_by_the_kick(net):
    """The netvm's event was lost: it answers when it is told again, and the connection stays."""
    end = net.uplink.end
    net.settle()
    auto, end._take = end._take, lambda: False
    net.a.send(udp(A, 4001, SERVER, 53))
    net.settle()
    end.peer.pending()
    end.peer.events = set()
    end._take = auto
    net.advance(4)
    assert not end.frames
    net.advance(2)
    assert len(end.frames) == 1 and end.connections == 1
    assert len(net.lines("stalls")) == 2 and net.lines("uplink: domain 1 answers again")


def test_the_gaps_grow(machine):
    """A netvm that never answers: fewer and fewer connections."""
    net = Network(machine=machine, uplink=False)
    net.client(A)
    end = net.netvm(net.address).end
    end.holds = True
    made = []
    for second in range(1200):
        net.advance(1)
        if len(made) < end.connections:
            made.append(second)
    gaps = [b - a for a, b in zip(made[1:], made[2:])]
    assert gaps == sorted(gaps) and gaps[0] <= 25 and gaps[-1] >= 300, made
    assert len(made) - 1 <= len(net.lines("stalls")) <= len(made)
    end.holds = False
    net.again(end.connections + 1, 700)
    net.advance(100)
    end.holds = True  # it was calm for a minute: the next time it does not take long
    began = end.connections
    net.client(B).send(udp(B, 1, SERVER, 2))
    net.advance(12)
    assert end.connections == began + 1 or end.connections == began
    assert len(net.lines("uplink closed: no answer for 10 s")) >= 2


def test_a_slow_netvm_is_kept(net):
    """Frames wait for half a minute, but one after the other is answered: a new connection would help nobody."""
    end = net.uplink.end
    end.holds = True
    for i in range(250):
        net.a.end.queue(udp(A, 9000, SERVER, 53, b"%d" % i))
    net.a.end.kick()
    net.settle()
    for _ in range(60):
        end.resume(limit=4)
        net.advance(0.5)
    assert end.connections == 1 and not net.lines("stalls")
    assert len(end.frames) == 240


def test_one_request_that_is_never_answered(net):
    """All others are: it is told, and after a minute the page comes back by another connection."""
    end = net.uplink.end
    end.holds = True
    net.a.send(udp(A, 4000, SERVER, 53))
    net.settle()
    end.tx.consumed += 1  # forgotten
    end.resume()
    for second in range(70):
        if end.connections == 1:
            net.a.send(udp(A, 4001, SERVER, 53, b"%d" % second))
            net.advance(1)
            assert end.connections == 2 or Look(end.frames.pop()[0]).data == b"%d" % second
        if second == 8:
            assert len(net.lines("uplink: domain 1 has not answered for 5 s, 1 pages")) == 1
    assert 58 <= second <= 69 and len(net.lines("uplink closed: no answer for 60 s")) == 1
    net.again(2)
    passes_now(net, net.a)


def test_arp_that_is_not_answered_is_no_reason(machine):
    net = Network(machine=machine)
    wire = net.client(A)
    net.advance(300)
    assert net.uplink.end.connections == 1 and not net.lines("stalls")
    passes_now(net, wire)


def test_a_pause_of_the_machine_is_not_held_against_the_netvm(net):
    """Asleep for an hour with a frame on its way: all of us were."""
    end = net.uplink.end
    end.holds = True
    net.a.send(udp(A, 4001, SERVER, 53))
    net.advance(1)
    net.machine.header.clock_ns = net.machine.now + 3600 * 1_000_000_000
    net.settle()
    assert not net.lines("stalls")
    end.resume()
    net.settle()
    passes_now(net, net.a, 4002)
    assert end.connections == 1


def test_it_works_without_a_script_that_ends(machine):
    """No state in which we say that we are connected and nothing moves: it is told, and tried again until it does."""
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    from netvm import Netvm
    end = Netvm(machine, 1, late=math.inf)
    net.uplink_to(end)
    net.advance(40)
    assert end.connections >= 2 and len(net.lines("has not answered for 5 s")) >= 1
    end.late = 3
    machine.until(end.connected, 120, "the uplink")
    net.advance(3)
    passes_now(net, wire)


def test_an_idle_firewall_is_not_woken(net):
    """Nothing on its way: no tick."""
    passes_now(net, net.a)
    net.uplink.end.frames.clear()
    net.advance(400)  # flows are gone
    woken = []
    net.firewall.turn, turn = lambda: (woken.append(1), turn())[1], net.firewall.turn
    net.advance(60)
    assert len(woken) <= 8


def test_errors_told_by_the_netvm_are_counted(net):
    """Answers that say so, in either direction."""
    end = net.uplink.end
    for status in (-1, -2, -32768, 0):
        id, _ = end.buffer()
        end.respond(id, 0, 0, status)
    end.kick(end.rx)
    net.settle()
    end.holds = True
    net.a.send(udp(A, 4001, SERVER, 53))
    net.settle()
    end.answer(end.tx.halves[end.tx.at(end.tx.consumed) + 4], -1)
    end.tx.consumed += 1
    end.kick(end.tx)
    net.settle()
    assert "uplink: 10.138.0.2 to domain 1, dropped for want of room: 0, ended by an error: 5" in net.firewall.status()
    assert end.connections == 1


@pytest.mark.parametrize("after", [0, 5, 100])
def test_a_gateway_that_answers_late_is_asked_until_it_does(machine, after):
    """Asked again with growing gaps, to a minute; then its own Ethernet address is used, and it is not asked any more."""
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    from netvm import Netvm
    end = Netvm(machine, 1)
    net.uplink_to(end)
    machine.until(end.connected, 10, "the uplink")
    began, asked = machine.now, []
    mac = b"\x02\x11\x22\x33\x44\x55"
    for tenth in range(10 * after + 700):
        machine.advance(0.1)
        new = [octets for octets, _, _, _ in end.frames if octets[12:14] == b"\x08\x06"]
        end.frames.clear()
        asked += [(machine.now - began) / 1e9] * len(new)
        if new and asked[-1] >= after:
            end.send(arp(2, mac, net.upstream, net.address, b"\x00\x16\x3e\x5e\x6c\x00"))
            break
    gaps = [b - a for a, b in zip(asked, asked[1:])]
    assert all(b > a - 0.2 for a, b in zip(gaps, gaps[1:])) and all(gap < 61 for gap in gaps)
    assert asked[-1] <= after + 61 and (after != 5 or asked[-1] < 10)
    wire.send(udp(A, 1, SERVER, 2))
    assert end.recv()[0][:6] == mac
    machine.advance(200)
    assert not [octets for octets, _, _, _ in end.frames if octets[12:14] == b"\x08\x06"]


def test_a_new_address_has_one_asker(machine):
    """Each change of the network asks anew, and the one before asks no more."""
    net = Network(machine=machine)
    for last in range(3, 9):
        net.tell("network 10.138.0.%d 10.138.0.1" % last)
    net.uplink.end.frames.clear()
    net.advance(60)
    asked = [octets for octets, _, _, _ in net.uplink.end.frames]
    assert len(asked) <= 4 and {octets[28:32] for octets in asked} == {bytes((10, 138, 0, 8))}
