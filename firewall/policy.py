"""What dom0's settings refuse and allow beside the clients' rules. docs/settings.md says how they are written.

The judge asks for the first packet of a flow, and of each flow again after a change: a whole Policy takes the place of
the one before, and none ever changes. Clients' addresses are those that dom0 knows them by.
"""
from micropython import const

from firewall import reasons
from firewall.wire import ipv4

ANY = const(-1)  # protocol or port; also: all clients
_DNS = const(53)
_LOCAL = (  # (lowest, highest): RFC 1918, RFC 3927, RFC 6598, multicast
    (0x0A000000, 0x0AFFFFFF), (0xAC100000, 0xAC1FFFFF), (0xC0A80000, 0xC0A8FFFF),
    (0xA9FE0000, 0xA9FEFFFF), (0x64400000, 0x647FFFFF), (0xE0000000, 0xEFFFFFFF),
)  # fmt: skip


class Policy:
    """pairs: {(sender, receiver): ((protocol, first port, last port), ...)}, protocol ANY for everything.

    forwards: {protocol << 16 | port outside: (client, port inside, lowest remote, highest remote)}.
    lan: clients that reach no local network, ANY among them for all. resolvers: theirs, which they may ask even so.
    only: {client: (protocol, address, port)}, the tunnel's end, beside which it reaches nothing.
    shut: clients with a limit that could not be read, ANY among them for all: they reach nothing, nothing reaches them.
    """

    def __init__(self, pairs=None, forwards=None, lan=(), resolvers=(), only=None, shut=()):
        self._pairs = pairs or {}
        self._only = only or {}
        self.lan = frozenset(lan)
        self._resolvers = frozenset(resolvers)
        self._shut = frozenset(shut)
        self.limited = bool(self._only or self._shut)  # else nobody need ask limits()
        self.forwards = forwards or {}

    def limits(self, client, proto, remote, port):
        """Why this client may have no flow with a remote and its port, whoever begins it: a reason, or 0."""
        if client in self._shut or ANY in self._shut:
            return reasons.SHUT
        end = self._only.get(client)
        return reasons.ONLY if end and end != (proto, remote, port) else 0

    def between(self, sender, receiver, proto, port):
        """Why one client may not begin this flow to another: a reason, or 0."""
        for protocol, first, last in self._pairs.get((sender, receiver), ()):
            if protocol == ANY or protocol == proto and first <= port <= last:
                # a receiver behind a tunnel answers nobody beside it
                return self.limits(receiver, ANY, sender, ANY)
        return reasons.OTHER_CLIENT

    def outside(self, client, proto, dst, port):
        """Why a client may not begin this flow to an address that is no client's: a reason, or 0."""
        if client not in self.lan and ANY not in self.lan:
            return 0
        if dst in self._resolvers and port == _DNS and proto in (ipv4.UDP, ipv4.TCP):
            return 0
        for low, high in _LOCAL:
            if low <= dst <= high:
                return reasons.LAN
        return 0

    def inside(self, proto, port, remote):
        """(client, port) that a packet from a remote to this port of ours outside is forwarded to; None: to nobody."""
        found = self.forwards.get(proto << 16 | port)
        return found[:2] if found and found[2] <= remote <= found[3] else None


CLOSED = Policy(shut=(ANY,))  # made beforehand, for when there is no memory for another
