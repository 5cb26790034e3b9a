"""Rows of packets, one after the other: which leave by the same way, which nobody reads, which are given up.

Rows: see net/rows.py.
"""
import micropython
from micropython import const

_PACKET = const(8)  # words; see net/rows.py
_FIRST_PART = const(2)
_PARTS = const(3)
_FATE = const(6)
_FAILED = const(0xFFFE)
_PAGE = const(4096)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)
_IP = const(14)  # octets of an Ethernet header
_IPV4 = const(0x0800)  # Ethernet types that somebody reads
_ARP = const(0x0806)
_TAGGED = const(0x8100)


@micropython.viper
def together(b, first: int, end: int) -> int:
    """The packet behind those from the first on that leave by the same way as it, or end."""
    packets = ptr32(b[0])
    fate = packets[first * _PACKET + _FATE]
    packet = first + 1
    while packet < end and packets[packet * _PACKET + _FATE] == fate:
        packet += 1
    return packet


@micropython.viper
def foreign(b, first: int, end: int) -> int:
    """The first of these rows of type IPv4, ARP or tagged, or end. b: packets, parts, the pool's memory."""
    packets = ptr32(b[0])
    parts = ptr32(b[1])
    memory = uint(ptr8(b[2]))
    while first < end:
        at = first * _PACKET
        part = packets[at + _FIRST_PART] * _PART
        if packets[at + _FATE] == _FAILED or parts[part + _PART_OCTETS] < _IP:
            break
        frame = ptr8(memory + uint(parts[part + _PART_PAGE] * _PAGE + parts[part + _PART_OFFSET]))
        kind = frame[12] << 8 | frame[13]
        if kind == _IPV4 or kind == _ARP or kind == _TAGGED:
            break
        first += 1
    return first


@micropython.viper
def give(b, stack: ptr16, counters: ptr32, first: int, end: int):
    """The pages of these packets are free again. stack, counters: the pool's."""
    packets = ptr32(b[0])
    parts = ptr32(b[1])
    free = counters[0]
    packet = first
    while packet < end:
        at = packet * _PACKET
        part = packets[at + _FIRST_PART] * _PART
        behind = part + packets[at + _PARTS] * _PART
        while part < behind:
            stack[free] = parts[part + _PART_PAGE]
            free += 1
            part += _PART
        packet += 1
    counters[0] = free
