"""The uplink's tx ring, in machine code: packets lent to the netvm, and what it has sent taken back.

    put()        ready() and request() for a link
    take_back()  responses: references revoked, their pages and ids free again
    flush()      both rings published, and the netvm told
    ready()      which packets have room, and what must be cleared and granted for them
    request()    requests for those, once they are granted

Grants and revocations need atomics, and are C's. Each stops in front of what is not in order;
there Python goes on, and decides. Twin: netfront/link.py.

Arrays and scalars are laid out as in net/rows.py, what each is given as in bursts/tables.py; nothing of ours is
imported. Nothing that the far side can write to is read twice, and nothing that it says is an index of more than its
ring has slots. See README.md.
"""
import micropython
from micropython import const

_FIRST_WORD = const(16)
_MASK = const(255)
_TX_WORDS = const(3)
_PAGE = const(4096)
_NOBODY = const(0xFFFF)  # no page is lent under this id
_MORE_DATA = const(4)
_EXTRA_INFO = const(8)
_EXTRA_GSO = const(1)
_GSO_TCPV4 = const(1)
_NULL = const(1)
_PACKET = const(8)
_FIRST_PART = const(2)
_PARTS = const(3)
_OCTETS = const(4)
_OFFLOADS = const(5)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)
_TO = const(4)  # of what a link counts
# words of a ring and of its own counters
_REQ_PROD = const(0)
_REQ_EVENT = const(1)
_RSP_PROD = const(2)
_PROD = const(0)
_PUBLISHED = const(1)
_CONS = const(2)
_RING = const(256)  # slots
_LIMIT = const(512)  # pages that a netvm may have


@micropython.viper
def put(t, first: int, end: int, room: int) -> int:
    """Queue packets for the netvm, from the first on: how many; -1: room is asked for.

    -2 - n: Xen has granted only n references; none of them is in use. room: how many more pages may be lent to it; -1:
    not known yet. t: what ready() and request() are given, scalars, ring's own counters, the link's, how many pages are
    lent for tx and for rx, how many are in quarantine, fixed words (domid, gfn of page 0); xen.zeros, its memory
    and places, xen.grants, its gfns and references; what is kept.
    """
    block, zeros, memory, places, grants, gfns, refs, _ = t
    a = ptr32(int(block))
    s = ptr32(a[4] | a[5] << 32)
    own = ptr32(a[6] | a[7] << 32)
    link = ptr32(a[8] | a[9] << 32)
    tx_lent = ptr32(a[10] | a[11] << 32)
    fixed = ptr32(a[16] | a[17] << 32)
    if room < 0:
        rx_lent = ptr32(a[12] | a[13] << 32)
        kept = ptr32(a[14] | a[15] << 32)
        if kept[0]:
            return 0 - 1
        room = _LIMIT - tx_lent[0] - rx_lent[0]
        if room < 0:
            room = 0
    s[0] = first
    s[1] = end
    s[2] = _RING - (own[_PROD] - own[_CONS] & 0xFFFFFFFF)
    s[3] = link[0]
    s[4] = room
    s[5] = fixed[1]
    n = int(ready(a[0] | a[1] << 32, a[4] | a[5] << 32))
    if n == 0:
        return 0
    pages = s[6]
    if s[7]:
        zeros(memory, places, s[7])
    granted = int(grants(gfns, refs, pages, fixed[0], True))
    if granted < pages:
        return 0 - 2 - granted
    s[1] = first + n
    s[2] = own[_PROD]
    request(a[2] | a[3] << 32, a[4] | a[5] << 32)
    own[_PROD] = s[2]
    link[0] = s[3]
    tx_lent[0] = tx_lent[0] + pages
    return n


@micropython.viper
def take_back(t, most: int) -> int:
    """Take back pages of at most so many slots that the netvm has sent: how many it has answered; s[2]: with an error.

    -1: the ring is over, or its next response is a lie. -2 - n: the netvm still holds some of n pages; none of them is
    lent any more, and references that are not 0 now are still in use. t: ring's words, pages by id, references by id,
    references to revoke, their pages and ids, free ids (octets), the pool's free pages, scalars, ring's own counters,
    the link's, the pool's, how many pages are lent; the references again, xen.revokes; what is kept.
    """
    block, refs, revokes, _ = t
    a = ptr32(int(block))
    ring = ptr32(a[0] | a[1] << 32)
    own = ptr32(a[18] | a[19] << 32)
    cons = own[_CONS]
    due = ring[_RSP_PROD] - cons & 0xFFFFFFFF
    if due > (own[_PUBLISHED] - cons & 0xFFFFFFFF):
        return 0 - 1
    if due > most:
        due = most
    if due == 0:
        return 0
    halves = ptr16(a[0] | a[1] << 32)
    pages = ptr16(a[2] | a[3] << 32)
    grefs = ptr32(a[4] | a[5] << 32)
    to_revoke = ptr32(a[6] | a[7] << 32)
    gone = ptr32(a[8] | a[9] << 32)
    ids = ptr32(a[10] | a[11] << 32)
    n = 0
    failed = 0
    read = 0
    while read < due:  # as many as name what is in flight; their pages are nobody's meanwhile
        at = (_FIRST_WORD + (cons + read & _MASK) * _TX_WORDS) * 2
        id = halves[at]
        status = halves[at + 1]
        if status != _NULL:
            if id > _MASK:
                break
            page = pages[id]
            if page == _NOBODY:
                break
            pages[id] = _NOBODY
            to_revoke[n] = grefs[id]
            gone[n] = page
            ids[n] = id
            n += 1
            if status & 0x8000:
                failed += 1
        read += 1
    s = ptr32(a[16] | a[17] << 32)
    s[2] = failed
    if read == 0:
        return 0 - 1
    own[_CONS] = cons + read & 0xFFFFFFFF
    if n:
        lent = ptr32(a[24] | a[25] << 32)
        lent[0] = lent[0] - n
        if int(revokes(refs, n)):
            return 0 - 2 - n
        free_ids = ptr8(a[12] | a[13] << 32)
        stack = ptr16(a[14] | a[15] << 32)
        link = ptr32(a[20] | a[21] << 32)
        pool = ptr32(a[22] | a[23] << 32)
        free = link[0]
        top = pool[0]
        for i in range(n):
            stack[top + i] = gone[i]
            free_ids[free + i] = ids[i]
        link[0] = free + n
        pool[0] = top + n
    return read


@micropython.viper
def flush(t):
    """Show the netvm what was queued and posted, and notify it if it asked for it.

    t: words and own counters of tx and of rx, fixed words (domid, gfn of page 0, port of tx, of rx); xen.mb,
    xen.evtchn_send; what is kept.
    """
    block, fence, send, _ = t
    a = ptr32(int(block))
    fixed = ptr32(a[8] | a[9] << 32)
    told = 0
    for i in range(2):
        ring = ptr32(a[4 * i] | a[4 * i + 1] << 32)
        own = ptr32(a[4 * i + 2] | a[4 * i + 3] << 32)
        old = own[_PUBLISHED]
        prod = own[_PROD]
        if old != prod:
            own[_PUBLISHED] = prod
            ring[_REQ_PROD] = prod
            fence()
            if (prod - ring[_REQ_EVENT] & 0xFFFFFFFF) < (prod - old & 0xFFFFFFFF):
                told |= i + 1
    if told and fixed[2] == fixed[3]:
        told = 1
    if told & 1:
        send(fixed[2])
    if told & 2:
        send(fixed[3])


@micropython.viper
def ready(t: ptr32, s: ptr32) -> int:
    """How many packets from the first on have room; what is to be cleared and granted for them.

    t: packets, parts, marks, places to clear (octet in the pool, octets; two words each), gfns. s: 0 first packet,
    1 packet behind the last, 2 slots free in the ring, 3 ids free, 4 pages that may be lent, 5 gfn of page 0.
    Out: 6 gfns, 7 places to clear.
    """
    packets = ptr32(t[0] | t[1] << 32)
    parts = ptr32(t[2] | t[3] << 32)
    marks = ptr16(t[4] | t[5] << 32)
    places = ptr32(t[6] | t[7] << 32)
    gfns = ptr32(t[8] | t[9] << 32)
    slots = s[2]
    ids = s[3]
    if s[4] < ids:
        ids = s[4]
    packet = s[0]
    n = 0
    holes = 0
    last = s[1]
    gfn = s[5]
    while packet < last:
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        count = row[_PARTS]
        need = count
        if row[_OFFLOADS] >> 16:
            need += 1
        if need > slots or count > ids:
            break
        slots -= need
        ids -= count
        part = row[_FIRST_PART]
        behind = part + count
        while part < behind:
            row = ptr32(uint(parts) + part * (4 * _PART))
            page = row[_PART_PAGE]
            start = row[_PART_OFFSET]
            end = start + row[_PART_OCTETS]
            mark = marks[page]
            if start:
                places[holes] = page * _PAGE
                if start < mark:
                    places[holes + 1] = start
                else:
                    places[holes + 1] = mark
                holes += 2
            if mark > end:
                places[holes] = page * _PAGE + end
                places[holes + 1] = mark - end
                holes += 2
            marks[page] = end
            gfns[n] = gfn + page
            n += 1
            part += 1
        packet += 1
    s[6] = n
    s[7] = holes >> 1
    return packet - s[0]


@micropython.viper
def request(t: ptr32, s: ptr32):
    """Write tx requests for packets whose parts are granted.

    t: packets, parts, references, ring's words, free ids (octets), pages by id, references by id, numbers by id, the
    link's counts.
    s: 0 first packet, 1 packet behind the last, 2 req_prod, 3 ids free. Out: 2, 3.
    """
    packets = ptr32(t[0] | t[1] << 32)
    parts = ptr32(t[2] | t[3] << 32)
    refs = ptr32(t[4] | t[5] << 32)
    ring = ptr32(t[6] | t[7] << 32)
    ids = ptr8(t[8] | t[9] << 32)
    pages = ptr16(t[10] | t[11] << 32)
    grefs = ptr32(t[12] | t[13] << 32)
    numbers = ptr32(t[14] | t[15] << 32)
    counts = ptr32(t[16] | t[17] << 32)
    prod = s[2]
    free = s[3]
    n = 0
    octets = counts[_TO + 2]
    packet = s[0]
    last = s[1]
    while packet < last:
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        left = row[_PARTS]
        offloads = row[_OFFLOADS]
        part = row[_FIRST_PART]
        size = row[_OCTETS]  # the first request tells the size of all
        octets += size
        flags = offloads & 3
        if flags & 1:
            flags = 3
        if offloads >> 16:
            flags |= _EXTRA_INFO
        first = 1
        while left:
            row = ptr32(uint(parts) + part * (4 * _PART))
            part += 1
            left -= 1
            if first == 0:
                flags = 0
                size = row[_PART_OCTETS]
            if left:
                flags |= _MORE_DATA
            free -= 1
            id = ids[free]
            ref = refs[n]
            pages[id] = row[_PART_PAGE]
            grefs[id] = ref
            numbers[id] = prod
            slot = ptr32(uint(ring) + (_FIRST_WORD + (prod & _MASK) * _TX_WORDS << 2))
            slot[0] = ref
            slot[1] = row[_PART_OFFSET] | flags << 16
            slot[2] = id | size << 16
            prod = (prod + 1) & 0xFFFFFFFF
            n += 1
            if first and offloads >> 16:
                to = _FIRST_WORD + (prod & _MASK) * _TX_WORDS
                ring[to] = _EXTRA_GSO | (offloads >> 16) << 16
                ring[to + 1] = _GSO_TCPV4
                ring[to + 2] = 0
                prod = (prod + 1) & 0xFFFFFFFF
            first = 0
        packet += 1
    n = counts[_TO] + s[1] - s[0]
    counts[_TO] = n
    counts[_TO + 1] = counts[_TO + 1] + (n >> 32)
    counts[_TO + 2] = octets
    counts[_TO + 3] = counts[_TO + 3] + (octets >> 32)
    s[2] = prod
    s[3] = free
