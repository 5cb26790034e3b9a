"""A pcapng stream read by hand, strictly: what is no block, or no option, is an AssertionError.

Source: draft-ietf-opsawg-pcapng 3, 4.1 to 4.3, 4.6.
"""
import struct


def blocks(octets):
    """[(type, body)] of whole blocks; what is left over must be less than one."""
    at, found = 0, []
    while at + 8 <= len(octets):
        kind, size = struct.unpack_from("<II", octets, at)
        assert size % 4 == 0 and size >= 12, (kind, size)
        if at + size > len(octets):
            break
        assert struct.unpack_from("<I", octets, at + size - 4) == (size,)
        found.append((kind, octets[at + 8 : at + size - 4]))
        at += size
    return found


def options(octets):
    found, at = {}, 0
    while True:
        code, size = struct.unpack_from("<HH", octets, at)
        if code == 0:
            assert size == 0 and at + 4 == len(octets)
            return found
        assert code not in found
        found[code] = octets[at + 4 : at + 4 + size]
        at += 4 + (size + 3 & ~3)


class Capture:
    """packets: (interface, ns, octets kept, octets in all). seen, lost: by interface, as last told."""

    def __init__(self, octets):
        self.interfaces, self.packets = [], []
        self.seen, self.lost = {}, {}
        self.statistics = 0
        (kind, section), *rest = blocks(octets)
        assert kind == 0x0A0D0D0A and struct.unpack("<IHHq", section) == (0x1A2B3C4D, 1, 0, -1)
        for kind, body in rest:
            {1: self._interface, 5: self._statistics, 6: self._packet}[kind](body)

    def _interface(self, body):
        link, reserved, snap = struct.unpack_from("<HHI", body)
        told = options(body[8:])
        assert (link, reserved, snap, told[9]) == (1, 0, 128, b"\x09")
        self.interfaces.append(told[2].decode())

    def _statistics(self, body):
        number, high, low = struct.unpack_from("<III", body)
        told = options(body[12:])
        self.seen[number], = struct.unpack("<Q", told[4])
        self.lost[number], = struct.unpack("<Q", told[5])
        self.statistics += 1

    def _packet(self, body):
        number, high, low, have, octets = struct.unpack_from("<IIIII", body)
        assert have == min(octets, 128) and len(body) == 20 + (have + 3 & ~3) and not any(body[20 + have :])
        assert number < len(self.interfaces)
        self.packets.append((number, high << 32 | low, bytes(body[20 : 20 + have]), octets))

    def at(self, number):
        """What one interface saw, in order: (octets kept, octets in all)."""
        return [packet[2:] for packet in self.packets if packet[0] == number]
