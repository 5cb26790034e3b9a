"""ICMP errors that pass: the datagram they quote must be of a live flow, and is translated too.

An error that comes in on one side quotes a packet that went out there, so the packet with both ends exchanged is what
would come in there: its half says how to turn all addresses back.

    from the uplink:  quote  own:P > remote      looked up as  remote > own:P     (the way back)
    from a client:    quote  remote > client:p   looked up as  client:p > remote  (the way there)

Errors never change or end a flow (RFC 4787 REQ-12, RFC 5382 REQ-10). Source: RFC 5508 4.
"""
from struct import pack_into, unpack_from

from micropython import const

from firewall.flows.record import ANSWER, DST, NEW_DST, NEW_PORTS, NEW_SRC, PORTS, SRC
from firewall.packets.packet import ANSWERS, COVERING, IP, QUERIES
from firewall.wire import byteorder, icmp, ipv4, tcp, udp
from firewall.wire.checksum import delta16, delta32, total, update
from firewall.wire.ipv4 import put16

PASSING = (icmp.DEST_UNREACHABLE, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM)
_PORTS_OCTETS = const(4)  # of the quoted transport header that must be there
_QUERY_OCTETS = const(8)


def key(p, side):
    """The (SRC, DST, PORTS, KIND) words of the half that error p is about, or None: a broken quote.

    None as well for a wrong checksum of the message (RFC 5508 REQ-3), and for a later fragment. Options in the quoted
    header are passed over; nothing behind is trusted. Its checksum is not judged, against REQ-3a: routers quote headers
    whose TTL they have changed, Linux and others let them pass, and the message's own checksum guards every octet.
    """
    frame = p.frame
    at = p.l4 + icmp.QUOTE
    fields = ipv4.parse_quoted(frame, at, p.end)
    if fields is None or fields[2] & ipv4.OFFSET_MASK:
        return None
    if not icmp.checksum_ok(frame, p.l4, p.end):
        return None
    proto, src, dst = fields[4], fields[5], fields[6]
    at += fields[0]
    ports = 0
    if proto == ipv4.TCP or proto == ipv4.UDP:
        if p.end - at < _PORTS_OCTETS:
            return None
        word = unpack_from("<I", frame, at)[0]
        ports = word >> 16 | (word & 0xFFFF) << 16
    elif proto == ipv4.ICMP:
        if p.end - at < _QUERY_OCTETS or not (frame[at] in QUERIES or frame[at] in ANSWERS):
            return None
        ident = frame[at + icmp.IDENT] << 8 | frame[at + icmp.IDENT + 1]
        # what would come back: an answer to a question, a question to an answer
        kind = ANSWERS.get(frame[at])
        ports = byteorder.ports(ident, frame[at] | ANSWER if kind is None else kind)
    return byteorder.swap(dst), byteorder.swap(src), ports, proto | side


def translate(p, w, at):
    """Rewrite error p, key() of which led to the live half at word `at` of the records w."""
    frame = p.frame
    outer_src = byteorder.swap(p.src)
    if outer_src == w[at + SRC]:
        outer_src = w[at + NEW_SRC]  # the other end itself; a router between keeps its address
    _quote(frame, p.l4 + icmp.QUOTE, p.end, w, at)
    pack_into("<BBHII", frame, IP + ipv4.TTL, p.ttl - 1, ipv4.ICMP, 0, outer_src, w[at + NEW_DST])
    put16(frame, IP + ipv4.CHECKSUM, total(frame, IP, p.size, 0) ^ 0xFFFF)
    put16(frame, p.l4 + icmp.CHECKSUM, 0)
    put16(frame, p.l4 + icmp.CHECKSUM, total(frame, p.l4, p.end - p.l4, 0) ^ 0xFFFF)


def _quote(frame, at, end, w, half):
    """Turn the quoted packet: its source is the half's destination, and the other way round.

    Its checksums are updated, not judged: that of the header may be stale, and stays as stale as it was; that of the
    transport may be cut off, or never have been complete.
    """
    l4 = at + ((frame[at] & 15) << 2)
    proto = frame[at + ipv4.PROTOCOL]
    pack_into("<II", frame, at + ipv4.SRC, w[half + NEW_DST], w[half + NEW_SRC])
    address = delta32(byteorder.swap(w[half + DST]), byteorder.swap(w[half + NEW_DST]))
    address += delta32(byteorder.swap(w[half + SRC]), byteorder.swap(w[half + NEW_SRC]))
    _update(frame, at + ipv4.CHECKSUM, address)
    old, new = w[half + PORTS], w[half + NEW_PORTS]
    change = delta16(byteorder.first(old), byteorder.first(new)) + delta16(byteorder.second(old), byteorder.second(new))
    if proto == ipv4.TCP or proto == ipv4.UDP:
        pack_into("<I", frame, l4, new >> 16 | (new & 0xFFFF) << 16)
        check = l4 + (tcp.CHECKSUM if proto == ipv4.TCP else udp.CHECKSUM)
        if check + 2 > end or proto == ipv4.UDP and frame[check] | frame[check + 1] == 0:
            return
        _update(frame, check, address + change)
        if proto == ipv4.UDP and frame[check] | frame[check + 1] == 0:
            put16(frame, check, 0xFFFF)
    elif proto == ipv4.ICMP:
        put16(frame, l4 + icmp.IDENT, byteorder.first(new))
        _update(frame, l4 + icmp.CHECKSUM, change)
    elif proto in COVERING and l4 + udp.CHECKSUM + 2 <= end:
        _update(frame, l4 + udp.CHECKSUM, address)
        if proto == ipv4.UDP_LITE and frame[l4 + udp.CHECKSUM] | frame[l4 + udp.CHECKSUM + 1] == 0:
            put16(frame, l4 + udp.CHECKSUM, 0xFFFF)


def _update(frame, at, delta):
    put16(frame, at, update(frame[at] << 8 | frame[at + 1], delta))
