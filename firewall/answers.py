"""What the firewall says for itself: to whom it answers, about what, and how often.

The half of the judge that no flow's packet passes: ARP, what is sent to us, and ICMP errors of our own. The frames are
built in replies.py.
"""
from micropython import const

from firewall import reasons
from firewall.flows.clients import ECHO_COST, ERROR_COST, V4
from firewall.packets import replies, v4
from firewall.packets.packet import IP
from firewall.packets.split import split
from firewall.wire import arp, ethernet, icmp, ipv4, tcp

_DHCP_CLIENT = const(68)


class Answers:
    def __init__(self, neighbours, random):
        """random(octets) -> bytes."""
        self.neighbours = neighbours
        self.out = []  # (number of an interface, frame): complete frames, to be sent after every call of the judge
        self._random = random
        self._draw()

    def _draw(self):
        """Let every interface's identifications begin anew, where nobody can guess."""
        self._ident = int.from_bytes(self._random(2), "big")
        for number in self.neighbours.interfaces.numbers():
            self.neighbours.interfaces.by_number[number].ident = -1

    def _next_ident(self, interface):
        """The identification of the next datagram of ours by this interface.

        Each has a counter of its own: what one neighbour makes us say, another must not be able to count.
        """
        if interface.ident < 0:
            interface.ident = self._ident
            self._ident = int.from_bytes(self._random(2), "big")
        interface.ident = interface.ident + 1 & 0xFFFF
        return interface.ident

    def _cut(self, egress, frame, size, end):
        """Put a whole frame of ours into out, in as many pieces as its MTU makes."""
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
        if not p.ingress.bucket.take(ECHO_COST, now):
            return reasons.QUEUED
        frame = replies.pong(p, self._next_ident(p.ingress))
        return self._cut(p.ingress, frame, ipv4.SIZE, len(frame)) if frame else reasons.TRANSPORT

    def _reset(self, p, reason, now):
        """The sender of a TCP segment hears that there is no such connection, so that it ends at once. The reason."""
        if p.ingress.bucket.take(ERROR_COST, now):
            self.out.append((p.ingress.number, replies.reset(p, self._next_ident(p.ingress))))
        return reason

    def _refuse(self, p, reason, now, code=icmp.ADMIN_PROHIBITED, mtu=0):
        """The sender hears that its packet could not be delivered, rather than waiting for nothing."""
        return self._error(p, reason, icmp.DEST_UNREACHABLE, code, now, mtu)

    def _error(self, p, reason, kind, code, now, rest=0):
        """An ICMP error about p to its sender, if one may be sent and its share is not used up. The reason."""
        n = self.neighbours
        client = p.ingress.client
        source = p.dst if n.ours(p.dst, client) else client and (client.gateway or n.gateway) or n.nat.address
        if source and v4.may_answer(p) and p.ingress.bucket.take(ERROR_COST, now):
            self.out.append((p.ingress.number, v4.error(p, kind, code, rest, source, self._next_ident(p.ingress))))
        return reason

    # --- questions of people ---

    def would(self, p, now):
        """What the first packet of a flow, from a client, would meet; nothing is done.

        (A reason, 0 if it would pass; the rule that decides, or None; whether the client's list was asked at all).
        """
        n = self.neighbours
        wrong = self._addresses(p)
        if not wrong and n.ours(p.dst, p.ingress.client):
            wrong = 0 if p.kind == icmp.ECHO else reasons.OURS
            return wrong, None, False
        if not wrong and p.kind >= 0 and not p.query:
            wrong = reasons.ICMP_TYPE
        wrong = wrong or n.barred(p.ingress.client.address, p.proto, p.dst, p.destination_port())
        if not wrong and n.uplink is None and p.dst not in n.clients.by_address:
            wrong = reasons.NO_UPLINK
        if wrong:
            return wrong, None, False
        accept, rule = p.ingress.client.rules[V4].decide(p.proto, p.dst, p.destination_port(), p.kind, now)
        return 0 if accept else reasons.DENIED, rule, True

    # --- ARP ---

    def _arp(self, ingress, frame, octets):
        n = self.neighbours
        packet = arp.parse(memoryview(frame)[:octets], ethernet.SIZE)
        if packet is None or packet[1][0] & 1:  # a group speaks for nobody
            return reasons.ARP
        oper, mac, sender, asked = packet
        if oper == arp.REPLY:
            # only who our gateway is has to be learnt; where a client is, its interface says (docs/behaviours.md 19)
            if ingress.client or sender != n.upstream or not any(mac):
                return reasons.ARP
            n.gateway_is(mac)
            return reasons.QUEUED
        if not self._answers_for(asked, ingress.client, sender):
            return reasons.ARP
        self.out.append((ingress.number, replies.arp_reply(mac, sender, replies.OUR_MAC if ingress.client else n.mac, asked)))
        return reasons.QUEUED

    def _answers_for(self, asked, client, sender):
        """Is the request of sender, who is on the uplink or behind a client's interface, for asked to be answered?

        To clients we are the way to every address but their own (docs/behaviours.md 57). Who has none yet probes for
        one that is free (RFC 5227 2.1.1) with sender 0: an answer means that it is taken, so only our own are defended.
        Other addresses of the same client may ask, unless it is shown another; what is said of another client's is left
        alone.
        """
        n = self.neighbours
        if client is None:
            return asked == n.nat.address != sender
        if sender == 0:
            return n.ours(asked, client)
        if asked == sender or asked in client.addresses or n.ours(sender, client):
            return False
        if sender in client.addresses or client.shown != client.address:
            return sender in client.addresses
        return not (sender in n.clients.by_address or sender in n.connected)
