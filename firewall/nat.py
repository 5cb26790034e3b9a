"""Network address translation: which port a flow gets outside, and the two halves that say so.

UDP and queries of ICMP have an endpoint-independent mapping: one port outside for an address and
port inside, whatever the remote (RFC 4787 REQ-1, RFC 5508 REQ-1), and only remotes that were
written to may answer by it, since an answer needs a flow (address and port dependent filtering).
TCP is by 5-tuple: a port outside may serve several remotes. Other protocols have no ports: one
client at a time for a protocol and a remote.

A port is kept when it is free and at least 1024 (an identifier: any); else at most PROBES random
ones are tried, and no search is longer (behaviours 79).
"""
from micropython import const

from firewall import flowstate, ipv4, reasons, words
from firewall.checksum import delta16, delta32, fold
from firewall.record import CLIENT, NEW_PORTS, SIDE_CLIENT, SIDE_UPLINK, WORDS

PROBES = const(16)
_LOWEST = const(1024)  # ports below are never given, nor kept
_PORTS = const(64512)  # from there on


class Nat:
    """address: our own towards the uplink (int), 0 as long as there is none."""

    def __init__(self, flows, words_of, random):
        """words_of(n): a zeroed u32 view of n words. random(octets) -> bytes."""
        self.address = 0
        self._flows = flows
        self._random = random
        # one bit a port: of UDP, of identifiers of ICMP queries
        self._used = {ipv4.UDP: words_of(2048), ipv4.ICMP: words_of(2048)}
        self._reserved = set()  # protocol << 16 | port of our own services
        flows.on_unmapped = self._free

    def reserve(self, proto, port):
        """Keep a port for ourselves; False: a flow has it. Undone by release()."""
        if proto == ipv4.UDP and self._taken(proto, port):
            return False
        self._reserved.add(proto << 16 | port)
        return True

    def release(self, proto, port):
        self._reserved.discard(proto << 16 | port)

    def renumber(self, address):
        """Another address outside: no flow of the old one can go on."""
        self._flows.clear()
        for used in self._used.values():
            for i in range(len(used)):
                used[i] = 0
        self.address = address

    def open(self, p, uplink, now):
        """Enter the flow that packet p begins, out by uplink: its record, or -reason."""
        flows = self._flows
        client = p.link.client
        proto = p.proto
        kind = proto | SIDE_CLIENT
        src = words.swap(p.src)
        dst = words.swap(p.dst)
        own = words.swap(self.address)
        ports = p.ports
        if not flows.room(client, now):
            return -reasons.FLOW_LIMIT
        mapped = None
        new_ports = ports
        transport = 0
        if proto == ipv4.TCP or proto == ipv4.UDP or proto == ipv4.ICMP:
            inside = words.first(ports)
            if proto == ipv4.TCP:
                outside = self._tcp_port(client, inside, dst, own, ports, now)
            else:
                mapped = flows.mapping(client, src, ports & 0xFFFF, kind)
                if mapped >= 0:
                    outside = words.first(flows.records[mapped * WORDS + NEW_PORTS])
                else:
                    outside = self._port(client, proto, inside)
            if outside < 0:
                return -reasons.PORT_LIMIT
            new_ports = ports & 0xFFFF0000 | words.swap(outside << 16)
            transport = delta16(inside, outside)
        elif self._held(dst, own, 0, proto | SIDE_UPLINK, now) >= 0:
            return -reasons.PROTOCOL_BUSY
        address = delta32(p.src, self.address)
        address_back = delta32(self.address, p.src)
        transport_back = transport ^ 0xFFFF  # minus, in ones' complement
        if proto == ipv4.TCP or proto == ipv4.UDP:
            transport = fold(transport + address)
            transport_back = fold(transport_back + address_back)
        state = flowstate.fresh(proto)
        record = flows.add(
            client,
            (
                src, dst, ports, kind,
                own, dst, new_ports, words.ports(address, transport),
                uplink.number | state << 16, client.slot, flows.clients.generations[client.slot],
            ),
            (
                dst, own, _turned(new_ports), proto | SIDE_UPLINK,
                dst, src, _turned(ports), words.ports(address_back, transport_back),
                p.link.number, 0, 0,
            ),
            mapped,
            now,
        )
        if record < 0:
            return -reasons.FLOW_LIMIT
        if mapped == -1:
            self._mark(proto, outside)
        return record

    def open_between(self, p, peer, now):
        """Enter a flow from one client to another, which is not translated: its record, or -reason."""
        flows = self._flows
        client = p.link.client
        clients = flows.clients
        src = words.swap(p.src)
        dst = words.swap(p.dst)
        kind = p.proto | SIDE_CLIENT
        if not flows.room(client, now):
            return -reasons.FLOW_LIMIT
        half = flows.find(dst, src, _turned(p.ports), kind)
        if half >= 0:
            if flows.live(half, now):
                return -reasons.PORT_LIMIT
            flows.remove(half >> 1)
        state = flowstate.fresh(p.proto)
        record = flows.add(
            client,
            (
                src, dst, p.ports, kind, src, dst, p.ports, 0,
                peer.links[-1].number | state << 16, client.slot, clients.generations[client.slot],
            ),
            (
                dst, src, _turned(p.ports), kind, dst, src, _turned(p.ports), 0,
                p.link.number, peer.slot, clients.lives[peer.slot],
            ),
            None,
            now,
        )
        return record if record >= 0 else -reasons.FLOW_LIMIT

    # --- ports ---

    def _port(self, client, proto, wanted):
        """A free port of UDP or identifier of ICMP, or -1."""
        port = wanted
        if (wanted < _LOWEST and proto != ipv4.ICMP) or self._taken(proto, port):
            for _ in range(PROBES):
                port = self._any()
                if not self._taken(proto, port):
                    return port
            # full: who is below its share gets the last tried one that the largest holder gives up
            if not self._flows.steal(client, proto | SIDE_CLIENT):
                return -1
            port = self._freed
            if proto << 16 | port in self._reserved:
                return -1
        return port

    def _tcp_port(self, client, wanted, dst, own, ports, now):
        """A port that no other flow to this remote has, or -1."""
        port = wanted
        half = -1
        for probe in range(PROBES + 1):
            if probe or wanted < _LOWEST:
                port = self._any()
            if ipv4.TCP << 16 | port in self._reserved:
                continue
            half = self._held(dst, own, ports >> 16 | words.swap(port), ipv4.TCP | SIDE_UPLINK, now)
            if half < 0:
                return port
        flows = self._flows
        if half < 0 or client.flows >= flows.share:
            return -1
        # every port seems taken: who is below its share gets one from a holder above its own
        owner = flows.clients.by_slot[flows.records[(half >> 1) * WORDS + CLIENT]]
        if owner is client or owner.flows <= flows.share:
            return -1
        port = words.second(flows.records[(half << 4) + 2])
        flows.remove(half >> 1)
        return port

    def _held(self, src, dst, ports, kind, now):
        """The half that has this key and is live, or -1; one that is not is removed."""
        half = self._flows.find(src, dst, ports, kind)
        if half >= 0 and not self._flows.live(half, now):
            self._flows.remove(half >> 1)
            return -1
        return half

    def _any(self):
        two = self._random(2)
        return _LOWEST + (two[0] << 8 | two[1]) % _PORTS

    def _taken(self, proto, port):
        return self._used[proto][port >> 5] >> (port & 31) & 1 or proto << 16 | port in self._reserved

    def _mark(self, proto, port):
        self._used[proto][port >> 5] |= 1 << (port & 31)

    def _free(self, proto, ports):
        """A mapping has ended; ports: the word of a half back."""
        port = words.second(ports)
        self._used[proto][port >> 5] &= ~(1 << (port & 31))
        self._freed = port


def _turned(ports):
    """The word with both ports exchanged."""
    return ports >> 16 | (ports & 0xFFFF) << 16
