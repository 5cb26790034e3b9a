"""One client has taken every port or identifier outside, and goes on: a quiet one's new flows get theirs at once.

Its names are asked for from another port each time, its pings have another identifier: 400 a second of the machine's
clock, which goes by the work done (share.py).
"""
import pytest
from tests.sim.network import Network
from packets import echo, total, udp
from share import World

SERVER, SECOND = "192.0.2.50", "192.0.2.51"
QUIET, HOLDER = "10.137.0.21", "10.137.0.22"
MARK = b"quiet client"
RATE, SECONDS = 400, 0.4
_SOURCE_PORT = 14 + 20  # octets of a frame without options
_CHECKSUM, _IDENTIFIER = 14 + 22, 14 + 24
_BATCH = 120  # frames in the holder's ring


def udp_from(port, to=SERVER):
    frame = bytearray(udp(HOLDER, 1, to, 53, check=0))
    frame[_SOURCE_PORT : _SOURCE_PORT + 2] = port.to_bytes(2, "big")
    return bytes(frame)


def ping_of(ident, to=SERVER):
    frame = bytearray(echo(HOLDER, to, ident=0))
    frame[_IDENTIFIER : _IDENTIFIER + 2] = ident.to_bytes(2, "big")
    frame[_CHECKSUM : _CHECKSUM + 2] = bytes(2)
    frame[_CHECKSUM : _CHECKSUM + 2] = (total(bytes(frame[14 + 20 :])) ^ 0xFFFF).to_bytes(2, "big")
    return bytes(frame)


def reply(frame):
    """What a server says to a datagram that reached it."""
    out = bytearray(frame)
    out[26:30], out[30:34] = frame[30:34], frame[26:30]
    out[34:36], out[36:38] = frame[36:38], frame[34:36]
    return bytes(out)


def hold(net, wire, frames, answers):
    """Send all of them, and let every one that comes be answered, if answers says so."""
    for i in range(0, len(frames), _BATCH):
        for frame in frames[i : i + _BATCH]:
            wire.end.queue(frame)
        wire.end.kick()
        net.machine.settle()
        if answers:
            for frame, *_ in net.uplink.end.frames:
                net.uplink.end.send(reply(frame))
            net.machine.settle()
        net.uplink.end.frames.clear()
        wire.end.frames.clear()


FORMS = {  # how the holder takes all: (its frames, whether they are answered, what it goes on with, the quiet one's)
    "UDP ports, unanswered": (udp_from, False, lambda port: udp_from(port, SECOND)),
    "UDP ports, answered": (udp_from, True, lambda port: udp_from(port, SECOND)),
    "ICMP identifiers": (ping_of, False, lambda ident: ping_of(ident, SECOND)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_quiet_client_opens_flows_while_another_holds_all(machine, form, figure):
    build, answers, more = FORMS[form]
    net = Network(machine=machine)
    quiet, holder = net.client(QUIET), net.client(HOLDER)
    numbers = range(0 if build is ping_of else 1, 65536)
    hold(net, holder, [build(n) for n in numbers], answers)
    held = net.figures()["flows"]
    world = World(net)
    world.flood(holder, [more(n) for n in range(1, 65536, 9)])
    if build is ping_of:
        asked = [echo(QUIET, SERVER, ident=n, data=MARK) for n in range(2000, 2300)]
    else:
        asked = [udp(QUIET, n, SERVER, 53, MARK) for n in range(2000, 2300)]
    steady = world.steady(quiet, asked, RATE, net.uplink, MARK)
    world.run(SECONDS)
    figure("quiet client beside one that holds %d %s" % (held, form), "%d of %d" % (steady.came, steady.due), "90 %")
    assert held > 60000 and steady.due > 100 and steady.came >= 0.9 * steady.due
