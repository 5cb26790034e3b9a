"""The life of the uplink: netvms that come, go, die, return under another number; what clients notice."""
import pytest
from frontend import CLOSED, CLOSING
from netvm import Netvm
from tests.sim.network import OUR_MAC, Network
from packets import Look, arp, fragments, looks, tcp, udp
from passing import passes
from rings import PAGE
from xenstored import ERROR, READ, Reply

A, SERVER = "10.137.0.21", "192.0.2.50"
ARP = b"\x08\x06"


def lent(net):
    """What an uplink takes."""
    held = net.holdings()
    return {name: held[name] for name in ("grants", "ports", "free")}


def serves_without_uplink(net, wire):
    assert wire.pings()
    wire.send(udp(A, 5, SERVER, 53))
    told = Look(wire.recv())
    assert (told.kind, told.code) == (3, 0), "network unreachable"


def test_it_starts_without_an_uplink_and_gains_one(machine):
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    net.advance(30)
    serves_without_uplink(net, wire)
    net.netvm(net.address)
    passes(net, wire)


def test_a_netvm_killed_and_started_again(machine):
    """Another domain id, another path; the same address of ours: flows go on. Nothing is kept of the old one."""
    net = Network(machine=machine)
    wire = net.client(A)
    before = None
    for domid in (31, 32, 33):
        port = passes(net, wire)
        net.advance(1.1)
        before = before or net.holdings()
        assert net.holdings() == before
        net.no_netvm()
        serves_without_uplink(net, wire)
        began = machine.now
        end = Netvm(machine, domid)
        machine.until(end.connected, 10, "the uplink")
        assert machine.now - began < 1_000_000_000
        machine.advance(2.5)
        end.frames.clear()
        net.uplink.end = end
        net.wires.append(net.uplink)
        net.uplink.send(udp(SERVER, 53, net.address, port))
        assert wire.recv(), "the flow goes on"
        assert not end.dirty, "the new netvm sees what the old one knew"


def test_dom0_moves_us_to_another_netvm(machine):
    net = Network(machine=machine)
    wire = net.client(A)
    port = passes(net, wire)
    began = machine.now
    net.uplink.end.detach()
    assert machine.now - began < 1_000_000_000
    net.uplink.end.leave()
    serves_without_uplink(net, wire)
    net.tell("network 10.138.0.9 10.138.0.1")
    net.address = "10.138.0.9"
    net.wires.remove(net.uplink)
    net.netvm(net.address, domid=40)
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert wire.recv() is None, "another address: no flow lives on"
    passes(net, wire)
    assert not net.uplink.end.dirty


def test_the_directory_made_anew_at_the_same_place(machine):
    """Detached and attached before we have looked: the same path, state 1 again."""
    net = Network(machine=machine)
    wire = net.client(A)
    passes(net, wire)
    end = net.uplink.end
    end.disconnect()
    end.remove()
    end.attach()
    net.again(2, 10)
    passes(net, wire)


@pytest.mark.parametrize("state", [CLOSING, CLOSED, 0])
def test_a_netvm_that_closes_and_opens_again(machine, state):
    net = Network(machine=machine)
    wire = net.client(A)
    net.advance(1)
    before = net.holdings()
    end = net.uplink.end
    end.auto = False
    end.disconnect()
    end.write("state", state)
    net.settle()
    serves_without_uplink(net, wire)
    end.auto = True
    end.set_state(CLOSED)
    net.again(2)
    passes(net, wire)
    net.advance(1.1)
    assert net.holdings() == before


@pytest.mark.parametrize("junk", ["", "9", "-1", "abc", "4 ", "\x00\x1b[2J"])
def test_junk_in_the_netvms_state(machine, junk):
    net = Network(machine=machine)
    wire = net.client(A)
    end = net.uplink.end
    end.auto = False
    end.write("state", junk)
    net.advance(1)
    assert wire.pings()
    assert "\x1b" not in net.firewall.console


def test_a_backend_that_is_not_there_yet(machine):
    """dom0 names it before its domain has made anything; then a domain that does not exist at all."""
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    net.advance(1)
    before = lent(net)
    machine.write("/local/domain/2/device/vif/0/backend-id", "1", (("n", 2), ("r", 1)))
    net.advance(5)
    machine.write("/local/domain/2/device/vif/0/backend", "/local/domain/1/backend/vif/2/0")
    net.advance(5)
    serves_without_uplink(net, wire)
    machine.dom0.remove(b"/local/domain/2/device/vif/0")
    net.advance(5)
    assert lent(net) == before
    net.netvm(net.address)
    passes(net, wire)


def test_a_netvm_that_died_before_we_connect(machine):
    """Its directories still stand. Nothing is kept of it, and the next netvm is taken."""
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    net.advance(1)
    before = lent(net)
    end = Netvm(machine, 1)
    end.auto = False
    end.offer()
    end.peer.kill()
    net.advance(20)
    assert wire.pings()
    end.leave()
    end.remove()
    net.advance(70)
    assert lent(net) == before
    net.netvm(net.address, domid=33)
    passes(net, wire)


@pytest.mark.parametrize("mtu, expected", [(9000, 9000), (1400, 1400), (575, 1500), (0, 1500), ("x", 1500), (65522, 1500)])
def test_the_mtu_is_xenstores(machine, mtu, expected):
    net = Network(machine=machine, mtu=mtu)
    wire = net.client(A)
    wire.send(udp(A, 1, SERVER, 2, bytes(expected - 28), fragment=0x4000))
    assert len(net.uplink.recv()) == expected + 14
    wire.send(udp(A, 1, SERVER, 2, bytes(expected - 27), fragment=0x4000))
    told = Look(wire.recv())
    assert (told.kind, told.code, told.seq) == (3, 4, expected)


def test_without_scatter_gather_the_mtu_is_1500(machine):
    net = Network(machine=machine, mtu=9000, sg=False)
    wire = net.client(A)
    wire.send(udp(A, 1, SERVER, 2, bytes(3000)))
    net.settle()
    assert len(net.uplink.end.frames) == 3 and all(slots == 1 for _, _, _, slots in net.uplink.end.frames)


def test_the_gateway_is_asked_by_arp_and_does_without_an_answer(machine):
    net = Network(machine=machine, uplink=False)
    wire = net.client(A)
    end = Netvm(machine, 1)
    machine.until(end.connected, 10, "the uplink")
    machine.advance(10)
    asked = [octets for octets, _, _, _ in end.frames if octets[12:14] == ARP]
    assert 1 <= len(asked) <= 4
    end.frames.clear()
    wire.send(udp(A, 1, SERVER, 2))
    assert end.recv()[0][:6] == OUR_MAC
    mac = b"\x02\x11\x22\x33\x44\x55"
    end.send(arp(2, mac, net.upstream, net.address, b"\x00\x16\x3e\x5e\x6c\x00"))
    wire.send(udp(A, 1, SERVER, 2))
    assert end.recv()[0][:6] == mac


def test_a_slow_netvm_makes_clients_wait_and_nobody_loses(machine):
    net = Network(machine=machine)
    wire = net.client(A)
    net.uplink.end.holds = True
    for i in range(450):  # more than the uplink's ring holds
        wire.end.send(udp(A, 1000 + i, SERVER, 2))
        net.settle()
    assert wire.end.room() < 100 and net.figures()["free"] > 1000
    net.uplink.end.resume()
    net.settle()
    assert len(net.uplink.end.frames) == 450


def test_buffers_are_given_again(machine):
    """Far more frames than the ring has, at the pace of the netvm."""
    net = Network(machine=machine)
    wire = net.client(A)
    port = passes(net, wire)
    for i in range(1000):
        net.uplink.end.send(udp(SERVER, 53, net.address, port, b"%d" % i))
    net.settle()
    assert [seen.data for seen in looks(wire.end.frames)] == [b"%d" % i for i in range(1000)]
    assert net.uplink.end.posted() == 256


def test_tcp_and_fragments_cross_the_new_uplink(machine):
    net = Network(machine=machine)
    wire = net.client(A)
    wire.send(tcp(A, 1, SERVER, 80))
    assert Look(net.uplink.recv()).dport == 80
    for piece in fragments(udp(A, 1, SERVER, 2, bytes(PAGE)), 1480, 1480):
        wire.send(piece)
    net.settle()
    assert len(net.uplink.end.frames) == 3


@pytest.mark.parametrize("whose", ["uplink", "client"])
def test_an_error_of_xenstored_costs_a_moment(machine, whose):
    """One EIO while a task looks at its device: the task ends, but its neighbour is not without network for ever."""
    net = Network(machine=machine)
    wire = net.client(A)
    passes(net, wire)
    net.advance(1.1)
    before = net.holdings()
    end = machine.xenstored.ends[2]
    failed = []

    def fail(reply):
        if reply.type != READ or failed:
            return reply
        failed.append(end.requests[-1])
        return Reply(ERROR, reply.req_id, reply.tx_id, b"EIO\0")

    end.lie = fail
    if whose == "uplink":
        net.uplink.end.write("state", "4")
    else:
        wire.end.set_state(4)
    net.settle()
    end.lie = None
    assert len(failed) == 1
    net.advance(30)
    assert net.uplink.end.connected() and wire.end.connected()
    for each in net.wires:
        each.end.frames.clear()
    passes(net, wire)
    net.advance(1.1)
    assert net.holdings() == before
