"""What the firewall says for itself: to whom it answers, about what, and how often.

The half of the judge that no flow's packet passes: ARP, what is sent to us, and ICMP errors of our own. The frames are
built in replies.py.
"""
from micropython import const

from firewall import reasons
from firewall.flows.clients import ECHO_COST, ERROR_COST
from firewall.packets import replies, v4
from firewall.packets.packet import IP
from firewall.packets.split import split
from firewall.wire import arp, ethernet, icmp, ipv4, tcp

_DHCP_CLIENT = const(68)


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
        """From a client to the firewall itself: pings are answered, the rest is refused, as Linux' sys-firewall does.

        It is silent about other ICMP, DHCP's port 68, and TCP that neither begins nor goes on with a connection.
        """
        if p.kind != icmp.ECHO:
            silent = p.kind >= 0 or p.proto == ipv4.UDP and p.destination_port() == _DHCP_CLIENT
            if p.proto == ipv4.TCP:
                silent = p.flags & (tcp.RST | tcp.FIN) or p.flags & (tcp.SYN | tcp.ACK) == tcp.SYN | tcp.ACK
            return reasons.OURS if silent else self._refuse(p, reasons.OURS, now, icmp.HOST_PROHIBITED)
        if len(p.frame) < p.end:
            return reasons.GATHER
        if not p.link.bucket.take(ECHO_COST, now):
            return reasons.QUEUED
        frame = replies.pong(p, self._next_ident(p.link))
        return self._cut(p.link, frame, ipv4.SIZE, len(frame)) if frame else reasons.TRANSPORT

    def _reset(self, p, reason, now):
        """The sender of a TCP segment hears that there is no such connection, so that it ends at once. The reason."""
        if p.link.bucket.take(ERROR_COST, now):
            self.out.append((p.link.number, replies.reset(p, self._next_ident(p.link))))
        return reason

    def _refuse(self, p, reason, now, code=icmp.ADMIN_PROHIBITED, mtu=0):
        """The sender hears that its packet could not be delivered, rather than waiting for nothing."""
        return self._error(p, reason, icmp.DEST_UNREACHABLE, code, now, mtu)

    def _error(self, p, reason, kind, code, now, rest=0):
        """An ICMP error about p to its sender, if one may be sent and its share is not used up. The reason."""
        n = self.n
        source = p.dst if n.ours(p.dst) else p.link.client and n.gateway or n.nat.address
        if source and v4.may_answer(p) and p.link.bucket.take(ERROR_COST, now):
            self.out.append((p.link.number, v4.error(p, kind, code, rest, source, self._next_ident(p.link))))
        return reason

    # --- ARP ---

    def _arp(self, link, frame, octets):
        n = self.n
        packet = arp.parse(memoryview(frame)[:octets], ethernet.SIZE)
        if packet is None or packet[1][0] & 1:  # a group speaks for nobody
            return reasons.ARP
        oper, mac, sender, asked = packet
        if oper == arp.REPLY:
            # only who our gateway is has to be learnt; where a client is, its interface says (behaviours 19, 20)
            if link.client or sender != n.upstream or not any(mac):
                return reasons.ARP
            n.gateway_is(mac)
            return reasons.QUEUED
        if not self._answers_for(asked, link.client, sender):
            return reasons.ARP
        self.out.append((link.number, replies.arp_reply(mac, sender, replies.OUR_MAC if link.client else n.mac, asked)))
        return reasons.QUEUED

    def _answers_for(self, asked, client, sender):
        """Is the request of sender, who is on the uplink or behind a client's interface, for asked to be answered?

        To clients we are the way to every address (behaviours 57) but their own. Who has none yet probes for one that
        is free (RFC 5227 2.1.1) with sender 0: an answer means that it is taken, so only our own are defended. Other
        addresses of the same client may ask; what is said of another client's is left alone.
        """
        n = self.n
        if client is None:
            return asked == n.nat.address != sender
        if sender == 0:
            return n.ours(asked)
        if asked == sender or asked == client.address or n.ours(sender):
            return False
        return sender == client.address or not (sender in n.clients.by_address or sender in n.connected)
