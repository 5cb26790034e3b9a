"""ARP for IPv4 over Ethernet: the 28 octets after the Ethernet header (RFC 826).

parse() is the one place that judges length and fixed fields; its caller may trust what it
returns. Ethernet addresses are bytes in wire order, IPv4 addresses are ints.
"""
from micropython import const

REQUEST = const(1)
REPLY = const(2)
SIZE = const(28)  # octets; a frame may be longer (padding), never shorter

# offset of each field in the payload, and its width in octets
_OPER = const(6)  # 2
_SHA = const(8)  # 6: sender's Ethernet address
_SPA = const(14)  # 4: sender's IPv4 address
# at 18, 6 octets: asked Ethernet address; meaningless in a request
_TPA = const(24)  # 4: asked IPv4 address
_ETHERNET_IPV4 = b"\x00\x01\x08\x00\x06\x04"  # htype, ptype, hlen, plen: one comparison


def parse(buf, at):
    """(oper, sender MAC, sender IP, asked IP) of the packet at offset at, or None: not for us.

    None means short, another hardware or protocol, or an operation that is neither of the two.
    ARP ignores all of these alike (docs/behaviours.md 21), so there is no reason to return.
    """
    if len(buf) - at < SIZE or bytes(buf[at : at + _OPER]) != _ETHERNET_IPV4:
        return None
    oper = buf[at + _OPER] << 8 | buf[at + _OPER + 1]
    if oper != REQUEST and oper != REPLY:
        return None
    return oper, bytes(buf[at + _SHA : at + _SPA]), _address(buf, at + _SPA), _address(buf, at + _TPA)


def build(oper, sha, spa, tha, tpa):
    """The 28 octets of a packet. sha, tha: 6 octets; spa, tpa: ints."""
    return b"".join((_ETHERNET_IPV4, bytes((0, oper)), sha, spa.to_bytes(4, "big"), tha, tpa.to_bytes(4, "big")))


def _address(buf, at):
    return buf[at] << 24 | buf[at + 1] << 16 | buf[at + 2] << 8 | buf[at + 3]
