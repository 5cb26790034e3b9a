"""What we say of a frame's checksum to a client: data_validated where it is known to be right, nowhere else.

Windows' driver sums every frame again that comes without, and gets 0.05 MB/s instead of 16. Both ways through the
firewall say the same.

Source: Xen public/io/netif.h (NETRXF_data_validated, NETRXF_csum_blank).
"""
import pytest
from packets import ACK, DF, PSH, Look, arp, echo, tcp, udp
from passing import data, opened
from tests.sim.network import Network

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
ESTABLISHED = ACK | PSH


@pytest.fixture(params=["on", "off"])
def fast(request):
    return "fast=" + request.param


def seen(wire):
    """[(blank, validated)] of the frames that came, which are forgotten."""
    wire.net.settle()
    end = wire.end
    found = [(blank, valid) for (_, blank, _, _), valid in zip(end.frames, list(end.validated)[-len(end.frames):])]
    end.frames.clear()
    return found


def in_use(net, wire):
    """The port outside of a TCP flow that both sides have used: all further packets are the fast path's."""
    port = opened(net, wire)
    net.uplink.send(tcp(SERVER, 80, net.address, port, ACK))
    wire.send(tcp(wire.address, 1000, SERVER, 80, ACK))
    net.settle()
    wire.end.frames.clear()
    net.uplink.end.frames.clear()
    return port


@pytest.mark.parametrize("csum", [True, False])
@pytest.mark.parametrize("how, expected", [
    ({}, (False, False)), ({"validated": True}, (False, True)), ({"blank": True}, (True, True))])
def test_of_the_netvms_frames(machine, fast, csum, how, expected):
    """What it vouches for we vouch for; what we summed ourselves too."""
    net = Network(machine=machine, cmdline=fast)
    wire = net.client(A, csum=csum)
    port = in_use(net, wire)
    before = net.figures()["fast"]
    for octets in (1, 1000, 1400):
        frame = tcp(SERVER, 80, net.address, port, ESTABLISHED, data(octets), blank=bool(how.get("blank")))
        net.uplink.end.send(frame, **how)
    blank, valid = expected
    assert seen(wire) == [(blank and csum, valid)] * 3
    if fast == "fast=on" and csum:
        assert net.figures()["fast"] == before + 3


@pytest.mark.parametrize("gso", [True, False])
def test_of_super_frames(machine, fast, gso):
    """Whole, or cut by us, who have summed each segment."""
    net = Network(machine=machine, cmdline=fast)
    wire = net.client(A, gso=gso)
    port = in_use(net, wire)
    net.uplink.send(tcp(SERVER, 80, net.address, port, ESTABLISHED, data(10000), blank=True, fragment=DF), True, 1448)
    assert set(seen(wire)) == {(gso, True)}


@pytest.mark.parametrize("how, expected", [
    ({}, (False, False)), ({"validated": True}, (False, True)), ({"blank": True}, (True, True))])
def test_of_other_clients_frames(machine, fast, how, expected):
    net = Network(machine=machine, cmdline=fast)
    a, b = net.client(A), net.client(B)
    net.allow((A, B))
    for _ in range(3):
        a.end.queue(udp(A, 1000, B, 7, data(100), blank=bool(how.get("blank"))), **how)
        a.end.kick()
        assert seen(b) == [expected]


@pytest.mark.parametrize("how, valid", [({}, False), ({"validated": True}, True), ({"blank": True}, True)])
def test_of_a_frame_that_one_page_must_hold(machine, fast, how, valid):
    """The client takes no frames of several parts: we put it together, and know no more of its sum than before."""
    net = Network(machine=machine, cmdline=fast)
    wire = net.client(A, sg=False)
    port = in_use(net, wire)
    net.uplink.end.send(tcp(SERVER, 80, net.address, port, ESTABLISHED, data(1000), blank=bool(how.get("blank"))),
                        sizes=[300, 300], **how)
    assert [each for _, each in seen(wire)] == [valid]


@pytest.mark.parametrize("blank", [True, False])
def test_of_a_datagram_that_is_cut(machine, fast, blank):
    """Its sum is right if we have worked it out; else nobody has looked."""
    net = Network(machine=machine, cmdline=fast)
    wire = net.client(A)
    wire.send(udp(A, 1000, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    for octets in (3000, 40000):
        net.uplink.end.send(udp(SERVER, 53, net.address, port, data(octets), blank=blank), blank)
        found = seen(wire)
        assert len(found) == -(-(octets + 8) // 1480) and set(found) == {(False, blank)}


def test_of_what_we_make(machine, fast):
    net = Network(machine=machine, cmdline=fast)
    wire = net.client(A, rules=["action=drop"])
    wire.send(echo(A, net.gateway))
    wire.send(udp(A, 1000, SERVER, 53))
    wire.send(arp(1, wire.mac, A, net.gateway))
    assert [valid for _, valid in seen(wire)] == [True] * 3
