"""What flows through a simulated network, and whether it still does."""
from device import CLOSED
from packets import Look, tcp, udp

SERVER = "192.0.2.50"


def data(octets):
    """So many octets, of which no two pages are the same."""
    return bytes((i * 31 + (i >> 8)) & 0xFF for i in range(octets))


def address(i):
    """Of the i-th of many clients."""
    return "10.137.%d.%d" % (1 + i // 200, i % 200 + 1)


def opened(net, wire, sport=1000):
    """A TCP flow of the client's to SERVER:80; its port outside."""
    wire.send(tcp(wire.address, sport, SERVER, 80))
    return Look(net.uplink.recv()).sport


def passes(net, wire, sport=4001):
    """The client's packet leaves, and an answer comes back; the port outside."""
    wire.send(udp(wire.address, sport, SERVER, 53))
    seen = Look(net.uplink.recv())
    net.uplink.send(udp(SERVER, 53, net.address, seen.sport))
    assert Look(wire.recv()).dport == sport
    return seen.sport


def passes_now(net, wire, sport=4001):
    """The same, whatever had come before, which is forgotten."""
    net.settle()
    wire.end.frames.clear()
    net.uplink.end.frames.clear()
    return passes(net, wire, sport)


def ended(net, end, way):
    """A client's device ends: 0: dom0 detaches it; 1: the client has closed it before; 2: dom0 does so by force."""
    if way == 1:
        end.set_state(CLOSED)
        net.settle()
    end.detach(force=way == 2)
    end.release()
