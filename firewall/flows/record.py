"""The record of a flow: 128 octets outside the heap, a 64-octet line for each half.

Half 2n of record n is the way there (from the client that began it), half 2n + 1 the way back. A packet is looked up
by its own words and finds the half that says what becomes of it; both halves are one array of u32, sixteen words
each:

     0 SRC         source address          \\
     1 DST         destination address      | the key: what a packet of this half has when it
     2 PORTS       both ports               | comes in (0 for a half that is free: KIND)
     3 KIND        protocol | side << 8    /  of a client that is shown another address: | its slot << 16
     4 NEW_SRC     what SRC becomes
     5 NEW_DST     what DST becomes
     6 NEW_PORTS   what PORTS becomes
     7 DELTAS      of the IP checksum, by the addresses; << 16: of the transport's, by all
     8 EGRESS      link it leaves by; there: | state << 16 (state.py)
     9 CLIENT      slot of the client whose packets these are; 0: they come from the uplink
    10 GENERATION  there: of the rules that judged it, 0: each packet is judged; back: the life of what LIFE names
    11 SEEN        ms of the last packet of this half, modulo 2**32
    12 PACKETS     of this half, modulo 2**32
    13 OCTETS      of their IP datagrams, modulo 2**32
    14 PREV        there: neighbours in a list of the client, as record + 1, 0 at an end
    15 NEXT
    14 LIFE        back: what the flow ends with: the client that gets it or its mapping, as in clients.py; 0: the uplink
    15 RING        back: the next record in the ring of flows that share a mapping | the one before << 16; of a flow
                   without a mapping: INBOUND if it began outside

Addresses and ports are words (wire/byteorder.py). For a query of ICMP PORTS holds identifier and type, with
ANSWER on the way back; for other protocols without ports it is 0. Checksum deltas (checksum.py) are in the words' byte
order, and do not contain the TTL, which always adds TTL_DELTA.
"""
from micropython import const

SRC = const(0)
DST = const(1)
PORTS = const(2)
KIND = const(3)
NEW_SRC = const(4)
NEW_DST = const(5)
NEW_PORTS = const(6)
DELTAS = const(7)
EGRESS = const(8)
CLIENT = const(9)
GENERATION = const(10)
SEEN = const(11)
PACKETS = const(12)
OCTETS = const(13)
PREV = const(14)
NEXT = const(15)
LIFE = const(14)
RING = const(15)

WORDS = const(32)  # of a record
BACK = const(16)  # words from a half there to its half back

SIDE_CLIENT = const(0x000)  # the packet came from a client
SIDE_UPLINK = const(0x100)
SIDE_SLOT = const(16)  # bits, to the slot of a client that is shown another address: such ones are no two clients'

INBOUND = const(1)

ANSWER = const(0x8000)  # with the query's type in PORTS: packets of this half answer it

TTL_DELTA = const(0xFFFE)  # ~0x0001: TTL and protocol, loaded as a word, get smaller by 0x0001


def at(half):
    """The first word of a half."""
    return half * BACK
