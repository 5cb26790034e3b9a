"""Clients at the edges of what their rings can say: counters that wrap, sizes past 64 KiB, one page for everything."""
import pytest
from attacks import LIAR, SERVER, answered, forwarding, frame, net, one, rest, row, works  # noqa: F401
from frontend import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING, Client
from machine import Machine
from tests.sim.network import Network
from packets import Look, echo, looks
from rings import ERROR, MASK, MORE_DATA, OKAY, PAGE, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD
from store import OXENSTORED, XENSTORED
from test_netback_life import fill

WRAP = 1 << 32


def at_counter(net, counter):
    """A client whose rings' counters begin there, as those of a long-lived one do."""
    wire = net.client(LIAR, wait=False, auto=False, post=0)
    net.settle()
    end = wire.end
    end.make_rings()
    for ring in (end.tx, end.rx):
        ring.words[REQ_PROD] = ring.words[RSP_PROD] = counter & MASK
        ring.words[REQ_EVENT] = ring.words[RSP_EVENT] = counter + 1 & MASK
        ring.produced = ring.consumed = counter
    end.post = 256
    for _ in range(end.post):
        end.give_buffer()
    end.rx.publish()
    end.publish()
    net.settle()
    assert end.connected()
    return wire


@pytest.mark.parametrize("before", [0, 1, 5, 255, 256, 300])
def test_counters_that_wrap_at_2_to_the_32(net, before):
    """tx and rx go on as if nothing was, wherever in the ring the wrap lies."""
    wire = at_counter(net, WRAP - before)
    held = rest(net)
    for i in range(8):
        with forwarding(net, 10):
            for j in range(100):
                wire.end.queue(frame(sport=6000 + j))
            wire.end.kick()
            net.settle()
        answered(wire.end, [OKAY] * 100)
        got = [seen.sport for seen in looks(net.left())]
        assert got == list(range(6000, 6100))
        for seq in range(100):
            wire.end.queue(echo(LIAR, net.gateway, seq=seq))
        wire.end.kick()
        net.settle()
        assert [seen.seq for seen in looks(wire.end.frames)] == list(range(100))
        wire.end.frames.clear()
        wire.end.responses.clear()
    assert wire.end.tx.words[REQ_PROD] < 2000 and rest(net) == held


@pytest.mark.parametrize("ring", ["tx", "rx"])
@pytest.mark.parametrize("ahead", [257, -1, 1 << 31, -257])
def test_a_producer_that_lies_across_the_wrap(net, ring, ahead):
    wire = at_counter(net, WRAP - 3)
    end = wire.end
    with forwarding(net):
        if ring == "tx":
            end.tx.publish(end.tx.consumed + ahead)
        else:
            end.rx.publish(end.rx.consumed + ahead)
            end.send(echo(LIAR, net.gateway))
        end.peer.evtchn_send(end.port)
        net.settle()
    assert end.their_state() == CLOSING
    assert len(net.lines("vif %s: link closed: %s request producer" % (end.name, ring))) == 1


@pytest.mark.parametrize("last, statuses", [(PAGE, [ERROR] * 18), (0, [ERROR] * 18)])
def test_slots_that_hold_more_than_64_kib(net, last, statuses):
    """17 whole pages behind the first slot; the field for the total has 16 bits."""
    liar = net.client(LIAR)
    before = rest(net)
    with forwarding(net):
        one(liar.end, frame(), flags=MORE_DATA, size=65535)
        for i in range(17):
            one(liar.end, size=PAGE if i < 16 else last, flags=MORE_DATA if i < 16 else 0)
        liar.end.kick()
        net.settle()
    answered(liar.end, statuses)
    assert net.uplink.recv() is None and liar.end.their_state() == CONNECTED and rest(net) == before


def test_sizes_that_miss_the_whole_by_one(net):
    """One octet less than the fragments hold is an error; as many as they hold leaves the first slot empty."""
    liar = net.client(LIAR)
    before = rest(net)
    octets = frame(b"x" * 200)
    for total, status in ((len(octets) - 1, ERROR), (len(octets), OKAY)):
        with forwarding(net):
            one(liar.end, b"", flags=MORE_DATA, size=total)
            one(liar.end, octets)
            liar.end.kick()
            net.settle()
        answered(liar.end, [status] * 2)
        assert (net.uplink.recv() is None) == (status == ERROR)
    assert liar.end.their_state() == CONNECTED and rest(net) == before


def test_one_page_for_everything_that_is_sent(net):
    """The same grant in all slots of a packet, in all packets at once."""
    liar = net.client(LIAR)
    before = rest(net)
    octets = frame(b"")
    id, ref = liar.end.page(octets)
    with forwarding(net):
        for _ in range(40):
            liar.end.request(ref, 0, 0, id, len(octets))
            liar.end.request(ref, 0, MORE_DATA, id, len(octets) + 500)
            liar.end.request(ref, 0, MORE_DATA, id, 300)
            liar.end.request(ref, 0, 0, id, 200)
        liar.end.kick()
        net.settle()
    answered(liar.end, [OKAY] * 160)
    assert len([1 for octets, _, _, _ in net.uplink.end.frames if Look(octets).dst == SERVER]) == 80
    net.uplink.end.frames.clear()
    assert liar.end.their_state() == CONNECTED and rest(net) == before


def test_one_page_for_everything_that_is_received(net):
    """The same grant in all its rx requests: it overwrites its own frames, and nobody else's."""
    liar = net.client(LIAR)
    before = rest(net)
    words = liar.end.rx.words
    for slot in range(256):
        words[16 + slot * 2 + 1] = words[17]
    with forwarding(net):
        for seq in range(60):
            liar.end.queue(echo(LIAR, net.gateway, seq=seq))
        liar.end.kick()
        net.settle()
    assert liar.end.their_state() == CONNECTED and rest(net) == before


@pytest.mark.parametrize("ring", [0, 1])
def test_a_rings_own_page_as_packet(net, ring):
    """To be read as a frame, and to be written to as a buffer: only its own ring is the worse for it."""
    liar = net.client(LIAR)
    before = rest(net)
    end = liar.end
    net.machine.actors.remove(end.serve)  # the frontend of the test is not made for reading what comes of it
    with forwarding(net):
        end.request(end.refs[ring], 0, 0, 7, 60)
        end.kick()
        net.settle()
        at = end.rx.at(end.rx.consumed)
        end.rx.halves[at + 2], end.rx.halves[at + 3] = end.refs[ring] & 0xFFFF, end.refs[ring] >> 16
        end.send(echo(LIAR, net.gateway))
        net.settle()
    works(net)
    end.kill()
    end.offline(force=True)
    net.machine.until(end.gone, 10)
    assert rest(net)["links"] == before["links"] - 1 and rest(net)["free"] == before["free"]


# ---- states ------------------------------------------------------------------------------------------

STATES = range(-1, 10)
_FOLLOWED = {-1: (CLOSED,), 0: (CLOSED,), INITIALISING: (INIT_WAIT,), CLOSING: (CLOSING, CLOSED), CLOSED: (CLOSED,), 9: (CLOSED,)}


@row("state-flap")
@pytest.mark.parametrize("first", STATES)
def test_every_jump_between_two_states(net, first):
    """A frontend writes any state behind any other, seen in between or not; then it begins again, and works."""
    before = rest(net)
    for second in STATES:
        for seen in (True, False):
            liar = net.client(LIAR)
            liar.end.auto = False
            for state in (first, second):
                liar.end.write("state", state)
                if seen:
                    net.settle()
            net.settle()
            mapped = net.firewall.mapped()
            ours = liar.end.their_state()
            assert (mapped > before["mappings"]) == (ours == CONNECTED)
            if second in _FOLLOWED:
                assert ours in _FOLLOWED[second], "%d, then %d" % (first, second)
            liar.end.set_state(CLOSED)
            net.settle()
            assert liar.end.their_state() == CLOSED and net.firewall.mapped() == before["mappings"]
            liar.end.auto = True
            liar.end.reconnect()
            assert liar.pings()
            net.detach(liar)
            liar.end.peer.kill()
    works(net)
    assert rest(net) == before


# ---- many --------------------------------------------------------------------------------------------

AT_ONCE = 65


@pytest.mark.parametrize("personality", [XENSTORED, OXENSTORED], ids=lambda personality: personality.name)
def test_65_clients_at_once(personality):
    """dom0's quota of 1,000 nodes ends before them: the 65th finds no room, is refused with one line and can be removed.
    All others are served, and it is as soon as one of them leaves.
    """
    with Machine(personality=personality) as machine:
        net = Network(machine=machine)
        addresses = ["10.137.%d.%d" % (i // 200, i % 200 + 1) for i in range(AT_ONCE)]
        for address in addresses:
            net.set_rules(address, ["action=accept"])
        net.figures()
        before = net.holdings()
        ends = []
        for i, address in enumerate(addresses):  # some domains have two
            if i == AT_ONCE - 1:
                machine.until(lambda: all(end.connected() for end in ends), 30, "64 connections")
                machine.advance(30)  # their lines are written
                fill(net, 985)  # what else a domain of ours has on a real machine
            peer = ends[i - 50].peer if i >= 50 else None
            ends.append(Client(machine, None if peer else 5 + i, address, devid=1 if peer else 0, peer=peer, post=8))
        *served, refused = ends
        machine.advance(100)
        assert refused.their_state() == INITIALISING
        assert len(net.lines("vif %s: tries again" % refused.name)) == 1
        _all_ping(net, served)
        refused.detach()
        refused.attach()
        machine.advance(5)
        assert refused.their_state() == INITIALISING
        served.pop(0).detach()
        machine.until(refused.connected, 40, "connection of who was refused")
        served.append(refused)
        _all_ping(net, served)
        for end in served:
            end.detach()
        machine.store.client(2).remove(b"data/fill")
        machine.advance(5)
        after = net.holdings()
        assert after["nodes"] <= before["nodes"] + 52  # dom0's empty directories of the domains
        after["nodes"] = before["nodes"]
        assert after == before


def _all_ping(net, ends):
    for end in ends:
        end.send(echo(end.ip, net.gateway, seq=3))
    net.machine.settle()
    for end in ends:
        assert [seen.seq for seen in looks(end.frames)] == [3], end.name
        end.frames.clear()
