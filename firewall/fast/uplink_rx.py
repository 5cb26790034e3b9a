"""The uplink's rx ring, in machine code: what the netvm has filled taken in, and pages lent for more.

    turn()     arrived() and ours() for a link
    lend()     offer() and post() for a link
    arrived()  responses into rows, as long as each packet is in order
    ours()     their pages, once they are revoked
    offer()    pages for the netvm to fill: what must be cleared and granted
    post()     requests for those, once they are granted

Each stops in front of what is not in order; there Python goes on, and decides. Twin: netfront/link.py with
net/netif.py.

Arrays and scalars are laid out as in net/rows.py, what each is given as in bursts/tables.py; nothing of ours is
imported. Nothing that the far side can write to is read twice, and nothing that it says is an index of more than its
ring has slots. See README.md.
"""
import micropython
from micropython import const

_FIRST_WORD = const(16)
_MASK = const(255)
_RX_WORDS = const(2)
_PAGE = const(4096)
_SLOTS_MAX = const(19)  # parts of a packet from the netvm
_NOBODY = const(0xFFFF)  # no page is lent under this id
_MORE_DATA = const(4)
_EXTRA_INFO = const(8)
_EXTRA_GSO = const(1)
_GSO_TCPV4 = const(1)
_PACKET = const(8)
_FIRST_SLOT = const(0)
_SLOTS = const(1)
_FIRST_PART = const(2)
_PARTS = const(3)
_OCTETS = const(4)
_OFFLOADS = const(5)
_FATE = const(6)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)
_FROM = const(0)  # of what a link counts
# words of a ring and of its own counters
_RSP_PROD = const(2)
_PROD = const(0)
_PUBLISHED = const(1)
_CONS = const(2)
_RING = const(256)  # slots
_PACKETS = const(64)  # in one go
_POSTED = const(128)  # pages lent in one go: what was not cleared yet takes 0.1 us each
_LIMIT = const(512)  # pages that a netvm may have,
_TX_RESERVE = const(64)  # so many of them for what is sent


@micropython.viper
def turn(t, limit: int) -> int:
    """Take some `limit` slots of packets in order: packets | slots << 16; -1: the ring is over.

    -2 - n: the netvm holds pages of which it says that they are ours; these n are still lent, by the references that
    are not 0 now. t: what arrived() and ours() are given, scalars, ring's words, its own counters, the pool's, how many
    are lent, what count() is given; references, xen.revokes; what is kept.
    """
    block, refs, revokes, _ = t
    a = ptr32(int(block))
    s = ptr32(a[4] | a[5] << 32)
    ring = ptr32(a[6] | a[7] << 32)
    own = ptr32(a[8] | a[9] << 32)
    cons = own[_CONS]
    n = ring[_RSP_PROD] - cons & 0xFFFFFFFF
    if n > (own[_PUBLISHED] - cons & 0xFFFFFFFF):
        return 0 - 1
    s[0] = cons
    s[1] = n
    s[2] = limit
    s[3] = _PACKETS
    arrived(a[0] | a[1] << 32, a[4] | a[5] << 32)
    packets = s[4]
    slots = s[5]
    if packets == 0:
        return 0
    if int(revokes(refs, slots)):
        return 0 - 2 - slots
    lent = ptr32(a[12] | a[13] << 32)
    lent[0] = lent[0] - slots
    pool = ptr32(a[10] | a[11] << 32)
    s[6] = pool[0]
    ours(a[2] | a[3] << 32, a[4] | a[5] << 32)
    count(a[14] | a[15] << 32, packets)
    pool[0] = s[6]
    own[_CONS] = s[0]
    return packets | slots << 16


@micropython.viper
def lend(t, room: int) -> int:
    """Lend pages for what the netvm receives: 1 if more are due than one go's, -1: room is asked for; else 0.

    room: how many more may be lent to it; -1: not known yet. t: what offer() and post() are given, scalars, ring's own
    counters, the pool's, how many pages are lent for tx and for rx, how many are in quarantine, fixed words (domid, gfn
    of page 0), pages taken, the pool's free pages; xen.zeros, its memory and places, xen.grants, its gfns and
    references; what is kept.
    """
    block, zeros, memory, places, grants, gfns, refs, _ = t
    a = ptr32(int(block))
    own = ptr32(a[6] | a[7] << 32)
    pool = ptr32(a[8] | a[9] << 32)
    due = _RING - (own[_PROD] - own[_CONS] & 0xFFFFFFFF)
    if due == 0:
        return 0
    rx_lent = ptr32(a[12] | a[13] << 32)
    if room < 0:
        tx_lent = ptr32(a[10] | a[11] << 32)
        kept = ptr32(a[14] | a[15] << 32)
        if kept[0]:
            return 0 - 1
        room = _LIMIT - tx_lent[0] - rx_lent[0]
    room -= _TX_RESERVE
    if room < due:
        due = room
    if pool[0] < due:
        due = pool[0]
    if due <= 0:
        return 0
    s = ptr32(a[4] | a[5] << 32)
    fixed = ptr32(a[16] | a[17] << 32)
    s[0] = own[_PROD]
    s[1] = due
    if due > _POSTED:
        s[1] = _POSTED
    s[2] = pool[0]
    s[3] = fixed[1]
    n = int(offer(a[0] | a[1] << 32, a[4] | a[5] << 32))
    free = s[2]
    pool[0] = free
    if s[4]:
        zeros(memory, places, s[4])
    granted = int(grants(gfns, refs, n, fixed[0], False))
    if granted < n:
        taken = ptr32(a[18] | a[19] << 32)
        stack = ptr16(a[20] | a[21] << 32)
        for i in range(granted, n):
            stack[free] = taken[i]
            free += 1
        pool[0] = free
    s[1] = granted
    post(a[2] | a[3] << 32, a[4] | a[5] << 32)
    own[_PROD] = s[0]
    rx_lent[0] = rx_lent[0] + granted
    if due > _POSTED and granted == _POSTED:
        return 1
    return 0


@micropython.viper
def arrived(t: ptr32, s: ptr32):
    """Read rx responses into packets, as long as each is in order; what is to be revoked for them.

    t: ring's words, pages by id, references by id, packets, parts, references, marks. s: 0 rsp_cons, 1 responses
    waiting, 2 responses to take, 3 packets there is room for. Out: 4 packets, 5 responses taken. Nothing is ours yet.
    """
    ring = ptr32(t[0] | t[1] << 32)
    pages = ptr16(t[2] | t[3] << 32)
    grefs = ptr32(t[4] | t[5] << 32)
    packets = ptr32(t[6] | t[7] << 32)
    parts = ptr32(t[8] | t[9] << 32)
    refs = ptr32(t[10] | t[11] << 32)
    cons = s[0]
    packet = 0
    part = 0
    slot = 0
    n = s[1]
    most = s[2]
    if most > n:
        most = n
    room = s[3]
    while slot < most and packet < room:
        first = part
        total = 0
        gso = 0
        offloads = 0
        last = slot
        good = 1
        more = _MORE_DATA
        while more:
            number = cons + last & _MASK
            if last >= n or part - first >= _SLOTS_MAX:
                good = 0
                break
            row = ptr32(uint(ring) + (_FIRST_WORD + number * _RX_WORDS << 2))
            word = row[0]
            second = row[1]
            flags = second & 0xFFFF
            size = second >> 16
            offset = word >> 16
            if word & 0xFFFF != number or pages[number] == _NOBODY or size == 0 or offset + size > _PAGE:
                good = 0
                break
            refs[last] = grefs[number]
            row = ptr32(uint(parts) + part * (4 * _PART))
            row[_PART_PAGE] = pages[number]
            row[_PART_OFFSET] = offset
            row[_PART_OCTETS] = size
            total += size
            last += 1
            more = flags & _MORE_DATA
            if part == first:
                # blank and valid, swapped to what tx calls them
                offloads = flags >> 1 & 1 | (flags & 1) << 1
                if flags & _EXTRA_INFO:
                    number = cons + last & _MASK
                    at = _FIRST_WORD + number * _RX_WORDS
                    if last >= n:
                        good = 0
                        break
                    word = ring[at]
                    if word & 0xFFFF != _EXTRA_GSO or ring[at + 1] & 0xFF != _GSO_TCPV4 or word >> 16 == 0:
                        good = 0
                        break
                    if pages[number] == _NOBODY:
                        good = 0
                        break
                    gso = word >> 16
                    refs[last] = grefs[number]
                    last += 1
            part += 1
        if good == 0:
            part = first
            break
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        row[_FIRST_SLOT] = slot
        row[_SLOTS] = last - slot
        row[_FIRST_PART] = first
        row[_PARTS] = part - first
        row[_OCTETS] = total
        row[_OFFLOADS] = offloads | gso << 16
        row[_FATE] = 0
        packet += 1
        slot = last
    s[4] = packet
    s[5] = slot


@micropython.viper
def ours(t: ptr32, s: ptr32):
    """The pages that arrived() read about are revoked: no longer lent, and marked as far as they are filled.

    t: pages by id, packets, parts, marks, the pool's free pages. s: 0 rsp_cons, 4 packets, 6 free pages. Out: 0, 6.
    """
    pages = ptr16(t[0] | t[1] << 32)
    packets = ptr32(t[2] | t[3] << 32)
    parts = ptr32(t[4] | t[5] << 32)
    marks = ptr16(t[6] | t[7] << 32)
    stack = ptr16(t[8] | t[9] << 32)
    cons = s[0]
    free = s[6]
    for packet in range(s[4]):
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        part = row[_FIRST_PART]
        count = row[_PARTS]
        slots = row[_SLOTS]
        for i in range(slots):
            number = cons & _MASK
            if slots > count and i == 1:
                stack[free] = pages[number]  # of the extra info: its page went unused
                free += 1
            pages[number] = _NOBODY
            cons = (cons + 1) & 0xFFFFFFFF
        for i in range(count):
            row = ptr32(uint(parts) + (part + i) * (4 * _PART))
            end = row[_PART_OFFSET] + row[_PART_OCTETS]
            page = row[_PART_PAGE]
            if end > marks[page]:
                marks[page] = end
    s[0] = cons
    s[6] = free


@micropython.viper
def count(t: ptr32, n: int):
    """So many packets have come. t: packets, the link's counts."""
    packets = ptr32(t[0] | t[1] << 32)
    counts = ptr32(t[2] | t[3] << 32)
    octets = counts[_FROM + 2]
    for packet in range(n):
        octets += packets[packet * _PACKET + _OCTETS]
    n += counts[_FROM]
    counts[_FROM] = n
    counts[_FROM + 1] = counts[_FROM + 1] + (n >> 32)
    counts[_FROM + 2] = octets
    counts[_FROM + 3] = counts[_FROM + 3] + (octets >> 32)


@micropython.viper
def offer(t: ptr32, s: ptr32) -> int:
    """Take pages to post: what is to be cleared and granted; how many pages.

    t: pages by id, the pool's free pages, marks, places to clear, gfns, pages taken. s: 0 req_prod, 1 pages to post
    at most, 2 free pages, 3 gfn of page 0. Out: 2, 4 places to clear.
    """
    pages = ptr16(t[0] | t[1] << 32)
    stack = ptr16(t[2] | t[3] << 32)
    marks = ptr16(t[4] | t[5] << 32)
    places = ptr32(t[6] | t[7] << 32)
    gfns = ptr32(t[8] | t[9] << 32)
    taken = ptr32(t[10] | t[11] << 32)
    free = s[2]
    n = 0
    holes = 0
    while n < s[1] and free:
        if pages[s[0] + n & _MASK] != _NOBODY:
            break
        free -= 1
        page = stack[free]
        if marks[page]:
            places[holes] = page * _PAGE
            places[holes + 1] = marks[page]
            holes += 2
            marks[page] = 0
        gfns[n] = s[3] + page
        taken[n] = page
        n += 1
    s[2] = free
    s[4] = holes >> 1
    return n


@micropython.viper
def post(t: ptr32, s: ptr32):
    """Write rx requests for pages that are granted.

    t: ring's words, pages by id, references by id, references, pages taken. s: 0 req_prod, 1 pages. Out: 0.
    """
    ring = ptr32(t[0] | t[1] << 32)
    pages = ptr16(t[2] | t[3] << 32)
    grefs = ptr32(t[4] | t[5] << 32)
    refs = ptr32(t[6] | t[7] << 32)
    taken = ptr32(t[8] | t[9] << 32)
    prod = s[0]
    for i in range(s[1]):
        id = prod & _MASK
        pages[id] = taken[i]
        grefs[id] = refs[i]
        at = _FIRST_WORD + id * _RX_WORDS
        ring[at] = id
        ring[at + 1] = refs[i]
        prod = (prod + 1) & 0xFFFFFFFF
    s[0] = prod
