"""Random conversations: what our NAT makes of each packet beside what Linux makes of it.

Two clients talk to two far hosts by TCP, UDP and ping, their flows shuffled together; far hosts and
strangers send what belongs to a flow, nearly belongs to one, or to none; errors by ICMP quote live
flows and wrong ones. Each packet goes to both, and what comes out, where and how, must be the same,
but for the external ports, which each chooses: a reply is sent to the port that its own firewall
chose, and every port is written as P in what is compared.

Linux is set up as Qubes' sys-firewall: sources checked on both sides, masquerade towards the uplink,
what is invalid dropped, replies and related errors accepted, the rest as the rules say. Three things
are set as the design decides: sequence numbers are not followed (nf_conntrack_tcp_be_liberal=1), client
to client is answered, not silent, and so is TCP that neither begins nor goes on (a reset). Picking up
where the port is taken differs on purpose and is left out: Linux takes another port, which the remote
cannot know.
"""
import random

import pytest

import linux_router
import packets
from linux_router import CLIENT, UPLINK
from tests.network import Network
from packets import ACK, FIN, RST, SYN
from scenes import OURS

CONVERSATIONS = 1000
LONG = 10000
CLIENTS = ("10.137.7.21", "10.137.7.22")
STRANGER = "203.0.113.77"
DENIED = "198.51.100.0/24"

RULES = """
table ip qubes {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    ip saddr 10.136.0.1 accept
    iifname "vif*" ip saddr != { 10.137.7.21, 10.137.7.22 } drop
    iifname "eth0" ip saddr { 10.137.7.21, 10.137.7.22 } drop
  }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state invalid drop
    ct state established,related accept
    iifname "vif*" ip protocol icmp accept
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ip saddr 10.136.0.1 accept
    iifname "vif*" ct state invalid tcp flags & (fin | syn | rst | ack) == fin | ack reject with tcp reset
    iifname "vif*" ct state invalid tcp flags & (fin | syn | rst | ack) == syn | ack reject with tcp reset
    ct state invalid drop
    ct state established,related accept
    iifname "vif*" oifname "vif*" reject with icmp type admin-prohibited
    iifname "vif*" ip daddr 198.51.100.0/24 reject with icmp type admin-prohibited
    iifname "vif*" accept
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 10.136.0.1 accept
    oifname "eth0" masquerade
  }
}
"""


def said(frame, port, refused=False):
    """What a frame says, with the flow's external port (or identifier) written as P."""
    look = frame if isinstance(frame, packets.Look) else packets.Look(frame)

    def number(value, address):
        return "P" if address == OURS and value == port else value

    # Linux has counted down the TTL before it refuses a packet and quotes it; we quote it as it came
    ttl = None if refused else look.ttl
    common = (look.proto, look.src, look.dst, ttl)
    if look.proto == packets.ICMP:
        if hasattr(look, "quote"):
            return common + (look.kind, look.code, said(look.quote, port, look.src == OURS))
        own = OURS if OURS in (look.src, look.dst) else None
        return common + (look.kind, look.code, number(look.echo_id, own), look.seq)
    return common + (
        number(look.sport, look.src),
        number(look.dport, look.dst),
        getattr(look, "flags", None),
        getattr(look, "data", None),
    )


class Flow:
    """One flow as the test sees it: its ends, what may be sent next, and the port each side chose."""

    def __init__(self, rng, number, hosts):
        self.client = rng.choice(CLIENTS)
        self.host = rng.choice(hosts)
        self.proto = rng.choice((packets.TCP, packets.TCP, packets.UDP, packets.ICMP))
        self.number = number
        self.sport = rng.choice((1024, 4001, 4002, 40000 + number, 65535))
        self.dport = rng.choice((53, 80, 443))
        self.ports = None  # (ours, Linux's)
        self.sent = 0
        self.over = False
        self.next = SYN  # what the client sends next, and the host
        self.answer = SYN | ACK

    def name(self):
        dport = 0 if self.proto == packets.ICMP else self.dport
        return self.proto, self.client, self.sport, self.host, dport

    def out(self, ttl=64):
        """The next packet of the client."""
        self.sent += 1
        if self.proto == packets.TCP:
            if self.next == ACK:
                self.answer = ACK
            data = b"" if self.next == SYN else b"out"
            return packets.tcp(self.client, self.sport, self.host, self.dport, self.next, data, ttl=ttl)
        if self.proto == packets.UDP:
            return packets.udp(self.client, self.sport, self.host, self.dport, b"out", ttl=ttl)
        return packets.echo(self.client, self.host, ident=self.sport, seq=self.sent, ttl=ttl)

    def first(self, src, dst):
        """What would begin a flow like this one between other ends."""
        if self.proto == packets.TCP:
            return packets.tcp(src, self.sport, dst, self.dport)
        if self.proto == packets.UDP:
            return packets.udp(src, self.sport, dst, self.dport)
        return packets.echo(src, dst, ident=self.sport)

    def back(self, port, src=None, sport=None):
        """What the far host answers to the external port; or someone else, or from another port."""
        src = src or self.host
        sport = sport or self.dport
        if self.proto == packets.TCP:
            return packets.tcp(src, sport, OURS, port, self.answer)
        if self.proto == packets.UDP:
            return packets.udp(src, sport, OURS, port, b"back")
        return packets.echo(src, OURS, ident=port, seq=self.sent, kind=0)

    def on_the_wire(self, port, client=OURS):
        """The client's packet as a router behind us sees it, to be quoted."""
        if self.proto == packets.TCP:
            return packets.tcp(client, port, self.host, self.dport, SYN, ttl=60)[14:]
        if self.proto == packets.UDP:
            return packets.udp(client, port, self.host, self.dport, b"out", ttl=60)[14:]
        return packets.echo(client, self.host, ident=port, seq=self.sent, ttl=60)[14:]


class Both:
    """Our firewall and Linux, given the same packets."""

    def __init__(self, router):
        self.router = router
        self.net = Network()
        rules = ["action=drop dst4=" + DENIED, "action=accept"]
        self.wires = {address: self.net.client(address, rules) for address in CLIENTS}

    def send(self, side, sender, build, flow):
        """build(port) gives the frame for the firewall that chose port. What both made of it, compared."""
        ports = flow.ports or (None, None)
        wire = self.net.uplink if side == UPLINK else self.wires[sender]
        wire.send(build(ports[0]))
        ours = [], self._frames(self.net.uplink)
        for address in CLIENTS:
            for frame in self._frames(self.wires[address]):
                assert packets.Look(frame).dst == address
                ours[0].append(frame)
        ethernet = bytes(14)
        linux = self.router.exchange(side, build(ports[1])[14:])
        linux = [[ethernet + datagram for datagram in some] for some in linux]
        if flow.ports is None and side == CLIENT and ours[1] and linux[1]:
            flow.ports = self._chosen(ours[1][0]), self._chosen(linux[1][0])
        port = flow.ports or (None, None)
        return (
            [sorted(said(frame, port[0]) for frame in some) for some in ours],
            [sorted(said(self._of_linux(frame), port[1]) for frame in some) for some in linux],
        )

    def _of_linux(self, frame):
        """What it says; the kernel leaves the checksum of its own resets to the device."""
        try:
            return packets.Look(frame)
        except AssertionError:
            look = packets.Look(frame, blank=True)
            assert look.flags & RST
            return look

    def _frames(self, wire):
        found = []
        while True:
            frame = wire.recv(0)
            if frame is None:
                return found
            found.append(frame)

    def _chosen(self, frame):
        look = packets.Look(frame)
        return look.echo_id if look.proto == packets.ICMP else look.sport


CHOICES = (
    ("out", "out", "out", "back", "back", "back", "stranger", "stranger port", "unasked")
    + ("error", "error", "wrong error", "client's error", "gateway", "fin", "fin back", "rst", "rst back")
    + ("denied", "neighbour", "spoofed", "spoofed from outside")
)


def step(rng, both, flow):
    """One random packet about a flow: what was sent, in words, and what both made of it."""
    choice = rng.choice(CHOICES)
    if choice == "gateway":
        frame = packets.echo(flow.client, OURS, ident=77)
        return choice, both.send(CLIENT, flow.client, lambda port: frame, flow)
    if choice in ("denied", "neighbour", "spoofed"):
        dst = {"denied": "198.51.100.9", "neighbour": CLIENTS[flow.client == CLIENTS[0]]}.get(choice, flow.host)
        src = "10.137.7.99" if choice == "spoofed" else flow.client
        frame = flow.first(src, dst)
        return choice, both.send(CLIENT, flow.client, lambda port: frame, flow)
    if choice == "spoofed from outside":
        return choice, both.send(UPLINK, None, lambda port: flow.back(port or 4001, src=rng.choice(CLIENTS)), flow)
    if flow.ports is None or choice == "out":
        if flow.proto == packets.TCP and flow.ports is None and rng.random() < 0.2:
            flags = rng.choice((ACK, ACK, FIN | ACK, SYN | ACK, RST, 0, SYN | FIN))
            if flags == ACK and flow.sport == 40000 + flow.number:  # nobody else's
                flow.next = flow.answer = ACK
                return "picked up", both.send(CLIENT, flow.client, lambda port: flow.out(), flow)
            if flags == ACK:
                return "nothing", ([], [])
            frame = packets.tcp(flow.client, flow.sport, flow.host, flow.dport, flags)
            return "no SYN", both.send(CLIENT, flow.client, lambda port: frame, flow)
        ttl = rng.choice((64, 64, 2, 1))
        frame = flow.out(ttl)
        return "out, TTL %d" % ttl, both.send(CLIENT, flow.client, lambda port: frame, flow)
    if choice == "back":
        sent = both.send(UPLINK, None, flow.back, flow)
        flow.next = ACK
        return choice, sent
    if choice == "stranger":
        return choice, both.send(UPLINK, None, lambda port: flow.back(port, src=STRANGER), flow)
    if choice == "stranger port":
        return choice, both.send(UPLINK, None, lambda port: flow.back(port, sport=9), flow)
    if choice == "unasked":
        return choice, both.send(UPLINK, None, lambda port: flow.back(39999), flow)
    if "error" in choice:
        return choice, _error(rng, both, flow, choice)
    if flow.proto != packets.TCP or flow.answer != ACK:
        return "nothing", ([], [])
    flags = FIN | ACK if "fin" in choice else RST | ACK
    flow.over = flags & RST
    if "back" in choice:
        return choice, both.send(
            UPLINK, None, lambda port: packets.tcp(flow.host, flow.dport, OURS, port, flags), flow
        )
    frame = packets.tcp(flow.client, flow.sport, flow.host, flow.dport, flags)
    return choice, both.send(CLIENT, flow.client, lambda port: frame, flow)


def _error(rng, both, flow, choice):
    """Somebody on the way complains about what the client sent, or the client about what it got."""
    kind, code = rng.choice(((3, 0), (3, 1), (3, 3), (3, 13), (11, 0)))
    cut = rng.choice((28, 28, 1500))
    if choice == "client's error":
        if flow.proto != packets.UDP:
            return [], []
        quoted = packets.udp(flow.host, flow.dport, flow.client, flow.sport, b"back", ttl=60)[14:]
        frame = packets.error(flow.client, flow.host, 3, 3, quoted[:cut])
        return both.send(CLIENT, flow.client, lambda port: frame, flow)

    def build(port):
        quoted = flow.on_the_wire(39998 if choice == "wrong error" else port)
        return packets.error(STRANGER, OURS, kind, code, quoted[:cut])

    return both.send(UPLINK, None, build, flow)


def conversation(router, rng, number, passed):
    """None, or what differed. Counts in passed what let something out.

    Far hosts are other ones in each, so that nothing of the last conversation is met.
    """
    hosts = ["198.%d.%d.%d" % (18 + (number >> 14 & 1), number >> 7 & 127, (number & 127) * 2 + i) for i in (0, 1)]
    both = Both(router)
    flows = {flow.name(): flow for flow in (Flow(rng, i, hosts) for i in range(6))}
    story = []
    for _ in range(30):
        flow = rng.choice(list(flows.values()))
        if flow.over:
            continue
        what, (ours, linux) = step(rng, both, flow)
        story.append("%s: %r, external ports %r" % (what, flow.name(), flow.ports))
        if ours != linux:  # of both: what came out at the client, at the uplink
            return "\n".join(story + ["ours  %r" % (ours,), "Linux %r" % (linux,)])
        if any(ours):
            passed[what] = passed.get(what, 0) + 1
    return None


@pytest.fixture
def router():
    try:
        with linux_router.Router() as found:
            found.load(RULES)
            found.set("netfilter/nf_conntrack_tcp_loose", 1)
            found.set("netfilter/nf_conntrack_tcp_be_liberal", 1)
            yield found
    except linux_router.Unavailable as why:
        pytest.skip("no Linux router here: %s" % why)


def test_random_flows_do_as_in_linux(router, request):
    count = LONG if request.config.getoption("--long") else CONVERSATIONS
    rng = random.Random(linux_router.seed())
    passed = {}
    for number in range(count):
        assert conversation(router, rng, number, passed) is None
    both_ways = {"out, TTL 64", "out, TTL 2", "out, TTL 1", "back", "fin", "fin back", "rst", "rst back", "gateway"}
    # a reply to a ping has no port that could be a stranger's
    others = {"error", "client's error", "stranger port", "denied", "neighbour", "picked up", "no SYN"}
    assert set(passed) == both_ways | others, passed


def test_a_disagreement_would_be_seen(router):
    """The comparison itself: a Linux that lets strangers in, or translates nothing, differs."""
    rng = random.Random(1)
    for i, missing in enumerate(("ct state invalid drop", 'oifname "eth0" masquerade')):
        router.load(RULES.replace(missing, ""))
        assert any([conversation(router, rng, 50 * i + n, {}) for n in range(50)])
