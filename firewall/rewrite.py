"""Changing a packet as its flow says: addresses, ports, TTL and both checksums, in place.

This is the meaning of what the fast path does. Checksums are updated, never worked out anew: a
packet that came in wrong goes out wrong, and its receiver drops it.
"""
from struct import pack_into, unpack_from

from firewall import icmp, ipv4, tcp, udp
from firewall.checksum import fold, total, update
from firewall.ipv4 import put16
from firewall.packet import IP
from firewall.record import DELTAS, NEW_DST, NEW_PORTS, NEW_SRC, TTL_DELTA


def rewrite(p, w, at):
    """Let packet p become what the half at word at of the records w says."""
    frame = p.frame
    l4 = p.l4
    deltas = w[at + DELTAS]
    pack_into("<II", frame, IP + ipv4.SRC, w[at + NEW_SRC], w[at + NEW_DST])
    frame[IP + ipv4.TTL] = p.ttl - 1
    check = frame[24] << 8 | frame[25]
    put16(frame, IP + ipv4.CHECKSUM, update(check, (deltas & 0xFFFF) + TTL_DELTA))
    if p.proto == ipv4.TCP:
        pack_into("<I", frame, l4, w[at + NEW_PORTS])
        l4 += tcp.CHECKSUM
    elif p.proto == ipv4.UDP:
        pack_into("<I", frame, l4, w[at + NEW_PORTS])
        l4 += udp.CHECKSUM
    elif p.query:
        # the identifier stands first there, second back; type and its answer are none of NAT's
        ident = w[at + NEW_PORTS]
        ident = ident & 0xFFFF if p.kind in (icmp.ECHO, icmp.TIMESTAMP) else ident >> 16
        pack_into("<H", frame, l4 + icmp.IDENT, ident)
        l4 += icmp.CHECKSUM
    else:
        return
    check = frame[l4] << 8 | frame[l4 + 1]
    if p.blank:
        # a seed, not inverted: the addresses only, whoever completes it sums the ports
        check = fold(check + (deltas & 0xFFFF))
    elif p.proto == ipv4.UDP:
        if check == 0:
            return  # none (RFC 768)
        check = update(check, deltas >> 16) or 0xFFFF
    else:
        check = update(check, deltas >> 16)
    put16(frame, l4, check)


def complete(p):
    """Work out a blank checksum, for a packet that we read ourselves or cut into pieces."""
    if not p.blank:
        return
    octets = p.end - p.l4
    at = p.l4 + tcp.CHECKSUM
    if p.proto == ipv4.UDP:
        octets = unpack_from(">H", p.frame, p.l4 + udp.LENGTH)[0]
        at = p.l4 + udp.CHECKSUM
    put16(p.frame, at, (total(p.frame, p.l4, octets, 0) ^ 0xFFFF) or 0xFFFF)
    p.blank = False
