"""A TCP super-frame is cut into the segments it stands for: for an interface whose far side takes none.

A super-frame has one header and up to 64 KiB of payload (netif.h, GSO TCPv4); its receiver was promised segments of
at most `gso` octets of payload. Each gets the header with its own length, identification, sequence number and
checksums; CWR stays on the first only, FIN and PSH on the last (as any network card does it).

The frame has been judged: header lengths are inside (packet.py).
"""
from firewall.packets.checksum_offload import sum_transport
from firewall.packets.packet import IP
from firewall.wire import ipv4, tcp
from firewall.wire.checksum import total
from firewall.wire.ipv4 import put16

_FIN_PSH = tcp.FIN | tcp.PSH


def segments(frame, octets, gso, most=0xFFFF, take=None):
    """Yields frames (bytearrays, checksums complete) for the super-frame in frame[:octets], one after the other.

    most: if there are more, None comes in the place of the first too many, and nothing after it. take(start, end):
    those octets, in ascending order, if frame holds no more than the headers.
    """
    view = memoryview(frame)
    if take is None:
        take = lambda start, end: view[start:end]  # noqa: E731: a name would hide that it is only this
    size = (frame[IP] & 0x0F) << 2
    at = IP + size
    data = at + (frame[at + tcp.DATA_OFFSET] >> 4 << 2)
    head = bytes(view[:data])
    sequence = int.from_bytes(head[at + tcp.SEQUENCE : at + tcp.SEQUENCE + 4], "big")
    ident = head[IP + ipv4.IDENT] << 8 | head[IP + ipv4.IDENT + 1]
    flags = head[at + tcp.FLAGS]
    first = True
    position = data
    while position < octets:
        if most == 0:
            yield None
            return
        most -= 1
        end = min(position + gso, octets)
        segment = bytearray(head) + take(position, end)
        put16(segment, IP + ipv4.TOTAL, len(segment) - IP)
        put16(segment, IP + ipv4.IDENT, ident)
        number = (sequence + position - data) & 0xFFFFFFFF
        segment[at + tcp.SEQUENCE : at + tcp.SEQUENCE + 4] = number.to_bytes(4, "big")
        kept = flags
        if not first:
            kept &= ~tcp.CWR
        if end < octets:
            kept &= ~_FIN_PSH
        segment[at + tcp.FLAGS] = kept
        put16(segment, IP + ipv4.CHECKSUM, 0)
        put16(segment, IP + ipv4.CHECKSUM, total(segment, IP, size, 0) ^ 0xFFFF)
        put16(segment, at + tcp.CHECKSUM, 0)
        sum_transport(segment, len(segment), at + tcp.CHECKSUM)
        yield segment
        first = False
        ident = ident + 1 & 0xFFFF
        position = end
