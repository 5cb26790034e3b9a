"""Packets that somebody watches: their beginnings copied, chosen, and written as blocks of a pcapng file.

Nothing in here runs while nobody captures. Rows: see net/rows.py. Nothing of ours is imported; nothing of a packet is
an index. Whoever calls says how large everything is: see firewall/capture.py.

A capture, c: its words, its buffer, whose interfaces it is about (octets by number: 1), heads, sizes. Words:
    0 octets in the buffer, 1 octets there is room for
    2 and 3 packets seen of the interfaces 0 and 1 (client, uplink), 4 and 5 those that found no room
    6 and 7 the time, high and low, 8 protocol or 0, 9 port or 0, 10 both sides are wanted
    11 the packet that is being judged is wanted, 12 and is not written yet
All captures, k: two of them or None, xen.wall, the pool's memory, words of the packet that is being judged:
    0 the interface it came in by, _NOBODY: none is judged, 1 octets kept of it, 2 octets
While there is no room for just any packet, a capture that wants all has them counted, and nothing is copied for it.

Source: draft-ietf-opsawg-pcapng 4.3.
"""
import micropython
from micropython import const

SNAP = const(128)  # octets of a packet that are kept
ROWS = const(66)  # heads there is room for: of all rows of a burst, then of what leaves and of what is being judged
_OF_SNAP = const(128)
_NOW = const(64)
_PACKET = const(8)  # words; see net/rows.py
_FIRST_PART = const(2)
_PARTS = const(3)
_OCTETS = const(4)
_FATE = const(6)
_FAILED = const(0xFFFE)
_PAGE = const(4096)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)
_NUMBERS = const(1024)
_NOBODY = const(0xFFFF)
_JUDGED = const(65)  # a row of heads, as _NOW
_TAPPED = const(64)  # a price, see turns.py
_ENHANCED = const(6)  # type of a block
_FRAME = const(32)  # octets of it beside the packet


@micropython.viper
def _copy(b, packet: int, to: uint) -> int:
    """The beginning of a row's packet; how many octets. Sixteen at a time, as long as there are as many."""
    packets = ptr32(b[0])
    parts = ptr32(b[1])
    memory = uint(ptr8(b[2]))
    at = packet * _PACKET
    part = packets[at + _FIRST_PART] * _PART
    left = packets[at + _PARTS]
    have = 0
    while left > 0 and have < _OF_SNAP:
        n = parts[part + _PART_OCTETS]
        if n > _OF_SNAP - have:
            n = _OF_SNAP - have
        source = memory + uint(parts[part + _PART_PAGE] * _PAGE + parts[part + _PART_OFFSET])
        have += n
        while n >= 16:
            words = ptr32(to)
            others = ptr32(source)
            words[0] = others[0]
            words[1] = others[1]
            words[2] = others[2]
            words[3] = others[3]
            to += uint(16)
            source += uint(16)
            n -= 16
        octets = ptr8(to)
        last = ptr8(source)
        i = 0
        while i < n:
            octets[i] = last[i]
            i += 1
        to += uint(n)
        part += _PART
        left -= 1
    return have


@micropython.viper
def heads(b, first: int, end: int, scratch: ptr8, sizes: ptr32):
    """Copy the beginnings of rows of packets. sizes: octets kept and octets in all, of each."""
    of_packets, of_parts, pages = b
    packets = ptr32(of_packets)
    parts = ptr32(of_parts)
    memory = uint(ptr8(pages))
    packet = first
    while packet < end:
        at = packet * _PACKET
        part = packets[at + _FIRST_PART] * _PART
        n = parts[part + _PART_OCTETS]
        if packets[at + _FATE] == _FAILED:
            n = 0
        elif n >= _OF_SNAP or packets[at + _PARTS] == 1:  # as _copy(), which takes ten times as long
            if n > _OF_SNAP:
                n = _OF_SNAP
            source = ptr32(memory + uint(parts[part + _PART_PAGE] * _PAGE + parts[part + _PART_OFFSET]))
            to = ptr32(uint(scratch) + uint(packet * _OF_SNAP))
            words = n >> 2
            i = 0
            while i + 3 < words:
                to[i] = source[i]
                to[i + 1] = source[i + 1]
                to[i + 2] = source[i + 2]
                to[i + 3] = source[i + 3]
                i += 4
            while i < words:
                to[i] = source[i]
                i += 1
            octets = ptr8(source)
            last = ptr8(to)
            i <<= 2
            while i < n:
                last[i] = octets[i]
                i += 1
        else:
            n = int(_copy(b, packet, uint(scratch) + uint(packet * _OF_SNAP)))
        sizes[2 * packet] = n
        sizes[2 * packet + 1] = packets[at + _OCTETS]
        packet += 1


@micropython.viper
def wanted(c, head: ptr8, have: int) -> int:
    """1 if a packet is one that the capture is to have, by what is in its beginning."""
    words = ptr32(c[0])
    proto = words[8]
    port = words[9]
    if proto == 0:
        return 1
    if have < 34 or head[12] != 8 or head[13] != 0 or head[23] != proto:
        return 0
    if port == 0:
        return 1
    at = 14 + ((head[14] & 15) << 2)
    if head[20] & 0x1F | head[21] or at + 4 > have:
        return 0
    if head[at] << 8 | head[at + 1] == port or head[at + 2] << 8 | head[at + 3] == port:
        return 1
    return 0


@micropython.viper
def write(c, side: int, head: ptr8, have: int, octets: int):
    """Write a packet as a block, if there is room."""
    words = ptr32(c[0])
    out = ptr32(c[1])
    words[2 + side] += 1
    at = words[0]
    size = _FRAME + (have + 3 & 0xFFC)
    if at + size > words[1]:
        words[4 + side] += 1
        return
    words[0] = at + size
    at = at >> 2
    out[at] = _ENHANCED
    out[at + 1] = size
    out[at + 2] = side
    out[at + 3] = words[6]
    out[at + 4] = words[7]
    out[at + 5] = have
    out[at + (size >> 2) - 2] = 0  # padding, if there is any
    out[at + 6] = octets
    out[at + (size >> 2) - 1] = size
    source = ptr32(head)
    into = ptr32(uint(out) + uint((at + 7) << 2))
    n = have >> 2
    i = 0
    while i + 3 < n:
        into[i] = source[i]
        into[i + 1] = source[i + 1]
        into[i + 2] = source[i + 2]
        into[i + 3] = source[i + 3]
        i += 4
    while i < n:
        into[i] = source[i]
        i += 1
    to = ptr8(into)
    i <<= 2
    while i < have:  # no octet behind it: that is another packet's
        to[i] = head[i]
        i += 1


@micropython.viper
def hits(b, c, first: int, end: int, number: int):
    """Write down rows that were hits, as they came in by the interface `number` and as they leave.

    As long as there is no room for just any packet they are counted only, if the capture wants all. As wanted() and
    write(), which take ten times as long when they are called: here are the packets of floods.
    """
    of_packets, of_parts, pages = b
    packets = ptr32(of_packets)
    parts = ptr32(of_parts)
    memory = uint(ptr8(pages))
    of_words, buffer, of_whose, scratch, of_sizes = c
    words = ptr32(of_words)
    out = uint(ptr8(buffer))
    whose = ptr8(of_whose)
    kept = uint(ptr8(scratch))
    sizes = ptr32(of_sizes)
    came = whose[number]
    both = words[10]
    proto = words[8]
    port = words[9]
    packet = first
    while packet < end:
        row = packet * _PACKET
        fate = packets[row + _FATE]
        sides = 0  # 1, 2: in, out by the uplink; 4, 8: in, out are wanted
        if fate < _NUMBERS and (came or whose[fate]):
            if number == 0:
                sides = 1
            if both or came or number == 0:
                sides |= 4
            if fate == 0:
                sides |= 2
            if both or whose[fate] or fate == 0:
                sides |= 8
        if sides and proto == 0 and words[0] + _FRAME + _OF_SNAP > words[1]:
            side = sides & 1
            words[2 + side] += sides >> 2 & 1
            words[4 + side] += sides >> 2 & 1
            side = sides >> 1 & 1
            words[2 + side] += sides >> 3
            words[4 + side] += sides >> 3
            sides = 0
        if sides:
            before = kept + uint(packet * _OF_SNAP)
            had = 0
            if sides & 4:
                had = sizes[2 * packet]  # else nobody has copied it
            part = packets[row + _FIRST_PART] * _PART
            now = memory + uint(parts[part + _PART_PAGE] * _PAGE + parts[part + _PART_OFFSET])
            have = parts[part + _PART_OCTETS]
            if have >= _OF_SNAP:
                have = _OF_SNAP
            elif packets[row + _PARTS] > 1:
                now = kept + uint(_NOW * _OF_SNAP)
                have = int(_copy(b, packet, now))
            ours = 1
            if proto:
                ours = 0
                head = ptr8(now)
                n = have
                turn = 0
                while turn < 2:
                    if n >= 34 and head[12] == 8 and head[13] == 0 and head[23] == proto:
                        if port == 0:
                            ours = 1
                        at = 14 + ((head[14] & 15) << 2)
                        if head[20] & 0x1F | head[21] == 0 and at + 4 <= n:
                            if head[at] << 8 | head[at + 1] == port or head[at + 2] << 8 | head[at + 3] == port:
                                ours = 1
                    head = ptr8(before)
                    n = had
                    turn += 1
            turn = 0
            source = ptr32(before)
            n = had
            octets = sizes[2 * packet + 1]
            side = sides & 1
            due = had
            while ours and turn < 2:
                if due:
                    words[2 + side] += 1
                    at = words[0]
                    size = _FRAME + (n + 3 & 0xFFC)
                    if at + size > words[1]:
                        words[4 + side] += 1
                    else:
                        words[0] = at + size
                        block = ptr32(out + uint(at))
                        block[(size >> 2) - 2] = 0  # padding, if there is any
                        block[0] = _ENHANCED
                        block[1] = size
                        block[2] = side
                        block[3] = words[6]
                        block[4] = words[7]
                        block[5] = n
                        block[6] = octets
                        block[(size >> 2) - 1] = size
                        whole = n >> 2
                        i = 0
                        while i + 3 < whole:
                            block[i + 7] = source[i]
                            block[i + 8] = source[i + 1]
                            block[i + 9] = source[i + 2]
                            block[i + 10] = source[i + 3]
                            i += 4
                        while i < whole:
                            block[i + 7] = source[i]
                            i += 1
                        into = ptr8(block)
                        last = ptr8(source)
                        i <<= 2
                        while i < n:  # no octet behind it: that is another packet's
                            into[i + 28] = last[i]
                            i += 1
                source = ptr32(now)
                n = have
                octets = packets[row + _OCTETS]
                side = sides >> 1 & 1
                due = sides & 8
                turn += 1
        packet += 1


@micropython.viper
def _open(c) -> int:
    """1 if beginnings of packets have to be copied for it: there is room, or it does not want all."""
    words = ptr32(c[0])
    if words[8] or words[0] + _FRAME + _OF_SNAP <= words[1]:
        return 1
    return 0


@micropython.viper
def _stamp(k):
    """It is now."""
    now = int(k[2]())
    which = 0
    while which < 2:
        c = k[which]
        if c:
            words = ptr32(c[0])
            words[6] = now >> 32
            words[7] = now & 0xFFFFFFFF
        which += 1


@micropython.viper
def came(k, b, number: int, n: int):
    """n packets lie in rows, as they came in by the interface of that number."""
    stamped = 0
    which = 0
    while which < 2:
        c = k[which]
        if c:
            if int(_open(c)):
                if stamped == 0:
                    _stamp(k)
                    stamped = 1
                words = ptr32(c[0])
                whose = ptr8(c[2])
                if whose[number] or number == 0 or words[10]:
                    heads(b, 0, n, c[3], c[4])
                    return
        which += 1


@micropython.viper
def went(k, b, number: int, first: int, end: int) -> int:
    """These of them were hits, and have been rewritten. How much work that was, for turns.py."""
    work = 0
    which = 0
    while which < 2:
        c = k[which]
        if c:
            words = ptr32(c[0])
            whose = ptr8(c[2])
            before = words[0]
            hits(b, c, first, end, number)
            work += words[0] - before
            if words[8] and whose[number]:
                work += (end - first) * _TAPPED  # all are copied, to be chosen from
        which += 1
    if number == 0:
        return 0  # what comes in is for all: they do not pay for one who is captured
    return work // _TAPPED


@micropython.viper
def _tell(c, side: int, row: int, have: int, octets: int):
    """Write a row of heads, if anything was copied into it."""
    words = ptr32(c[0])
    if int(_open(c)):
        write(c, side, uint(ptr8(c[3])) + uint(row * _OF_SNAP), have, octets)
    else:
        words[2 + side] += 1
        words[4 + side] += 1


@micropython.viper
def stopped(k, number: int, packet: int) -> int:
    """That row is dropped, and is never judged. How much work that was."""
    side = 0
    if number == 0:
        side = 1
    work = 0
    which = 0
    while which < 2:
        c = k[which]
        if c:
            words = ptr32(c[0])
            whose = ptr8(c[2])
            sizes = ptr32(c[4])
            if whose[number]:
                before = words[0]
                have = sizes[2 * packet]
                if int(_open(c)) == 0:
                    _tell(c, side, packet, 0, 0)
                elif have:
                    if int(wanted(c, uint(ptr8(c[3])) + uint(packet * _OF_SNAP), have)):
                        _tell(c, side, packet, have, sizes[2 * packet + 1])
                work += words[0] - before
        which += 1
    return work // _TAPPED


@micropython.viper
def _keep(c, row: int, source: ptr8, octets: int) -> int:
    """The beginning of a packet into a row of heads; how many octets."""
    have = octets
    if have > _OF_SNAP:
        have = _OF_SNAP
    to = ptr8(uint(ptr8(c[3])) + uint(row * _OF_SNAP))
    i = 0
    while i < have:
        to[i] = source[i]
        i += 1
    return have


@micropython.viper
def arrived(k, number: int, head, octets: int):
    """A packet is to be judged. head: page, offset and octets of what has all headers and is no less than is kept."""
    s = ptr32(k[4])
    s[0] = number
    s[2] = octets
    copied = 0
    which = 0
    while which < 2:
        c = k[which]
        if c:
            words = ptr32(c[0])
            words[11] = 1
            words[12] = 1
            if int(_open(c)):
                if copied == 0:
                    copied = 1
                    _stamp(k)
                    source = uint(ptr8(k[3])) + uint(int(head[0]) * _PAGE + int(head[1]))
                    s[1] = int(_keep(c, _JUDGED, source, int(head[2])))
                words[11] = int(wanted(c, uint(ptr8(c[3])) + uint(_JUDGED * _OF_SNAP), s[1]))
        which += 1


@micropython.viper
def _pending(k, c):
    """The packet that is being judged is written, if it was not."""
    s = ptr32(k[4])
    words = ptr32(c[0])
    if words[12]:
        words[12] = 0
        side = 0
        if s[0] == 0:
            side = 1
        _tell(c, side, _JUDGED, s[1], s[2])


@micropython.viper
def judged(k):
    """Nothing more comes of it."""
    s = ptr32(k[4])
    which = 0
    while which < 2:
        c = k[which]
        if c:
            words = ptr32(c[0])
            whose = ptr8(c[2])
            if words[11] and whose[s[0]]:
                _pending(k, c)
            words[11] = 0
            words[12] = 0
        which += 1
    s[0] = _NOBODY


@micropython.viper
def _leaves(k, ingress: int, number: int, source: uint, had: int, octets: int):
    """A packet of which `had` octets lie at source leaves by the interface of that number."""
    side = 0
    if number == 0:
        side = 1
    have = 0 - 1
    which = 0
    while which < 2:
        c = k[which]
        if c:
            words = ptr32(c[0])
            whose = ptr8(c[2])
            came = 0
            if ingress < _NUMBERS:
                came = whose[ingress]
            if came or whose[number]:
                is_open = int(_open(c))
                if is_open and have < 0:
                    _stamp(k)
                    have = int(_keep(c, _NOW, source, had))
                ours = words[11]
                if ours == 0:
                    ours = 1
                    if is_open:
                        ours = int(wanted(c, uint(ptr8(c[3])) + uint(_NOW * _OF_SNAP), have))
                if ours:
                    if words[10] or came or ingress == 0:
                        _pending(k, c)
                    if words[10] or whose[number] or number == 0:
                        _tell(c, side, _NOW, have, octets)
        which += 1


@micropython.viper
def left(k, number: int, head, octets: int):
    """What was judged leaves, by the interface of that number. head: see arrived()."""
    s = ptr32(k[4])
    source = uint(ptr8(k[3])) + uint(int(head[0]) * _PAGE + int(head[1]))
    _leaves(k, s[0], number, source, int(head[2]), octets)


@micropython.viper
def made(k, ingress: int, number: int, source: ptr8, octets: int):
    """Octets of our own making leave. ingress: who caused them; less than 0: what is judged now."""
    s = ptr32(k[4])
    if ingress < 0:
        ingress = s[0]
    _leaves(k, ingress, number, uint(source), octets, octets)
