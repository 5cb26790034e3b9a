"""tests/network.py's Network with everything real but Xen: the image's code, rings, grants, xenstore.

    from tests.sim.network import Network
    with Network() as net: ...      # as there; net.machine, net.firewall and a wire's end are this one's own

A frame that a wire sends lies in its ring until somebody looks, or another wire sends: so bursts are bursts, and
order between wires is kept.
"""
import os
import re
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [_HERE, os.path.join(os.path.dirname(_HERE), "host")]  # for programs that are not pytest's
from frontend import Client  # noqa: E402
from machine import Machine  # noqa: E402
from netvm import Netvm  # noqa: E402
from packets import Look, echo  # noqa: E402
from rings import SLOTS  # noqa: E402

ACCEPT = ("action=accept",)
OUR_MAC = b"\xfe\xff\xff\xff\xff\xff"
CLIENT_MAC = b"\x00\x16\x3e\x5e\x6c\x00"
FIRST_CLIENT = 5
_BURST = 40  # frames that lie in a ring unseen
_NODES = 30  # rules in one command: a value in xenstore has 2048 octets
_ARP, _REQUEST = b"\x08\x06", b"\0\1"


class Wire:
    """One interface, seen from the neighbour's end: a Client or Netvm."""

    def __init__(self, net, end, address, mac, peer_mac):
        self.net, self.end, self.address, self.mac, self.peer_mac = net, end, address, mac, peer_mac
        self.unseen = 0

    def send(self, frame, blank=False, gso=0):
        net = self.net
        if net.sender is not self or self.unseen >= _BURST:
            net.settle()
        net.sender = self
        self.unseen += 1
        self.end.send(bytes(frame), blank, gso)

    def recv(self, timeout=1):
        return self.recv_offloaded(timeout)[0]

    def pings(self):
        """True if the firewall answers an echo request; what had come before is forgotten."""
        self.end.frames.clear()
        self.send(echo(self.address, self.net.gateway, seq=3))
        seen = Look(self.recv())
        return (seen.kind, seen.seq) == (0, 3)

    def recv_offloaded(self, timeout=1):
        """Without waiting: a firewall that sleeps has no more to send, its timers aside.

        That we ask again who our gateway is, is passed over; it is in end.frames.
        """
        self.net.settle()
        while self.end.frames:
            found = self.end.frames.pop(0)[:3]
            if self is not self.net.uplink or found[0][12:14] != _ARP or found[0][20:22] != _REQUEST:
                return found
        return None, False, 0


class _Counts:
    """Stands where the host's Network has the flow table and the incomplete datagrams: how much there is of them."""

    def __init__(self, net):
        self._net = net

    @property
    def count(self):
        return self._net.figures()["flows"]

    @property
    def octets(self):
        return self._net.figures()["fragments"]


class Neighbours:
    def __init__(self, net):
        self.flows = self.fragments = _Counts(net)


class Network:
    def __init__(self, uplink=True, machine=None, cmdline="", **netvm):
        """machine: of the caller's, which stays his; netvm: arguments of Netvm."""
        self.address = self.gateway = "10.138.0.2"
        self.upstream = "10.138.0.1"
        self.resolvers = ("10.139.1.1", "10.139.1.2")
        self._own = machine is None
        self.machine = machine or Machine()
        self.sender = None
        self.uplink = None
        self.wires = []
        self._asked = 0
        self._domid = FIRST_CLIENT
        words = "run=forward own=%s gateway=%s %s" % (self.address, self.upstream, cmdline)
        self.firewall = self.machine.firewall(words)
        self.neighbours = Neighbours(self)
        if uplink:
            self.netvm(self.address, **netvm)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._own:
            self.machine.close()

    def settle(self):
        self.sender = None
        for wire in self.wires:
            wire.unseen = 0
        self.machine.settle()

    # ---- what dom0 does

    def netvm(self, address, mtu=1500, gso=True, domid=1, **features):
        """A netvm is attached, connected, and has been asked by ARP for its address, to no avail."""
        if address != self.address:
            self.address = address
            self.tell("network %s %s" % (address, self.upstream))
        end = Netvm(self.machine, domid, gso=gso, mtu=mtu, **features)
        self.uplink_to(end)
        self.machine.until(end.connected, 10, "connection of the uplink")
        self.machine.advance(2.5)
        end.frames = [each for each in end.frames if each[0][12:14] != _ARP]
        return self.uplink

    def left(self):
        """Octets of the frames that left by the uplink since last asked, but for our questions by ARP, which time brings."""
        frames, self.uplink.end.frames = self.uplink.end.frames, []
        return [octets for octets, _, _, _ in frames if octets[12:14] != _ARP]

    def uplink_to(self, end):
        """This Netvm is the wire upstream."""
        self.uplink = Wire(self, end, self.upstream, OUR_MAC, CLIENT_MAC)
        self.wires.append(self.uplink)
        return self.uplink

    def again(self, connections, seconds=15):
        """The netvm has connected for the so many-th time, and forgets what came meanwhile, our questions by ARP above all."""
        end = self.uplink.end
        self.machine.until(lambda: end.connections == connections and end.connected(), seconds, "another connection")
        self.machine.advance(2.5)
        end.frames.clear()

    def no_netvm(self):
        self.uplink.end.kill()
        self.wires.remove(self.uplink)

    def client(self, ip, rules=ACCEPT, wait=True, **options):
        """options: of frontend.Client. wait: until it is connected."""
        domid, self._domid = self._domid, self._domid + 1
        end = Client(self.machine, domid, ip, **options)
        wire = Wire(self, end, ip, CLIENT_MAC, OUR_MAC)
        self.wires.append(wire)
        if rules is not None:
            self.set_rules(ip, rules)
        if wait:
            self.machine.until(end.connected, 30, "connection of vif %s" % end.name)
        return wire

    def detach(self, wire, force=False):
        wire.end.detach(force)
        wire.end.leave()
        self.wires.remove(wire)

    # ---- what QubesDB says

    def tell(self, command):
        """A command of tests/guest/forward.py; what it answers."""
        self._asked += 1
        self.settle()
        self.machine.write("/local/domain/2/test", "%d %s" % (self._asked, command))
        self.settle()
        number, _, answer = self.machine.read("/local/domain/2/data/test").decode().partition(" ")
        assert int(number) == self._asked, "no answer to %s" % command
        return answer

    def set_rules(self, ip, entries):
        if not isinstance(entries, dict):
            entries = {"%04d" % i: text.encode() for i, text in enumerate(entries)}
            entries["policy"] = b"drop"
        nodes = ["%s %s" % (key, value.decode("latin-1")) for key, value in entries.items()]
        while len(nodes) > _NODES:
            self.tell("\n".join(["nodes"] + nodes[:_NODES]))
            del nodes[:_NODES]
        self.complaint = self.tell("\n".join(["rules " + ip] + nodes))

    def set_names(self, names):
        """{host: [address, ...]}; an empty list: it does not exist; None: no answer."""
        known = ["%s %s" % (host, " ".join(found)) for host, found in names.items() if found is not None]
        self.tell("\n".join(["names"] + known))

    def set_resolvers(self, addresses):
        self.tell("resolvers " + " ".join(addresses))

    def connected(self, *addresses, only=False):
        self.tell("connected " + ("only " if only else "") + " ".join(addresses))

    def allow(self, *pairs):
        self.tell("pairs " + " ".join("%s>%s" % pair for pair in pairs))

    # ---- looking

    def advance(self, seconds):
        self.settle()
        self.machine.advance(seconds)

    def figures(self):
        """What tests/guest/forward.py counts, as ints."""
        return {name: int(n) for name, n in re.findall(r"(\S+)=(-?\d+)", self.tell("figures"))}

    def traffic(self):
        """{number of an interface: (packets from it, their octets, packets to it, their octets)}."""
        told = dict(word.split("=") for word in self.tell("traffic").split())
        return {int(number): tuple(int(n) for n in words.split(",")) for number, words in told.items()}

    def holdings(self):
        """All that must not grow, but the heap, which is never quite the same."""
        figures = self.figures()
        held = {name: figures[name] for name in ("octets", "free", "vifs", "links", "quarantine", "held", "watches")}
        held.update(self.firewall.holdings())
        return held

    @property
    def counters(self):
        known = ("heap", "octets", "free", "flows", "vifs", "links", "quarantine", "watches", "held", "fragments", "lost", "fast", "failed")
        return {name.replace("_", " "): n for name, n in self.figures().items() if name not in known}

    def lines(self, having=""):
        return self.firewall.lines(having)


assert SLOTS > 2 * _BURST
