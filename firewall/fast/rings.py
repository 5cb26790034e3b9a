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
_CONS = const(2)
_SENDING = const(0)
_HELD = const(1)
_RING = const(256)  # slots
_LONGEST = const(19)  # slots of a frame
_LIMIT = const(512)  # pages that a netvm may have
# what look() says, beside how many have something
_ANSWERED = const(0x10000)
_HOLDING = const(0x20000)
_ROOM = const(0x40000)


@micropython.viper
def enter(rows: ptr32, at: int, memory: ptr32):
    """Write the address of memory, which must not move, into the words of rows at `at`."""
    address = uint(memory)
    rows[at] = address
    rows[at + 1] = address >> 32


@micropython.viper
def look(t, n: int) -> int:
    """How many interfaces have something for a turn | _ANSWERED, _HOLDING, _ROOM.

    That is: the netvm has sent frames; a client has not given buffers for what is held; the uplink has room for the
    longest frame. t: rows, numbers of the n interfaces with rings, what each has (an octet by number, 1: something),
    then of the uplink: the link's counters, how many pages are lent for tx and for rx, how many are in quarantine.
    """
    numbers = ptr16(t[1])
    has = ptr8(t[2])
    rows = uint(ptr32(t[0]))
    found = 0
    for i in range(n):
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
            link = ptr32(t[3])
            tx_lent = ptr32(t[4])
            rx_lent = ptr32(t[5])
            kept = ptr32(t[6])
            if kept[0] == 0 and link[0] >= _LONGEST and _LIMIT - tx_lent[0] - rx_lent[0] >= _LONGEST:
                if _RING - (own[_PROD] - own[_CONS] & 0xFFFFFFFF) >= _LONGEST:
                    found |= _ROOM
            rx = ptr32(row[_RX] | row[_RX + 1] << 32)
            own = ptr32(row[_RX_OWN] | row[_RX_OWN + 1] << 32)
            if rx[_RSP_PROD] != own[_CONS]:
                some = 1
        has[number] = some
        found += some
    return found


@micropython.viper
def arm(t, n: int):
    """Ask all for an event with the next that they send. A fence must follow, and another look(). t: as look()."""
    numbers = ptr16(t[1])
    rows = uint(ptr32(t[0]))
    for i in range(n):
        number = numbers[i]
        row = ptr32(rows + uint(number * _ROW))
        tx = ptr32(row[_TX] | row[_TX + 1] << 32)
        own = ptr32(row[_TX_OWN] | row[_TX_OWN + 1] << 32)
        if number:
            tx[_REQ_EVENT] = own[_CONS] + 1
        else:
            tx[_RSP_EVENT] = own[_CONS] + 1
            rx = ptr32(row[_RX] | row[_RX + 1] << 32)
            own = ptr32(row[_RX_OWN] | row[_RX_OWN + 1] << 32)
            rx[_RSP_EVENT] = own[_CONS] + 1


@micropython.viper
def sending(t, n: int, first: int) -> int:
    """The place from `first` on, of n, of the next with copies in the running burst; n: there is none. t: as look()."""
    numbers = ptr16(t[1])
    rows = uint(ptr32(t[0]))
    while first < n:
        number = numbers[first]
        if number:
            row = ptr32(rows + uint(number * _ROW))
            link = ptr32(row[_LINK] | row[_LINK + 1] << 32)
            if link[_SENDING]:
                break
        first += 1
    return first
