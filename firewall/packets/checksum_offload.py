"""Blank checksums are worked out, for an interface whose far side does not do it (netif.h, csum_blank)."""
from firewall.packets.packet import IP
from firewall.wire import ipv4, tcp, udp
from firewall.wire.checksum import fold, pseudo, total
from firewall.wire.ipv4 import put16


def fill(frame, octets):
    """Work out the blank transport checksum of a frame that is whole in frame[:octets]: TCP or UDP over IPv4."""
    at = IP + ((frame[IP] & 0x0F) << 2)
    check = at + (tcp.CHECKSUM if frame[IP + ipv4.PROTOCOL] == ipv4.TCP else udp.CHECKSUM)
    put16(frame, check, 0)
    sum_transport(frame, octets, check)


def sum_transport(frame, octets, check):
    """Write the checksum at octet `check`, whose field is 0 now; 0 is sent as 0xFFFF (RFC 768), right for TCP too."""
    at = IP + ((frame[IP] & 0x0F) << 2)
    end = min(octets, IP + (frame[IP + ipv4.TOTAL] << 8 | frame[IP + ipv4.TOTAL + 1]))
    if frame[IP + ipv4.PROTOCOL] == ipv4.UDP:  # it may be shorter than what IP carries
        end = min(end, at + (frame[at + udp.LENGTH] << 8 | frame[at + udp.LENGTH + 1]))
    src = int.from_bytes(frame[IP + ipv4.SRC : IP + ipv4.SRC + 4], "big")
    dst = int.from_bytes(frame[IP + ipv4.DST : IP + ipv4.DST + 4], "big")
    seed = pseudo(src, dst, frame[IP + ipv4.PROTOCOL], end - at)
    put16(frame, check, (fold(total(frame, at, end - at, 0) + seed) ^ 0xFFFF) or 0xFFFF)
