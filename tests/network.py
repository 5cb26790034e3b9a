"""A whole firewall with wires: the same class for the host, the simulation and Xen.

    with Network() as net:
        client = net.client("10.137.0.21", ["action=accept dst4=192.0.2.0/24 proto=tcp"])
        client.send(frame)                      # a frame is bytes, Ethernet header included
        seen = net.uplink.recv()                # bytes, or None after the timeout (seconds)
        net.set_rules("10.137.0.21", ["action=drop"])
        net.advance(120)                        # seconds on the firewall's clock

Frames may be sent with any Ethernet addresses; those of a wire are its mac and peer_mac. What a
wire receives is exactly what a neighbour would be handed: no padding, checksums complete. On the
host there is nothing but the judge, so what comes of a frame is there at once and no time passes
but by advance(); tests that are to run everywhere give recv() its time all the same.

net.address: the firewall's own towards the uplink. net.gateway: what clients have as their
gateway, here the same, as in Qubes. net.upstream: the firewall's gateway. net.resolvers: what
specialtarget=dns means. net.counters: {name of a verdict: how often}.
"""
import random

from firewall import reasons
from firewall.judge import Judge
from firewall.neighbours import Neighbours
from firewall.rules import matcher
from firewall.rules.names import NoNames
from firewall.wire.address import parse4

ACCEPT = ("action=accept",)
OUR_MAC = b"\xfe\xff\xff\xff\xff\xff"
CLIENT_MAC = b"\x00\x16\x3e\x5e\x6c\x00"


def words(count):
    """Zeroed u32 memory, as the image takes it from outside its heap."""
    return memoryview(bytearray(4 * count)).cast("I")


class Wire:
    """One interface, seen from the neighbour's end. address: text; mac, peer_mac: 6 octets."""

    def __init__(self, net, number, address, mac, peer_mac):
        self.net = net
        self.number = number
        self.address = address
        self.mac = mac
        self.peer_mac = peer_mac
        self.frames = []  # (frame, blank, gso)

    def send(self, frame, blank=False, gso=0):
        """Hand the firewall a frame. blank, gso: its offloads, as netif.h has them."""
        self.net._judge(self.number, frame, blank, gso)

    def recv(self, timeout=1):
        """The next frame for this neighbour, or None if none comes within timeout seconds."""
        return self.recv_offloaded(timeout)[0]

    def recv_offloaded(self, timeout=1):
        """(frame or None, blank, gso): with what the ring would say of it."""
        return self.frames.pop(0) if self.frames else (None, False, 0)


class Network:
    """See the head of this file. uplink=False: none yet; netvm() gives or changes it, no_netvm() takes it.

    capacity, share: of the flow table. seed: of all that is random, so that a test can be repeated;
    or octets(n) -> bytes, a generator of the test's own.
    """

    def __init__(self, uplink=True, capacity=1024, share=512, seed=1, octets=None):
        self.address = self.gateway = "10.138.0.2"
        self.upstream = "10.138.0.1"
        self.resolvers = ("10.139.1.1", "10.139.1.2")
        self.now = 1000000  # ms
        self._wires = {}
        octets = octets or random.Random(seed).randbytes
        self.neighbours = Neighbours(capacity, words, octets, share)
        self.neighbours.gateway = parse4(self.gateway)
        self.judge = Judge(self.neighbours, octets)
        self.uplink = None
        if uplink:
            self.netvm(self.address)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def netvm(self, address, mtu=1500, gso=True, netmask="255.255.255.255"):
        """The firewall gets an uplink with this address of its own. Its question by ARP stays unanswered.

        gso: the far side takes super-frames, which only rings ask.
        """
        self.uplink = Wire(self, 0, self.upstream, OUR_MAC, CLIENT_MAC)
        self._wires[0] = self.uplink
        self.neighbours.uplink_up(parse4(address), CLIENT_MAC, parse4(self.upstream), mtu, parse4(netmask))
        return self.uplink

    def no_netvm(self):
        self.neighbours.uplink_down()
        del self._wires[0]

    def client(self, ip, rules=ACCEPT, mtu=1500, gso=True):
        """Attach an interface of the client with this address; its wire. rules None: none are loaded."""
        number = 1
        while number in self._wires:
            number += 1
        wire = self._wires[number] = Wire(self, number, ip, CLIENT_MAC, OUR_MAC)
        self.neighbours.attach(parse4(ip), number, CLIENT_MAC, mtu)
        if rules is not None:
            self.set_rules(ip, rules)
        return wire

    def detach(self, wire):
        self.neighbours.detach(wire.number)
        del self._wires[wire.number]

    def set_rules(self, ip, entries):
        """Commit rules: a list of rule texts, the policy drop below them; or entries as QubesDB has them."""
        if not isinstance(entries, dict):
            entries = {"%04d" % i: text.encode() for i, text in enumerate(entries)}
            entries["policy"] = b"drop"
        resolvers = [parse4(text) for text in self.resolvers]
        sealed, self.complaint = matcher.load(entries, ip, resolvers, NoNames())
        self.neighbours.set_rules(parse4(ip), sealed)

    def connected(self, *addresses, only=False):
        """/connected-ips: clients that exist, running or not. only: as the image has it, others get nothing."""
        self.neighbours.set_connected([parse4(text) for text in addresses], only)

    def show(self, ip, shown, gateway="0.0.0.0"):
        """A client with this address is shown another, and another gateway; frames of its wire have them."""
        self.neighbours.set_shown(parse4(ip), parse4(shown), parse4(gateway))

    def allow(self, *pairs):
        """Let (sender, receiver) talk to each other, as the setting for it does."""
        self.neighbours.set_pairs([(parse4(a), parse4(b)) for a, b in pairs])

    def advance(self, seconds):
        """Let time pass; the firewall does what it does at times."""
        until = self.now + int(seconds * 1000)
        while self.now < until:
            self.now = min(until, self.now + 1000)
            self.neighbours.tick(self.now)

    @property
    def counters(self):
        return {name: n for name, n in zip(reasons.NAMES, self.judge.counters) if n}

    def _judge(self, number, frame, blank, gso):
        buffer = bytearray(frame)
        judge = self.judge
        verdict = judge.frame(number, buffer, len(buffer), self.now, blank, gso)
        if verdict == reasons.FORWARDED:
            self._wires[judge.egress].frames.append((bytes(buffer[: judge.octets]), judge.blank, judge.gso))
        for link, answer in judge.out:
            self._wires[link].frames.append((bytes(answer), False, 0))
        judge.out.clear()
        self.verdict = verdict
