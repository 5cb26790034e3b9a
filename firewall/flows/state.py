"""The state of a flow: what it has seen, how long it may be idle, and how much it is worth when there is no room.

For TCP this is the state machine of RFC 7857 2.1, with the handshake's middle told apart. Sequence numbers are not
followed, so nothing here ends a flow at once: a RST or the second FIN shortens its time to 4 minutes, and data after
a RST that was forged brings it back (RFC 7857 2.2).

    UDP, ICMP, others:  NEW --back--> REPLIED --there--> ASSURED
    TCP:  SYN_SENT --SYN back--> OPENING --there--> OPEN --FIN--> FIN_THERE | FIN_BACK --FIN--> CLOSED
          SYN_SENT | OPENING --RST--> CLOSED;  OPEN | FIN_* --RST--> RESET --data--> OPEN
          CLOSED | RESET --SYN there--> SYN_SENT: the ports are used again
          PICKED: it began before we did, the client goes on --back--> OPEN
"""
from micropython import const

from firewall.wire import ipv4, tcp

(ICMP_NEW, ICMP_REPLIED, ICMP_ASSURED, UDP_NEW, UDP_REPLIED, UDP_ASSURED) = range(6)
(OTHER_NEW, OTHER_REPLIED, OTHER_ASSURED) = range(6, 9)
(SYN_SENT, OPENING, OPEN, FIN_THERE, FIN_BACK, CLOSED, RESET, PICKED) = range(9, 17)

_FRESH = {ipv4.TCP: SYN_SENT, ipv4.UDP: UDP_NEW, ipv4.ICMP: ICMP_NEW}

# events: what a packet says, DATA for all that is not TCP; those of the way back are 4 higher
(DATA, SYN, FIN, RST) = range(4)

# next state: rows are states, columns events; DATA SYN FIN RST there, then the same back
NEXT = bytes(
    (
        0, 0, 0, 0, 1, 1, 1, 1,  # ICMP_NEW
        2, 2, 2, 2, 1, 1, 1, 1,  # ICMP_REPLIED
        2, 2, 2, 2, 2, 2, 2, 2,  # ICMP_ASSURED
        3, 3, 3, 3, 4, 4, 4, 4,  # UDP_NEW
        5, 5, 5, 5, 4, 4, 4, 4,  # UDP_REPLIED
        5, 5, 5, 5, 5, 5, 5, 5,  # UDP_ASSURED
        6, 6, 6, 6, 7, 7, 7, 7,  # OTHER_NEW
        8, 8, 8, 8, 7, 7, 7, 7,  # OTHER_REPLIED
        8, 8, 8, 8, 8, 8, 8, 8,  # OTHER_ASSURED
        9, 9, 9, 14, 9, 10, 9, 14,  # SYN_SENT: an answer that is no SYN answers something older
        11, 10, 12, 14, 10, 10, 13, 14,  # OPENING: only the client's next packet proves that it listens
        11, 11, 12, 15, 11, 11, 13, 15,  # OPEN: a SYN here is old or forged
        12, 12, 12, 15, 12, 12, 14, 15,  # FIN_THERE
        13, 13, 14, 15, 13, 13, 13, 15,  # FIN_BACK
        14, 9, 14, 14, 14, 14, 14, 14,  # CLOSED
        11, 9, 15, 15, 11, 15, 15, 15,  # RESET
        16, 9, 12, 14, 11, 16, 13, 14,  # PICKED
    )
)

_MINUTES = const(60000)  # in ms
TIMEOUT = (
    _MINUTES, _MINUTES, _MINUTES,  # ICMP: RFC 5508 REQ-2, not below 60 s
    2 * _MINUTES, 5 * _MINUTES, 5 * _MINUTES,  # UDP: RFC 4787 REQ-5, not below 2, 5 recommended
    10 * _MINUTES, 10 * _MINUTES, 10 * _MINUTES,  # others: as Linux' generic tracker
    4 * _MINUTES, 4 * _MINUTES,  # SYN_SENT, OPENING: RFC 5382 REQ-5, transitory
    124 * _MINUTES, 124 * _MINUTES, 124 * _MINUTES,  # OPEN, FIN_*: REQ-5, 2 h 4 min; one side may go on for long
    4 * _MINUTES, 4 * _MINUTES,  # CLOSED: TIME_WAIT, REQ-5; RESET: RFC 7857 2.2
    4 * _MINUTES,  # PICKED: transitory
)  # fmt: skip

# what a flow is worth at a limit: of lower rank go first, and for the client's own new flow no HELD one ever goes
IDLE = const(0)  # nobody answered, or it is over
ANSWERED = const(1)  # once, and the client said no more; or one side has closed: a DNS query, a server that left
HELD = const(2)  # both sides are using it
RANKS = const(3)
RANK = bytes((0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 2, 1, 1, 0, 0, 0))


def fresh(proto):
    """The state of a flow's first packet."""
    return _FRESH.get(proto, OTHER_NEW)


def event(flags):
    """What a TCP packet says. RST outweighs SYN outweighs FIN, as for a receiver."""
    if flags & tcp.RST:
        return RST
    if flags & tcp.SYN:
        return SYN
    return FIN if flags & tcp.FIN else DATA


def step(state, event, back):
    """The state after a packet. Total: any state, any event; back: it came from the other side."""
    return NEXT[state * 8 + event + (4 if back else 0)]


def idle(state, now, there, back):
    """ms for which the flow rested; there, back: the SEEN words of its halves.

    Packets of both sides count (a receiver of a stream may say nothing for long), but for ICMP: nobody waits for the
    second answer to a question.
    """
    rest = now - there & 0xFFFFFFFF
    if state > ICMP_ASSURED:
        other = now - back & 0xFFFFFFFF
        return other if other < rest else rest
    return rest
