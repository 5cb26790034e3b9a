"""Network address translation: which port a flow gets outside, and the two halves that say so.

UDP and queries of ICMP have an endpoint-independent mapping: one port outside for an address and port inside, whatever
the remote (RFC 4787 REQ-1, RFC 5508 REQ-1), and only remotes that were written to may answer by it, since an answer needs
a flow (address and port dependent filtering). TCP is by 5-tuple: a port outside may serve several remotes. Other
protocols have no ports: one client at a time for a protocol and a remote.

A port is kept when it is free and at least 1024 (an identifier: any); else at most PROBES random ones are tried, and no
search is longer (behaviours 79).
"""
from micropython import const

from firewall import flowstate, ipv4, reasons, words
from firewall.checksum import delta16, delta32, fold
from firewall.packet import ANSWER
from firewall.record import CLIENT, NEW_PORTS, PORTS, SIDE_CLIENT, SIDE_UPLINK, WORDS

PROBES = const(16)
_ANSWER = words.ports(0, ANSWER)
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
        self._freed = 0  # the port whose mapping ended last
        flows.on_unmapped = self._free

    def reserve(self, proto, port):
        """Keep a port of UDP or TCP for ourselves until release(). False: a flow of UDP has it."""
        if proto == ipv4.UDP and self._taken(proto, port):
            return False
        self._reserved.add(proto << 16 | port)
        return True

    def release(self, proto, port):
        self._reserved.discard(proto << 16 | port)

    def renumber(self, address):
        """Another address outside: no flow of the old one can go on. Before the first there are none."""
        if self.address:
            self._flows.clear()
            for used in self._used.values():
                self._flows.wipe(used)
        self.address = address

    def open(self, p, egress, picked, now):
        """Enter the flow of packet p, the first that we see of it, that leaves by the link egress: its record, or -reason.

        picked: p goes on with a TCP connection that began before we did; only its own port will do, which the remote knows.
        Out by the uplink it is translated; to another client it is not.
        """
        flows = self._flows
        client = p.link.client
        peer = egress.client
        proto = p.proto
        if not flows.room(client, now):
            return -reasons.FLOW_LIMIT
        src, dst, ports = words.swap(p.src), words.swap(p.dst), p.ports
        own, new_ports, kind_back = src, ports, proto | SIDE_CLIENT
        mapped = None
        address = transport = 0  # checksum deltas
        if peer is None:
            own, kind_back = words.swap(self.address), proto | SIDE_UPLINK
            address = delta32(p.src, self.address)
            if proto == ipv4.TCP or proto == ipv4.UDP or proto == ipv4.ICMP:
                inside = words.first(ports)
                if proto != ipv4.TCP:
                    mapped = flows.mapping(client, src, ports & 0xFFFF, proto | SIDE_CLIENT)
                if proto == ipv4.TCP:
                    outside = self._tcp_port(client, inside, dst, own, ports, picked, now)
                elif mapped >= 0:
                    outside = words.first(flows.records[mapped * WORDS + NEW_PORTS])
                else:
                    outside = self._port(client, proto, inside)
                if outside < 0:
                    return -reasons.PORT_LIMIT
                new_ports = ports & 0xFFFF0000 | words.swap(outside << 16)
                transport = delta16(inside, outside)
                if proto != ipv4.ICMP:
                    transport = fold(transport + address)
        ports_back, new_ports_back = _answering(proto, new_ports), _answering(proto, ports)
        if self._held(dst, own, ports_back, kind_back, now) >= 0:
            return -reasons.PROTOCOL_BUSY
        slot, slot_back = client.slot, peer.slot if peer else 0
        state = flowstate.PICKED if picked else flowstate.fresh(proto)
        egress_word = egress.number | state << 16
        generation, life = flows.clients.generations[slot], flows.clients.lives[slot_back]
        deltas = words.ports(address, transport)
        there = (src, dst, ports, proto | SIDE_CLIENT, own, dst, new_ports, deltas, egress_word, slot, generation)
        deltas ^= 0xFFFFFFFF  # minus, in ones' complement
        back = (dst, own, ports_back, kind_back, dst, src, new_ports_back, deltas, p.link.number, slot_back, life)
        record = flows.add(client, there, back, mapped, now)
        if record < 0:
            return -reasons.FLOW_LIMIT
        if mapped == -1:
            self._used[proto][outside >> 5] |= 1 << (outside & 31)
        return record

    # --- ports ---

    def _port(self, client, proto, wanted):
        """A free port of UDP or identifier of ICMP, or -1."""
        if (wanted >= _LOWEST or proto == ipv4.ICMP) and not self._taken(proto, wanted):
            return wanted
        for _ in range(PROBES):
            port = self._any()
            if not self._taken(proto, port):
                return port
        # full: who is below its share gets one that the largest holder gives up
        if self._flows.steal(client, proto | SIDE_CLIENT) and not self._taken(proto, self._freed):
            return self._freed
        return -1

    def _tcp_port(self, client, wanted, dst, own, ports, picked, now):
        """A port that no other flow to this remote has, or -1. picked: only the wanted one will do."""
        flows = self._flows
        half = -1
        for probe in range(PROBES + 1):
            if picked and probe:
                return -1
            port = self._any() if probe or wanted < _LOWEST and not picked else wanted
            if ipv4.TCP << 16 | port not in self._reserved:
                half = self._held(dst, own, ports >> 16 | words.swap(port), ipv4.TCP | SIDE_UPLINK, now)
                if half < 0:
                    return port
        # every port seems taken: who is below its share gets the last tried one of a holder above
        owner = flows.clients.by_slot[flows.records[(half >> 1) * WORDS + CLIENT]] if half >= 0 else client
        if client.flows >= flows.share or owner is client or owner.flows <= flows.share:
            return -1
        port = words.second(flows.records[(half << 4) + PORTS])
        flows.remove(half >> 1)
        return port

    def _held(self, src, dst, ports, kind, now):
        """The half that has this key and is live, or -1; one that is not is removed."""
        half = self._flows.find(src, dst, ports, kind)
        if half >= 0 and not self._flows.live(half, now):
            self._flows.remove(half >> 1)
            half = -1
        return half

    def _any(self):
        two = self._random(2)
        return _LOWEST + (two[0] << 8 | two[1]) % _PORTS

    def _taken(self, proto, port):
        return self._used[proto][port >> 5] >> (port & 31) & 1 or proto << 16 | port in self._reserved

    def _free(self, proto, ports):
        """A mapping has ended; ports: the word of a half back."""
        self._freed = port = words.second(ports) if proto == ipv4.UDP else words.first(ports)
        self._used[proto][port >> 5] &= ~(1 << (port & 31))


def _answering(proto, ports):
    """The PORTS word of the half back to one there with this word."""
    return ports ^ _ANSWER if proto == ipv4.ICMP else ports >> 16 | (ports & 0xFFFF) << 16
