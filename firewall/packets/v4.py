"""What is particular to IPv4 in judging a packet: reading it, finding its flow, whether it fits, rewriting it, and an
error about it.

All offsets were checked by read(): no function below can reach behind the frame.
"""
from struct import pack_into, unpack_from

from micropython import const

from firewall import reasons
from firewall.flows.record import DELTAS, NEW_DST, NEW_PORTS, NEW_SRC, TTL_DELTA
from firewall.packets.packet import CHECKED, COVERING, IP
from firewall.wire import byteorder, icmp, ipv4, tcp, udp
from firewall.wire.checksum import pseudo
from firewall.wire.ipv4 import put16

TTL = const(64)  # of datagrams of our own
_QUOTE = const(548)  # octets of the datagram that an error quotes: 576 less two headers (RFC 1812 4.3.2.3)


def read(p, ingress, frame, octets, blank, gso):
    """Read a frame's IPv4 header into the Packet p. CHECKED, or a reason."""
    p.ingress = ingress
    p.frame = frame
    p.blank = blank
    p.gso = gso
    p.whole = False
    # field by field: the seven of ipv4.parse_quoted() would be a tuple of two heap blocks, 4 us
    p.size = size = ipv4.header_size(frame, IP, octets)
    p.total = total = frame[16] << 8 | frame[17] if size else 0
    if not size or IP + total > octets:
        return reasons.IP_HEADER
    p.fragment = frame[20] << 8 | frame[21]
    p.ttl = frame[22]
    p.proto = frame[23]
    p.src = frame[26] << 24 | frame[27] << 16 | frame[28] << 8 | frame[29]
    p.dst = frame[30] << 24 | frame[31] << 16 | frame[32] << 8 | frame[33]
    p.l4 = IP + size
    p.end = IP + total
    p.ports = 0
    p.kind = -1
    p.query = False
    if not ipv4.checksum_ok(frame, IP, size):
        return reasons.IP_CHECKSUM
    if size > ipv4.SIZE:
        options = ipv4.options(frame, IP, size)
        if options != ipv4.PLAIN:
            return reasons.SOURCE_ROUTE if options == ipv4.SOURCE_ROUTE else reasons.IP_OPTIONS
    return CHECKED


def find(p, flows, side):
    """The half of flows that packet p belongs to, which came in on that side; -1: none. It may be stale: flows.live()."""
    p.src_word, p.dst_word = unpack_from("<II", p.frame, IP + ipv4.SRC)
    return flows.find(p.src_word, p.dst_word, p.ports, p.proto | side)


def rewrite(p, w, at):
    """Let packet p become what the half at word at of the records w says.

    Sums are worked out in the words' own byte order, which ones'-complement addition does not mind (RFC 1071 2B); the
    steps are those of checksum.update(), inlined for the 2 us of their calls.
    """
    frame = p.frame
    proto = p.proto
    l4 = p.l4
    deltas = w[at + DELTAS]
    address = deltas & 0xFFFF
    sum = ((frame[24] | frame[25] << 8) ^ 0xFFFF) + address + TTL_DELTA
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    pack_into("<BBHII", frame, 22, p.ttl - 1, proto, sum ^ 0xFFFF, w[at + NEW_SRC], w[at + NEW_DST])
    if proto == ipv4.TCP or proto == ipv4.UDP:
        pack_into("<I", frame, l4, w[at + NEW_PORTS])
        l4 += tcp.CHECKSUM if proto == ipv4.TCP else udp.CHECKSUM
    elif p.query:
        pack_into("<H", frame, l4 + icmp.IDENT, w[at + NEW_PORTS] & 0xFFFF)
        l4 += icmp.CHECKSUM
    elif proto in COVERING:
        l4 += udp.CHECKSUM
        deltas = address << 16
    else:
        return
    check = frame[l4] | frame[l4 + 1] << 8
    if p.blank:
        if p.gso and p.unseeded:
            octets = p.end - p.l4
            put16(frame, l4, pseudo(byteorder.swap(w[at + NEW_SRC]), byteorder.swap(w[at + NEW_DST]), proto, octets))
            return
        # a seed, not inverted: the addresses only, whoever completes it sums the ports
        sum = check + address
        sum = (sum & 0xFFFF) + (sum >> 16)
    else:
        if check == 0 and proto == ipv4.UDP:
            return  # none (RFC 768)
        sum = (check ^ 0xFFFF) + (deltas >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16) ^ 0xFFFF
        if sum == 0 and (proto == ipv4.UDP or proto == ipv4.UDP_LITE):
            sum = 0xFFFF
    frame[l4] = sum & 0xFF
    frame[l4 + 1] = sum >> 8


def segment(p, mtu):
    """Payload octets of each segment that packet p leaves as by a link with this MTU, 0 if it is no super-frame.

    -1: it is too large and must not be cut.
    """
    gso = p.gso
    if not gso:
        # what came in pieces may leave in pieces
        return 0 if p.total <= mtu or p.whole or not p.fragment & ipv4.DF else -1
    headers = p.l4 - IP + (p.frame[p.l4 + tcp.DATA_OFFSET] >> 4 << 2)
    if headers + gso <= mtu:
        return gso
    # smaller segments, as pieces of segments would be worse
    return mtu - headers if mtu > headers and not p.fragment & ipv4.DF else -1


def may_answer(p):
    """True if an error about packet p is allowed."""
    return not (p.proto == ipv4.ICMP and icmp.is_error(p.frame[p.l4])) and not p.fragment & ipv4.OFFSET_MASK


def error(p, kind, code, rest, source, ident):
    """The frame of an ICMP error about p, back where it came from, before p is changed.

    rest: octets 4 to 7. source: the address we have on that side. ident: of the IP header.
    """
    quote = bytes(memoryview(p.frame)[IP : IP + min(p.total, _QUOTE)])
    message = icmp.message(kind, code, rest, quote)
    header = ipv4.header(ipv4.SIZE + len(message), ident, 0, TTL, ipv4.ICMP, source, p.src)
    return bytearray(p.ingress.header + header + message)
