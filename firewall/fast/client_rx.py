"""A client's rx ring, in machine code: packets into the pages that it has posted, and told of.

    put()      out() for a link
    out()      operations for packets
    finish()   respond() for a link, and the client is told
    respond()  responses for what was copied

out() stops in front of what finds no buffers; there Python goes on, and decides. Twin: netback/link.py.

Arrays and scalars are laid out as in net/rows.py, what each is given as in bursts/tables.py; nothing of ours is
imported. Nothing that the far side can write to is read twice, and nothing that it says is an index of more than its
ring has slots. See README.md.
"""
import micropython
from micropython import const

_FIRST_WORD = const(16)  # of slot 0 in a ring
_MASK = const(255)
_RX_WORDS = const(2)
_SELF = const(0x7FF0)
_MORE_DATA = const(4)
_EXTRA_INFO = const(8)
_EXTRA_GSO = const(1)
_GSO_TCPV4 = const(1)
_ERROR = const(0xFFFF)
# a packet: see net/rows.py
_PACKET = const(8)
_FIRST_PART = const(2)
_PARTS = const(3)
_OFFLOADS = const(5)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)
_TO = const(4)  # of what a link counts
# words of a ring, of its own counters and of a link's
_REQ_PROD = const(0)
_RSP_PROD = const(2)
_RSP_EVENT = const(3)
_PROD = const(0)
_PUBLISHED = const(1)
_CONS = const(2)
_SENDING = const(0)
_DEAF = const(2)
_RING = const(256)  # slots
_OP = const(10)  # words of a copy operation
_BOUNCE = const(256)  # octets of one in the bounce buffer: 16 in a page
_PAGE = const(4096)
_TO_PEER = const(2 << 16)


@micropython.viper
def put(t, first: int, end: int) -> int:
    """Ask for copies of packets, from the first on, for a client: the one behind the last; -1: it takes none.

    That is: its ring is over, or it is deaf. t: what out() is given, scalars, ring's words, its own counters, the
    link's, the operations', fixed words (domid, gfn of page 0, port, operations in all, packets in a burst, gfn of the
    bounce buffer, operations that it is for); xen.moves, the bounce buffer, the pool's memory, places; what is kept.
    """
    block, moves, bounce, memory, places, _ = t
    a = ptr32(int(block))
    s = ptr32(a[2] | a[3] << 32)
    ring = ptr32(a[4] | a[5] << 32)
    own = ptr32(a[6] | a[7] << 32)
    link = ptr32(a[8] | a[9] << 32)
    copies = ptr32(a[10] | a[11] << 32)
    fixed = ptr32(a[12] | a[13] << 32)
    cons = own[_CONS]
    n = ring[_REQ_PROD] - cons & 0xFFFFFFFF
    if link[_DEAF] or n > _RING - (cons - own[_PROD] & 0xFFFFFFFF):
        return 0 - 1
    s[0] = first
    s[1] = end
    s[2] = cons
    s[3] = n
    s[4] = fixed[3]
    s[5] = copies[0]
    s[6] = fixed[0]
    s[7] = fixed[1]
    s[8] = link[_SENDING]
    s[9] = fixed[4]
    s[10] = fixed[5]
    s[11] = fixed[6]
    n = int(out(a[0] | a[1] << 32, a[2] | a[3] << 32))
    if s[12]:
        moves(bounce, memory, places, s[12])
    own[_CONS] = s[2]
    copies[0] = s[5]
    link[_SENDING] = s[8]
    return first + n


@micropython.viper
def finish(t) -> int:
    """After the burst's copies: tell a client what it received, take the pages back; how many packets have failed.

    t: what respond() is given, scalars, ring's words, its own counters, the link's, the pool's, fixed words (domid, gfn
    of page 0, port); xen.mb, xen.evtchn_send; what is kept.
    """
    block, fence, send, _ = t
    a = ptr32(int(block))
    s = ptr32(a[2] | a[3] << 32)
    ring = ptr32(a[4] | a[5] << 32)
    own = ptr32(a[6] | a[7] << 32)
    link = ptr32(a[8] | a[9] << 32)
    pool = ptr32(a[10] | a[11] << 32)
    fixed = ptr32(a[12] | a[13] << 32)
    s[0] = own[_PROD]
    s[1] = link[_SENDING]
    s[2] = pool[0]
    s[3] = fixed[1]
    failed = int(respond(a[0] | a[1] << 32, a[2] | a[3] << 32))
    prod = s[0]
    own[_PROD] = prod
    pool[0] = s[2]
    link[_SENDING] = 0
    old = own[_PUBLISHED]
    own[_PUBLISHED] = prod
    ring[_RSP_PROD] = prod
    fence()
    if (prod - ring[_RSP_EVENT] & 0xFFFFFFFF) < (prod - old & 0xFFFFFFFF):
        send(fixed[2])
    return failed


@micropython.viper
def out(t: ptr32, s: ptr32) -> int:
    """Ask for copies of packets into the pages that a client has posted; how many packets it did.

    t: ring's words, packets, parts, operations, what was sent (three words each: first operation, parts, offloads),
    places. s: 0 first packet, 1 packet behind the last, 2 req_cons, 3 buffers waiting, 4 operations in all, 5
    operations used, 6 domid, 7 gfn of page 0, 8 sent, 9 room in what was sent, 10 gfn of the bounce buffer, 11
    operations that it is for. Out: 2, 3, 5, 8; 12 places: what has to go to the bounce buffer.
    """
    ring = ptr32(t[0] | t[1] << 32)
    packets = ptr32(t[2] | t[3] << 32)
    parts = ptr32(t[4] | t[5] << 32)
    ops = ptr32(t[6] | t[7] << 32)
    sent = ptr32(t[8] | t[9] << 32)
    places = ptr32(t[10] | t[11] << 32)
    packet = s[0]
    cons = s[2]
    waiting = s[3]
    op = s[5]
    domid = s[6]
    gfn = s[7]
    n = s[8]
    place = 0
    while packet < s[1] and n < s[9]:
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        count = row[_PARTS]
        offloads = row[_OFFLOADS]
        slots = count
        if offloads >> 16:
            slots += 1
        if slots > waiting or op + count > s[4]:
            break
        sent[n * 3] = op
        sent[n * 3 + 1] = count
        sent[n * 3 + 2] = offloads
        n += 1
        part = row[_FIRST_PART]
        for i in range(count):
            row = ptr32(uint(parts) + (part + i) * (4 * _PART))
            gref = ring[_FIRST_WORD + (cons & _MASK) * _RX_WORDS + 1]
            cons += 1
            if i == 0 and offloads >> 16:
                cons += 1
            page = row[_PART_PAGE]
            offset = row[_PART_OFFSET]
            size = row[_PART_OCTETS]
            copy = ptr32(uint(ops) + op * (4 * _OP))  # its other words are always 0
            copy[3] = gfn + page
            if size <= _BOUNCE and count == 1 and op and op < s[11]:  # the first may be alone: nothing to share
                places[place] = op * _BOUNCE
                places[place + 1] = page * _PAGE + offset
                places[place + 2] = size
                place += 3
                copy[0] = s[10] + (op >> 4)
                copy[2] = _SELF | (op & 15) << 24
            else:
                copy[0] = gfn + page
                copy[2] = _SELF | offset << 16
            copy[4] = gref
            copy[6] = domid
            copy[8] = size | _TO_PEER
            copy[9] = 0xFFFF
            op += 1
        waiting -= slots
        packet += 1
    s[2] = cons & 0xFFFFFFFF
    s[3] = waiting
    s[5] = op
    s[8] = n
    s[12] = place // 3
    return packet - s[0]


@micropython.viper
def respond(t: ptr32, s: ptr32) -> int:
    """Write rx responses for what was copied, and give its pages back; how many packets have failed.

    t: ring's words, operations, what was sent, the pool's free pages, the link's counts. s: 0 rsp_prod, 1 sent, 2 free
    pages, 3 gfn of page 0. Out: 0, 2.
    """
    halves = ptr16(t[0] | t[1] << 32)
    ops = ptr32(t[2] | t[3] << 32)
    sent = ptr32(t[4] | t[5] << 32)
    stack = ptr16(t[6] | t[7] << 32)
    counts = ptr32(t[8] | t[9] << 32)
    prod = s[0]
    free = s[2]
    gfn = s[3]
    failed = 0
    octets = counts[_TO + 2]
    for n in range(s[1]):
        op = sent[n * 3]
        count = sent[n * 3 + 1]
        offloads = sent[n * 3 + 2]
        bad = 0
        copied = 0
        for i in range(count):
            copy = ptr32(uint(ops) + op * (4 * _OP))
            op += 1
            flags = 0
            if i < count - 1:
                flags = _MORE_DATA
            if i == 0:
                # the two bits of tx, swapped: blank says that the data is valid too
                if offloads & 1:
                    flags |= 3
                elif offloads & 2:
                    flags |= 1
                if offloads >> 16:
                    flags |= _EXTRA_INFO
            status = copy[8] & 0xFFFF
            copied += status
            if copy[9] & 0xFFFF:
                status = _ERROR
                bad = 1
            stack[free] = copy[3] - gfn
            free += 1
            to = (_FIRST_WORD + (prod & _MASK) * _RX_WORDS) * 2
            prod = (prod + 1) & 0xFFFFFFFF
            halves[to + 1] = 0
            halves[to + 2] = flags
            halves[to + 3] = status
            if i == 0 and offloads >> 16:
                to = (_FIRST_WORD + (prod & _MASK) * _RX_WORDS) * 2
                prod = (prod + 1) & 0xFFFFFFFF
                halves[to] = _EXTRA_GSO
                halves[to + 1] = offloads >> 16
                halves[to + 2] = _GSO_TCPV4
                halves[to + 3] = 0
        if bad:
            failed += 1
        else:
            octets += copied
    n = counts[_TO] + s[1] - failed
    counts[_TO] = n
    counts[_TO + 1] = counts[_TO + 1] + (n >> 32)
    counts[_TO + 2] = octets
    counts[_TO + 3] = counts[_TO + 3] + (octets >> 32)
    s[0] = prod
    s[2] = free
    return failed
