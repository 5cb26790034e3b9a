"""What became of a packet: small numbers that are also the indices of their counters.

The first four are ways a packet lives on. All others are reasons for which it was dropped, with or
without an answer to its sender; NAMES is what an administrator reads beside the counter.
"""
from micropython import const

FORWARDED = const(0)  # rewritten in place: send the judge's octets of it on the judge's egress
QUEUED = const(1)  # what is to be sent stands in the judge's out: a reply, or several pieces
KEPT = const(2)  # a fragment, copied until its datagram is whole
GATHER = const(3)  # nothing was done: ask again with the whole frame in one buffer

ETHERNET = const(4)
GROUP_FRAME = const(5)
IP_HEADER = const(6)
IP_CHECKSUM = const(7)
IP_OPTIONS = const(8)
SOURCE_ROUTE = const(9)
BAD_SOURCE = const(10)
BAD_DESTINATION = const(11)
LAND = const(12)
SPOOFED = const(13)
SPOOFED_UPLINK = const(14)
NOT_OURS = const(15)
OURS = const(16)
TRANSPORT = const(17)
TCP_FLAGS = const(18)
OFFLOAD = const(19)
TTL = const(20)
TOO_BIG = const(21)
FRAGMENT = const(22)
FRAGMENT_LIMIT = const(23)
DENIED = const(24)
OTHER_CLIENT = const(25)
NOT_ATTACHED = const(26)
NO_UPLINK = const(27)
NO_FLOW = const(28)
FLOW_LIMIT = const(29)
PORT_LIMIT = const(30)
PROTOCOL_BUSY = const(31)
ICMP_TYPE = const(32)
ICMP_ERROR = const(33)
ARP = const(34)
NO_LINK = const(35)

NAMES = (
    "forwarded",
    "answered or sent in pieces",
    "fragment kept",
    "asked for whole",
    "Ethernet type not carried",
    "group address in the Ethernet header",
    "impossible IP header",
    "wrong IP header checksum",
    "impossible IP options",
    "source route",
    "source address nobody has",
    "destination not forwarded to",
    "source equal to destination",
    "source not the client's",
    "source of ours from the uplink",
    "destination not ours",
    "to the firewall itself",
    "impossible transport header",
    "impossible TCP flags",
    "offload that does not fit the packet",
    "time to live spent",
    "larger than the path takes",
    "impossible fragment",
    "too many fragments",
    "denied by the rules",
    "from client to client",
    "to a client that is not attached",
    "no uplink",
    "of no flow",
    "flow limit",
    "no free port",
    "protocol and remote in use by another client",
    "ICMP type not carried",
    "ICMP error about no flow",
    "ARP not for us",
    "link that is gone",
)
COUNT = const(36)
