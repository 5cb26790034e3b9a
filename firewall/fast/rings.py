"""All rings at once, in machine code: who has anything, who is asked for an event, whose burst is to be finished.

One row of eight words an interface, of addresses (two words each, the lower first): its tx ring, that ring's own
counters, and of the uplink its rx ring, that one's; of a client the link's own counters. Twins: waiting() and rearm()
of net/ring.py, and who asks them.
"""
import micropython
from micropython import const

_ROW = const(32)  # octets
_TX = const(0)
_TX_OWN = const(2)
_RX = const(4)
_RX_OWN = const(6)
_LINK = const(4)
# words of a ring, of its own counters and of a link's
_REQ_PROD = const(0)
_REQ_EVENT = const(1)
_RSP_PROD = const(2)
_RSP_EVENT = const(3)
_PROD = const(0)
_PUBLISHED = const(1)
_CONS = const(2)
_SENDING = const(0)
_HELD = const(1)
_RING = const(256)  # slots
_ROOMY = const(58)  # slots that a turn may take, and what its last packet has more
_LIMIT = const(512)  # pages that a netvm may have
_LOOKED = const(4)  # of what end() is told
_ANSWERS = const(64)  # of the netvm, of which it tells us once where many come
# what look() and end() say, beside how many have something
_SOME = const(0xFFFF)
_ANSWERED = const(0x10000)
_HOLDING = const(0x20000)
_WAITING = const(0x40000)
_ROOM = const(0x80000)
_MORE = const(0x100000)
_ASKED = const(0x200000)
_WHO = const(22)  # from this bit on


@micropython.viper
def enter(rows: ptr32, at: int, memory: ptr32):
    """Write the address of memory, which must not move, into the words of rows at `at`."""
    address = uint(memory)
    rows[at] = address
    rows[at + 1] = address >> 32


@micropython.viper
def place(memory: ptr32) -> int:
    """The address of memory, which must not move: machine code has a pointer from it sooner than from an object."""
    return int(memory)


@micropython.viper
def look(place: int) -> int:
    """How many interfaces have something for a turn | _ANSWERED, _HOLDING, _WAITING, _ROOM | one that has << _WHO.

    That is: the netvm has sent frames; a client has not given buffers for what is held; the uplink is, or was, without
    room; it has room for all that a turn may bring. place: of words: how many interfaces have rings, 1 if the uplink is
    one; and addresses: of rows, of their numbers, of what each has (an octet by number, 1: something); of the uplink:
    the link's counters, how many pages are lent for tx and for rx, how many are in quarantine, whether its backlog
    waits.
    """
    words = ptr32(place)
    numbers = ptr16(words[4] | words[5] << 32)
    has = ptr8(words[6] | words[7] << 32)
    rows = uint(words[2] | words[3] << 32)
    found = 0
    who = 0
    for i in range(words[0]):
        number = numbers[i]
        row = ptr32(rows + uint(number * _ROW))
        tx = ptr32(row[_TX] | row[_TX + 1] << 32)
        own = ptr32(row[_TX_OWN] | row[_TX_OWN + 1] << 32)
        some = 0
        if number:
            if tx[_REQ_PROD] != own[_CONS]:
                some = 1
            link = ptr32(row[_LINK] | row[_LINK + 1] << 32)
            if link[_HELD]:
                found |= _HOLDING
        else:
            if tx[_RSP_PROD] != own[_CONS]:
                found |= _ANSWERED
            link = ptr32(words[8] | words[9] << 32)
            tx_lent = ptr32(words[10] | words[11] << 32)
            rx_lent = ptr32(words[12] | words[13] << 32)
            kept = ptr32(words[14] | words[15] << 32)
            waits = ptr32(words[16] | words[17] << 32)
            if waits[0]:
                found |= _WAITING
            if kept[0] == 0 and link[0] >= _ROOMY and _LIMIT - tx_lent[0] - rx_lent[0] >= _ROOMY:
                if _RING - (own[_PROD] - own[_CONS] & 0xFFFFFFFF) >= _ROOMY:
                    found |= _ROOM
            rx = ptr32(row[_RX] | row[_RX + 1] << 32)
            own = ptr32(row[_RX_OWN] | row[_RX_OWN + 1] << 32)
            if rx[_RSP_PROD] != own[_CONS]:
                some = 1
        has[number] = some
        if some:
            found += 1
            who = number
    return found | who << _WHO


@micropython.viper
def arm(place: int, answers: int):
    """Ask all for an event with the next that they send, the netvm with so many of its answers. place: as look()'s.

    A fence must follow, and another look().
    """
    words = ptr32(place)
    numbers = ptr16(words[4] | words[5] << 32)
    rows = uint(words[2] | words[3] << 32)
    for i in range(words[0]):
        number = numbers[i]
        row = ptr32(rows + uint(number * _ROW))
        tx = ptr32(row[_TX] | row[_TX + 1] << 32)
        own = ptr32(row[_TX_OWN] | row[_TX_OWN + 1] << 32)
        if number:
            tx[_REQ_EVENT] = own[_CONS] + 1
        else:
            tx[_RSP_EVENT] = own[_CONS] + answers
            rx = ptr32(row[_RX] | row[_RX + 1] << 32)
            own = ptr32(row[_RX_OWN] | row[_RX_OWN + 1] << 32)
            rx[_RSP_EVENT] = own[_CONS] + 1


@micropython.viper
def for_room(place: int, fence) -> int:
    """Ask the netvm for an event with the answer that makes room for a turn: 1: that is still to come; 0: it is not so.

    -1: none of those that it owes does, or there is no netvm. Also with its next frame; clients are not asked. place:
    as look()'s.
    """
    words = ptr32(place)
    if words[1] == 0:
        return 0 - 1
    link = ptr32(words[8] | words[9] << 32)
    tx_lent = ptr32(words[10] | words[11] << 32)
    rx_lent = ptr32(words[12] | words[13] << 32)
    kept = ptr32(words[14] | words[15] << 32)
    row = ptr32(uint(words[2] | words[3] << 32) + uint(0))  # the uplink's
    tx = ptr32(row[_TX] | row[_TX + 1] << 32)
    own = ptr32(row[_TX_OWN] | row[_TX_OWN + 1] << 32)
    rx = ptr32(row[_RX] | row[_RX + 1] << 32)
    rx_own = ptr32(row[_RX_OWN] | row[_RX_OWN + 1] << 32)
    cons = own[_CONS]
    owed = own[_PUBLISHED] - cons & 0xFFFFFFFF
    need = _ROOMY - (_RING - owed)
    if _ROOMY - link[0] > need:
        need = _ROOMY - link[0]
    if _ROOMY - (_LIMIT - tx_lent[0] - rx_lent[0]) > need:
        need = _ROOMY - (_LIMIT - tx_lent[0] - rx_lent[0])
    if kept[0] or need > owed:
        return 0 - 1
    tx[_RSP_EVENT] = cons + need
    rx[_RSP_EVENT] = rx_own[_CONS] + 1
    fence()
    if rx[_RSP_PROD] != rx_own[_CONS] or tx[_RSP_PROD] - cons & 0xFFFFFFFF >= need:
        return 0
    return 1


@micropython.viper
def end(t, may: int) -> int:
    """The end of a pass: pages for the netvm, what it is to see, and if nobody has anything more, events asked for.

    As look() | _MORE: more pages are due; _ASKED: lend() asks how many. may: events may be asked for; 2: of the netvm's
    answers only for some, as they are no news while the uplink has room and every pass takes them back; | _LOOKED: it
    was looked just now, and nobody had anything. t: the place that look() is given, xen.mb, and of the uplink:
    uplink_rx.lend and what that is given, uplink_tx.flush and what that is given.
    """
    of_look, fence, lend, lent, flush, flushed = t
    words = ptr32(int(of_look))
    posted = 0
    if words[1]:
        row = ptr32(uint(words[2] | words[3] << 32) + uint(0))  # the uplink's
        own = ptr32(row[_RX_OWN] | row[_RX_OWN + 1] << 32)
        if own[_PROD] - own[_CONS] & 0xFFFFFFFF != _RING:  # else it has all pages that it can have
            n = int(lend(lent, 0 - 1))
            if n > 0:
                posted = _MORE
            elif n < 0:
                posted = _ASKED
        flush(flushed)
    seen = 0
    if may < _LOOKED:
        seen = int(look(of_look))
    may = may & (_LOOKED - 1)
    if may and posted == 0 and seen & (_SOME | _ANSWERED | _HOLDING | _WAITING) == 0:
        answers = 1
        if may == 2:
            answers = _ANSWERS
        arm(of_look, answers)
        fence()
        seen = int(look(of_look))
    return seen | posted


@micropython.viper
def sending(place: int) -> int:
    """The number of an interface with copies in the running burst; 0: there is none. place: as look()'s."""
    words = ptr32(place)
    numbers = ptr16(words[4] | words[5] << 32)
    rows = uint(words[2] | words[3] << 32)
    for i in range(words[0]):
        number = numbers[i]
        if number:
            row = ptr32(rows + uint(number * _ROW))
            link = ptr32(row[_LINK] | row[_LINK + 1] << 32)
            if link[_SENDING]:
                return number
    return 0
