"""Network address translation: which port a flow gets outside, and the two halves that say so.

UDP and queries of ICMP have an endpoint-independent mapping: one port outside for an address and port inside, whatever
the remote (RFC 4787 REQ-1, RFC 5508 REQ-1), and only remotes that were written to may answer by it, since an answer needs
a flow (address and port dependent filtering). TCP is by 5-tuple: a port outside may serve several remotes. Other
protocols have no ports: one client at a time for a protocol and a remote.

A port is kept when it is free; else it becomes another of its pool: below 1024, from there on, an identifier. At most
PROBES random ones are tried, then the first free one is looked up (UDP, ICMP): no search is longer
(docs/behaviours.md 79).

Ports have shares as flows have: a client with less than SHARE of a pool, or than an even part of it, gets one at once, if
need be the oldest mapping of the largest holder, by rank; of a TCP port towards a remote, one of the largest holder met.
At its limit a client gives up its own oldest mapping that is not in use, else its new flow is refused.

A port that a setting forwards to a client is kept for that: what the client sends from the port inside gets it, and
nobody else does. Such flows have no mapping.
"""
from micropython import const

from firewall import reasons
from firewall.flows import record
from firewall.flows import state as flowstate
from firewall.flows.ports import Ports
from firewall.flows.record import ANSWER, BACK, CLIENT, EGRESS, INBOUND, PORTS, RING, SIDE_UPLINK, WORDS
from firewall.wire import byteorder, ipv4
from firewall.wire.checksum import delta16, delta32, fold

PROBES = const(16)
_ANSWER = byteorder.ports(0, ANSWER)
_PRIVILEGED = const(1024)  # ports are below
(_LOW, _HIGH, _IDENTIFIERS) = range(3)
POOLS = ((0, 1024), (1024, 65536), (0, 65536))  # first, end


class Nat:
    """address: our own towards the uplink (int), 0 as long as there is none."""

    def __init__(self, flows, words_of, random):
        """words_of(n): a zeroed u32 view of n words. random(octets) -> bytes."""
        self.address = self._word = 0
        self._flows = flows
        self._random = random
        self._ports = {ipv4.UDP: Ports(words_of), ipv4.ICMP: Ports(words_of)}
        self._reserved = set()  # protocol << 16 | port of our own services
        self._kept = {}  # the same of ports that are forwarded -> False as long as UDP's is a mapping's, or our own
        self._forwarded = {}  # (protocol << 16 | port inside, client) -> the port outside
        self._freed = 0  # the port whose mapping ended last
        flows.mappings.on_end = self._free
        for proto in (ipv4.UDP, ipv4.TCP):
            self.reserve(proto, 0)  # which is none

    def reserve(self, proto, port):
        """Keep a port of UDP or TCP for ourselves until release(). False: a flow of UDP has it, or it is forwarded."""
        if proto << 16 | port in self._kept:
            return False
        if proto == ipv4.UDP:
            if self._ports[proto].taken(port):
                return False
            self._ports[proto].take(port)
        self._reserved.add(proto << 16 | port)
        return True

    def reserved(self, proto, port):
        """True for a port of our own."""
        return proto << 16 | port in self._reserved

    def release(self, proto, port):
        """The port is not ours any more."""
        self._reserved.discard(proto << 16 | port)
        if proto == ipv4.UDP:
            self._give(port)

    def keep(self, forwards):
        """Keep these ports for who is behind them, and no others: as policy.Policy has them."""
        udp = self._ports[ipv4.UDP]
        for key in list(self._kept):
            if key not in forwards and self._kept.pop(key) and key >> 16 == ipv4.UDP:
                udp.give(key & 0xFFFF)
        self._forwarded = {}
        for key in sorted(forwards, reverse=True):  # of several ports for one inside the lowest is what it sends from
            port = key & 0xFFFF
            if key not in self._kept:
                # one that a mapping has stays its own until it ends
                self._kept[key] = key >> 16 != ipv4.UDP or not udp.taken(port)
                if self._kept[key] and key >> 16 == ipv4.UDP:
                    udp.take(port)
            self._forwarded[key & 0xFF0000 | forwards[key][1], forwards[key][0]] = port

    def renumber(self, address):
        """Another address outside: no flow of the old one can go on. Before the first there are none."""
        if self.address:
            self._flows.clear()
            for ports in self._ports.values():
                self._flows.wipe(ports.used)
                self._flows.wipe(ports.full)
            for each in self._kept:
                self._kept[each] = each not in self._reserved
            for each in self._reserved | set(self._kept):
                if each >> 16 == ipv4.UDP:
                    self._ports[ipv4.UDP].take(each & 0xFFFF)
        self.address = address
        self._word = byteorder.swap(address)

    def open(self, p, egress, picked, now):
        """Enter the flow of packet p, the first that we see of it, that leaves by the interface egress: its record, or -reason.

        picked: p goes on with a TCP connection that began before we did; only its own port will do, which the remote knows.
        Out by the uplink it is translated; to another client only where one of both is shown another address.
        """
        flows = self._flows
        client = p.ingress.client
        peer = egress.client
        proto = p.proto
        if not flows.room(client, now):
            return -reasons.FLOW_LIMIT
        src, dst, ports = p.src_word, p.dst_word, p.ports
        kind, new_dst, new_ports = proto | client.side, dst, ports
        mapped, looked_up = None, False  # looked_up: nobody has the half back
        address = transport = 0  # checksum deltas
        if peer is None:
            own, kind_back = self._word, proto | SIDE_UPLINK
            address = delta32(p.src, self.address)
            if proto == ipv4.TCP or proto == ipv4.UDP or proto == ipv4.ICMP:
                inside = byteorder.first(ports)
                outside = self._forwarded.get((proto << 16 | inside, client.address), -1) if self._forwarded else -1
                if outside < 0 and proto != ipv4.TCP:
                    mapped = flows.mappings.find(client, src, ports & 0xFFFF, kind)
                    if mapped >= 0:
                        outside = byteorder.first(flows.mappings.outside(mapped))
                    else:
                        outside = self._port(client, proto, inside)
                        mapped = -1 - _pool(proto, inside)
                elif outside < 0:
                    outside, looked_up = self._tcp_port(client, inside, dst, own, ports, picked, now), True
                if outside < 0:
                    return -reasons.PORT_LIMIT
                new_ports = ports if outside == inside else ports & 0xFFFF0000 | byteorder.swap(outside << 16)
                transport = delta16(inside, outside)
                if proto != ipv4.ICMP:
                    transport = fold(transport + address)
        else:
            own, new_dst, kind_back = byteorder.swap(client.address), byteorder.swap(peer.shown), proto | peer.side
            if new_dst != dst or own != src:
                address = fold(delta32(p.src, client.address) + delta32(p.dst, peer.shown))
                transport = 0 if proto == ipv4.ICMP else address
        ports_back, new_ports_back = _answering(proto, new_ports), _answering(proto, ports)
        if not looked_up and self._live_half(new_dst, own, ports_back, kind_back, now) >= 0:
            return -reasons.PROTOCOL_BUSY
        slot, slot_back = client.slot, peer.slot if peer else 0
        egress_word = egress.number | (flowstate.PICKED if picked else flowstate.fresh(proto)) << 16
        generation, life = flows.clients.generations[slot], flows.clients.lives[slot_back]
        deltas = byteorder.ports(address, transport)
        there = (src, dst, ports, kind, own, new_dst, new_ports, deltas, egress_word, slot, generation)
        deltas ^= 0xFFFFFFFF  # minus, in ones' complement
        ingress = p.ingress.number
        back = (new_dst, own, ports_back, kind_back, dst, src, new_ports_back, deltas, ingress, slot_back, life)
        number = flows.add(client, there, back, mapped, now)
        if number < 0:
            return -reasons.FLOW_LIMIT
        if mapped is not None and mapped < 0:
            self._ports[proto].take(outside)
        return number

    def let_in(self, p, egress, inside, now):
        """Enter the flow of packet p from the uplink, as if that of egress began it: its record, or -reason."""
        flows = self._flows
        client = egress.client
        if not flows.room(client, now):
            return -reasons.FLOW_LIMIT
        proto, ports_back = p.proto, p.ports
        remote, own, src = byteorder.swap(p.src), byteorder.swap(p.dst), byteorder.swap(client.shown)
        new_ports = _answering(proto, ports_back)
        outside = byteorder.first(new_ports)
        ports = new_ports & 0xFFFF0000 | byteorder.swap(inside << 16)
        kind = proto | client.side
        if self._live_half(src, remote, ports, kind, now) >= 0:
            return -reasons.PROTOCOL_BUSY  # the client has one by another port
        address = delta32(client.shown, p.dst)
        deltas = byteorder.ports(address, fold(delta16(inside, outside) + address))
        egress_word = p.ingress.number | flowstate.fresh(proto) << 16
        generation, life = flows.clients.generations[client.slot], flows.clients.lives[0]
        slot = client.slot
        there = (src, remote, ports, kind, own, remote, new_ports, deltas, egress_word, slot, generation)
        deltas ^= 0xFFFFFFFF
        new_back = _answering(proto, ports)
        back = (remote, own, ports_back, proto | SIDE_UPLINK, remote, src, new_back, deltas, egress.number, 0, life)
        number = flows.add(client, there, back, None, now)
        if number < 0:
            return -reasons.FLOW_LIMIT
        flows.records[number * WORDS + BACK + RING] = INBOUND
        return number

    # --- ports ---

    def _port(self, client, proto, wanted):
        """A port of UDP or identifier of ICMP for a new mapping of client, or -1."""
        flows = self._flows
        mappings = flows.mappings
        ports = self._ports[proto]
        pool = _pool(proto, wanted)
        first, end = POOLS[pool]
        attached = len(flows.clients.by_address)
        share = min(flows.share, (end - first) // attached)
        if client.mapped[pool] >= end - first - share * (attached - 1) and not mappings.recycle(client, pool):
            return -1
        if not ports.taken(wanted):
            return wanted
        for _ in range(PROBES):
            port = self._any(pool)
            if not ports.taken(port):
                return port
        port = ports.any(first, end, self._random(1)[0])
        if port >= 0:
            return port
        # none is left: who is below its share gets one of the largest holder's, others one of their own
        mine = client.mapped[pool]
        largest = flows.clients.largest_mapped(pool)
        # by one it changes nothing, and two would take it from each other for ever
        if largest and (not largest.interfaces or mine < share and largest.mapped[pool] > mine + 1):
            mappings.recycle(largest, pool, True)
        elif not mappings.recycle(client, pool):
            return -1
        return self._freed

    def _tcp_port(self, client, wanted, dst, own, ports, picked, now):
        """A port that no other flow to this remote has, or -1. picked: only the wanted one will do."""
        flows = self._flows
        w = flows.records
        pool = _pool(ipv4.TCP, wanted)
        spare = taken = -1  # halves that may have to go: one of the client's own, one of the largest holder met
        most = max(client.flows + 1, PROBES)  # who has fewer crowds nobody
        others = 0
        for probe in range(PROBES + 1):
            port = self._any(pool) if probe else wanted
            key = ipv4.TCP << 16 | port
            if key not in self._reserved and key not in self._kept:
                half = self._live_half(dst, own, ports >> 16 | byteorder.swap(port), ipv4.TCP | SIDE_UPLINK, now)
                if half < 0:
                    return port
                at = (half >> 1) * WORDS
                owner = flows.clients.by_slot[w[at + CLIENT]]
                if owner is not client:
                    others += 1
                    if owner.flows > most:
                        taken, most = half, owner.flows
                elif flowstate.RANK[w[at + EGRESS] >> 16] < flowstate.HELD:
                    spare = half
            if picked:
                return -1
        # every port seems taken: who is below its share gets one of a larger holder's, unless most are its own already
        half = taken if taken >= 0 and client.flows < flows.share and others > PROBES // 2 else spare
        if half < 0:
            return -1
        port = byteorder.second(w[record.at(half) + PORTS])
        flows.remove(half >> 1)
        return port

    def _live_half(self, src, dst, ports, kind, now):
        """The half that has this key and is live, or -1; one that is not is removed."""
        half = self._flows.find(src, dst, ports, kind)
        if half >= 0 and not self._flows.live(half, now):
            self._flows.remove(half >> 1)
            half = -1
        return half

    def _any(self, pool):
        """A random port of a pool; of the low ones none below 512, where servers have theirs."""
        two = self._random(2)
        value = two[0] << 8 | two[1]
        if pool == _LOW:
            return value & 511 | 512
        first, end = POOLS[pool]
        return first + value % (end - first)

    def _free(self, pool, port):
        """A mapping has ended."""
        self._freed = port
        if pool == _IDENTIFIERS:
            self._ports[ipv4.ICMP].give(port)
        else:
            self._give(port)

    def _give(self, port):
        """A port of UDP is nobody's, but if it is forwarded."""
        if ipv4.UDP << 16 | port in self._kept:
            self._kept[ipv4.UDP << 16 | port] = True
            self._freed = -1
        else:
            self._ports[ipv4.UDP].give(port)


def _pool(proto, port):
    """Which ports may stand for this one outside (RFC 4787 REQ-3a)."""
    return _IDENTIFIERS if proto == ipv4.ICMP else _LOW if port < _PRIVILEGED else _HIGH


def _answering(proto, ports):
    """The PORTS word of the half back to one there with this word."""
    return ports ^ _ANSWER if proto == ipv4.ICMP else ports >> 16 | (ports & 0xFFFF) << 16
