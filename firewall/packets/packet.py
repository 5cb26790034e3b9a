"""The packet being judged: where its headers are and what they say.

There is one Packet, filled anew for each frame, so that judging allocates little. read() and transport() are the only
places that look at lengths; after them every offset here is inside.
"""
from struct import unpack_from

from micropython import const

from firewall import reasons
from firewall.flows.record import ANSWER
from firewall.wire import icmp, ipv4, tcp, udp
from firewall.wire.byteorder import ports as ports_word

IP = const(14)  # where the IPv4 header begins
CHECKED = const(0)  # transport(), v4.read(): nothing is wrong

_STEPS = tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN  # flags that say where in its life a connection is
QUERIES = (icmp.ECHO, icmp.TIMESTAMP)
_PARSE = {ipv4.TCP: tcp.parse, ipv4.UDP: udp.parse, ipv4.ICMP: icmp.parse}
# transports whose ports we do not read, though their checksum, at the same octet as UDP's, covers the addresses (RFC 3828,
# RFC 4340 5.1): octets of their smallest header
COVERING = {ipv4.UDP_LITE: 8, ipv4.DCCP: 12}
ANSWERS = {icmp.ECHO_REPLY: icmp.ECHO, icmp.TIMESTAMP_REPLY: icmp.TIMESTAMP}


class Packet:
    """ingress: the interface where it came in. frame: the buffer, with Ethernet header; end: behind the datagram.

    size, total, fragment, ttl, proto, src, dst: as ipv4.parse_quoted() returns them. src_word, dst_word: of src and dst, by
    v4.find(). l4: where the transport header begins.
    ports: its PORTS word (record.py), 0 if it has none. flags: of TCP. kind: the type of ICMP, -1 otherwise. query:
    it begins or answers a query of ICMP. blank: the transport checksum holds only the pseudo-header's sum (netif.h,
    csum_blank). gso: payload octets of each segment that a super-frame stands for, else 0. unseeded, of a
    super-frame: its checksum is that of the whole, though it counts as blank. whole: it was in pieces and has been put
    together by us.
    """

    def transport(self):
        """Read the transport header. CHECKED, or a reason. Not for a fragment."""
        proto = self.proto
        frame = self.frame
        parse = _PARSE.get(proto)
        if parse is None:
            return reasons.TRANSPORT if self.end - self.l4 < COVERING.get(proto, 0) else self._offload(0)
        fields = parse(frame, self.l4, self.end)
        if fields is None:
            return reasons.TRANSPORT
        if proto == ipv4.ICMP:
            self._icmp(*fields)
            return self._offload(0)
        self.ports = unpack_from("<I", frame, self.l4)[0]
        if proto == ipv4.UDP:
            return self._offload(0)
        self.flags = fields[3]
        return self._offload(fields[2]) if tcp.possible(self.flags) else reasons.TCP_FLAGS

    def first_piece(self):
        """Take the ports of a first fragment, whose transport header is known to be inside."""
        if self.proto == ipv4.TCP or self.proto == ipv4.UDP:
            self.ports = unpack_from("<I", self.frame, self.l4)[0]
        elif self.proto == ipv4.ICMP:
            self._icmp(*icmp.parse(self.frame, self.l4, self.end))

    def _icmp(self, kind, _code, ident):
        self.kind = kind
        if kind in QUERIES:
            self.query = True
            self.ports = ports_word(ident, kind)
        elif kind in ANSWERS:
            self.query = True
            self.ports = ports_word(ident, ANSWERS[kind] | ANSWER)

    def _offload(self, header):
        """Do the ring's promises fit? header: octets of the TCP header, 0 for another protocol.

        Only TCP and UDP can be blank, and only TCP comes as a super-frame; its checksum counts as blank even if the
        sender did not say so (Linux takes it so too), but then the pseudo-header's sum is not in its place.
        """
        if self.gso:
            self.unseeded = not self.blank
            self.blank = True
            return CHECKED if header and self.total > self.size + header else reasons.OFFLOAD
        return reasons.OFFLOAD if self.blank and self.proto != ipv4.TCP and self.proto != ipv4.UDP else CHECKED

    def destination_port(self):
        """The destination port of TCP and UDP, else -1."""
        if self.proto == ipv4.TCP or self.proto == ipv4.UDP:
            return self.frame[self.l4 + 2] << 8 | self.frame[self.l4 + 3]
        return -1

    def source_port(self):
        """The source port of TCP and UDP, else -1."""
        if self.proto == ipv4.TCP or self.proto == ipv4.UDP:
            return self.frame[self.l4] << 8 | self.frame[self.l4 + 1]
        return -1

    def goes_on(self):
        """True if a TCP connection could be known by it that began before we did: an ACK, no SYN, RST or FIN."""
        return self.proto == ipv4.TCP and self.flags & _STEPS == tcp.ACK

    def begins(self):
        """True if it may be the first packet of a flow: a lone SYN, a query, anything not TCP or ICMP."""
        if self.proto == ipv4.TCP:
            return self.flags & _STEPS == tcp.SYN
        return self.proto != ipv4.ICMP or self.kind in QUERIES
