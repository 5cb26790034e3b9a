"""The judge: one frame in, a verdict out, and the octets to send.

    judge = Judge(neighbours, random)
    verdict = judge.frame(number, frame, octets, now, blank, gso)
    FORWARDED  frame was rewritten: send judge.octets of it by the interface judge.egress, with judge.blank
               and judge.gso as its offloads
    other      dropped for that reason, kept, or QUEUED; the judge asks for a whole frame by GATHER

After every call all of judge.out, (number of an interface, frame) each, is to be sent: replies, or the pieces of what was too
large. They are complete: no blank checksum, no super-frame; judge.summed: their sums are our own. Each verdict is
counted in judge.counters. The order of questions is drawn in docs/packet.md. Nothing is rewritten before the last
question is answered. Time (ms) and random octets come in as arguments.
"""
from firewall import reasons
from firewall.flows import record
from firewall.flows.clients import ERROR_COST, NO_RULES, SLOTS, V4
from firewall.flows.follow import follow
from firewall.flows.record import (
    BACK, CLIENT, DST, EGRESS, GENERATION, KIND, LIFE, NEW_DST, NEW_PORTS, PORTS, RING, SIDE_UPLINK, SRC, WORDS,
)  # fmt: skip
from firewall.inbound import GROUPS, Inbound
from firewall.packets import icmp_quote, v4
from firewall.packets.checksum_offload import fill
from firewall.packets.packet import Packet
from firewall.wire import byteorder, ethernet, icmp, ipv4, tcp

_RESERVED = 0xF0000000  # multicast addresses end here: no hosts' (RFC 1112 4), yet Linux sends there
_BROADCAST = 0xFFFFFFFF
_NOWHERE = (0, 127)  # first octets of addresses that are on no wire (RFC 1122 3.2.1.3)


class Judge(Inbound):
    def __init__(self, neighbours, random):
        """random(octets) -> bytes."""
        super().__init__(neighbours, random)
        self.counters = [0] * reasons.COUNT
        self.egress = self.octets = self.gso = 0
        self.blank = self.summed = False
        self._p = Packet()

    def rekey(self):
        """Draw what must not be guessed anew: random() is better now. False: a flow exists, nothing was done."""
        if not self.neighbours.flows.rekey():
            return False
        self._draw()
        return True

    def frame(self, number, frame, octets, now, blank=False, gso=0):
        """Judge what came in by an interface. The verdict, from reasons.py.

        frame: a bytearray with the whole frame, or with at least its first 4096 octets: then octets, its length, may be
        more. blank, gso: its offloads (packet.Packet).
        """
        self.summed = True
        ingress = self.neighbours.interfaces.by_number[number]
        verdict = self._frame(ingress, frame, octets, now, blank, gso) if ingress and ingress.mtu else reasons.NO_LINK
        self.counters[verdict] += 1
        if verdict > reasons.GATHER and ingress:
            self._accounts.dropped(ingress.client, verdict, self._p, now)
        return verdict

    def _frame(self, ingress, frame, octets, now, blank, gso):
        kind = frame[ethernet.TYPE] << 8 | frame[ethernet.TYPE + 1] if octets >= ethernet.SIZE else -1
        if kind != ethernet.IPV4:
            if kind == ethernet.ARP:
                return self._arp(ingress, frame, octets)
            if kind != ethernet.TAGGED or not ethernet.priority_only(frame, octets):
                return reasons.ETHERNET
            if len(frame) < octets:
                return reasons.GATHER
            return self._frame(ingress, frame, ethernet.untag(frame, octets), now, blank, gso)
        if frame[ethernet.DST] & 1:
            return reasons.GROUP_FRAME
        p = self._p
        wrong = v4.read(p, ingress, frame, octets, blank, gso) or self._addresses(p)
        if not wrong and p.fragment & ipv4.FRAGMENT_MASK:
            if len(frame) < p.end:
                return reasons.GATHER
            add = self.neighbours.fragments.add
            whole = add(p, ingress.client.slot, now) if ingress.client else add(p, 0, now, self._receiver)
            if not isinstance(whole, bytearray):
                return whole
            wrong = v4.read(p, ingress, whole, len(whole), False, 0)
            p.whole = True
        wrong = wrong or p.transport()
        if wrong:
            return wrong
        if ingress.client and self.neighbours.ours(p.dst, ingress.client):
            return self._ours(p, now)
        if p.kind >= 0 and not p.query:
            return self._icmp_error(p, now) if p.kind in icmp_quote.PASSING else reasons.ICMP_TYPE
        return self._flow(p, now)

    def _addresses(self, p):
        """May this source say this to this destination at all? 0, or a reason."""
        n = self.neighbours
        src, dst = p.src, p.dst
        if src >> 24 in _NOWHERE or src >= GROUPS and (p.ingress.client or src < _RESERVED or src == _BROADCAST):
            return reasons.BAD_SOURCE  # from the uplink a reserved one may answer, see _flow
        if dst >> 24 in _NOWHERE or dst >= GROUPS and (dst < _RESERVED or dst == _BROADCAST) or dst == n.broadcast:
            return reasons.BAD_DESTINATION
        if src == dst:
            return reasons.LAND
        if p.ingress.client:
            # identity is the interface's, never the packet's (docs/behaviours.md 17, 28)
            return 0 if src in p.ingress.client.addresses else reasons.SPOOFED
        if n.ours(p.src) or p.src in n.clients.by_address or p.src in n.connected:
            return reasons.SPOOFED_UPLINK  # QSB-056
        return 0 if p.dst == n.nat.address else reasons.NOT_OURS

    # --- packets of flows ---

    def _flow(self, p, now):
        n = self.neighbours
        client = p.ingress.client
        half = v4.find(p, n.flows, client.side if client else SIDE_UPLINK)
        if half >= 0 and not n.flows.live(half, now):
            n.flows.remove(half >> 1)
            half = -1
        if half < 0 and not client:
            return self._let_in(p, now)
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
        n = self.neighbours
        w = n.flows.records
        there = (half >> 1) * WORDS
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
        back = there + BACK
        rules = client.rules[V4]
        if w[back + LIFE] < SLOTS and w[back + RING]:  # INBOUND
            to = client, byteorder.first(w[there + PORTS])
            allowed = to == n.inside(proto, byteorder.first(w[there + NEW_PORTS]), dst)
            allowed = allowed and not n.policy.limits(client.address, proto, dst, port)
        else:
            peer = n.clients.by_address.get(dst)
            allowed = (peer is not None) == (w[back + CLIENT] != 0)  # else its way is another now
            allowed = allowed and (peer is None or byteorder.swap(w[there + NEW_DST]) == peer.shown)
            allowed = allowed and not n.barred(client.address, proto, dst, port)
            if allowed and not rules.decide(proto, dst, port, kind, now)[0]:
                allowed = rules.still(proto, dst, port, kind)
                if not allowed and rules.waiting():
                    return False  # not now, but perhaps soon
        if not allowed or byteorder.swap(w[there + SRC]) != client.shown or n.ours(dst, client):
            n.flows.remove(half >> 1)
            return False
        w[there + GENERATION] = 0 if proto == ipv4.UDP and n.teaches(dst, port) else n.clients.generations[slot]
        return True

    def _open(self, p, now):
        """The first packet of a flow, from a client.

        A TCP connection that goes on began before we did (the firewall was restarted) or was forgotten: it is picked up,
        or reset, if it never can be. Until uplink, rules and the other client have come nothing resets it; an ICMP error
        it outlives.
        """
        n = self.neighbours
        client = p.ingress.client
        picked = not p.begins()
        if picked and not p.goes_on():
            if p.proto != ipv4.TCP or p.flags & tcp.RST:
                return reasons.NO_FLOW
            return self._reset(p, reasons.NO_FLOW, now)
        port = p.destination_port()
        barred = n.barred(client.address, p.proto, p.dst, port)
        if barred:
            return (self._reset if picked and barred != reasons.NOT_ATTACHED else self._refuse)(p, barred, now)
        peer = n.clients.by_address.get(p.dst)
        if peer is None and n.uplink is None:
            return self._refuse(p, reasons.NO_UPLINK, now, icmp.NET_UNREACHABLE)
        accept, rule = client.rules[V4].decide(p.proto, p.dst, port, p.kind, now)
        self._accounts.decided(client.slot, rule)
        if not accept:
            if picked:
                later = client.rules[V4] is NO_RULES or client.rules[V4].waiting()
                return reasons.DENIED if later else self._reset(p, reasons.DENIED, now)
            return self._refuse(p, reasons.DENIED, now)
        egress = peer.interfaces[-1] if peer else n.uplink
        if v4.segment(p, egress.mtu) < 0:
            return self._refuse(p, reasons.TOO_BIG, now, icmp.FRAGMENTATION_NEEDED, egress.mtu)
        self.opened += 1
        opened = n.nat.open(p, egress, picked, now)
        if opened < 0:
            return (self._reset if picked else self._refuse)(p, -opened, now)
        self._accounts.opened(client.slot, opened, now)
        if p.proto == ipv4.UDP and n.teaches(p.dst, p.destination_port()):
            n.flows.records[opened * WORDS + GENERATION] = 0
        return self._forward(p, opened * 2, now)

    def _egress(self, at):
        """The interface by which the half at this word leaves; None: there is no uplink."""
        n = self.neighbours
        w = n.flows.records
        egress = n.interfaces.by_number[w[at + EGRESS] & 0xFFFF]
        receiver = n.clients.by_slot[w[(at ^ BACK) + CLIENT]]
        if receiver and (egress is None or egress.client is not receiver):
            # the interface is gone, and its number perhaps another's; the client still has one
            egress = receiver.interfaces[-1]
        return egress

    def _forward(self, p, half, now):
        """Forward p as half says, which is live and allowed. All that can still stop it is asked first."""
        at = record.at(half)
        egress = self._egress(at)
        if egress is None or not egress.mtu:
            return self._refuse(p, reasons.NO_UPLINK, now, icmp.NET_UNREACHABLE)
        segment = 0
        if p.gso or p.total > egress.mtu:
            segment = v4.segment(p, egress.mtu)
            if segment < 0:
                return self._refuse(p, reasons.TOO_BIG, now, icmp.FRAGMENTATION_NEEDED, egress.mtu)
        flows = self.neighbours.flows
        read = not flows.records[(half >> 1) * WORDS + GENERATION]  # it may teach a name
        if (read or p.total > egress.mtu) and not p.gso and len(p.frame) < p.end:
            return reasons.GATHER
        if read:  # decided: from here on nothing is asked
            self.opened += 1  # as much work
            self.teaches(p, half, now)
        follow(flows, at, p, now)
        v4.rewrite(p, flows.records, at)
        return self._send(p, egress, segment)

    def _send(self, p, egress, segment):
        """The rewritten packet leaves: in place, or as frames in out if it is too large or was in pieces."""
        p.frame[: ethernet.SIZE] = egress.header
        if not p.whole and (segment or p.total <= egress.mtu):
            self.egress = egress.number
            self.octets = p.end
            self.blank = p.blank
            self.gso = segment
            return reasons.FORWARDED
        self.summed = p.blank
        if p.blank:
            fill(p.frame, p.end)
        return self._cut(egress, p.frame, p.size, p.end)

    def _icmp_error(self, p, now):
        """An error that a flow's packet caused, on its way to who sent that. None is sent about an error."""
        n = self.neighbours
        w = n.flows.records
        client = p.ingress.client
        if client and not p.ingress.bucket.has(ERROR_COST, now):
            return reasons.ICMP_GUESS
        if len(p.frame) < p.end:
            return reasons.GATHER
        key = icmp_quote.key(p, client.side if client else SIDE_UPLINK)
        if key is None:
            return reasons.ICMP_ERROR
        half = n.flows.find(*key)
        # the sender of an error was sent the packet that it quotes, so the flow must be the sender's own: else a client
        # could probe for another's flows, and write to remotes by that one's rules
        at = record.at(half)
        if half < 0 or not n.flows.live(half, now) or w[at + CLIENT] != (client.slot if client else 0):
            if not client:
                return reasons.ICMP_ERROR
            p.ingress.bucket.take(ERROR_COST, now)
            return reasons.ICMP_GUESS
        # it goes to who sent what it quotes, and to nobody else
        if byteorder.swap(p.dst) != w[at + DST] or p.ttl <= 1:
            return reasons.ICMP_ERROR
        if not self._allowed(half, now):
            return reasons.DENIED
        egress = self._egress(at)
        if egress is None or p.total > egress.mtu:  # without an uplink no octets pass
            return reasons.ICMP_ERROR
        icmp_quote.translate(p, w, at)
        return self._send(p, egress, 0)
