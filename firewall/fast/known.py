"""Packets of flows that are known: looked up, judged and rewritten in machine code.

What the judge would forward in place without asking anything again, known() forwards with the same octets, records,
states and times. All else is a miss: nothing has been touched then, and the judge, who is the specification, decides.
Misses are, besides packets without a flow: fragments, IP options, what is not IPv4 or not TCP, UDP or an ICMP echo,
what does not fit the way out or its offloads, a flow to be judged again or one that has expired.

Imports nothing of ours: constants are copies of those of record.py, state.py, clients.py, interfaces.py and netif.py,
and a host test compares them. Its twin is Judge.frame(); tests/host/test_fast_known.py runs both over the same packets.

Viper has no bounds checks: every offset below is either a constant inside the first _LEAST octets, which are there, or
comes from tables that Python alone writes.
"""
import micropython
from micropython import const

# tables, of the tuple that known() is given, behind the scalars: see below
_RECORDS = const(1)  # u32
_ENDS = const(9)  # u32: of the clients' lists, as in clients.py
_MOVE = const(10)  # entries.move()
_HOLD = const(11)  # hold(record): Mappings.hold() of a flow with a mapping

# scalars: words, those that are addresses in the order of the packet's octets
# 0 to 6: the index key
_BUCKETS = const(7)
_SHIFT = const(8)
_NOW = const(9)  # ms
_OURS = const(10)  # our address on the uplink
_GATEWAY = const(11)  # the one that clients know us by
_BROADCAST = const(12)  # of the uplink's network; 0: none
# addresses of the first tables, at 16 + 2 times their places: two words each, the lower first
_AT_RECORDS = const(18)
_AT_SLOTS = const(20)  # u32, of the index
_AT_GENERATIONS = const(22)  # u32, by the client's slot
_AT_LIVES = const(24)  # u32
_AT_ROWS = const(26)  # u32: interfaces
_AT_NEXT = const(28)  # octets: states, as in state.py
_AT_RANK = const(30)
_AT_TIMEOUT = const(32)  # u32, ms by state

# an interface: a row of interfaces.py
_NUMBERS = const(1024)
_ROW = const(8)  # words
_ROW_MTU = const(0)  # 0: nobody is there
_ROW_CLIENT = const(1)
_ROW_FEATURES = const(3)
_ROW_HEADER = const(4)
_ROW_SIDE = const(7)
_SG = const(1)
_GSO = const(2)
_CSUM = const(4)

# offloads, as they are given: | octets of payload in a segment << 16
_BLANK = const(1)

# of a record; see record.py
_PORTS = const(2)
_KIND = const(3)
_NEW_SRC = const(4)
_NEW_DST = const(5)
_NEW_PORTS = const(6)
_DELTAS = const(7)
_EGRESS = const(8)
_CLIENT = const(9)
_GENERATION = const(10)
_SEEN = const(11)
_PACKETS = const(12)
_OCTETS = const(13)
_LIFE = const(14)
_BACK = const(16)
_HELD = const(2)  # rank of a flow that both sides use
_MAPPED = const(1024)  # LIFE of a flow with a mapping is this or more
_SIDE_UPLINK = const(0x100)
_TTL_DELTA = const(0xFFFE)

_PRIME = const(0x7FFFFFFF)
_ICMP_ASSURED = const(2)  # the last state of ICMP: of those one side alone keeps a flow alive
_ICMP = const(1)
_TCP = const(6)
_UDP = const(17)


@micropython.viper
def known(t, place: int, at: int, have: int, octets: int, offloads: int, parts: int, number: int) -> int:
    """The interface by which the frame leaves, rewritten, | octets that it has from now on << 16; or -1: a miss.

    t: the tables. place: the scalars' address. at: that of the frame's first part, of `have` octets; octets: of all its
    parts, of which there are `parts`. offloads: _BLANK | gso << 16. number: the interface where it came in.
    """
    frame = ptr8(at)
    least = 42
    if have < least:
        return 0 - 1
    # ---- Ethernet, IPv4 ----
    if frame[0] & 1 or frame[12] != 8 or frame[13] != 0 or frame[14] != 0x45:
        return 0 - 1
    total = frame[16] << 8 | frame[17]
    end = total + 14
    if end > octets or total < 28 or (frame[20] & 0x3F | frame[21]) or frame[22] < 2:
        return 0 - 1
    if end < octets and parts != 1:
        return 0 - 1
    halves = ptr16(uint(frame) + 14)
    sum = halves[0] + halves[1] + halves[2] + halves[3] + halves[4]
    sum += halves[5] + halves[6] + halves[7] + halves[8] + halves[9]
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    if sum != 0xFFFF:
        return 0 - 1
    src = halves[6] | halves[7] << 16
    dst = halves[8] | halves[9] << 16
    # ---- who says it ----
    scalars = ptr32(place)
    rows = ptr32(scalars[_AT_ROWS] | scalars[_AT_ROWS + 1] << 32)
    if rows[number * _ROW + _ROW_MTU] == 0:
        return 0 - 1
    proto = frame[23]
    kind = proto
    if number == 0:
        if dst != scalars[_OURS] or src == scalars[_GATEWAY]:
            return 0 - 1
        kind = proto | _SIDE_UPLINK
    elif dst == scalars[_OURS] or dst == scalars[_GATEWAY] or dst == scalars[_BROADCAST]:
        return 0 - 1
    else:
        kind = proto | rows[number * _ROW + _ROW_SIDE] & 0xFFFF0000
    # ---- transport ----
    blank = offloads & _BLANK
    gso = offloads >> 16
    check = 0
    event = 0
    headers = 0
    ports = halves[10] | halves[11] << 16
    if proto == _TCP:
        headers = frame[46] >> 2 & 0x3C
        if have < 54 or headers < 20 or headers > total - 20:
            return 0 - 1
        flags = frame[47] & 0x37
        # ACK, RST, RST ACK, SYN, SYN ACK, SYN URG, FIN ACK, FIN ACK URG, ACK URG; nothing else
        if flags == 0x10 or flags == 0x30:
            pass
        elif flags == 0x11 or flags == 0x31:
            event = 2
        elif flags == 0x02 or flags == 0x12 or flags == 0x22:
            event = 1
        elif flags == 0x04 or flags == 0x14:
            event = 3
        else:
            return 0 - 1
        if gso and (blank == 0 or total <= 20 + headers):
            return 0 - 1
        check = 50
    elif gso:
        return 0 - 1
    elif proto == _UDP:
        length = frame[38] << 8 | frame[39]
        if length < 8 or length > total - 20:
            return 0 - 1
        check = 40
    elif proto == _ICMP:
        if blank:
            return 0 - 1
        # identifier and type; of an answer with record's mark
        if frame[34] == 8:
            ports = halves[12] | 0x0800 << 16
        elif frame[34] == 0:
            ports = halves[12] | 0x0880 << 16
        else:
            return 0 - 1
        check = 36
    else:
        return 0 - 1
    # ---- the flow ----
    # index.Index.find(), no function of its own: a call takes as long as this
    slots = ptr32(scalars[_AT_SLOTS] | scalars[_AT_SLOTS + 1] << 32)
    w = ptr32(scalars[_AT_RECORDS] | scalars[_AT_RECORDS + 1] << 32)
    h = scalars[0] * (src & 0xFFFF) + scalars[1] * (src >> 16) + scalars[2] * (dst & 0xFFFF) + scalars[3] * (dst >> 16)
    h += scalars[4] * (ports & 0xFFFF) + scalars[5] * (ports >> 16) + scalars[6] * kind
    h = (h & _PRIME) + (h >> 31)
    h = (h & _PRIME) + (h >> 31)
    mask = scalars[_BUCKETS]
    bucket = h & mask
    tag = h >> scalars[_SHIFT] & 0x7FFF
    if tag == 0:
        tag = 1
    half = 0 - 1
    second = 0
    while half < 0 and second < 2:
        i = bucket << 4
        full = i + 16
        while i < full:
            slot = slots[i]
            if slot == 0:
                break
            if slot >> 17 == tag:
                there = (slot & 0x1FFFF) << 4
                if w[there] == src and w[there + 1] == dst:
                    if w[there + _PORTS] == ports and w[there + _KIND] == kind:
                        half = slot & 0x1FFFF
                        break
            i += 1
        bucket = bucket ^ ((tag << 1 | 1) & mask)
        second += 1
    if half < 0:
        return 0 - 1
    here = half << 4
    there = half >> 1 << 5
    back = there + _BACK
    # whose flow it is says the interface, never the packet
    if w[here + _CLIENT] != rows[number * _ROW + _ROW_CLIENT]:
        return 0 - 1
    generations = ptr32(scalars[_AT_GENERATIONS] | scalars[_AT_GENERATIONS + 1] << 32)
    lives = ptr32(scalars[_AT_LIVES] | scalars[_AT_LIVES + 1] << 32)
    if w[there + _GENERATION] != generations[w[there + _CLIENT]] or w[back + _GENERATION] != lives[w[back + _LIFE]]:
        return 0 - 1
    now = scalars[_NOW]
    state = w[there + _EGRESS] >> 16
    timeout = ptr32(scalars[_AT_TIMEOUT] | scalars[_AT_TIMEOUT + 1] << 32)
    limit = timeout[state]
    if now - w[there + _SEEN] & 0xFFFFFFFF > limit:
        if state <= _ICMP_ASSURED or now - w[back + _SEEN] & 0xFFFFFFFF > limit:
            return 0 - 1
    next = ptr8(scalars[_AT_NEXT] | scalars[_AT_NEXT + 1] << 32)
    turned = next[state * 8 + event + ((half & 1) << 2)]
    ranks = ptr8(scalars[_AT_RANK] | scalars[_AT_RANK + 1] << 32)
    # ---- the way out ----
    egress = w[here + _EGRESS] & 0xFFFF
    if egress >= _NUMBERS:
        return 0 - 1
    out = egress * _ROW
    mtu = rows[out + _ROW_MTU]
    features = rows[out + _ROW_FEATURES]
    if mtu == 0 or rows[out + _ROW_CLIENT] != w[(here ^ _BACK) + _CLIENT]:
        return 0 - 1
    if gso:
        if 20 + headers + gso > mtu or features & _GSO == 0:
            return 0 - 1
    elif total > mtu:
        return 0 - 1
    if blank and features & _CSUM == 0 or parts > 1 and features & _SG == 0:
        return 0 - 1
    # ---- all is answered: act ----
    if w[here + _CLIENT]:
        w[(here ^ _BACK) + _EGRESS] = w[(here ^ _BACK) + _EGRESS] & 0xFFFF0000 | number
    if turned != state:
        w[there + _EGRESS] = w[there + _EGRESS] & 0xFFFF | turned << 16
        if ranks[turned] != ranks[state]:
            t[_MOVE](t[_RECORDS], t[_ENDS], half >> 1, ranks[state], ranks[turned])
            if ranks[turned] == _HELD and w[back + _LIFE] >= _MAPPED:
                t[_HOLD](half >> 1)
    w[here + _SEEN] = now
    w[here + _PACKETS] = w[here + _PACKETS] + 1
    w[here + _OCTETS] = w[here + _OCTETS] + total
    # ---- rewrite ----
    deltas = w[here + _DELTAS]
    address = deltas & 0xFFFF
    sum = (halves[5] ^ 0xFFFF) + address + _TTL_DELTA
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    halves[5] = sum ^ 0xFFFF
    frame[22] = frame[22] - 1
    word = w[here + _NEW_SRC]
    halves[6] = word & 0xFFFF
    halves[7] = word >> 16
    word = w[here + _NEW_DST]
    halves[8] = word & 0xFFFF
    halves[9] = word >> 16
    word = w[here + _NEW_PORTS]
    if proto == _ICMP:
        halves[12] = word & 0xFFFF
    else:
        halves[10] = word & 0xFFFF
        halves[11] = word >> 16
    field = ptr16(uint(frame) + check)
    sum = field[0]
    if blank:
        sum = sum + address
        field[0] = (sum & 0xFFFF) + (sum >> 16)
    elif sum or proto != _UDP:
        sum = (sum ^ 0xFFFF) + (deltas >> 16)
        sum = ((sum & 0xFFFF) + (sum >> 16)) ^ 0xFFFF
        if sum == 0 and proto == _UDP:
            sum = 0xFFFF
        field[0] = sum
    header = ptr8(uint(rows) + ((out + _ROW_HEADER) << 2))
    for i in range(14):
        frame[i] = header[i]
    return egress | end << 16
