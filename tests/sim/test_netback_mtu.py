"""The `mtu` of a client's link is what dom0 writes into its backend's directory, for whatever is sent to the client.

QubesOS/qubes-issues#10758, xcp-ng/xcp#701, mirage/mirage-net-xen#115: ignored, it ended in sessions that hang (a VPN's
1280) or in jumbo frames answered with a path MTU of 1500.
"""
import pytest
from tests.sim.network import Network
from packets import ACK, DF, SYN, Look, tcp, udp
from xenstored import WRITE

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"


@pytest.fixture
def net(machine):
    return Network(machine=machine, mtu=9000)


def attached(net, ip=A, mtu=None, **options):
    wire = net.client(ip, rules=None, wait=False, attach=False, **options)
    wire.end.attach(mtu=mtu)
    net.set_rules(ip, ["action=accept"])
    net.machine.until(wire.end.connected, 10)
    return wire


def opened(net, wire):
    """The port outside of a flow from SERVER's port 53."""
    wire.send(udp(wire.address, 1000, SERVER, 53))
    return Look(net.uplink.recv()).sport


def answer(port, net, total, **more):
    return udp(SERVER, 53, net.address, port, bytes(i * 7 & 0xFF for i in range(total - 28)), **more)


def arrives_as(net, wire):
    """Sizes of the datagrams that the client got, after one was sent."""
    net.settle()
    got = [len(octets) - 14 for octets, _, _, _ in wire.end.frames]
    wire.end.frames.clear()
    return got


def limit(net, wire, port, mtu):
    """It is exactly mtu: the largest passes whole, one more octet is told (DF) or cut."""
    net.uplink.send(answer(port, net, mtu, fragment=DF))
    assert arrives_as(net, wire) == [mtu] and net.uplink.recv() is None
    net.uplink.send(answer(port, net, mtu + 1, fragment=DF))
    told = Look(net.uplink.recv())
    assert (told.kind, told.code, told.seq, told.src, told.dst) == (3, 4, mtu, net.address, SERVER)
    assert arrives_as(net, wire) == []
    net.uplink.send(answer(port, net, mtu + 1))
    got = arrives_as(net, wire)
    assert len(got) == 2 and max(got) <= mtu and net.uplink.recv() is None


@pytest.mark.parametrize("mtu", [576, 1280, 1420, 1500, 9000])
def test_the_mtu_is_dom0s(net, mtu):
    wire = attached(net, mtu=mtu)
    limit(net, wire, opened(net, wire), mtu)
    # and from the client: what the uplink carries is no concern of its own link's
    wire.send(udp(A, 1000, SERVER, 53, bytes(mtu - 28), fragment=DF))
    assert Look(net.uplink.recv()).total == mtu and wire.recv() is None


def test_without_the_node_it_is_1500(net):
    wire = attached(net)
    limit(net, wire, opened(net, wire), 1500)


def test_between_clients_the_receivers_mtu_counts(net):
    sender, receiver = attached(net, A, 9000), attached(net, B, 1280)
    net.allow((A, B))
    for total, fits in ((1280, True), (1281, False)):
        sender.send(udp(A, 1000, B, 53, bytes(total - 28), fragment=DF))
        assert (receiver.recv() is not None) == fits
        told = sender.recv()
        assert fits == (told is None)
    assert (Look(told).kind, Look(told).code, Look(told).seq) == (3, 4, 1280)


def test_super_frames_are_judged_by_their_segments(net):
    """TCP whose segments fit passes whole, larger ones are told."""
    wire = attached(net, mtu=1280)
    wire.send(tcp(A, 1000, SERVER, 80, SYN))
    port = Look(net.uplink.recv()).sport
    for size, fits in ((1280 - 40, True), (1280 - 39, False)):
        net.uplink.send(tcp(SERVER, 80, net.address, port, ACK, bytes(5000), blank=True, fragment=DF), blank=True, gso=size)
        seen = wire.recv_offloaded()
        assert (seen[0] is not None) == fits
    told = Look(net.uplink.recv())
    assert (told.kind, told.code, told.seq) == (3, 4, 1280)


@pytest.mark.parametrize("mtu, expected", [(9000, 4082), (4082, 4082), (1280, 1280)])
def test_without_scatter_gather_a_frame_is_at_most_a_page(net, mtu, expected):
    wire = attached(net, mtu=mtu, sg=False)
    limit(net, wire, opened(net, wire), expected)


@pytest.mark.parametrize("junk", ["0", "575", "65522", "-1", "abc", "1500 ", "0x500", "1" * 50, "\x1b[2J"])
def test_junk_is_told_and_1500_taken(net, junk):
    wire = attached(net, mtu=junk)
    told = net.lines("vif %s: mtu is" % wire.end.name)
    assert len(told) == 1 and "expected 576 to 65521" in told[0] and "1500 is taken" in told[0]
    assert repr(junk)[1:-1].replace("\\\\", "\\") in told[0] or len(junk) > 40
    limit(net, wire, opened(net, wire), 1500)


def test_a_change_takes_effect_at_once_and_flows_go_on(net):
    wire = attached(net, mtu=1500)
    port = opened(net, wire)
    for mtu in (1280, 9000, 1420):
        net.machine.write(wire.end.back + "/mtu", str(mtu))
        net.settle()
        limit(net, wire, port, mtu)
    net.machine.dom0.remove((wire.end.back + "/mtu").encode())
    net.settle()
    limit(net, wire, port, 1500)
    assert wire.end.connected()
    assert all(type != WRITE or b"mtu" not in payload for type, payload in net.firewall.store_end.requests)
