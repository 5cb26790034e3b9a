"""Changing a packet as its flow says: addresses, ports, TTL and both checksums, in place.

This is the meaning of what the fast path does. Checksums are updated, never worked out anew: a packet that came in
wrong goes out wrong, and its receiver drops it.
"""
from struct import pack_into

from firewall.flows.record import DELTAS, NEW_DST, NEW_PORTS, NEW_SRC, TTL_DELTA
from firewall.packets.packet import COVERING
from firewall.wire import byteorder, icmp, ipv4, tcp, udp
from firewall.wire.checksum import pseudo
from firewall.wire.ipv4 import put16


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
