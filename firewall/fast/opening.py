"""The first packet of a flow in machine code: what it says, the port of a TCP flow outside, and the record of it; and
packets from the uplink that are of no flow.

Between the steps stands firewall/opening.py, which asks the same of policy and rules as the judge does. What is not
plain is left to him, untouched. Imports nothing of ours: constants are copies of those of record.py, known.py and
clients.py, and a host test compares them. The twins are Judge.frame() and Nat.open(); tests/host/test_fast_known.py
runs both over the same packets.

Viper has no bounds checks: every offset below is either a constant inside the first octets, which are there, or comes
from tables that Python alone writes.
"""
import micropython
from micropython import const

# tables, in the order of the tuple that known() is given
_SCALARS = const(0)
_RECORDS = const(1)
_GENERATIONS = const(3)
_LIVES = const(4)
_ROWS = const(5)
_ENDS = const(9)

_OURS = const(10)
_GATEWAY = const(11)
_BROADCAST = const(12)

_ROW = const(8)
_ROW_MTU = const(0)
_ROW_CLIENT = const(1)
_ROW_SIDE = const(7)

# rows of packets
_PACKET = const(8)
_FIRST_PART = const(2)
_PARTS = const(3)
_ROW_OCTETS = const(4)
_OFFLOADS = const(5)
_FATE = const(6)
_FAILED = const(0xFFFE)
_PAGE = const(4096)
_PART = const(4)
_PART_PAGE = const(0)
_PART_OFFSET = const(1)
_PART_OCTETS = const(2)

# what is found, for opening.py: the key, and in plain numbers what policy and rules are asked
SRC_WORD = const(0)
DST_WORD = const(1)
PORTS = const(2)
KIND = const(3)
SRC = const(4)
DST = const(5)
PROTO = const(6)
PORT = const(7)  # of the destination, TCP and UDP
TOTAL = const(8)  # octets of the datagram
INSIDE = const(9)  # the port or identifier that NAT is about
FOUND = const(10)

_CLIENT = const(9)
_SEEN = const(11)
_PREV = const(14)
_AFTER = const(15)
_BACK = const(16)
_SIDE_UPLINK = const(0x100)
_OF_CLIENT = const(8)
_LASTS = const(4)
_ICMP_NEW = const(0)  # states; see state.py
_UDP_NEW = const(3)
_SYN_SENT = const(9)
_ANSWER = const(0x00800000)  # what record.ANSWER is in a PORTS word
_GROUPS = const(0xE0)  # first octet of a group's address
_ECHO = const(8)
_ICMP = const(1)
_TCP = const(6)
_UDP = const(17)


@micropython.viper
def read(find, index, t, b, packet: int, number: int, found: ptr32) -> int:
    """1: this row is the first packet of a flow from a client, in every form as it should be; found says of which.

    From the uplink: one to us that is of no flow. find: entries.find() or what is like it, with its tables `index`. t:
    the tables of known(). b: packets, parts, the pool's memory. number: the interface.
    """
    packets = ptr32(b[0])
    parts = ptr32(b[1])
    at = packet * _PACKET
    offloads = packets[at + _OFFLOADS]
    if packets[at + _FATE] == _FAILED or offloads >> 16:
        return 0
    part = packets[at + _FIRST_PART] * _PART
    have = parts[part + _PART_OCTETS]
    octets = packets[at + _ROW_OCTETS]
    where = uint(ptr8(b[2])) + uint(parts[part + _PART_PAGE] * _PAGE + parts[part + _PART_OFFSET])
    frame = ptr8(where)
    if have < 42:
        return 0
    if frame[0] & 1 or frame[12] != 8 or frame[13] != 0 or frame[14] != 0x45:
        return 0
    total = frame[16] << 8 | frame[17]
    end = total + 14
    if end > octets or total < 28 or (frame[20] & 0x3F | frame[21]) or number and frame[22] < 2:
        return 0
    if end < octets and packets[at + _PARTS] != 1:
        return 0
    halves = ptr16(where + 14)
    sum = halves[0] + halves[1] + halves[2] + halves[3] + halves[4]
    sum += halves[5] + halves[6] + halves[7] + halves[8] + halves[9]
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    if sum != 0xFFFF:
        return 0
    src = halves[6] | halves[7] << 16
    dst = halves[8] | halves[9] << 16
    first = frame[26]
    if first == 0 or first == 127 or first >= _GROUPS:
        return 0
    first = frame[30]
    if first == 0 or first == 127 or first >= _GROUPS or src == dst:
        return 0
    scalars = ptr32(t[_SCALARS])
    rows = ptr32(t[_ROWS])
    if dst == scalars[_BROADCAST] or rows[number * _ROW + _ROW_MTU] == 0:
        return 0
    proto = frame[23]
    kind = proto | _SIDE_UPLINK
    if number:
        if dst == scalars[_OURS] or dst == scalars[_GATEWAY] or src == scalars[_OURS]:
            return 0
        kind = proto | rows[number * _ROW + _ROW_SIDE] & 0xFFFF0000
    elif dst != scalars[_OURS]:
        return 0
    ports = halves[10] | halves[11] << 16
    inside = frame[34] << 8 | frame[35]
    port = frame[36] << 8 | frame[37]
    if proto == _TCP:
        headers = frame[46] >> 2 & 0x3C
        if have < 54 or headers < 20 or headers > total - 20 or number and frame[47] & 0x3F != 2:
            return 0
        flags = frame[47] & 0x37
        # those that known() knows
        if flags & 0x1F != 0x10 and flags & 0x1F != 2 and flags & 0x2F != 4 and flags & 0x1F != 0x11 and flags != 0x12:
            return 0
    elif proto == _UDP:
        length = frame[38] << 8 | frame[39]
        if length < 8 or length > total - 20:
            return 0
    elif proto == _ICMP:
        if offloads & 1 or frame[34] != _ECHO and (number or frame[34]):
            return 0
        ports = halves[12] | _ECHO << 24
        if frame[34] == 0:
            ports = ports | _ANSWER
        inside = frame[38] << 8 | frame[39]
        port = 0
    else:
        return 0
    if int(find(index, src, dst, ports, kind)) >= 0:
        return 0
    found[SRC_WORD] = src
    found[DST_WORD] = dst
    found[PORTS] = ports
    found[KIND] = kind
    found[SRC] = frame[26] << 24 | frame[27] << 16 | frame[28] << 8 | frame[29]
    found[DST] = frame[30] << 24 | frame[31] << 16 | frame[32] << 8 | frame[33]
    found[PROTO] = proto
    found[PORT] = port
    found[TOTAL] = total
    found[INSIDE] = inside
    return 1


@micropython.viper
def strays(t, first: int, end: int) -> int:
    """The first of these rows from the uplink that is not plainly of no flow, or end.

    t: read(), its first four arguments, found; plain(): whether neither source nor port of what was found is anybody's.
    """
    is_read, find, index, tables, rows, finding, plain = t
    found = ptr32(finding)
    src = 0
    key = 0
    while first < end:
        if int(is_read(find, index, tables, rows, first, 0, finding)) == 0:
            break
        now = found[PROTO] << 16 | found[PORT]
        if found[SRC] != src or now != key:
            src = found[SRC]
            key = now
            if int(plain()) == 0:
                break
        first += 1
    return first


@micropython.viper
def _folded(sum: int) -> int:
    sum = (sum & 0xFFFF) + (sum >> 16)
    return (sum & 0xFFFF) + (sum >> 16)


@micropython.viper
def enter(steps, index, t, found: ptr32, record: int, number: int, outside: int, now: int) -> int:
    """Enter the flow that was found, from a client by the uplink, with this port outside; 0: nothing is done.

    In no list of its client, and without a mapping. steps: find, add, remove of an index with the tables `index`.
    record: the number of one that is free.
    """
    find = steps[0]
    add = steps[1]
    scalars = ptr32(t[_SCALARS])
    w = ptr32(t[_RECORDS])
    rows = ptr32(t[_ROWS])
    src = found[SRC_WORD]
    dst = found[DST_WORD]
    ports = found[PORTS]
    kind = found[KIND]
    proto = found[PROTO]
    own = scalars[_OURS]
    # as words lie: a sum of 16-bit words is the same with all octets turned (RFC 1071 2B)
    old = ports & 0xFFFF
    new = (outside & 0xFF) << 8 | outside >> 8
    new_ports = ports & 0xFFFF0000 | new
    gone = src ^ 0xFFFFFFFF
    address = int(_folded((gone >> 16) + (gone & 0xFFFF) + (own >> 16) + (own & 0xFFFF)))
    transport = int(_folded((old ^ 0xFFFF) + new))
    state = _SYN_SENT
    if proto == _ICMP:
        ports_back = new_ports ^ _ANSWER
        new_back = ports ^ _ANSWER
        state = _ICMP_NEW
    else:
        transport = int(_folded(transport + address))
        ports_back = new_ports >> 16 | (new_ports & 0xFFFF) << 16
        new_back = ports >> 16 | (ports & 0xFFFF) << 16
        if proto == _UDP:
            state = _UDP_NEW
    kind_back = proto | _SIDE_UPLINK
    if int(find(index, dst, own, ports_back, kind_back)) >= 0:
        return 0
    half = record << 1
    if int(add(index, half, src, dst, ports, kind)) == 0:
        return 0
    if int(add(index, half + 1, dst, own, ports_back, kind_back)) == 0:
        remove = steps[2]
        remove(half, src, dst, ports, kind)
        return 0
    slot = rows[number * _ROW + _ROW_CLIENT]
    generations = ptr32(t[_GENERATIONS])
    lives = ptr32(t[_LIVES])
    at = half << 4
    back = at + _BACK
    deltas = address | transport << 16
    w[at] = src
    w[at + 1] = dst
    w[at + 2] = ports
    w[at + 3] = kind
    w[at + 4] = own
    w[at + 5] = dst
    w[at + 6] = new_ports
    w[at + 7] = deltas
    w[at + 8] = state << 16
    w[at + 9] = slot
    w[at + 10] = generations[slot]
    w[back] = dst
    w[back + 1] = own
    w[back + 2] = ports_back
    w[back + 3] = kind_back
    w[back + 4] = dst
    w[back + 5] = src
    w[back + 6] = new_back
    w[back + 7] = deltas ^ 0xFFFFFFFF
    w[back + 8] = number
    w[back + 9] = 0
    w[back + 10] = lives[0]
    i = _SEEN
    while i < _BACK:
        w[at + i] = 0
        w[back + i] = 0
        i += 1
    w[at + _SEEN] = now
    w[back + _SEEN] = now
    return 1


@micropython.viper
def enlist(t, record: int):
    """It becomes the last of its client's list of flows that nobody has answered."""
    w = ptr32(t[_RECORDS])
    ends = ptr32(t[_ENDS])
    at = record << 5
    client = w[at + _CLIENT] * _OF_CLIENT
    last = ends[client + _LASTS]
    w[at + _PREV] = last
    w[at + _AFTER] = 0
    if last:
        w[(last - 1 << 5) + _AFTER] = record + 1
    else:
        ends[client] = record + 1
    ends[client + _LASTS] = record + 1
