"""Joins names to the rest: to the uplink, by which questions leave, to the judge, who brings answers, and to the flows.

Our ports are reserved in the NAT for as long as a question is under way, so that no flow has one. Answers to clients
are read before the judge lets them pass (judge.teaches), unchanged and at once, and only those of our resolvers' port
53: such flows are unknown to the fast path.
"""
import asyncio
import gc
from struct import pack

from micropython import const
from scattered import Addresses
from steps import in_turns

from firewall import reasons
from firewall.flows.record import CLIENT, SIDE_UPLINK, WORDS
from firewall.interfaces import UPLINK
from firewall.names import dns
from firewall.names.names import Names
from firewall.names.stream import WINDOW
from firewall.packets.v4 import TTL
from firewall.wire import byteorder, checksum, ipv4, tcp, udp
from firewall.wire.address import text4

_TRIES = const(16)  # for a port
_LOWEST = const(1024)
_SLICE = const(128)  # records of flows looked at, 0.3 ms, then everybody else has a turn
_WRITES = const(16)  # keys written in dom0 at a time,
_PUBLISH = const(100)  # ms until the next
_WITHOUT_MEMORY = const(500)  # ms until it is tried again
_SLEEP_LEAST = const(20)  # ms
_SLEEP_MOST = const(3600000)
_LOCAL = (0, 127)  # first octets of addresses that no name may have: this host,
_LINK_LOCAL = const(0xA9FE)  # first two: of one wire alone (RFC 3927)
_GROUPS = const(224)  # from here on: groups, reserved


class Naming:
    def __init__(self, neighbours, judge, random, emit, tell):
        """random(octets) -> bytes. emit(frame): send by the uplink. tell(text): a line for the log."""
        self.names = names = Names(self, random, tell)
        self._neighbours = neighbours
        self._judge = judge
        self._random = random
        self._emit = emit
        self._judging = False  # what is sent now leaves with what the judge lets out
        names.ignored = self._ignored
        names.on_learning = neighbours.set_teachers
        judge.to_ports_of_ours = self._received
        judge.teaches = self._passes

    def _ignored(self, address):
        """True for an address that no name opens: a client's, ours, the netvm's, one that is on no wire behind it."""
        n = self._neighbours
        first = address >> 24
        if first in _LOCAL or first >= _GROUPS or address >> 16 == _LINK_LOCAL:
            return True
        return n.ours(address) or address == n.upstream or address in n.clients.by_address or address in n.connected

    # ---- out: what asking.py calls --------------------------------------------------------------

    def port(self, proto, server):
        """A random port that nobody has towards a server's port 53, reserved; -1: none was found."""
        n = self._neighbours
        for _ in range(_TRIES):
            two = self._random(2)
            port = two[0] << 8 | two[1]
            if port < _LOWEST or n.nat.reserved(proto, port):
                continue
            if proto == ipv4.TCP:
                ends = byteorder.swap(server), byteorder.swap(n.nat.address), byteorder.ports(dns.PORT, port)
                if n.flows.find(*ends, proto | SIDE_UPLINK) >= 0:
                    continue
            if n.nat.reserve(proto, port):
                return port
        return -1

    def release(self, proto, port):
        self._neighbours.nat.release(proto, port)

    def datagram(self, port, server, message):
        head = pack(">4H", port, dns.PORT, udp.SIZE + len(message), 0)
        self._send(ipv4.UDP, server, head + message, udp.CHECKSUM)

    def segment(self, port, server, sequence, acknowledged, flags, octets):
        options = b""
        uplink = self._neighbours.uplink
        if flags & tcp.SYN and uplink:
            options = pack(">BBH", 2, 4, uplink.mtu - ipv4.SIZE - tcp.SIZE)  # the largest segment
        size = tcp.SIZE + len(options) << 2
        head = pack(">HHIIBBHHH", port, dns.PORT, sequence, acknowledged, size, flags, WINDOW, 0, 0)
        self._send(ipv4.TCP, server, head + options + octets, tcp.CHECKSUM)

    def _send(self, proto, server, octets, check):
        """Send a datagram of ours, whose transport has no checksum yet, by the uplink, if there is one."""
        n = self._neighbours
        uplink, own = n.uplink, n.nat.address
        if not uplink:
            return
        octets = bytearray(octets)
        total = checksum.total(octets, 0, len(octets), checksum.pseudo(own, server, proto, len(octets)))
        ipv4.put16(octets, check, total ^ 0xFFFF or 0xFFFF)
        frame = uplink.header + ipv4.header(ipv4.SIZE + len(octets), 0, ipv4.DF, TTL, proto, own, server) + octets
        if self._judging:
            self._judge.out.append((UPLINK, frame))
        else:
            self._emit(frame)

    # ---- in: what the judge calls ---------------------------------------------------------------

    def _received(self, p, now):
        """A packet from the uplink to a port of ours. The verdict."""
        if len(p.frame) < p.end:
            return reasons.GATHER
        end = _end(p)
        if not _sums_up(p, end):
            return reasons.TRANSPORT
        frame, at = p.frame, p.l4
        if frame[at] << 8 | frame[at + 1] != dns.PORT:
            return reasons.NO_FLOW
        port = p.destination_port()
        self._judging = True
        try:
            if p.proto == ipv4.UDP:
                octets = bytes(memoryview(frame)[at + udp.SIZE : end])
                self.names.questions.datagram(port, p.src, octets, now)
            else:
                octets = bytes(memoryview(frame)[at + (frame[at + tcp.DATA_OFFSET] >> 2 & 0x3C) : end])
                numbers = bytes(memoryview(frame)[at + tcp.SEQUENCE : at + tcp.DATA_OFFSET])
                sequence, acknowledged = int.from_bytes(numbers[:4], "big"), int.from_bytes(numbers[4:], "big")
                self.names.questions.segment(port, p.src, sequence, acknowledged, p.flags, octets, now)
        finally:
            self._judging = False
        return reasons.QUEUED

    def _passes(self, p, half, now):
        """A packet between a client and a resolver's port 53 is about to pass."""
        end = _end(p)
        if len(p.frame) < end:
            return
        try:
            n = self._neighbours
            client = n.clients.by_slot[n.flows.records[(half >> 1) * WORDS + CLIENT]].address
            message = bytes(memoryview(p.frame)[p.l4 + udp.SIZE : end])
            if not half & 1:
                self.names.asked(client, half >> 1, message, now)
            elif _sums_up(p, end):
                self.names.heard(client, half >> 1, message, now)
        except MemoryError:
            pass  # it teaches nothing, and passes

    # ---- time -----------------------------------------------------------------------------------

    async def run(self, flag, ns):
        """For the supervisor, as a SERVICE. flag: a loop.Flag. ns() -> the time."""
        self.names.on_news = flag.set
        while True:
            try:
                now = ns() // 1000000
                wait = min(max(await in_turns(self.names.ticking(now)) - now, _SLEEP_LEAST), _SLEEP_MOST)
                if self._publish():
                    wait = min(wait, _PUBLISH)
                if self.names.may_prune(ns() // 1000000):
                    await self._prune(ns)
            except MemoryError:
                gc.collect()
                wait = _WITHOUT_MEMORY
            await flag.wait_ms(wait)

    async def _prune(self, ns):
        """Forget past addresses that no flow goes to."""
        past = await in_turns(self.names.past(ns() // 1000000))
        in_use = Addresses()
        first = 0
        while past and self._neighbours.flows.going_to(_Words(past), _Words(in_use), first, _SLICE):
            first += _SLICE
            await asyncio.sleep_ms(0)
        await in_turns(self.names.prune(past, in_use, ns() // 1000000))

    def _publish(self):
        """Tell dom0 what names resolve to now, a client or so at a time. True: there is more to tell."""
        changed, resolved = self.names.changed, self.names.resolved
        written = 0
        while changed and written < _WRITES:
            client = changed.pop()
            if resolved:
                count = resolved.update(text4(client), self.names.resolutions(client), _WRITES)
                written += count
                if count >= _WRITES:
                    changed.add(client)  # perhaps not all
        return len(changed) > 0


class _Words:
    """A set of addresses, asked and filled by words of the flow table."""

    def __init__(self, addresses):
        self._addresses = addresses

    def add(self, word):
        self._addresses.add(byteorder.swap(word))

    def __contains__(self, word):
        return byteorder.swap(word) in self._addresses


def _end(p):
    """Where the transport's data ends: of UDP it says so itself."""
    if p.proto != ipv4.UDP:
        return p.end
    return p.l4 + (p.frame[p.l4 + udp.LENGTH] << 8 | p.frame[p.l4 + udp.LENGTH + 1])


def _sums_up(p, end):
    """False if the transport's checksum is wrong. Blank: it never was on a wire; UDP may have none."""
    at = p.l4 + (udp.CHECKSUM if p.proto == ipv4.UDP else tcp.CHECKSUM)
    if p.blank or p.proto == ipv4.UDP and not p.frame[at] | p.frame[at + 1]:
        return True
    seed = checksum.pseudo(p.src, p.dst, p.proto, end - p.l4)
    return checksum.total(p.frame, p.l4, end - p.l4, seed) == 0xFFFF
