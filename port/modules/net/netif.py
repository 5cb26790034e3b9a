"""The records of a network ring, and the one place that judges what the far side says in them.

tx and rx are named from the frontend's side, as everywhere: it sends on tx and receives on rx. A packet is a chain
of slots: the first request carries the size of the whole packet, then come extra infos (one slot each), then one
request for each further fragment.

parse() judges what a frontend asks to send, parse_responses() what a backend says it has received for us. Both work on
the private copy in a Batch, so what was judged is what will be used, and write what they find into its arrays. Two kinds
of wrong:
  PeerError  the chain itself cannot be trusted; the ring is over (Linux netback: fatal_tx_err)
  batch.bad  this packet cannot be taken, but its slots can be counted: requests are answered with ERROR

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
TX_FLAGS = const(16)  # from which bit on the second word of a request has them; of a response:
RX_FLAGS = const(0)

EXTRA_GSO = const(1)
EXTRA_MORE = const(1)  # flag in an extra info: another follows
GSO_TCPV4 = const(1)

OKAY = const(0)
ERROR = const(-1)
DROPPED = const(-2)
NULL = const(1)  # response to an extra info

_PAGE = const(4096)
SLOTS_MAX = const(18)  # data slots of one packet: XEN_NETIF_NR_SLOTS_MIN
_SLOTS_FATAL = const(20)  # more is no mistake any more
CHAIN = const(24)  # slots that the longest packet can take which is not refused, and some
NO_PAGE = const(0xFFFF)  # in the array of pages lent by the id of their request: none is
_SLOT = const(255)  # of a ring, as a mask
_ETHERNET = const(14)  # octets of the header; less is no frame

# octets of datagrams, which the header of Ethernet is not counted among
MTU = const(1500)
MTU_LEAST = const(576)  # what every IPv4 host takes (RFC 791)
MTU_MOST = const(65521)  # the longest packet that a ring can carry is one of 65,535 octets
MTU_ONE_PAGE = const(4082)  # the longest where a frame is one slot, without feature-sg


def parse(batch, first, n):
    """Add the packet that begins at slot `first` of n, requests to send. Returns its row. Raises PeerError."""
    slots, row = batch.slots, batch.packets
    flags = slots[first * TX_WORDS + 1] >> 16
    total = slots[first * TX_WORDS + 2] >> 16
    if total == 0:
        raise PeerError("tx packet of size 0")
    batch.gso_size[row] = 0
    end = _parse_extras(batch, row, first + 1, n) if flags & EXTRA_INFO else first + 1
    batch.extras[row] = end - first - 1
    rest = total  # octets that the first slot must hold: what the fragments leave
    part = batch.rows + 1  # the row before is the first slot's
    count = 1
    more = flags & MORE_DATA
    while more:
        if end == n:
            raise PeerError("tx fragment missing after %d slots" % count)
        at = end * TX_WORDS
        octets = slots[at + 2] >> 16
        offset = slots[at + 1] & 0xFFFF
        if offset + octets > _PAGE:
            raise PeerError("tx fragment crosses a page: offset %d, %d octets" % (offset, octets))
        if octets:
            batch.gref[part] = slots[at]
            batch.offset[part] = offset
            batch.length[part] = octets
            batch.slot[part] = end
            part += 1
        rest -= octets
        more = slots[at + 1] >> 16 & MORE_DATA
        end += 1
        count += 1
        if count > _SLOTS_FATAL:
            raise PeerError("tx packet of more than %d slots" % _SLOTS_FATAL)
    bad = rest < 0 or total < _ETHERNET or count > SLOTS_MAX
    begin = batch.rows
    if bad:
        part = begin
    elif rest:
        _add_first(batch, begin, first, rest)
    else:
        begin += 1  # all octets are in the fragments
    batch.first[row] = first
    batch.end[row] = end
    batch.octets[row] = total
    batch.offloads[row] = flags & (TX_CSUM_BLANK | TX_DATA_VALIDATED)
    batch.bad[row] = bad
    batch.part[row] = begin
    batch.parts[row] = part - begin
    batch.rows = part
    batch.packets = row + 1
    return row


def _add_first(batch, part, first, octets):
    """The part in the packet's first slot, whose own size is the whole packet's."""
    at = first * TX_WORDS
    offset = batch.slots[at + 1] & 0xFFFF
    if offset + octets > _PAGE:
        raise PeerError("tx packet crosses a page: offset %d, %d octets" % (offset, octets))
    batch.gref[part] = batch.slots[at]
    batch.offset[part] = offset
    batch.length[part] = octets
    batch.slot[part] = first


def _parse_extras(batch, row, end, n):
    """Judge the extra infos from slot `end` on. Returns the slot behind them."""
    slots = batch.slots
    more = True
    while more:
        if end == n:
            raise PeerError("tx extra info missing")
        word = slots[end * TX_WORDS]
        kind = word & 0xFF
        if kind != EXTRA_GSO:
            raise PeerError("tx extra info of type %d" % kind)
        if batch.gso_size[row]:
            raise PeerError("tx extra info of type %d twice" % kind)
        size = batch.gso_size[row] = word >> 16
        gso_type = slots[end * TX_WORDS + 1] & 0xFF
        if gso_type != GSO_TCPV4 or size == 0:
            raise PeerError("tx gso type %d, size %d" % (gso_type, size))
        more = word >> 8 & EXTRA_MORE
        end += 1
    return end


def parse_responses(batch, first, n, number, lent):
    """Add the packet that begins at slot `first` of n, responses with what was received. Returns its row. Raises PeerError.

    number: of slot 0, as the ring counts. lent: the page of each id that is posted; the caller has to revoke all of them.
    """
    slots, row = batch.slots, batch.packets
    batch.gso_size[row] = 0
    end = first
    part = batch.rows
    total = count = offloads = 0
    bad = False
    flags = MORE_DATA
    while flags & MORE_DATA:
        if end == n or count > SLOTS_MAX:
            raise PeerError("rx packet unfinished after %d slots" % (end - first))
        word = slots[end * RX_WORDS]
        flags = slots[end * RX_WORDS + 1]
        id = word & 0xFFFF
        if id != number + end & _SLOT or lent[id] == NO_PAGE:
            raise PeerError("rx response with id %d, which is not posted there" % id)
        octets = flags >> 16
        if octets & 0x8000:  # a status below 0
            bad = True
            octets = 0
        if (word >> 16) + octets > _PAGE:
            raise PeerError("rx response crosses a page: offset %d, %d octets" % (word >> 16, octets))
        if octets:
            batch.offset[part] = word >> 16
            batch.length[part] = octets
            batch.slot[part] = end
            part += 1
            total += octets
        end += 1
        count += 1
        if count == 1:
            offloads = (flags & RX_CSUM_BLANK) >> 1 | (flags & RX_DATA_VALIDATED) << 1
            if flags & EXTRA_INFO:
                end = _response_extras(batch, row, end, n, number, lent)
            batch.extras[row] = end - first - 1
    batch.first[row] = first
    batch.end[row] = end
    batch.octets[row] = total
    batch.offloads[row] = offloads
    batch.bad[row] = bad
    batch.part[row] = batch.rows
    batch.parts[row] = part - batch.rows
    batch.rows = part
    batch.packets = row + 1
    return row


def _response_extras(batch, row, end, n, number, lent):
    """Judge the extra infos from slot `end` on; the page of each one's request went unused. Returns the slot behind them."""
    slots = batch.slots
    more = True
    while more:
        if end == n:
            raise PeerError("rx extra info missing")
        word = slots[end * RX_WORDS]
        kind = word & 0xFF
        size = word >> 16
        gso_type = slots[end * RX_WORDS + 1] & 0xFF
        id = number + end & _SLOT
        if lent[id] == NO_PAGE:
            raise PeerError("rx response with id %d, which is not posted there" % id)
        if kind != EXTRA_GSO or gso_type != GSO_TCPV4 or size == 0 or batch.gso_size[row]:
            raise PeerError("rx extra info of type %d, gso type %d, size %d" % (kind, gso_type, size))
        batch.gso_size[row] = size
        more = word >> 8 & EXTRA_MORE
        end += 1
    return end
