"""Scenes that many tests of tests/host begin with: who takes part, a flow of each kind, and what must not come.

The fixture `net` is in conftest.py. All of these take a Network of any kind, so tests of the simulation play them too.
"""
from packets import ACK, SYN, Look, tcp, udp

A, B, C = "10.137.0.21", "10.137.0.22", "10.137.0.23"  # clients
OURS, SERVER, ROUTER = "10.138.0.2", "192.0.2.50", "203.0.113.1"  # the firewall outside; a remote; who sends errors


def remote(i):
    """The i-th of many remotes."""
    return "198.51.%d.%d" % (i >> 8 & 255, i & 255)


def nothing(*wires):
    """No frame has come on any of them."""
    assert [wire.recv(0) for wire in wires] == [None] * len(wires)


def drained(*wires):
    """Take and forget what has come."""
    for wire in wires:
        while wire.recv(0):
            pass


def begun(net, build=udp, sport=4001, ip=A, dst=SERVER, **header):
    """(a new client's wire, what the uplink saw of its first packet)."""
    client = net.client(ip)
    client.send(build(ip, sport, dst, 80, **header))
    return client, Look(net.uplink.recv())


def replied(net, client, sport, server=SERVER):
    """A UDP flow with an answer; its port outside."""
    client.send(udp(client.address, sport, server, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(udp(server, 80, OURS, port))
    assert Look(client.recv()).dport == sport
    return port


def in_use(net, client, sport, server=SERVER):
    """A UDP flow whose client sent again after the answer; its port outside."""
    port = replied(net, client, sport, server)
    client.send(udp(client.address, sport, server, 80))
    assert Look(net.uplink.recv()).sport == port
    return port


def opened(net, client, sport=4001, server=SERVER, dport=80):
    """A TCP connection; its port outside."""
    client.send(tcp(client.address, sport, server, dport))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(server, dport, OURS, port, SYN | ACK))
    assert Look(client.recv()).dport == sport
    client.send(tcp(client.address, sport, server, dport, ACK))
    assert net.uplink.recv()
    return port


def reaches(net, client, port, server=SERVER, build=udp, *flags):
    """A packet of the server's to this port outside comes through to the client."""
    net.uplink.send(build(server, 80, OURS, port, *flags))
    return client.recv(0) is not None
