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

# a packet: see net/rows.py
_PACKET = const(8)
_FIRST_PART = const(2)
_PARTS = const(3)
_LENGTH = const(4)
_OFFLOADS = const(5)  # _BLANK | octets of payload in a segment << 16
_FATE = const(6)
_FAILED = const(0xFFFE)
_PAGE = const(4096)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)

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
def known(b, t, first: int, end: int, number: int) -> int:
    """Look rows of packets up, in order, and rewrite them: the first that is a miss, or end. Fates are the ways out.

    b: addresses of packets, parts, the pool's memory, the scalars. t: the tables. number: the interface where they came
    in. A packet in one part loses what is behind its datagram.
    """
    of_packets, of_parts, pages, place = b
    packets = ptr32(int(of_packets))
    all_parts = ptr32(int(of_parts))
    memory = uint(pages)
    scalars = ptr32(int(place))
    rows = ptr32(scalars[_AT_ROWS] | scalars[_AT_ROWS + 1] << 32)
    slots = ptr32(scalars[_AT_SLOTS] | scalars[_AT_SLOTS + 1] << 32)
    w = ptr32(scalars[_AT_RECORDS] | scalars[_AT_RECORDS + 1] << 32)
    generations = ptr32(scalars[_AT_GENERATIONS] | scalars[_AT_GENERATIONS + 1] << 32)
    lives = ptr32(scalars[_AT_LIVES] | scalars[_AT_LIVES + 1] << 32)
    timeout = ptr32(scalars[_AT_TIMEOUT] | scalars[_AT_TIMEOUT + 1] << 32)
    next = ptr8(scalars[_AT_NEXT] | scalars[_AT_NEXT + 1] << 32)
    ranks = ptr8(scalars[_AT_RANK] | scalars[_AT_RANK + 1] << 32)
    came = ptr32(uint(rows) + number * (4 * _ROW))
    if came[_ROW_MTU] == 0:
        return first
    now = scalars[_NOW]
    mask = scalars[_BUCKETS]
    packet = first
    while packet < end:
        row = ptr32(uint(packets) + packet * (4 * _PACKET))
        if row[_FATE] == _FAILED:
            break
        parts = row[_PARTS]
        part = ptr32(uint(all_parts) + row[_FIRST_PART] * (4 * _PART))
        at = memory + uint(part[_PART_PAGE] * _PAGE + part[_PART_OFFSET])
        have = part[_PART_OCTETS]
        octets = row[_LENGTH]
        offloads = row[_OFFLOADS]
        frame = ptr8(at)
        halves = ptr16(at)
        least = 42
        if have < least:
            break
        # ---- Ethernet, IPv4 ----
        words = ptr32(at + uint(14))  # the header's octets are this one's from the lowest on
        first_word = words[0]  # version and length of the header, class, the datagram's octets
        second_word = words[1]  # identification, fragments
        third_word = words[2]  # TTL, protocol, sum
        if halves[0] & 1 | halves[6] ^ 8 | first_word & 0xFF ^ 0x45:
            break
        total = first_word >> 8 & 0xFF00 | first_word >> 24
        behind = total + 14
        if behind > octets or total < 28 or second_word & 0xFF3F0000 or third_word & 0xFE == 0:
            break
        if behind < octets and parts != 1:
            break
        src = words[3]
        dst = words[4]
        sum = first_word + second_word + third_word + src + dst
        sum = (sum & 0xFFFFFFFF) + (sum >> 32)
        sum = (sum & 0xFFFF) + (sum >> 16)
        if (sum & 0xFFFF) + (sum >> 16) != 0xFFFF:
            break
        # ---- who says it ----
        proto = third_word >> 8 & 0xFF
        kind = proto
        if number == 0:
            if dst != scalars[_OURS] or src == scalars[_GATEWAY]:
                break
            kind = proto | _SIDE_UPLINK
        elif dst == scalars[_OURS] or dst == scalars[_GATEWAY] or dst == scalars[_BROADCAST]:
            break
        else:
            kind = proto | came[_ROW_SIDE] & 0xFFFF0000
        # ---- transport ----
        blank = offloads & _BLANK
        gso = offloads >> 16
        check = 0
        event = 0
        headers = 0
        ports = words[5]
        if proto == _TCP:
            headers = frame[46] >> 2 & 0x3C
            if have < 54 or headers < 20 or headers > total - 20:
                break
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
                break
            if gso and (blank == 0 or total <= 20 + headers):
                break
            check = 50
        elif gso:
            break
        elif proto == _UDP:
            length = frame[38] << 8 | frame[39]
            if length < 8 or length > total - 20:
                break
            check = 40
        elif proto == _ICMP:
            if blank:
                break
            # identifier and type; of an answer with record's mark
            if frame[34] == 8:
                ports = words[6] & 0xFFFF | 0x0800 << 16
            elif frame[34] == 0:
                ports = words[6] & 0xFFFF | 0x0880 << 16
            else:
                break
            check = 36
        else:
            break
        # ---- the flow ----
        # index.Index.find(), no function of its own: a call takes as long as this
        h = scalars[0] * (src & 0xFFFF) + scalars[1] * (src >> 16)
        h += scalars[2] * (dst & 0xFFFF) + scalars[3] * (dst >> 16)
        h += scalars[4] * (ports & 0xFFFF) + scalars[5] * (ports >> 16) + scalars[6] * kind
        h = (h & _PRIME) + (h >> 31)
        h = (h & _PRIME) + (h >> 31)
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
                    there = ptr32(uint(w) + ((slot & 0x1FFFF) << 6))
                    if (there[0] ^ src | there[1] ^ dst | there[_PORTS] ^ ports | there[_KIND] ^ kind) == 0:
                        half = slot & 0x1FFFF
                        break
                i += 1
            bucket = bucket ^ ((tag << 1 | 1) & mask)
            second += 1
        if half < 0:
            break
        mine = ptr32(uint(w) + (half << 6))
        other = ptr32(uint(w) + ((half ^ 1) << 6))
        there = ptr32(uint(w) + (half >> 1 << 7))
        back = ptr32(uint(there) + 4 * _BACK)
        # whose flow it is says the interface, never the packet
        if mine[_CLIENT] != came[_ROW_CLIENT]:
            break
        if there[_GENERATION] ^ generations[there[_CLIENT]] | back[_GENERATION] ^ lives[back[_LIFE]]:
            break
        state = there[_EGRESS] >> 16
        limit = timeout[state]
        if now - there[_SEEN] & 0xFFFFFFFF > limit:
            if state <= _ICMP_ASSURED or now - back[_SEEN] & 0xFFFFFFFF > limit:
                break
        turned = next[state * 8 + event + ((half & 1) << 2)]
        # ---- the way out ----
        egress = mine[_EGRESS] & 0xFFFF
        if egress >= _NUMBERS:
            break
        out = ptr32(uint(rows) + egress * (4 * _ROW))
        mtu = out[_ROW_MTU]
        features = out[_ROW_FEATURES]
        if mtu == 0 or out[_ROW_CLIENT] != other[_CLIENT]:
            break
        if gso:
            if 20 + headers + gso > mtu or features & _GSO == 0:
                break
        elif total > mtu:
            break
        if blank and features & _CSUM == 0 or parts > 1 and features & _SG == 0:
            break
        # ---- all is answered: act ----
        if mine[_CLIENT]:
            other[_EGRESS] = other[_EGRESS] & 0xFFFF0000 | number
        if turned != state:
            there[_EGRESS] = there[_EGRESS] & 0xFFFF | turned << 16
            if ranks[turned] != ranks[state]:
                t[_MOVE](t[_RECORDS], t[_ENDS], half >> 1, ranks[state], ranks[turned])
                if ranks[turned] == _HELD and back[_LIFE] >= _MAPPED:
                    t[_HOLD](half >> 1)
        mine[_SEEN] = now
        mine[_PACKETS] = mine[_PACKETS] + 1
        mine[_OCTETS] = mine[_OCTETS] + total
        # ---- rewrite ----
        deltas = mine[_DELTAS]
        address = deltas & 0xFFFF
        sum = (third_word >> 16 ^ 0xFFFF) + address + _TTL_DELTA
        sum = (sum & 0xFFFF) + (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16)
        words[2] = (third_word & 0xFFFF) - 1 | (sum ^ 0xFFFF) << 16
        words[3] = mine[_NEW_SRC]
        words[4] = mine[_NEW_DST]
        field = ptr16(at + uint(check))
        if proto == _ICMP:
            field[1] = mine[_NEW_PORTS]
        else:
            words[5] = mine[_NEW_PORTS]
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
        words = ptr32(at)
        words[0] = out[_ROW_HEADER]
        words[1] = out[_ROW_HEADER + 1]
        words[2] = out[_ROW_HEADER + 2]
        halves[6] = out[_ROW_HEADER + 3]
        row[_FATE] = egress
        if parts == 1:
            row[_LENGTH] = behind
            part[_PART_OCTETS] = behind
        packet += 1
    return packet
