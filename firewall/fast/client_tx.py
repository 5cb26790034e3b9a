"""A client's tx ring, in machine code: its requests taken and answered.

    turn()    the two below, and all between them
    take()    requests into rows, and what is to be copied for them
    answer()  responses

take() stops in front of what it does not do: a chain that is not whole, a size that is wrong, no pages. There Python
goes on, and decides. Twin: netback/link.py with net/netif.py.

Arrays and scalars are laid out as in net/rows.py, what each is given as in bursts/tables.py; nothing of ours is
imported. Nothing that the far side can write to is read twice, and nothing that it says is an index of more than its
ring has slots. See README.md.
"""
import micropython
from micropython import const

_FIRST_WORD = const(16)  # of slot 0 in a ring
_MASK = const(255)
_TX_WORDS = const(3)
_PAGE = const(4096)
_ETHERNET = const(14)  # octets; less is no frame
_SLOTS_MAX = const(18)  # data slots of a packet
_SELF = const(0x7FF0)
_MORE_DATA = const(4)
_EXTRA_INFO = const(8)
_EXTRA_GSO = const(1)
_GSO_TCPV4 = const(1)
_ERROR = const(0xFFFF)
_NULL = const(1)
# a packet: see net/rows.py
_PACKET = const(8)
_FIRST_SLOT = const(0)
_SLOTS = const(1)
_FIRST_PART = const(2)
_PARTS = const(3)
_OCTETS = const(4)
_OFFLOADS = const(5)
_FATE = const(6)
_FIRST_OP = const(7)
_FAILED = const(0xFFFE)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)
_FROM = const(0)  # of what a link counts
# words of a ring and of its own counters
_REQ_PROD = const(0)
_RSP_PROD = const(2)
_RSP_EVENT = const(3)
_PROD = const(0)
_PUBLISHED = const(1)
_CONS = const(2)
_RING = const(256)  # slots
_PACKETS = const(64)  # in one go
_OP = const(10)  # words of a copy operation
_BOUNCE = const(256)  # octets of one in the bounce buffer: 16 in a page
_FROM_PEER = const(1 << 16)  # its flags: the source is a reference


@micropython.viper
def turn(t, limit: int) -> int:
    """Take some `limit` slots of packets in order, copy and answer: packets | slots << 16, or -1: the ring is over.

    t: what take() and answer() are given, scalars, ring's words, its own counters, the pool's, fixed words (domid, gfn
    of page 0, port, operations in all, gfn of the bounce buffer, operations that it is for); xen.copy, the operations
    for it, xen.mb, xen.evtchn_send, xen.moves, the pool's memory, the bounce buffer, places; what is kept.
    """
    block, copy, ops, fence, send, moves, memory, bounce, places, _ = t
    a = ptr32(int(block))
    s = ptr32(a[4] | a[5] << 32)
    ring = ptr32(a[6] | a[7] << 32)
    own = ptr32(a[8] | a[9] << 32)
    pool = ptr32(a[10] | a[11] << 32)
    fixed = ptr32(a[12] | a[13] << 32)
    cons = own[_CONS]
    n = ring[_REQ_PROD] - cons & 0xFFFFFFFF
    if n > _RING - (cons - own[_PROD] & 0xFFFFFFFF):
        return 0 - 1
    s[0] = cons
    s[1] = n
    s[2] = limit
    s[3] = pool[0]
    s[4] = fixed[3]
    s[5] = 0
    s[6] = fixed[0]
    s[7] = fixed[1]
    s[8] = _PACKETS
    s[13] = fixed[4]
    s[14] = fixed[5]
    take(a[0] | a[1] << 32, a[4] | a[5] << 32)
    packets = s[9]
    if packets == 0:
        return 0
    copy(ops, s[5])  # nothing has changed if that raises
    pool[0] = s[3]
    s[12] = own[_PROD]
    answer(a[2] | a[3] << 32, a[4] | a[5] << 32)
    if s[15]:
        moves(memory, bounce, places, s[15])
    prod = s[12]
    own[_PROD] = prod
    own[_CONS] = cons + s[10]
    old = own[_PUBLISHED]
    own[_PUBLISHED] = prod
    ring[_RSP_PROD] = prod
    fence()
    if (prod - ring[_RSP_EVENT] & 0xFFFFFFFF) < (prod - old & 0xFFFFFFFF):
        send(fixed[2])
    return packets | s[10] << 16


@micropython.viper
def take(t: ptr32, s: ptr32):
    """Take packets from a tx ring, as many as are in order, and ask for copies of their data.

    t: ring's words, private slots, packets, parts, operations, the pool's free pages, its marks.
    s: 0 req_cons, 1 requests waiting, 2 slots to take, 3 free pages, 4 operations in all, 5 operations used, 6 domid,
    7 gfn of page 0, 8 packets there is room for, 13 gfn of the bounce buffer, 14 operations that it is for. Out: 3 and
    5; 9 packets, 10 slots taken, 11 parts.
    """
    ring = ptr32(t[0] | t[1] << 32)
    slots = ptr32(t[2] | t[3] << 32)
    packets = ptr32(t[4] | t[5] << 32)
    parts = ptr32(t[6] | t[7] << 32)
    ops = ptr32(t[8] | t[9] << 32)
    stack = ptr16(t[10] | t[11] << 32)
    marks = ptr16(t[12] | t[13] << 32)
    cons = s[0]
    n = s[1]
    limit = s[2]
    free = s[3]
    room = s[4]
    op = s[5]
    domid = s[6]
    gfn = s[7]
    most = s[8]
    bounce = s[13]
    bounced = s[14]
    packet = 0
    part = 0
    slot = 0
    if limit > n:
        limit = n
    while slot < limit and packet < most:
        at = _FIRST_WORD + (cons + slot & _MASK) * _TX_WORDS
        there = ptr32(uint(ring) + (at << 2))
        gref = there[0]
        word = there[1]
        total = there[2]
        slots[slot * _TX_WORDS + 2] = total
        total = total >> 16
        offset = word & 0xFFFF
        flags = word >> 16
        gso = 0
        last = slot + 1
        if total < _ETHERNET:
            break
        if flags & _EXTRA_INFO:
            if last >= n:
                break
            at = _FIRST_WORD + (cons + last & _MASK) * _TX_WORDS
            extra = ring[at]
            if extra & 0xFFFF != _EXTRA_GSO or ring[at + 1] & 0xFF != _GSO_TCPV4 or extra >> 16 == 0:
                break
            gso = extra >> 16
            last += 1
        # the first part's size is what the others leave
        rest = total
        count = 1
        more = flags & _MORE_DATA
        good = 1
        while more:
            if last >= n or count >= _SLOTS_MAX:
                good = 0
                break
            at = _FIRST_WORD + (cons + last & _MASK) * _TX_WORDS
            to = (part + count) * _PART
            parts[to + 3] = ring[at]
            word = ring[at + 1]
            slots[last * _TX_WORDS + 2] = ring[at + 2]
            size = slots[last * _TX_WORDS + 2] >> 16
            parts[to + _PART_OFFSET] = word & 0xFFFF
            parts[to + _PART_OCTETS] = size
            rest -= size
            if size == 0 or (word & 0xFFFF) + size > _PAGE or rest <= 0:
                good = 0
                break
            more = word >> 16 & _MORE_DATA
            last += 1
            count += 1
        if good == 0 or offset + rest > _PAGE or count > free or op + count > room:
            break
        row = ptr32(uint(parts) + part * (4 * _PART))
        row[3] = gref
        row[_PART_OFFSET] = offset
        row[_PART_OCTETS] = rest
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        row[_FIRST_SLOT] = slot
        row[_SLOTS] = last - slot
        row[_FIRST_PART] = part
        row[_PARTS] = count
        row[_OCTETS] = total
        row[_OFFLOADS] = (flags & 3) | gso << 16
        row[_FIRST_OP] = op
        near = 0
        if total <= _BOUNCE and count == 1 and op and op < bounced:  # the first may be alone: nothing to share
            near = 1
        end = part + count
        while part < end:
            row = ptr32(uint(parts) + part * (4 * _PART))
            free -= 1
            page = stack[free]
            size = row[_PART_OCTETS]
            copy = ptr32(uint(ops) + op * (4 * _OP))  # its other words are always 0
            copy[0] = row[3]
            copy[2] = domid | row[_PART_OFFSET] << 16
            if near:
                copy[4] = bounce + (op >> 4)
                copy[6] = _SELF | (op & 15) << 24
            else:
                copy[4] = gfn + page
                copy[6] = _SELF
            copy[8] = size | _FROM_PEER
            copy[9] = 0xFFFF
            row[_PART_PAGE] = page
            row[_PART_OFFSET] = 0
            if size > marks[page]:
                marks[page] = size
            op += 1
            part += 1
        packet += 1
        slot = last
    s[3] = free
    s[5] = op
    s[9] = packet
    s[10] = slot
    s[11] = part


@micropython.viper
def answer(t: ptr32, s: ptr32) -> int:
    """Write responses for all slots of the packets that were taken; those whose copies failed get the fate _FAILED.

    t: ring's words, private slots, packets, operations, the link's counts, parts, places. s: 7 gfn of page 0, 9
    packets, 12 rsp_prod. Out: 12, 15 places: what goes on from the bounce buffer to its packet's page. How many have
    failed.
    """
    slots = ptr32(t[2] | t[3] << 32)
    packets = ptr32(t[4] | t[5] << 32)
    ops = ptr32(t[6] | t[7] << 32)
    counts = ptr32(t[8] | t[9] << 32)
    rows = ptr32(t[10] | t[11] << 32)
    places = ptr32(t[12] | t[13] << 32)
    gfn = s[7]
    prod = s[12]
    place = 0
    failed = 0
    octets = counts[_FROM + 2]
    ring = ptr32(t[0] | t[1] << 32)
    for packet in range(s[9]):
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        first = row[_FIRST_SLOT]
        count = row[_SLOTS]
        parts = row[_PARTS]
        op = row[_FIRST_OP]
        size = row[_OCTETS]
        octets += size
        fate = 0
        for i in range(count):
            if i == 1 and count > parts:  # of the extra info
                said = _NULL << 16
            else:
                said = slots[(first + i) * _TX_WORDS + 2] & 0xFFFF
                if ops[op * _OP + 9] & 0xFFFF:
                    said |= _ERROR << 16
                    if fate == 0:
                        fate = _FAILED
                        failed += 1
                op += 1
            ring[_FIRST_WORD + (prod & _MASK) * _TX_WORDS] = said
            prod += 1
        row[_FATE] = fate
        if parts == 1 and fate == 0:
            page = rows[row[_FIRST_PART] * _PART]
            if ops[op * _OP - (_OP - 4)] != gfn + page:
                places[place] = page * _PAGE
                places[place + 1] = (op - 1) * _BOUNCE
                places[place + 2] = size
                place += 3
    prod = prod & 0xFFFFFFFF
    s[12] = prod
    s[15] = place // 3
    first = counts[_FROM] + s[9]
    counts[_FROM] = first
    counts[_FROM + 1] = counts[_FROM + 1] + (first >> 32)
    counts[_FROM + 2] = octets
    counts[_FROM + 3] = counts[_FROM + 3] + (octets >> 32)
    return failed
