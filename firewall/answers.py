"""What the firewall says for itself: to whom it answers, about what, and how often.

The half of the judge that no flow's packet passes: ARP, what is sent to us, and ICMP errors of our own. The frames are
built in replies.py.
"""
from firewall import icmp, ipv4, reasons, replies
from firewall.clients import ECHO_COST, ERROR_COST
from firewall.fragments import split
from firewall.packet import IP


class Answers:
    def __init__(self, neighbours, random):
        """random(octets) -> bytes."""
        self.n = neighbours
        self.out = []  # (link number, frame): complete frames, to be sent after every call of the judge
        self._random = random
        self._draw()

    def _draw(self):
        """Let every link's identifications begin anew, where nobody can guess."""
        self._ident = int.from_bytes(self._random(2), "big")
        for link in self.n.links.values():
            link.ident = -1

    def _next_ident(self, link):
        """The identification of the next datagram of ours on this link.

        Each link has a counter of its own: what one neighbour makes us say, another must not be able to count.
        """
        if link.ident < 0:
            link.ident = self._ident
            self._ident = int.from_bytes(self._random(2), "big")
        link.ident = link.ident + 1 & 0xFFFF
        return link.ident

    def _cut(self, egress, frame, size, end):
        """Put a whole frame of ours into out, in as many pieces as the link needs."""
        pieces = (frame,) if end - IP <= egress.mtu else split(frame, size, end, egress.mtu, self._next_ident(egress))
        for piece in pieces:
            self.out.append((egress.number, piece))
        return reasons.QUEUED

    def _ours(self, p, now):
        """From a client to the firewall itself: pings are answered, the rest is dropped, as Linux does."""
        if p.kind != icmp.ECHO:
            return reasons.OURS
        if len(p.frame) < p.end:
            return reasons.GATHER
        if not p.link.bucket.take(ECHO_COST, now):
            return reasons.QUEUED
        frame = replies.pong(p, self._next_ident(p.link))
        return self._cut(p.link, frame, ipv4.SIZE, len(frame)) if frame else reasons.TRANSPORT

    def _refuse(self, p, reason, now, code=icmp.ADMIN_PROHIBITED, mtu=0):
        """The sender hears that its packet could not be delivered, rather than waiting for nothing."""
        return self._error(p, reason, icmp.DEST_UNREACHABLE, code, now, mtu)

    def _error(self, p, reason, kind, code, now, rest=0):
        """An ICMP error about p to its sender, if one may be sent and its share is not used up. The reason."""
        source = p.link.client and self.n.gateway or self.n.nat.address
        if source and replies.may_answer(p) and p.link.bucket.take(ERROR_COST, now):
            self.out.append((p.link.number, replies.error(p, kind, code, rest, source, self._next_ident(p.link))))
        return reason

    def _arp(self, link, frame, octets):
        n = self.n
        if link.client:
            answer = replies.arp_for_client(frame, octets, link.client)
        else:
            mac = replies.arp_answer(frame, octets, n.upstream)
            if mac is not None:
                n.gateway_is(mac)
                return reasons.QUEUED
            answer = replies.arp_for_uplink(frame, octets, n.nat.address, n.mac)
        if answer is None:
            return reasons.ARP
        self.out.append((link.number, answer))
        return reasons.QUEUED
