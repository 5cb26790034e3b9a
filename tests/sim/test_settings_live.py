"""Settings by QubesDB in the program that ships: set, changed, bad, removed; under flows of the fast and slow path."""
import pytest
from dom0_network import OWN, Dom0Network
from packets import ACK, RST, SYN, Look, tcp, udp

A, B, SERVER, LAN, END = "10.137.0.21", "10.137.0.22", "192.0.2.50", "192.168.1.7", "198.51.100.9"


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def net(request, machine):
    net = Dom0Network(machine, request.param)
    net.a, net.b = net.client(A), net.client(B)
    return net


def stream(net, wire, server, sport=4001):
    """A TCP connection in use; (server, sport, the port outside)."""
    wire.send(tcp(wire.address, sport, server, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(server, 80, OWN, port, SYN | ACK))
    assert wire.recv()
    flow = wire, server, sport, port
    for _ in range(2):
        assert goes(net, flow) == (True, True)
    return flow


def goes(net, flow):
    """(does data go out, does it come back): of a flow."""
    wire, server, sport, port = flow
    net.forget()
    wire.send(tcp(wire.address, sport, server, 80, ACK, b"there"))
    out = net.uplink.recv() is not None
    net.forget()
    net.uplink.send(tcp(server, 80, OWN, port, ACK, b"back"))
    return out, wire.recv() is not None


def back_alone(net, flow):
    """Does the first packet after a change come back, being the answer's?"""
    wire, server, _, port = flow
    net.forget()
    net.uplink.send(tcp(server, 80, OWN, port, ACK, b"back"))
    return wire.recv() is not None


CUT, ON = (False, False), (True, True)


def test_a_local_network(net):
    local, other, bs = stream(net, net.a, LAN), stream(net, net.a, SERVER, 4002), stream(net, net.b, LAN)
    net.set("fw-lan-" + A, "block")
    assert [goes(net, flow) for flow in (local, other, bs)] == [CUT, ON, ON]
    net.unset("fw-lan-" + A)
    again = stream(net, net.a, LAN, 4003)
    net.set("fw-lan-all", "blokc")  # a bad value blocks
    assert net.told("/vm-config/fw-lan-all", "blokc", "expected: block")
    assert not back_alone(net, bs) and goes(net, again) == CUT and goes(net, other) == ON
    net.set("fw-lan-all", "block")
    net.a.send(udp(A, 1, "10.139.1.2", 53))
    assert net.uplink.recv()
    net.dom0.daemon.write("/qubes-secondary-dns", b"192.0.2.53")  # it is ours no longer
    net.forget()
    net.a.send(udp(A, 1, "10.139.1.2", 53))
    assert Look(net.a.recv()).code == 13
    net.unset("fw-lan-all")
    net.a.send(udp(A, 1, "10.139.1.2", 53))
    assert net.uplink.recv()


def test_the_tunnels_end(net):
    flow, bs = stream(net, net.a, SERVER), stream(net, net.b, SERVER)
    net.set("fw-only-" + A, "udp:%s:51820" % END)
    assert not back_alone(net, flow) and goes(net, bs) == ON
    net.forget()
    net.a.send(tcp(A, 4001, SERVER, 80, ACK, b"there"))
    assert Look(net.a.recv()).flags == RST
    for _ in range(3):
        net.a.send(udp(A, 1, END, 51820))
        assert net.uplink.recv()
    net.set("fw-only-" + A, "udp:vpn.example.org:51820")
    assert net.told("/vm-config/fw-only-" + A, "vpn.example.org", "expected: tcp|udp:IP:PORT")
    net.a.send(udp(A, 1, END, 51820))
    assert net.uplink.recv() is None and Look(net.a.recv()).code == 13 and goes(net, bs) == ON
    net.set("fw-only-" + A, b"")
    net.a.send(udp(A, 1, END, 51820))
    assert net.uplink.recv() is None
    net.unset("fw-only-" + A)
    stream(net, net.a, SERVER, 4005)


def test_a_pair(net):
    a, b = net.a, net.b

    def reaches(frame, wire):
        net.forget()
        (a if wire is b else b).send(frame)
        return wire.recv() is not None

    assert not reaches(udp(A, 1, B, 7), b)
    net.set("fw-allow-0", "%s>%s:udp:7-9" % (A, B))
    for _ in range(3):
        assert reaches(udp(A, 1, B, 7), b) and reaches(udp(B, 7, A, 1), a)
    assert not reaches(udp(A, 1, B, 10), b) or Look(b.recv()).proto == 1
    net.set("fw-allow-0", "%s>%s:udp:9-7" % (A, B))
    assert net.told("/vm-config/fw-allow-0", "udp:9-7", "expected: IP>IP")
    assert not reaches(udp(A, 1, B, 7), b) and not reaches(udp(B, 7, A, 1), a) or Look(a.recv()).proto == 1
    net.set("fw-allow-1", "%s>%s" % (A, B))
    assert reaches(tcp(A, 1, B, 7), b) and reaches(udp(A, 1, B, 10), b)
    net.unset("fw-allow-1")
    net.unset("fw-allow-0")
    assert not reaches(udp(A, 1, B, 10), b)


def test_a_forward(net):
    def reaches(sport, flags=SYN, data=b"", port=8080):
        net.forget()
        net.uplink.send(tcp(SERVER, sport, OWN, port, flags, data))
        seen = net.a.recv()
        return bool(seen) and Look(seen).dport == 80

    assert not reaches(5000)
    net.set("fw-forward-3", "tcp:8080>%s:80:192.0.2.0/24" % A)
    assert reaches(5000)
    for flags, data in ((SYN | ACK, b""), (ACK, b"a"), (ACK, b"b")):
        net.forget()
        net.a.send(tcp(A, 80, SERVER, 5000, flags, data))
        assert Look(net.uplink.recv()).sport == 8080
        assert reaches(5000, ACK, b"more")
    net.set("fw-lan-all", "block")
    assert reaches(5000, ACK, b"more")
    net.set("fw-forward-3", "tcp:8080>%s:80:192.0.2.0/33" % A)
    assert net.told("/vm-config/fw-forward-3", "/33", "expected: tcp|udp:PORT>IP:PORT")
    assert not reaches(5000, ACK, b"more") and not reaches(5001)
    net.set("fw-forward-3", "tcp:8081>%s:80" % A)
    net.set("fw-forward-4", "tcp:8081>%s:80" % B)
    assert net.told("fw-forward-4", "another has this port")
    assert reaches(5001, port=8081) and not reaches(5002)
    net.unset("fw-forward-3")
    net.unset("fw-forward-4")
    assert not reaches(5001, ACK, b"more", 8081) and not reaches(5003, port=8081)


def test_a_forward_from_a_local_network_that_the_client_does_not_reach(net):
    """fw-lan is about what the client begins; who names a local network in fw-forward wants it to reach the client."""
    local = "192.168.5.5"
    net.set("fw-lan-all", "block")
    net.set("fw-forward-3", "tcp:8080>%s:80:192.168.5.0/24" % A)
    for _ in range(2):
        net.forget()
        net.uplink.send(tcp(local, 5000, OWN, 8080, SYN))
        assert Look(net.a.recv()).dport == 80
        net.forget()
        net.a.send(tcp(A, 80, local, 5000, SYN | ACK))
        assert Look(net.uplink.recv()).sport == 8080
        net.set("fw-lan-" + A, "block")  # all flows are judged again
    for sport in (80, 4000):
        net.forget()
        net.a.send(tcp(A, sport, local, 5001, SYN))
        assert net.uplink.recv() is None
    net.unset("fw-lan-all")
    net.unset("fw-lan-" + A)
    net.forget()
    net.a.send(tcp(A, 4000, local, 5001, SYN))
    assert net.uplink.recv()


def test_from_the_first_packet(machine):
    """The settings are there before the client is, and count when it comes."""
    net = Dom0Network(machine, True, {"fw-only-" + A: b"tcp:%s:443" % END.encode(), "fw-lan-all": b"block"})
    a, b = net.client(A), net.client(B)
    a.send(udp(A, 1, SERVER, 53))
    assert net.uplink.recv() is None and Look(a.recv()).code == 13
    a.send(tcp(A, 1, END, 443))
    assert net.uplink.recv()
    b.send(udp(B, 1, LAN, 53))
    assert net.uplink.recv() is None


def test_a_daemon_that_was_started_anew(machine):
    """One that has forgotten everything lifts no limit, and opens nothing any more; what has the rest has removed."""
    settings = {"fw-only-" + A: b"tcp:%s:443" % END.encode(), "fw-allow-1": b"%s>%s" % (B.encode(), A.encode()),
                "fw-allow-2": b"%s>10.137.0.23" % B.encode()}
    net = Dom0Network(machine, True, settings)
    a, b, c = net.client(A), net.client(B), net.client("10.137.0.23")
    keys = dict(net.dom0.daemon.keys)

    def state():
        net.forget()
        a.send(udp(A, 1, SERVER, 53))
        b.send(udp(B, 1, "10.137.0.23", 53))
        return net.uplink.recv() is not None, c.recv() is not None

    assert state() == (False, True)
    net.dom0.daemon.keys = {}
    net.dom0.restart()
    machine.advance(3)
    assert state() == (False, False)
    net.dom0.daemon.keys = dict(keys)
    net.dom0.restart()
    machine.advance(3)
    assert state() == (False, True)
    net.dom0.daemon.keys = {key: value for key, value in keys.items() if "fw-" not in key}
    net.dom0.restart()
    machine.advance(3)
    assert state() == (True, False)


def test_the_level_of_the_log(machine):
    net = Dom0Network(machine)

    def warned(value):
        net.dom0.daemon.write("/qubes-gateway", value)
        net.settle()
        return net.told("/qubes-gateway is no IPv4 address", value.decode())

    net.set("fw-log", "error")
    assert not warned(b"w1")
    net.set("fw-log", "loud")  # it counts as none, and what is wrong is told at any level
    assert net.told("fw-log", "loud", "expected: error, warning, info or debug")
    assert warned(b"w2")
    net.set("fw-log", "error")
    assert not warned(b"w3")
    net.set("fw-lan-all", "x")
    assert net.told("fw-lan-all", "'x'")
    net.unset("fw-log")
    assert warned(b"w4")


NAMES = "fw-only-10.137.0.300", "fw-lan-", "fw-lan-ALL", "fw-allow-01", "fw-x", "fw-", "fw-logs"


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_is_none(machine, name):
    net = Dom0Network(machine)
    net.set(name, "block")
    assert net.told("/vm-config/" + name, "no such setting")
    net.unset(name)
    net.a = net.client(A)
    stream(net, net.a, LAN)


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"block\n", b"a" * 3000, b"\x1b[2J", b"block block"])
def test_values_that_are_no_text(machine, value):
    """Each closes, whatever it is, is told without its control octets, and takes no room of the heap."""
    net = Dom0Network(machine)
    for name in ("fw-lan-all", "fw-only-" + B, "fw-rate-10.137.0.30", "fw-allow-1", "fw-forward-1", "fw-log",
                 "fw-name-1"):
        net.set(name, value)
        assert net.told("/vm-config/" + name, "expected")
    assert "\x1b" not in net.firewall.console
    a, b = net.client(A), net.client(B)
    a.send(udp(A, 1, LAN, 53))
    b.send(udp(B, 1, SERVER, 53))
    assert net.uplink.recv() is None
    a.send(udp(A, 1, SERVER, 53))
    assert net.uplink.recv()
    assert net.dom0.left == []


def test_many_settings_at_once(machine):
    """As many as a copy of QubesDB holds keys: read, changed and removed, with memory level."""
    settings = {"fw-allow-%d" % i: b"10.138.0.%d>%s" % (i % 200 + 1, B.encode()) for i in range(900)}
    net = Dom0Network(machine, True, dict(settings, **{"fw-lan-all": b"block"}))
    a = net.client(A)
    a.send(udp(A, 1, LAN, 53))
    assert net.uplink.recv() is None
    for name in settings:
        net.dom0.daemon.remove("/vm-config/" + name)
    net.settle()
    stream(net, a, SERVER)
    assert not net.firewall.lines(" error ")


def test_more_keys_than_are_kept_are_told(net):
    """A setting among them may have been to limit somebody: dom0 must hear that it has no effect."""
    for i in range(1100):
        net.set("fw-rate-10.138.%d.%d" % (i >> 8, i & 0xFF), "1")
    assert net.told("more keys than are kept", "has no effect")
