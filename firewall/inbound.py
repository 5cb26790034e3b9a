"""What comes by the uplink and is of no flow: nobody's, but if a setting forwards it to a client (policy.forwards), or
it answers a question of our own (naming.py).

Between answers.py, which has what the judge says for itself, and the judge, which forwards what is let in here.
"""
from firewall import reasons
from firewall.answers import Answers
from firewall.flows.record import CLIENT, SIDE_UPLINK, WORDS
from firewall.packets import v4
from firewall.wire import icmp, ipv4

GROUPS = 0xE0000000  # multicast addresses begin here


class Inbound(Answers):
    def __init__(self, neighbours, random):
        """random(octets) -> bytes."""
        super().__init__(neighbours, random)
        self.opened = 0  # flows that were begun, or nearly: each so much work
        self._accounts = neighbours.accounts
        self.to_ports_of_ours = self.teaches = None  # functions of naming.py

    def _receiver(self, p, now):
        """Which client a first piece from the uplink is for: its slot; 0: an error, of no flow itself; -1: nobody."""
        p.first_piece()
        if p.kind >= 0 and not p.query:
            return 0
        n = self.neighbours
        half = v4.find(p, n.flows, SIDE_UPLINK)
        if half < 0 or not n.flows.live(half, now):
            client = n.inside(p.proto, p.destination_port(), p.src)[0] if p.proto == ipv4.UDP else None
            return client.slot if client else -1
        return n.flows.records[(half >> 1) * WORDS + CLIENT]

    def _let_in(self, p, now):
        """The first packet of a flow from the uplink: only to where a setting forwards it, and in silence if not."""
        n = self.neighbours
        if n.nat.reserved(p.proto, p.destination_port()) and self.to_ports_of_ours:
            return self.to_ports_of_ours(p, now)
        client, port = n.inside(p.proto, p.destination_port(), p.src)
        if client is None or p.src >= GROUPS or not p.begins():
            return reasons.NO_FLOW if p.src < GROUPS else reasons.BAD_SOURCE
        if n.ours(p.src, client):
            return reasons.SPOOFED_UPLINK
        barred = n.policy.limits(client.address, p.proto, p.src, p.source_port())
        if barred:
            return barred
        if p.ttl <= 1:
            return self._error(p, reasons.TTL, icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, now)
        egress = client.interfaces[-1]
        if v4.segment(p, egress.mtu) < 0:
            return self._refuse(p, reasons.TOO_BIG, now, icmp.FRAGMENTATION_NEEDED, egress.mtu)
        self.opened += 1
        opened = n.nat.let_in(p, egress, port, now)
        if opened < 0:
            return -opened
        self._accounts.opened(client.slot, opened, now)
        return self._forward(p, opened * 2 + 1, now)
