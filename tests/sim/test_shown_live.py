"""Clients that are shown another address, by QubesDB in the program that ships; by the fast path and the slow one."""
import struct

import pytest
from dom0_network import OWN, Dom0Network
from packets import Look, arp, echo, udp

A, B, SERVER, SHOWN, GATEWAY = "10.137.0.21", "10.137.0.22", "192.0.2.50", "192.168.1.128", "192.168.1.1"


def shown(ip, address=SHOWN, gateway=GATEWAY):
    return {"/mapped-ip/%s/visible-ip" % ip: address.encode(), "/mapped-ip/%s/visible-gateway" % ip: gateway.encode()}


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast(request):
    return request.param


def exchange(net, wire, address, sport=4001):
    """A packet out and its answer, of the client with this address on its side: how many of the two came."""
    net.forget()
    wire.send(udp(address, sport, SERVER, 53))
    out = net.uplink.recv()
    if out is None:
        return 0
    net.uplink.send(udp(SERVER, 53, OWN, Look(out).sport))
    back = wire.recv()
    return 2 if back and Look(back).dst == address else 1


def test_from_the_start(machine, fast):
    keys = {**shown(A), **shown(B), "/connected-ips": b"%s 10.137.0.30" % SHOWN.encode()}
    net = Dom0Network(machine, fast, {"fw-allow-1": b"%s>%s" % (A.encode(), B.encode())}, keys)
    a, b = net.client(A, (b"action=accept dst4=192.0.2.0/24", b"action=accept dst4=10.137.0.0/16")), net.client(B)
    for _ in range(4):
        assert exchange(net, a, SHOWN) == exchange(net, b, SHOWN) == 2
    assert exchange(net, a, A) == 0
    for _ in range(3):
        a.send(udp(SHOWN, 5, B, 7))
        seen = Look(b.recv())
        assert (seen.src, seen.dst) == (A, SHOWN)
        b.send(udp(SHOWN, 7, A, 5))
        seen = Look(a.recv())
        assert (seen.src, seen.dst) == (B, SHOWN)
    a.send(echo(SHOWN, GATEWAY))
    assert Look(a.recv()).src == GATEWAY
    a.send(arp(1, a.mac, SHOWN, GATEWAY))
    assert a.recv()
    a.send(udp(SHOWN, 1, "198.51.100.1", 53))
    assert Look(a.recv()).src == GATEWAY
    net.dom0.daemon.write("/connected-ips", b"10.137.0.30")
    net.settle()
    assert exchange(net, a, SHOWN) == 0


def test_set_changed_and_removed_live(machine, fast):
    net = Dom0Network(machine, fast)
    a = net.client(A)
    daemon = net.dom0.daemon

    def write(keys):
        for path, value in keys.items():
            daemon.write(path, value)
        net.settle()

    write(shown(A, A, OWN))  # as for every client
    for _ in range(3):
        assert exchange(net, a, A) == 2
    write(shown(A))
    assert [exchange(net, a, each) for each in (A, SHOWN, SHOWN, SHOWN)] == [0, 2, 2, 2]
    write(shown(A, "192.168.1.77"))
    assert [exchange(net, a, each) for each in (A, SHOWN, "192.168.1.77")] == [0, 0, 2]
    write({"/mapped-ip/%s/visible-ip" % A: b"192.168.1.300"})  # nobody knows what it is shown: its own is safe
    assert net.told("/mapped-ip/%s/visible-ip is no IPv4 address" % A)
    assert [exchange(net, a, each) for each in (A, SHOWN, "192.168.1.77")] == [2, 0, 0]
    write(shown(A))
    keys = dict(daemon.keys)
    daemon.keys = {}
    net.dom0.restart()  # which has forgotten everything
    machine.advance(3)
    assert exchange(net, a, SHOWN) == 2
    daemon.keys = keys
    net.dom0.restart()
    machine.advance(3)
    assert exchange(net, a, SHOWN) == 2
    write(shown(A, A, OWN))
    assert [exchange(net, a, each) for each in (SHOWN, A)] == [0, 2]
    daemon.remove("/mapped-ip/%s/visible-ip" % A)
    daemon.remove("/mapped-ip/%s/visible-gateway" % A)
    net.settle()
    assert exchange(net, a, A) == 2


def test_what_is_as_usual_takes_no_room(machine):
    """dom0 leaves two keys behind for every client that there ever was."""
    usual = {}
    for i in range(1500):
        usual.update(shown("10.138.%d.%d" % (i >> 8, i & 255), "10.138.%d.%d" % (i >> 8, i & 255), OWN))
    net = Dom0Network(machine, True, (), {**usual, **shown(A), "/connected-ips": SHOWN.encode()})
    a = net.client(A)
    assert exchange(net, a, SHOWN) == 2 and exchange(net, a, A) == 0


PATHS = "x/visible-ip", "/visible-ip", A + "/visible-net", "fd09::1/visible-ip", "visible-ip"


@pytest.mark.parametrize("path", PATHS)
def test_keys_that_are_none(machine, path):
    net = Dom0Network(machine, True, (), {"/mapped-ip/" + path: SHOWN.encode()})
    a = net.client(A)
    assert exchange(net, a, A) == 2 and net.dom0.left == []


def question(host, ident=7):
    labels = b"".join(bytes((len(label),)) + label.encode() for label in host.split("."))
    return struct.pack("!6H", ident, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def answer(asked, *octets):
    head = struct.pack("!6H", int.from_bytes(asked[:2], "big"), 0x8180, 1, 1, 0, 0)
    return head + asked[12:] + b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 600, 4) + bytes(octets)


def test_names_that_it_asks_for_are_its_own(machine, fast):
    """Learnt under the address that dom0 knows it by, not under the shown one, which is another client's own here."""
    net = Dom0Network(machine, fast, (), shown(A, B))
    rules = b"action=accept dsthost=www.example.org", b"action=accept specialtarget=dns"
    a, b = net.client(A, rules), net.client(B, rules)
    net.forget()
    asked = question("www.example.org")
    a.send(udp(B, 4001, "10.139.1.1", 53, asked))
    net.settle()
    out = [each for each in (Look(frame) for frame in net.left()) if each.proto == 17 and each.data == asked]
    net.uplink.send(udp("10.139.1.1", 53, OWN, out[0].sport, answer(asked, 192, 0, 2, 50)))
    assert Look(a.recv()).dst == B
    net.forget()
    for wire, passes in ((b, False), (a, True)):
        wire.send(udp(B, 5000, SERVER, 443))
        net.settle()
        assert (len(net.left()) == 1) == passes
