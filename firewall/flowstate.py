"""The state of a flow: what it has seen, how long it may rest, whether it is dear.

For TCP this is the state machine of RFC 7857 2.1, with the handshake's middle told apart. Sequence numbers are not
followed, so nothing here ends a flow at once: a RST or the second FIN shortens its time to 4 minutes, and data after
a RST that was forged brings it back (RFC 7857 2.2).

    UDP, ICMP, others:  NEW --back--> REPLIED
    TCP:  SYN_SENT --SYN back--> OPENING --there--> OPEN --FIN--> FIN_THERE | FIN_BACK --FIN--> CLOSED
          SYN_SENT | OPENING --RST--> CLOSED;  OPEN | FIN_* --RST--> RESET --data--> OPEN
          CLOSED | RESET --SYN there--> SYN_SENT: the ports are used again
"""
from micropython import const

from firewall import ipv4, tcp

(UDP_NEW, UDP_REPLIED, ICMP_NEW, ICMP_REPLIED, OTHER_NEW, OTHER_REPLIED) = range(6)
(SYN_SENT, OPENING, OPEN, FIN_THERE, FIN_BACK, CLOSED, RESET) = range(6, 13)

# events: what a packet says, DATA for all that is not TCP; those of the way back are 4 higher
(DATA, SYN, FIN, RST) = range(4)

# next state: rows are states, columns events; DATA SYN FIN RST there, then the same back
_NEXT = bytes(
    (
        0, 0, 0, 0, 1, 1, 1, 1,  # UDP_NEW
        1, 1, 1, 1, 1, 1, 1, 1,  # UDP_REPLIED
        2, 2, 2, 2, 3, 3, 3, 3,  # ICMP_NEW
        3, 3, 3, 3, 3, 3, 3, 3,  # ICMP_REPLIED
        4, 4, 4, 4, 5, 5, 5, 5,  # OTHER_NEW
        5, 5, 5, 5, 5, 5, 5, 5,  # OTHER_REPLIED
        6, 6, 6, 11, 6, 7, 6, 11,  # SYN_SENT: an answer that is no SYN answers something older
        8, 7, 9, 11, 7, 7, 10, 11,  # OPENING: only the client's next packet proves that it listens
        8, 8, 9, 12, 8, 8, 10, 12,  # OPEN: a SYN here is old or forged
        9, 9, 9, 12, 9, 9, 11, 12,  # FIN_THERE
        10, 10, 11, 12, 10, 10, 10, 12,  # FIN_BACK
        11, 6, 11, 11, 11, 11, 11, 11,  # CLOSED
        8, 6, 12, 12, 8, 12, 12, 12,  # RESET
    )
)

_MINUTES = const(60000)  # in ms
TIMEOUT = (
    2 * _MINUTES, 5 * _MINUTES,  # UDP: RFC 4787 REQ-5, not below 2, 5 recommended
    _MINUTES, _MINUTES,  # ICMP: RFC 5508 REQ-2, not below 60 s
    10 * _MINUTES, 10 * _MINUTES,  # others: as Linux' generic tracker
    4 * _MINUTES, 4 * _MINUTES,  # SYN_SENT, OPENING: RFC 5382 REQ-5, transitory
    124 * _MINUTES, 124 * _MINUTES, 124 * _MINUTES,  # OPEN, FIN_*: REQ-5, 2 h 4 min; one side may go on for long
    4 * _MINUTES, 4 * _MINUTES,  # CLOSED: TIME_WAIT, REQ-5; RESET: RFC 7857 2.2
)  # fmt: skip

# 1: somebody answered and the flow goes on, it is not given up while others are not
HELD = bytes((0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0))


def fresh(proto):
    """The state of a flow's first packet."""
    return {ipv4.TCP: SYN_SENT, ipv4.UDP: UDP_NEW, ipv4.ICMP: ICMP_NEW}.get(proto, OTHER_NEW)


def event(flags):
    """What a TCP packet says. RST outweighs SYN outweighs FIN, as for a receiver."""
    if flags & tcp.RST:
        return RST
    if flags & tcp.SYN:
        return SYN
    return FIN if flags & tcp.FIN else DATA


def step(state, event, back):
    """The state after a packet. Total: any state, any event; back: it came from the other side."""
    return _NEXT[state * 8 + event + (4 if back else 0)]


def idle(state, now, there, back):
    """ms for which the flow rested; there, back: the SEEN words of its halves.

    Only TCP is kept alive from outside; elsewhere only the client's own packets count, so that nobody can hold its
    mapping open (RFC 4787 REQ-6, behaviours 76).
    """
    rest = now - there & 0xFFFFFFFF
    if state >= SYN_SENT:
        other = now - back & 0xFFFFFFFF
        return other if other < rest else rest
    return rest
