"""What became of a packet: small numbers that are also the indices of their counters.

The first four are ways a packet lives on; all others are reasons for which it was dropped, with or without an answer to
its sender. NAMES is what an administrator reads beside the counter.
"""
(FORWARDED, QUEUED, KEPT, GATHER) = range(4)
(ETHERNET, GROUP_FRAME, IP_HEADER, IP_CHECKSUM, IP_OPTIONS, SOURCE_ROUTE, BAD_SOURCE, BAD_DESTINATION) = range(4, 12)
(LAND, SPOOFED, SPOOFED_UPLINK, NOT_OURS, OURS, TRANSPORT, TCP_FLAGS, OFFLOAD) = range(12, 20)
(TTL, TOO_BIG, FRAGMENT, FRAGMENT_LIMIT, DENIED, OTHER_CLIENT, NOT_ATTACHED, NO_UPLINK) = range(20, 28)
(NO_FLOW, FLOW_LIMIT, PORT_LIMIT, PROTOCOL_BUSY, ICMP_TYPE, ICMP_ERROR, ARP, NO_LINK) = range(28, 36)
(ICMP_GUESS, LAN, ONLY, SHUT, RATE) = range(36, 41)

NAMES = (
    "forwarded", "answered or sent in pieces", "fragment kept", "asked for whole",
    "Ethernet type not carried", "group address in the Ethernet header", "impossible IP header",
    "wrong IP header checksum", "impossible IP options", "source route", "source address nobody has",
    "destination not forwarded to",
    "source equal to destination", "source not the client's", "source of ours from the uplink", "destination not ours",
    "to the firewall itself", "impossible transport header", "impossible TCP flags",
    "offload that does not fit the packet",
    "time to live spent", "larger than the path takes", "impossible fragment", "too many fragments",
    "denied by the rules", "from client to client", "to a client that is not attached", "no uplink",
    "of no flow", "flow limit", "no free port", "protocol and remote in use by another client",
    "ICMP type not carried", "ICMP error about no flow", "ARP not for us", "link that is gone",
    "a client's ICMP error about no flow of its own",
    "to a local network that a setting refuses", "not to the tunnel's end that a setting names",
    "of a client that a setting shuts", "over the rate that a setting names",
)  # fmt: skip
COUNT = len(NAMES)
