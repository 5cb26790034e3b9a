"""firewall.Capture: what it has is what both wires saw, in its form, bounded, and nobody else's."""
import shutil
import subprocess

import dpkt
import pytest
from packets import SYN, echo, fragments, tcp, udp
from pcapng import Capture
from scapy.utils import PcapNgReader
from seeing import Seeing

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
SUBJECT = "an IPv4 address or uplink, then at most tcp, udp or icmp, then at most a port"


def begun(see, argument, **options):
    call = see.call("firewall.Capture+" + argument, **options)
    see.machine.advance(0.1)
    return call


def kept(frames):
    return [(bytes(frame[:128]), len(frame)) for frame in frames]


def taken(wire):
    frames, wire.end.frames = wire.end.frames, []
    return [bytes(frame[0]) for frame in frames if frame[0][12:14] == b"\x08\x00"]


@pytest.fixture(params=["", "fast=off"])
def see(request, machine):
    return Seeing(machine, request.param)


def mixed(see, wire, address, port):
    """Packets of one client of all kinds that pass: (what it sent, what it got, what the netvm sent, what it got)."""
    sent = [udp(address, port, SERVER, 53, b"q" * n) for n in (0, 1, 2, 3, 84, 85, 86, 87, 700)]
    sent += [tcp(address, port, SERVER, 80, SYN), echo(address, SERVER, ident=port)] + sent[:3]
    taken(wire), taken(see.net.uplink)
    for frame in sent:
        wire.send(frame)
    see.net.settle()
    out = taken(see.net.uplink)
    outside = int.from_bytes(out[0][34:36], "big")
    back = [udp(SERVER, 53, see.net.address, outside, b"a" * n) for n in (5, 1300, 0)] * 4
    for frame in back:
        see.net.uplink.send(frame)
    see.net.settle()
    return sent, taken(wire), back, out


def test_both_sides_of_a_client(see):
    a, b = see.net.client(A), see.net.client(B)
    call = begun(see, A)
    for _ in range(2):
        sent, got, came, left = mixed(see, a, A, 4000)
        mixed(see, b, B, 5000)
    see.machine.advance(1.5)
    capture = Capture(call.stdout)
    assert capture.interfaces == ["client", "uplink"]
    assert len(got) == len(came) == 12 and len(left) == len(sent) == 14
    assert capture.at(0)[-26:] == kept(sent + got) and capture.at(1)[-26:] == kept(left + came)
    assert len(capture.packets) == 4 * 26 and capture.seen == {0: 52, 1: 52} and capture.lost == {0: 0, 1: 0}
    times = [packet[1] for packet in capture.packets]
    assert times == sorted(times) and times[0] > 1763699400 * 10**9


def test_others_read_it_as_we_do(see, tmp_path):
    """scapy, dpkt and tcpdump."""
    a = see.net.client(A)
    call = begun(see, A)
    mixed(see, a, A, 4000)
    see.machine.advance(1.5)
    path = tmp_path / "capture.pcapng"
    path.write_bytes(call.stdout)
    own = Capture(call.stdout).packets
    assert len(own) == 52
    with open(path, "rb") as stream:
        assert [octets for _, octets in dpkt.pcapng.Reader(stream)] == [packet[2] for packet in own]
    with PcapNgReader(str(path)) as reader:
        found = [(bytes(packet), packet.wirelen, int(packet.time)) for packet in reader]
    assert found == [(packet[2], packet[3], packet[1] // 10**9) for packet in own]
    if shutil.which("tcpdump"):
        said = subprocess.run(["tcpdump", "-Z", "root", "-nr", str(path)], capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        assert len(said.stdout.splitlines()) == len(own)


def test_the_uplink_has_everybodys(see):
    a, b = see.net.client(A), see.net.client(B)
    see.net.allow((A, B))
    call = begun(see, "uplink")
    of_a, of_b = mixed(see, a, A, 4000), mixed(see, b, B, 5000)
    a.send(udp(A, 1, B, 2))  # never passes the uplink
    see.net.settle()
    see.machine.advance(0.1)
    capture = Capture(call.stdout)
    for own in (of_a, of_b):
        for frame in own[0] + own[1]:
            assert kept([frame])[0] in capture.at(0)
    assert len(capture.at(0)) == 2 * 26
    assert capture.at(1) == kept(of_a[3] + of_a[2] + of_b[3] + of_b[2])


def test_what_is_refused_is_seen_where_it_came(see):
    a = see.net.client(A, ("action=accept proto=udp",))
    call = begun(see, A)
    taken(a)
    refused, forged = tcp(A, 1, SERVER, 2, SYN), udp("10.137.0.99", 1, SERVER, 2)
    a.send(refused)
    a.send(forged)
    see.net.settle()
    answers = taken(a)
    see.machine.advance(0.1)
    assert len(answers) == 1
    capture = Capture(call.stdout)
    assert capture.at(0) == kept([refused] + answers + [forged]) and capture.at(1) == []


def test_all_that_is_refused_is_seen_also_what_is_told_to_nobody(see):
    """Of a client that is refused often not every packet is answered."""
    a = see.net.client(A, ())
    call = begun(see, A)
    taken(a)
    sent = [udp(A, 1024 + n, SERVER, 9, bytes(n)) for n in range(200)]
    for frame in sent:
        a.send(frame)
    see.net.settle()
    answers = taken(a)
    see.machine.advance(0.1)
    capture = Capture(call.stdout)
    assert 0 < len(answers) < len(sent)
    assert [packet for packet in capture.at(0) if packet in kept(sent)] == kept(sent)
    assert len(capture.at(0)) == len(sent) + len(answers) and capture.at(1) == []


def test_pieces_and_super_frames(machine):
    see = Seeing(machine, gso=False)
    a = see.net.client(A)
    call = begun(see, A)
    taken(see.net.uplink)
    whole = udp(A, 7, SERVER, 8, bytes(range(256)) * 12)
    for piece in fragments(whole, 1480, 1480):
        a.send(piece)
    a.send(tcp(A, 9, SERVER, 80, SYN))
    see.net.settle()
    a.send(tcp(A, 9, SERVER, 80, 0x10, bytes(9000), blank=True), blank=True, gso=1400)
    see.net.settle()
    left = taken(see.net.uplink)
    see.machine.advance(0.1)
    capture = Capture(call.stdout)
    assert len(left) == 3 + 1 + 7
    assert capture.at(1) == kept(left)
    assert [octets for _, octets in capture.at(0)][-1] == 9054


@pytest.mark.parametrize("argument, frames", [
    ("udp", 4), ("tcp", 2), ("icmp", 2), ("udp+53", 2), ("udp+4001", 2), ("tcp+443", 0), ("tcp+80", 2)])
def test_filters(see, argument, frames):
    a = see.net.client(A)
    call = begun(see, A + "+" + argument)
    for frame in (udp(A, 4000, SERVER, 53), udp(A, 4001, SERVER, 54), tcp(A, 4000, SERVER, 80, SYN), echo(A, SERVER)):
        a.send(frame)
    see.net.settle()
    see.machine.advance(0.1)
    found = Capture(call.stdout).packets
    assert len(found) == frames and sum(packet[0] for packet in found) == frames // 2


def test_two_at_once_and_no_more(see):
    a, b = see.net.client(A), see.net.client(B)
    calls = begun(see, A), begun(see, B)
    third = see.done("firewall.Capture+uplink", code=1)
    assert third.stderr == "firewall.Capture: 2 captures run already\n"
    mixed(see, a, A, 4000)
    mixed(see, b, B, 4000)
    see.machine.advance(0.1)
    first, second = (Capture(call.stdout) for call in calls)
    assert len(first.packets) == len(second.packets) == 52
    calls[0].close()
    see.machine.advance(1)
    again = begun(see, "uplink")
    mixed(see, a, A, 4000)
    see.machine.advance(0.1)
    assert len(Capture(again.stdout).packets) == 52 and not again.gone


def test_it_ends_with_its_caller_and_costs_nothing_then(machine):
    see = Seeing(machine)
    a = see.net.client(A)
    for _ in range(3):
        mixed(see, a, A, 4000)
    before = see.net.figures()["fast"]
    mixed(see, a, A, 4000)
    usual = see.net.figures()["fast"] - before
    call = begun(see, A)
    call.close()
    see.machine.advance(1)
    assert see.dom0.daemon.ports == {} and see.dom0.left == []
    before = see.net.figures()["fast"]
    mixed(see, a, A, 4000)
    assert see.net.figures()["fast"] - before == usual > 5
    assert see.net.tell("tapped") == "0"


def test_a_client_that_goes_takes_its_capture_along(see):
    a = see.net.client(A)
    call = begun(see, A)
    mixed(see, a, A, 4000)
    see.machine.advance(0.1)
    call.held = True  # it reads no more, so that the capture does not see its end
    a.send(udp(A, 1, SERVER, 2))
    see.net.detach(a)
    b = see.net.client(B)  # has the number of A's interface
    mixed(see, b, B, 5000)
    call.held = False
    see.machine.advance(2)
    assert call.gone and call.code == 0
    capture = Capture(call.stdout)
    own = bytes(map(int, B.split(".")))
    assert len(capture.packets) == 54 and not [packet for packet in capture.packets if own in packet[2]]
    assert capture.statistics >= 2


def test_a_caller_that_does_not_read_loses_packets_and_nobody_else_does(see):
    a = see.net.client(A)
    call = begun(see, A, held=True)
    call.held = False
    see.machine.advance(0.1)
    call.held = True
    taken(see.net.uplink)
    count = 3000
    for n in range(count):
        a.send(udp(A, 4000, SERVER, 53, bytes(100)))
    see.net.settle()
    assert len(taken(see.net.uplink)) == count
    see.machine.advance(3)
    call.held = False
    see.machine.advance(5)
    capture = Capture(call.stdout)
    assert capture.seen == {0: count, 1: count}
    assert sum(capture.lost.values()) > 1000
    assert len(capture.packets) + sum(capture.lost.values()) == 2 * count


def test_a_full_buffer_is_one_message_that_finds_room_at_once(see):
    """Each message is an event to the caller, and a turn of his: what is captured fast is told in few."""
    a = see.net.client(A)
    call = begun(see, A)
    for _ in range(3):
        for _ in range(400):
            a.send(udp(A, 4000, SERVER, 53, bytes(100)))
        see.net.settle()
        assert call.largest < 200  # nobody was told of it yet
        call.data.largest = 0
        see.machine.advance(0.2)
        assert 65536 - 160 - 8 < call.largest <= 65536 - 8
        call.data.largest = 0
    capture = Capture(call.stdout)
    assert len(capture.packets) > 3 * 400


@pytest.mark.parametrize("argument, code, said", [
    ("", 2, "got nothing, expected " + SUBJECT),
    ("eth0", 2, "got eth0, expected an IPv4 address"), ("10.137.0.99", 1, "no client has the address 10.137.0.99"),
    ("uplink+sctp", 2, "got sctp, expected tcp, udp or icmp"),
    ("uplink+icmp+5", 2, "got 5, expected a port of tcp or udp, 1 to 65535"),
    ("uplink+tcp+0", 2, "got 0, expected a port of tcp or udp, 1 to 65535"),
    ("uplink+tcp+65536", 2, "got 65536, expected a port of tcp or udp, 1 to 65535"),
    ("uplink+tcp+5+x", 2, "got x, expected " + SUBJECT),
])
def test_an_argument_that_is_none(machine, argument, code, said):
    call = Seeing(machine).done("firewall.Capture" + ("+" + argument if argument else ""), code=code)
    assert call.stderr == "firewall.Capture: %s\n" % said and call.stdout == b""
