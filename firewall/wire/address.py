"""IP addresses as text, of both families: the one parser for all that comes as text, and its inverse.

An address is an int, a larger one is a later one in wire order; -1 is none. IPv4: a dotted quad (RFC 6943 3.1.1, strict
form). IPv6: RFC 4291 2.2, without a zone.
"""
from micropython import const

_HEX = "0123456789abcdefABCDEF"
_GROUPS = const(224)  # first octet of multicast, reserved and broadcast addresses


def parse(text):
    """The address of either family that text (str) names, or -1."""
    return parse6(text) if ":" in text else parse4(text)


def parse4(text):
    """The IPv4 address that a dotted quad names, or -1.

    Four decimal numbers of at most 255 without leading zeros, which some would read as octal."""
    value = number = digits = dots = 0
    for c in text.encode():  # octets: to make a str of each part would cost four times as much
        if 0x30 <= c <= 0x39:
            number = number * 10 + c - 0x30
            if number > 255 or digits and number < 10:
                return -1
            digits += 1
        elif c == 0x2E and digits and dots < 3:
            value = value << 8 | number
            number = digits = 0
            dots += 1
        else:
            return -1
    return value << 8 | number if dots == 3 and digits else -1


def parse6(text):
    """The IPv6 address in text, or -1. Its last 32 bits may be a dotted quad."""
    start, _, quad = text.rpartition(":")
    if "." in quad:  # as two groups; -1 makes groups that are none
        value = parse4(quad)
        text = "%s:%x:%x" % (start, value >> 16, value & 0xFFFF)
    head, gap, tail = text.partition("::")
    high = head.split(":") if head else []
    low = tail.split(":") if tail else []
    missing = 8 - len(high) - len(low)
    if missing < 1 if gap else missing != 0:
        return -1
    value = 0
    for group in high + ["0"] * missing + low:
        if not 1 <= len(group) <= 4 or not all(c in _HEX for c in group):
            return -1
        value = value << 16 | int(group, 16)
    return value


def text4(address):
    """Dotted quad of an IPv4 address."""
    return "%d.%d.%d.%d" % (address >> 24, address >> 16 & 0xFF, address >> 8 & 0xFF, address & 0xFF)


def first_host4(octets):
    """The first IPv4 address of a host in a list separated by spaces, as dom0 writes a device's `ip`; None without one.

    dom0 writes addresses as Python's ipaddress does. What is no IPv4 address in that form is passed over, such as IPv6
    addresses; so is what no host can have (0/8, 127/8, groups and above).
    """
    for word in octets.split():
        address = parse4(word.decode()) if all(octet < 0x80 for octet in word) else -1
        first = address >> 24
        if address >= 0 and first not in (0, 127) and first < _GROUPS:
            return address
    return None
