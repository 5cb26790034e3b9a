"""What takes a whole table of flows, or hours of the machine's clock: rows 69 and 78 of docs/behaviours.md, with the image's own code."""
import random

from attacks import rest, row
from tests.sim.network import Network
from packets import ACK, SYN, Look, echo, tcp, udp

A, B, SERVER, OTHER = "10.137.0.21", "10.137.0.22", "192.0.2.50", "192.0.2.51"
FLOWS, SHARE = 65536, 512  # of the table at 32 MB, and kept for each client


@row("behaviour 69")
def test_behaviour_69_a_share_is_kept_for_each_client(machine):
    """One client fills the table, and goes on; the other gets its 512 flows at once, and keeps them."""
    net = Network(machine=machine)
    a, b = net.client(A), net.client(B)
    for i in range(FLOWS):
        a.end.queue(udp(A, 1024 + i % 20000, "192.0.%d.%d" % (100 + i // 20000, i % 250), 80))
        if i % 200 == 199:
            a.end.kick()
            net.settle()
            net.uplink.end.frames.clear()
    a.end.kick()
    net.settle()
    assert net.figures()["flows"] == FLOWS - SHARE
    net.uplink.end.frames.clear()
    ports = []
    for i in range(SHARE):
        b.send(udp(B, 5000 + i, OTHER, 80))
        ports.append(Look(net.uplink.recv()).sport)
    for i in range(1000):
        a.send(udp(A, 1024 + i, "192.0.90.1", 81))
        if i % 100 == 99:
            net.settle()
    net.uplink.end.frames.clear()
    assert net.figures()["flows"] == FLOWS
    for port in ports:
        net.uplink.send(udp(OTHER, 80, net.address, port, b"still there"))
        assert Look(b.recv()).data == b"still there"


def _round(net, wires, dice, number):
    """Some of everything: new flows, answers, pieces, pings, refusals; now and then a client or netvm that begins again."""
    for wire in wires:
        for _ in range(dice.randrange(1, 8)):
            wire.send(udp(wire.address, dice.randrange(1024, 60000), SERVER, dice.randrange(1, 2000), bytes(dice.randrange(1400))))
        wire.send(tcp(wire.address, 2000 + number % 1000, SERVER, 80, SYN))
        wire.send(tcp(wire.address, 2000 + number % 1000, SERVER, 80, ACK))
        wire.send(echo(wire.address, net.gateway))
        wire.send(echo(wire.address, SERVER, ident=number & 0xFFFF))
        wire.send(udp(wire.address, 9, "10.137.0.250", 9))
    net.settle()
    for octets in net.left()[:20]:
        seen = Look(octets)
        if octets[23] == 17:
            net.uplink.send(udp(SERVER, seen.dport, net.address, seen.sport, bytes(dice.randrange(3000))))
    net.settle()
    for wire in wires + [net.uplink]:
        wire.end.frames.clear()
        if wire is not net.uplink:
            wire.end.responses.clear()
    if number % 10 == 0:
        wire = wires.pop(0)
        net.detach(wire)
        wire.end.peer.kill()
        wires.append(net.client(wire.address))


@row("behaviour 78")
def test_behaviour_78_hours_at_load_leave_all_level(machine, request, figure):
    """24 hours with --long, 40 minutes without; looked at after the first half hour (10 minutes), and at the end."""
    minutes = 24 * 60 if request.config.getoption("--long") else 40
    dice = random.Random(78)
    net = Network(machine=machine)
    wires = [net.client(ip) for ip in (A, B, "10.137.0.23")]
    looks = []
    for number in range(minutes * 2):
        _round(net, wires, dice, number)
        net.advance(30)
        if number in (minutes // 2, minutes * 2 - 1):
            net.advance(400)  # what nobody answered is over
            held = rest(net)
            looks.append((held, min(net.figures()["heap"] for _ in range(3))))
    assert looks[0][0] == looks[1][0]
    grown = looks[1][1] - looks[0][1]
    figure("heap grown in %d min of the clock at load" % (minutes * 3 // 4), "%d octets" % grown, 32768)
    assert grown < 32768
