"""A datagram that is larger than a link's MTU is cut into fragments (RFC 791 3.2)."""
from firewall.packets.packet import IP
from firewall.wire import ipv4
from firewall.wire.ipv4 import put16


def split(frame, size, end, mtu, ident):
    """Frames of at most mtu octets of datagram each, out of one. It may be cut: no DF.

    size: octets of its IP header; end: where the datagram ends. All pieces carry ident: one of our own, as two
    clients behind one address may have used the same (RFC 6864, docs/behaviours.md 42).
    """
    head = bytes(memoryview(frame)[: IP + size])
    rest = head[: IP + ipv4.SIZE] + ipv4.copied_options(frame, IP, size)
    first = at = IP + size
    frames = []
    while at < end:
        octets = min(mtu - (len(head) - IP) & ~7, end - at)
        piece = bytearray(len(head) + octets)
        piece[: len(head)] = head
        piece[len(head) :] = memoryview(frame)[at : at + octets]
        put16(piece, IP + ipv4.IDENT, ident)
        ipv4.finish(piece, IP, len(head) - IP, (ipv4.MF if at + octets < end else 0) | at - first >> 3)
        frames.append(piece)
        at += octets
        head = rest
    return frames
