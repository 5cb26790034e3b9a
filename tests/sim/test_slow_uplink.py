"""A netvm that is slow, or takes nothing more: who waits, who does not, for how long, and what is lost.

Slow: clients' frames stay in their own rings and nothing is lost. Takes nothing for a second: it counts as stalled,
frames for it are dropped and counted, and all that has another destination goes on.
"""
import itertools

import pytest
from attacks import row
from interleaving import ROOMY
from tests.sim.network import Network
from packets import ACK, Look, arp, echo, looks, tcp, udp
from rings import MASK, REQ_PROD, RSP_PROD, SLOTS

A, B, C, SERVER = "10.137.0.21", "10.137.0.22", "10.137.0.23", "192.0.2.50"


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.a, net.b, net.c = (net.client(ip) for ip in (A, B, C))
    net.allow((B, C))
    return net


def fill(net, wire, frames=SLOTS, dport=53, data=b""):
    """The client's whole tx ring is full of frames to the server."""
    for i in range(frames):
        wire.end.queue(udp(wire.address, 9000, SERVER, dport, data + b" %d" % i))
    wire.end.kick()


def stuck(net):
    """The netvm takes nothing, its ring is full, and client A's too."""
    net.uplink.end.holds = True
    for _ in range(2):
        fill(net, net.a, net.a.end.room())
        net.settle()
    assert net.a.end.room() < SLOTS


@row("behaviour 73")
def test_clients_are_served_in_turn_and_nothing_is_lost(net):
    """Three full rings against one of the uplink's: 40 slots in a turn, and nobody gets far ahead of another.

    A first turn, of 8 slots, may be followed by one of 40 while the others still pay for a dearer first one.
    """
    wires = net.a, net.b, net.c
    for number, wire in enumerate(wires):
        fill(net, wire, dport=number)
    net.settle()
    order = [seen.dport for seen in looks(net.uplink.end.frames)]
    assert sorted(order) == [0] * SLOTS + [1] * SLOTS + [2] * SLOTS
    turns = [(dport, len(list(frames))) for dport, frames in itertools.groupby(order)]
    assert max(n for _, n in turns) in (40, 48)
    served, whole = [0, 0, 0], []
    for dport, frames in turns:
        served[dport] += frames
        assert served[dport] - min(served) <= 80
        whole.append(dport)
        if max(served) == SLOTS:  # from here on somebody has nothing more
            break
    assert len(whole) >= 15
    assert all(sorted(whole[at : at + 3]) == [0, 1, 2] for at in range(0, len(whole) // 3 * 3, 3))


@pytest.mark.parametrize("options", [dict(), dict(gso=False), dict(sg=False)], ids=str)
def test_super_frames_of_all_clients_arrive(machine, options):
    """Also where each becomes 45 frames."""
    net = Network(machine=machine, **options)
    wires = [net.client(ip) for ip in (A, B, C)]
    for wire in wires:
        wire.send(tcp(wire.address, 1000, SERVER, 80))
    net.settle()
    net.uplink.end.frames.clear()
    before = net.figures()["free"]
    for wire in wires:
        for _ in range(13):
            wire.end.queue(tcp(wire.address, 1000, SERVER, 80, ACK, bytes(65000), blank=True), blank=True, gso=1448)
        wire.end.kick()
    net.settle()
    got = sum(len(octets) - 54 for octets, _, _, _ in net.uplink.end.frames)
    assert got == 3 * 13 * 65000
    net.advance(0.1)
    assert net.figures()["free"] == before


@pytest.mark.parametrize("fast", ["on", "off"])
@pytest.mark.parametrize("behind", [0, 0.04], ids=["at once", "a little later"])
def test_the_answer_that_makes_room_for_a_turn_lets_clients_go_on_and_none_before(machine, fast, behind):
    """With less room the netvm has enough to do. No time passes meanwhile: it is an event that wakes the firewall."""
    net = Network(machine=machine, cmdline="fast=" + fast)
    net.a = net.client(A)
    net.a.send(udp(A, 9000, SERVER, 53))
    assert net.uplink.recv()
    net.advance(0.1)
    end = net.uplink.end

    def room():
        return SLOTS - (end.tx.words[REQ_PROD] - end.tx.words[RSP_PROD] & MASK)

    stuck(net)
    net.advance(behind)
    for _ in range(3):
        waits = net.a.end.room()
        assert room() < ROOMY - 1 and waits < SLOTS
        end.resume(limit=ROOMY - room() - 1)
        net.settle()
        assert net.a.end.room() == waits and room() == ROOMY - 1
        end.resume(limit=1)
        net.settle()
        assert net.a.end.room() > waits and room() < ROOMY - 1


def test_what_does_not_go_there_waits_a_second_at_most(net):
    stuck(net)
    net.b.end.send(echo(B, net.gateway, seq=7))
    net.b.end.send(arp(1, b"\x00\x16\x3e\x5e\x6c\x00", B, "10.137.0.99"))
    net.b.end.send(udp(B, 1, C, 2, b"between"))
    net.advance(1.1)
    answers = [octets for octets, _, _, _ in net.b.end.frames]
    assert len(answers) == 2 and Look(answers[0]).seq == 7 and answers[1][12:14] == b"\x08\x06"
    assert Look(net.c.recv()).data == b"between"
    net.b.end.frames.clear()
    began = net.machine.now
    for seq in range(300):  # from now on at once, whatever A and B send there
        fill(net, net.a, 5)
        net.b.end.send(udp(B, 1, SERVER, 2))
        net.b.send(echo(B, net.gateway, seq=seq))
        assert Look(net.b.recv()).seq == seq
    assert net.machine.now == began
    assert len(net.lines("uplink: takes nothing")) == 1


def test_what_comes_from_the_uplink_does_not_wait(net):
    """Not even for buffers that the client gives late, while the other direction is stuck."""
    net.b.send(udp(B, 1000, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    late = net.client("10.137.0.24", post=0)
    late.send(udp(late.address, 1000, SERVER, 53))
    port_late = Look(net.uplink.recv()).sport
    stuck(net)
    began = net.machine.now
    for i in range(600):
        net.uplink.end.send(udp(SERVER, 53, net.address, port, b"%d" % i))
        net.settle()
    assert [seen.data for seen in looks(net.b.end.frames)] == [b"%d" % i for i in range(600)]
    net.uplink.end.send(udp(SERVER, 53, net.address, port_late, b"late"))
    net.settle()
    assert not late.end.frames
    late.end.give_buffer()
    assert late.end.rx.publish(), "it was not asked to say so"
    late.end.peer.evtchn_send(late.end.port)
    net.settle()
    assert Look(late.end.frames[0][0]).data == b"late"
    assert net.machine.now == began


def test_it_recovers_by_itself_and_the_dropped_are_counted(net):
    net.advance(1)
    before = net.holdings()
    stuck(net)
    net.advance(2)
    assert net.a.end.room() == SLOTS, "frames for a stalled netvm are taken and dropped"
    fill(net, net.a, 100)
    net.settle()
    dropped = net.figures()["lost"]
    net.uplink.end.resume()
    net.settle()
    assert len(net.uplink.end.frames) + dropped == len(net.a.end.responses)
    assert dropped >= 100
    net.uplink.end.frames.clear()
    fill(net, net.a, 100)
    net.settle()
    assert len(net.uplink.end.frames) == 100 and net.figures()["lost"] == dropped
    assert len(net.lines("uplink: takes frames again")) == 1
    net.advance(1.1)
    assert net.holdings() == before


def test_status_says_so(net):
    assert "uplink: 10.138.0.2 to domain 1, dropped for want of room: 0" in net.firewall.status()
    stuck(net)
    net.advance(1.1)
    line = "uplink: 10.138.0.2 to domain 1, which takes nothing, dropped for want of room: %d" % net.figures()["lost"]
    assert line in net.firewall.status()


def test_a_netvm_that_takes_a_few_now_and_then_loses_nobody_a_frame(net):
    """20 frames each half second: that is slow, and no stall."""
    net.uplink.end.holds = True
    fill(net, net.a)
    fill(net, net.b)
    net.settle()
    for _ in range(40):
        net.uplink.end.resume(limit=20)
        net.advance(0.5)
    data = [octets for octets, _, _, _ in net.uplink.end.frames if octets[12:14] != b"\x08\x06"]
    assert len(data) == 2 * SLOTS and net.figures()["lost"] == 0
    assert not net.lines("uplink: takes nothing")


def test_it_goes_while_frames_wait_for_it(net):
    """Killed with its ring full: nothing is kept, the next one is served, clients are told meanwhile."""
    net.advance(1)
    before = net.holdings()
    stuck(net)
    net.no_netvm()
    net.b.end.frames.clear()
    net.b.send(udp(B, 1000, SERVER, 53))
    assert Look(net.b.recv()).code == 0
    net.netvm(net.address, domid=31)
    net.settle()
    net.uplink.end.frames.clear()
    net.b.send(udp(B, 1001, SERVER, 53, b"new"))
    assert Look(net.uplink.recv()).data == b"new"
    net.advance(1.1)
    assert net.holdings() == before


@pytest.mark.parametrize("gso", [1, 100, 1000])
def test_a_super_frame_of_tiny_segments_is_not_cut_without_end(machine, gso):
    """A client may ask for segments of one octet; the netvm does not cut itself. The first 64 go, the rest is lost."""
    net = Network(machine=machine, gso=False)
    wire = net.client(A)
    wire.send(tcp(A, 1000, SERVER, 80))
    assert net.uplink.recv()
    for _ in range(3):
        wire.send(tcp(A, 1000, SERVER, 80, ACK, bytes(60000), blank=True), blank=True, gso=gso)
    net.settle()
    assert len(net.uplink.end.frames) == 3 * min(64, 60000 // gso)
    assert net.figures()["lost"] == (0 if gso == 1000 else 3)
    assert not net.lines("judge")


@pytest.mark.parametrize("sg", [True, False])
def test_super_frames_of_the_smallest_usual_segments_are_cut_whole(machine, sg):
    """536 octets: 123 of the longest frame, cut in more than one pass; what comes behind stays behind."""
    net = Network(machine=machine, gso=False, sg=sg)
    a, b = net.client(A), net.client(B)
    for wire in (a, b):
        wire.send(tcp(wire.address, 1000, SERVER, 80))
    net.settle()
    ports = {Look(octets).sport: wire for (octets, _, _, _), wire in zip(net.uplink.end.frames, (a, b))}
    net.uplink.end.frames.clear()
    before = net.holdings()
    octets = 65535 - 54
    for wire in (a, b):
        for number in range(2):
            wire.end.queue(tcp(wire.address, 1000, SERVER, 80, ACK, bytes([number]) * octets, blank=True), blank=True, gso=536)
            wire.end.queue(udp(wire.address, 1000, SERVER, 53 if wire is a else 54, b"%d" % number))
        wire.end.kick()
    net.settle()
    of = {a: [], b: []}
    for frame, _, _, _ in net.uplink.end.frames:
        seen = Look(frame)
        of[ports[seen.sport] if seen.dport == 80 else (a, b)[seen.dport - 53]].append(seen.data)
    for got in of.values():
        first, second = got.index(b"0"), got.index(b"1")
        assert first == 123 and b"".join(got[:first]) == b"\x00" * octets
        assert second == 247 and b"".join(got[first + 1 : second]) == b"\x01" * octets and len(got) == 248
    assert net.figures()["lost"] == 0
    net.advance(1)
    assert net.holdings() == before
