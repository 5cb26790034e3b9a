"""The judge: one frame in, a verdict out, and the octets to send.

    judge = Judge(neighbours, random)
    verdict = judge.frame(link, frame, octets, now, blank, gso)
    FORWARDED  frame was rewritten: send judge.octets of it on link judge.egress, with judge.blank
               and judge.gso as its offloads
    other      dropped for that reason, kept, or QUEUED; the judge asks for a whole frame by GATHER

After every call all of judge.out, (link number, frame) each, is to be sent: replies, or the pieces of what was too
large. They are complete: no blank checksum, no super-frame. Each verdict is counted in judge.counters. The order of
questions is drawn in docs/packet.md. Nothing is rewritten before the last question is answered. Time (ms) and random
octets come in as arguments.
"""
from firewall import reasons
from firewall.answers import Answers
from firewall.flows import state as flowstate
from firewall.flows.clients import ERROR_COST, NO_RULES
from firewall.flows.record import BACK, CLIENT, DST, EGRESS, GENERATION, KIND, OCTETS, PACKETS, PORTS, SEEN
from firewall.flows.record import SIDE_CLIENT, SIDE_UPLINK
from firewall.packets import icmp_quote, v4
from firewall.packets.checksum_offload import complete
from firewall.packets.packet import IP, Packet
from firewall.wire import byteorder, ethernet, icmp, ipv4, tcp

_GROUPS = 0xE0000000  # multicast addresses begin here,
_RESERVED = 0xF0000000  # and end here: no hosts' today (RFC 1112 4), yet some are used, and Linux sends there
_BROADCAST = 0xFFFFFFFF
_NOWHERE = (0, 127)  # first octets of addresses that are on no wire (RFC 1122 3.2.1.3)


class Judge(Answers):
    def __init__(self, neighbours, random):
        """random(octets) -> bytes."""
        super().__init__(neighbours, random)
        self.counters = [0] * reasons.COUNT
        self.opened = 0  # flows that were begun, or nearly: each so much work
        self.egress = self.octets = self.gso = 0
        self.blank = False
        self._p = Packet()

    def rekey(self):
        """Draw what must not be guessed anew: random() is better now. False: a flow exists, nothing was done."""
        if not self.n.flows.rekey():
            return False
        self._draw()
        return True

    def frame(self, number, frame, octets, now, blank=False, gso=0):
        """Judge what came in on a link. The verdict, from reasons.py.

        frame: a bytearray with the whole frame, or with at least its first 4096 octets: then octets, its length, may be
        more. blank, gso: its offloads (packet.Packet).
        """
        link = self.n.links.get(number)
        verdict = self._frame(link, frame, octets, now, blank, gso) if link else reasons.NO_LINK
        self.counters[verdict] += 1
        return verdict

    def _frame(self, link, frame, octets, now, blank, gso):
        kind = frame[ethernet.TYPE] << 8 | frame[ethernet.TYPE + 1] if octets >= ethernet.SIZE else -1
        if kind != ethernet.IPV4:
            if kind == ethernet.ARP:
                return self._arp(link, frame, octets)
            if kind != ethernet.TAGGED or not ethernet.priority_only(frame, octets):
                return reasons.ETHERNET
            if len(frame) < octets:
                return reasons.GATHER
            return self._frame(link, frame, ethernet.untag(frame, octets), now, blank, gso)
        if frame[ethernet.DST] & 1:
            return reasons.GROUP_FRAME
        p = self._p
        wrong = v4.read(p, link, frame, octets, blank, gso) or self._addresses(p)
        if not wrong and p.fragment & ipv4.FRAGMENT_MASK:
            if len(frame) < p.end:
                return reasons.GATHER
            add = self.n.fragments.add
            whole = add(p, link.client.slot, now) if link.client else add(p, 0, now, self._receiver)
            if not isinstance(whole, bytearray):
                return whole
            wrong = v4.read(p, link, whole, len(whole), False, 0)
            p.whole = True
        wrong = wrong or p.transport()
        if wrong:
            return wrong
        if link.client and self.n.ours(p.dst):
            return self._ours(p, now)
        if p.kind >= 0 and not p.query:
            return self._icmp_error(p, now) if p.kind in icmp_quote.PASSING else reasons.ICMP_TYPE
        return self._flow(p, now)

    def _receiver(self, p, now):
        """Which client a first piece from the uplink is for: its slot; 0: an error, of no flow itself; -1: nobody."""
        p.first_piece()
        if p.kind >= 0 and not p.query:
            return 0
        n = self.n
        half = v4.find(p, n.flows, SIDE_UPLINK)
        if half < 0 or not n.flows.live(half, now):
            return -1
        return n.flows.records[((half & ~1) << 4) + CLIENT]

    def _addresses(self, p):
        """May this source say this to this destination at all? 0, or a reason."""
        n = self.n
        src, dst = p.src, p.dst
        if src >> 24 in _NOWHERE or src >= _GROUPS and (p.link.client or src < _RESERVED or src == _BROADCAST):
            return reasons.BAD_SOURCE  # from the uplink a reserved one may answer, see _flow
        if dst >> 24 in _NOWHERE or dst >= _GROUPS and (dst < _RESERVED or dst == _BROADCAST) or dst == n.broadcast:
            return reasons.BAD_DESTINATION
        if src == dst:
            return reasons.LAND
        if p.link.client:
            # identity is the link's, never the packet's (behaviours 17, 28)
            return 0 if p.src == p.link.client.address else reasons.SPOOFED
        if n.ours(p.src) or p.src in n.clients.by_address or p.src in n.connected:
            return reasons.SPOOFED_UPLINK  # QSB-056
        return 0 if p.dst == n.nat.address else reasons.NOT_OURS

    # --- packets of flows ---

    def _flow(self, p, now):
        n = self.n
        client = p.link.client
        half = v4.find(p, n.flows, SIDE_CLIENT if client else SIDE_UPLINK)
        if half >= 0 and not n.flows.live(half, now):
            n.flows.remove(half >> 1)
            half = -1
        if half < 0 and not client:
            return reasons.NO_FLOW if p.src < _GROUPS else reasons.BAD_SOURCE
        if p.ttl <= 1:
            return self._error(p, reasons.TTL, icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, now)
        if half < 0:
            return self._open(p, now)
        if self._allowed(half, now):
            return self._forward(p, half, now)
        if half & 1:
            return reasons.DENIED
        return self._refuse(p, reasons.DENIED, now)

    def _allowed(self, half, now):
        """Is this flow still allowed? All is asked again, once, when rules or neighbours have changed; if not, it ends."""
        n = self.n
        w = n.flows.records
        there = (half & ~1) << 4
        slot = w[there + CLIENT]
        if w[there + GENERATION] == n.clients.generations[slot]:
            return True
        client = n.clients.by_slot[slot]
        proto = w[there + KIND] & 0xFF
        dst = byteorder.swap(w[there + DST])
        port = byteorder.second(w[there + PORTS])
        kind = port if proto == ipv4.ICMP else -1
        if proto != ipv4.TCP and proto != ipv4.UDP:
            port = -1
        between = w[there + BACK + CLIENT]
        barred = self._barred(client, dst) or (dst in n.clients.by_address) != (between != 0)  # or its way is another now
        if barred or not client.rules.decide(proto, dst, port, kind, now)[0]:
            n.flows.remove(half >> 1)
            return False
        w[there + GENERATION] = n.clients.generations[slot]
        return True

    def _barred(self, client, dst):
        """Why client may not send to dst, whatever its rules say: a reason, or 0."""
        n = self.n
        if not n.named(client.address):
            return reasons.DENIED
        if dst in n.clients.by_address:
            return 0 if (client.address, dst) in n.pairs and n.named(dst) else reasons.OTHER_CLIENT
        return reasons.NOT_ATTACHED if dst in n.connected else 0  # not to be told to the uplink

    def _open(self, p, now):
        """The first packet of a flow, from a client.

        A TCP connection that goes on began before we did (the firewall was restarted) or was forgotten: it is picked up,
        or reset, if it never can be. Until uplink, rules and the other client have come nothing resets it; an ICMP error
        it outlives.
        """
        n = self.n
        client = p.link.client
        picked = not p.begins()
        if picked and not p.goes_on():
            if p.proto != ipv4.TCP or p.flags & tcp.RST:
                return reasons.NO_FLOW
            return self._reset(p, reasons.NO_FLOW, now)
        barred = self._barred(client, p.dst)
        if barred:
            return (self._reset if picked and barred != reasons.NOT_ATTACHED else self._refuse)(p, barred, now)
        peer = n.clients.by_address.get(p.dst)
        if peer is None and n.uplink is None:
            return self._refuse(p, reasons.NO_UPLINK, now, icmp.NET_UNREACHABLE)
        if not client.rules.decide(p.proto, p.dst, p.destination_port(), p.kind, now)[0]:
            if picked:
                return reasons.DENIED if client.rules is NO_RULES else self._reset(p, reasons.DENIED, now)
            return self._refuse(p, reasons.DENIED, now)
        egress = peer.links[-1] if peer else n.uplink
        if not self._fits(p, egress):
            return self._refuse(p, reasons.TOO_BIG, now, icmp.FRAGMENTATION_NEEDED, egress.mtu)
        self.opened += 1
        record = n.nat.open(p, egress, picked, now)
        if record < 0:
            return (self._reset if picked else self._refuse)(p, -record, now)
        return self._forward(p, record * 2, now)

    def _egress(self, half):
        """The link by which this half leaves; None: there is no uplink."""
        n = self.n
        w = n.flows.records
        egress = n.links.get(w[(half << 4) + EGRESS] & 0xFFFF)
        receiver = n.clients.by_slot[w[((half << 4) ^ BACK) + CLIENT]]
        if receiver and (egress is None or egress.client is not receiver):
            # the interface is gone, and its number perhaps another's; the client still has one
            egress = receiver.links[-1]
        return egress

    def _forward(self, p, half, now):
        """Let p go as half says; all but the way out is already asked."""
        n = self.n
        w = n.flows.records
        at = half << 4
        there = at & ~BACK
        egress = self._egress(half)
        if egress is None:
            return self._refuse(p, reasons.NO_UPLINK, now, icmp.NET_UNREACHABLE)
        if not self._fits(p, egress):
            return self._refuse(p, reasons.TOO_BIG, now, icmp.FRAGMENTATION_NEEDED, egress.mtu)
        if p.total > egress.mtu and not p.gso and len(p.frame) < p.end:
            return reasons.GATHER
        if w[at + CLIENT]:
            # answers go to the interface that the client used last (HVM's two with one address)
            w[(at ^ BACK) + EGRESS] = w[(at ^ BACK) + EGRESS] & 0xFFFF0000 | p.link.number
        state = w[there + EGRESS] >> 16
        event = flowstate.event(p.flags) if p.proto == ipv4.TCP else flowstate.DATA
        turned = flowstate.step(state, event, half & 1)
        if turned != state:
            n.flows.turn(half >> 1, turned)
        w[at + SEEN] = now & 0xFFFFFFFF
        w[at + PACKETS] = w[at + PACKETS] + 1 & 0xFFFFFFFF
        w[at + OCTETS] = w[at + OCTETS] + p.total & 0xFFFFFFFF
        v4.rewrite(p, w, at)
        return self._send(p, egress)

    def _fits(self, p, egress):
        """Can p leave here, whole or in pieces? False: it is too large and must not be cut."""
        if not p.gso:
            # what came in pieces may leave in pieces
            return p.total <= egress.mtu or p.whole or not p.fragment & ipv4.DF
        headers = p.l4 - IP + (p.frame[p.l4 + tcp.DATA_OFFSET] >> 4 << 2)
        if headers + p.gso > egress.mtu:
            if p.fragment & ipv4.DF:
                return False
            p.gso = egress.mtu - headers  # smaller segments instead of pieces of segments
        return p.gso > 0

    def _send(self, p, egress):
        """The rewritten packet leaves: in place, or as frames in out if it is too large or was in pieces."""
        p.frame[: ethernet.SIZE] = egress.header
        if not p.whole and (p.gso or p.total <= egress.mtu):
            self.egress = egress.number
            self.octets = p.end
            self.blank = p.blank
            self.gso = p.gso
            return reasons.FORWARDED
        if p.blank:
            complete(p.frame, p.end)
        return self._cut(egress, p.frame, p.size, p.end)

    # --- errors of others ---

    def _icmp_error(self, p, now):
        """An error that a flow's packet caused, on its way to who sent that. None is sent about an error."""
        n = self.n
        w = n.flows.records
        client = p.link.client
        if client and not p.link.bucket.has(ERROR_COST, now):
            return reasons.ICMP_GUESS
        if len(p.frame) < p.end:
            return reasons.GATHER
        key = icmp_quote.key(p, SIDE_CLIENT if client else SIDE_UPLINK)
        if key is None:
            return reasons.ICMP_ERROR
        half = n.flows.find(*key)
        # it is about a packet that its sender was sent, so the half is the sender's own: what another client's flows
        # are is nobody's business, and what is said about them would go by that client's rules
        if half < 0 or not n.flows.live(half, now) or w[(half << 4) + CLIENT] != (client.slot if client else 0):
            if not client:
                return reasons.ICMP_ERROR
            p.link.bucket.take(ERROR_COST, now)
            return reasons.ICMP_GUESS
        # it goes to who sent what it quotes, and to nobody else
        if byteorder.swap(p.dst) != w[(half << 4) + DST] or p.ttl <= 1:
            return reasons.ICMP_ERROR
        if not self._allowed(half, now):
            return reasons.DENIED
        egress = self._egress(half)
        if egress is None or p.total > egress.mtu:
            return reasons.ICMP_ERROR
        icmp_quote.translate(p, w, half)
        return self._send(p, egress)
