"""The records of a network ring, and the one place that judges what a frontend asks to send.

tx and rx are named from the frontend's side, as everywhere: it sends on tx and receives on rx. A packet is a chain
of slots: the first request carries the size of the whole packet, then come extra infos (one slot each), then one
request for each further fragment.

parse() works on a private copy of the slots, so what it judged is what will be used. Two kinds of wrong:
  PeerError   the chain itself cannot be trusted; the ring is over (Linux netback: fatal_tx_err)
  packet.bad  this packet cannot be taken, but its slots can be counted: they are answered with ERROR

Source: Xen public/io/netif.h; limits as Linux netback has them.
"""
from micropython import const
from peererror import PeerError

TX_WORDS = const(3)  # of 32 bits in a tx slot; gref | flags, offset | size, id
RX_WORDS = const(2)  # in an rx slot; request: id | gref; response: offset, id | status, flags

TX_CSUM_BLANK = const(1)
TX_DATA_VALIDATED = const(2)
RX_DATA_VALIDATED = const(1)  # the same two, swapped
RX_CSUM_BLANK = const(2)
MORE_DATA = const(4)
EXTRA_INFO = const(8)

EXTRA_GSO = const(1)
EXTRA_MORE = const(1)  # flag in an extra info: another follows
GSO_TCPV4 = const(1)

OKAY = const(0)
ERROR = const(-1)
NULL = const(1)  # response to an extra info

_PAGE = const(4096)
SLOTS_MAX = const(18)  # data slots of one packet: XEN_NETIF_NR_SLOTS_MIN
_SLOTS_FATAL = const(20)  # more is no mistake any more
_ETHERNET = const(14)  # octets of the header; less is no frame


# octets of datagrams, which the header of Ethernet is not counted among
MTU = const(1500)
MTU_LEAST = const(576)  # what every IPv4 host takes (RFC 791)
MTU_MOST = const(65521)  # the longest packet that a ring can carry is one of 65,535 octets
MTU_ONE_PAGE = const(4082)  # the longest where a frame is one slot, without feature-sg


class Packet:
    """One packet as its frontend describes it. Slots are numbered within the private copy."""

    def __init__(self, first, total, flags):
        self.first = first  # number of the first slot
        self.end = first + 1  # and of the one after the last
        self.extras = 0  # slots of extra info, right behind the first
        self.total = total  # octets
        self.blank = flags & TX_CSUM_BLANK != 0
        self.validated = flags & TX_DATA_VALIDATED != 0
        self.gso_size = 0  # octets of payload in a segment; 0: not aggregated
        self.fragments = []  # (gref, offset, octets, slot), none empty
        self.bad = False


def parse(slots, first, n):
    """The Packet that begins at slot `first` of n. slots: a view of 32-bit words. Raises PeerError."""
    word = slots[first * TX_WORDS + 1]
    flags = word >> 16
    packet = Packet(first, slots[first * TX_WORDS + 2] >> 16, flags)
    if packet.total == 0:
        raise PeerError("tx packet of size 0")
    if flags & EXTRA_INFO:
        _parse_extras(packet, slots, n)
    rest = packet.total  # octets that the first slot must hold: what the fragments leave
    count = 1
    more = flags & MORE_DATA
    fragments = packet.fragments
    while more:
        if packet.end == n:
            raise PeerError("tx fragment missing after %d slots" % count)
        at = packet.end * TX_WORDS
        gref = slots[at]
        octets = slots[at + 2] >> 16
        offset = slots[at + 1] & 0xFFFF
        if offset + octets > _PAGE:
            raise PeerError("tx fragment crosses a page: offset %d, %d octets" % (offset, octets))
        if octets:
            fragments.append((gref, offset, octets, packet.end))
        rest -= octets
        more = slots[at + 1] >> 16 & MORE_DATA
        packet.end += 1
        count += 1
        if count > _SLOTS_FATAL:
            raise PeerError("tx packet of more than %d slots" % _SLOTS_FATAL)
    packet.bad = rest < 0 or packet.total < _ETHERNET or count > SLOTS_MAX
    if not packet.bad and rest:
        offset = word & 0xFFFF
        if offset + rest > _PAGE:
            raise PeerError("tx packet crosses a page: offset %d, %d octets" % (offset, rest))
        fragments.insert(0, (slots[first * TX_WORDS], offset, rest, first))
    return packet


def _parse_extras(packet, slots, n):
    more = True
    while more:
        if packet.end == n:
            raise PeerError("tx extra info missing")
        word = slots[packet.end * TX_WORDS]
        kind = word & 0xFF
        if kind != EXTRA_GSO:
            raise PeerError("tx extra info of type %d" % kind)
        if packet.gso_size:
            raise PeerError("tx extra info of type %d twice" % kind)
        packet.gso_size = word >> 16
        gso_type = slots[packet.end * TX_WORDS + 1] & 0xFF
        if gso_type != GSO_TCPV4 or packet.gso_size == 0:
            raise PeerError("tx gso type %d, size %d" % (gso_type, packet.gso_size))
        more = word >> 8 & EXTRA_MORE
        packet.extras += 1
        packet.end += 1
