"""Aggregated TCP cut into the segments it stands for, and blank checksums worked out: for a link that cannot.

A super-frame has one header and up to 64 KiB of payload (netif.h, GSO TCPv4); its receiver was promised segments of
at most `gso` octets of payload. Each gets the header with its own length, identification, sequence number and
checksums; CWR stays on the first only, FIN and PSH on the last (as any network card does it).

The frame has been judged: header lengths are inside (packet.py).
"""
from micropython import const

from firewall.wire import ethernet, ipv4, tcp, udp
from firewall.wire.checksum import fold, pseudo, total
from firewall.wire.ipv4 import put16

_IP = const(14)
_SEQUENCE = const(4)  # octet offset in a TCP header; 4
_DATA_OFFSET = const(12)
_FLAGS = const(13)
_FIN_PSH = const(0x09)
_CWR = const(0x80)


def segments(frame, octets, gso, most=0xFFFF, take=None):
    """Yields frames (bytearrays, checksums complete) for the super-frame in frame[:octets], one after the other.

    most: if there are more, None comes in the place of the first too many, and nothing after it. take(start, end):
    those octets, in ascending order, if frame holds no more than the headers.
    """
    view = memoryview(frame)
    if take is None:
        take = lambda start, end: view[start:end]  # noqa: E731: a name would hide that it is only this
    size = (frame[_IP] & 0x0F) << 2
    at = _IP + size
    data = at + (frame[at + _DATA_OFFSET] >> 4 << 2)
    head = bytes(view[:data])
    sequence = int.from_bytes(head[at + _SEQUENCE : at + _SEQUENCE + 4], "big")
    ident = head[_IP + ipv4.IDENT] << 8 | head[_IP + ipv4.IDENT + 1]
    flags = head[at + _FLAGS]
    first = True
    position = data
    while position < octets:
        if most == 0:
            yield None
            return
        most -= 1
        end = min(position + gso, octets)
        segment = bytearray(head) + take(position, end)
        put16(segment, _IP + ipv4.TOTAL, len(segment) - ethernet.SIZE)
        put16(segment, _IP + ipv4.IDENT, ident)
        number = (sequence + position - data) & 0xFFFFFFFF
        segment[at + _SEQUENCE : at + _SEQUENCE + 4] = number.to_bytes(4, "big")
        kept = flags
        if not first:
            kept &= ~_CWR
        if end < octets:
            kept &= ~_FIN_PSH
        segment[at + _FLAGS] = kept
        put16(segment, _IP + ipv4.CHECKSUM, 0)
        put16(segment, _IP + ipv4.CHECKSUM, total(segment, _IP, size, 0) ^ 0xFFFF)
        put16(segment, at + tcp.CHECKSUM, 0)
        _sum_transport(segment, len(segment), at + tcp.CHECKSUM)
        yield segment
        first = False
        ident = ident + 1 & 0xFFFF
        position = end


def complete(frame, octets):
    """Work out the blank transport checksum of a frame that is whole in frame[:octets]: TCP or UDP over IPv4."""
    at = _IP + ((frame[_IP] & 0x0F) << 2)
    check = at + (tcp.CHECKSUM if frame[_IP + ipv4.PROTOCOL] == ipv4.TCP else udp.CHECKSUM)
    put16(frame, check, 0)
    _sum_transport(frame, octets, check)


def _sum_transport(frame, octets, check):
    """Write the checksum at octet `check`, whose field is 0 now; 0 is sent as 0xFFFF (RFC 768), right for TCP too."""
    at = _IP + ((frame[_IP] & 0x0F) << 2)
    end = min(octets, _IP + (frame[_IP + ipv4.TOTAL] << 8 | frame[_IP + ipv4.TOTAL + 1]))
    if frame[_IP + ipv4.PROTOCOL] == ipv4.UDP:  # it may be shorter than what IP carries
        end = min(end, at + (frame[at + udp.LENGTH] << 8 | frame[at + udp.LENGTH + 1]))
    src = int.from_bytes(frame[_IP + ipv4.SRC : _IP + ipv4.SRC + 4], "big")
    dst = int.from_bytes(frame[_IP + ipv4.DST : _IP + ipv4.DST + 4], "big")
    seed = pseudo(src, dst, frame[_IP + ipv4.PROTOCOL], end - at)
    put16(frame, check, (fold(total(frame, at, end - at, 0) + seed) ^ 0xFFFF) or 0xFFFF)
