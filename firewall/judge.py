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
from struct import unpack_from

from firewall import ethernet, flowstate, icmp, ipv4, quoted, reasons, replies, rewrite, tcp, udp, words
from firewall.clients import ECHO_COST, ERROR_COST
from firewall.fragments import split
from firewall.packet import IP, Packet
from firewall.record import BACK, CLIENT, DST, EGRESS, GENERATION, KIND, OCTETS, PACKETS, PORTS, SEEN, SIDE_CLIENT, SIDE_UPLINK

_GROUPS = 0xE0000000  # multicast, reserved and broadcast addresses begin here
_NOWHERE = (0, 127)  # first octets of addresses that are on no wire (RFC 1122 3.2.1.3)


class Judge:
    def __init__(self, neighbours, random):
        """random(octets) -> bytes."""
        self.n = neighbours
        self.out = []
        self.counters = [0] * reasons.COUNT
        self.services = {}  # protocol << 16 | port of ours -> function(frame, l4, end, source, now)
        self.egress = self.octets = self.gso = 0
        self.blank = False
        self._p = Packet()
        two = random(2)
        self._ident = two[0] << 8 | two[1]

    def frame(self, number, frame, octets, now, blank=False, gso=0):
        """Judge what came in on a link. The verdict, from reasons.py.

        frame: a bytearray with the whole frame, or with at least its first 4096 octets: then octets, its length, may
        be more. blank, gso: its offloads (packet.Packet).
        """
        link = self.n.links.get(number)
        if link is None:
            verdict = reasons.NO_LINK
        else:
            verdict = self._frame(link, frame, octets, now, blank, gso)
        self.counters[verdict] += 1
        return verdict

    def _frame(self, link, frame, octets, now, blank, gso):
        if octets < ethernet.SIZE:
            return reasons.ETHERNET
        kind = frame[ethernet.TYPE] << 8 | frame[ethernet.TYPE + 1]
        if kind == ethernet.ARP:
            return self._arp(link, frame, octets)
        if kind != ethernet.IPV4:
            return reasons.ETHERNET
        if frame[ethernet.DST] & 1:
            return reasons.GROUP_FRAME
        p = self._p
        wrong = p.read(link, frame, octets, blank, gso) or self._addresses(p)
        if wrong:
            return wrong
        if p.fragment & ipv4.FRAGMENT_MASK:
            if len(frame) < p.end:
                return reasons.GATHER
            client = link.client
            whole = self.n.fragments.add(p, client.slot if client else 0, now)
            if not isinstance(whole, bytearray):
                return whole
            wrong = p.read(link, whole, len(whole), False, 0)
            p.whole = True
            if wrong:
                return wrong
        wrong = p.transport()
        if wrong:
            return wrong
        if link.client and self.n.ours(p.dst):
            return self._ours(p, now)
        if p.kind >= 0 and not p.query:
            return self._icmp_error(p, now) if p.kind in quoted.PASSING else reasons.ICMP_TYPE
        return self._flow(p, now)

    def _addresses(self, p):
        """May this source say this to this destination at all? 0, or a reason."""
        n = self.n
        client = p.link.client
        if p.src >> 24 in _NOWHERE or p.src >= _GROUPS:
            return reasons.BAD_SOURCE
        if p.dst >> 24 in _NOWHERE or p.dst >= _GROUPS or p.dst == n.broadcast:
            return reasons.BAD_DESTINATION
        if p.src == p.dst:
            return reasons.LAND
        if client:
            # identity is the link's, never the packet's (behaviours 17, 28)
            return 0 if p.src == client.address else reasons.SPOOFED
        if n.ours(p.src) or p.src in n.clients.by_address or p.src in n.connected:
            return reasons.SPOOFED_UPLINK  # QSB-056
        return 0 if p.dst == n.nat.address else reasons.NOT_OURS

    # --- packets of flows ---

    def _flow(self, p, now):
        n = self.n
        client = p.link.client
        src, dst = unpack_from("<II", p.frame, IP + ipv4.SRC)
        half = n.flows.find(src, dst, p.ports, p.proto | (SIDE_CLIENT if client else SIDE_UPLINK))
        w = n.flows.records
        # is it a flow of this very sender, or of one that had its address, and is it alive?
        if half >= 0 and (w[(half << 4) + CLIENT] != (client.slot if client else 0) or not n.flows.live(half, now)):
            n.flows.remove(half >> 1)
            half = -1
        if half < 0 and not client:
            return self._service(p, now)
        if p.ttl <= 1:
            self._error(p, icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, 0, now)
            return reasons.TTL
        if half < 0:
            return self._open(p, now)
        there = (half & ~1) << 4
        if w[there + GENERATION] != n.clients.generations[w[there + CLIENT]]:
            if not self._still_allowed(there, now):
                n.flows.remove(half >> 1)
                if not half & 1:
                    self._error(p, icmp.DEST_UNREACHABLE, icmp.ADMIN_PROHIBITED, 0, now)
                return reasons.DENIED
        return self._forward(p, half, now)

    def _still_allowed(self, there, now):
        """Judge a flow by rules that are newer than it, and stamp it if they allow it too."""
        n = self.n
        w = n.flows.records
        client = n.clients.by_slot[w[there + CLIENT]]
        dst = words.swap(w[there + DST])
        if w[there + BACK + CLIENT] and (client.address, dst) not in n.pairs:
            return False
        proto = w[there + KIND] & 0xFF
        port = words.second(w[there + PORTS])
        l4 = proto == ipv4.TCP or proto == ipv4.UDP
        kind = port if proto == ipv4.ICMP else -1
        if not client.rules.decide(proto, dst, port if l4 else -1, kind, now)[0]:
            return False
        w[there + GENERATION] = n.clients.generations[client.slot]
        return True

    def _open(self, p, now):
        """The first packet of a flow, from a client."""
        n = self.n
        client = p.link.client
        if not p.begins():
            return reasons.NO_FLOW
        peer = n.clients.by_address.get(p.dst)
        if peer is None:
            if p.dst in n.connected:
                return self._refuse(p, reasons.NOT_ATTACHED, now)  # not to be told to the uplink
            if n.uplink is None:
                self._error(p, icmp.DEST_UNREACHABLE, icmp.NET_UNREACHABLE, 0, now)
                return reasons.NO_UPLINK
        elif (p.src, p.dst) not in n.pairs:
            return self._refuse(p, reasons.OTHER_CLIENT, now)
        if not client.rules.decide(p.proto, p.dst, p.destination_port(), p.kind, now)[0]:
            return self._refuse(p, reasons.DENIED, now)
        egress = peer.links[-1] if peer else n.uplink
        if not self._fits(p, egress):
            return self._too_big(p, egress, now)
        record = n.nat.open(p, egress, now)
        if record < 0:
            return self._refuse(p, -record, now)
        return self._forward(p, record * 2, now)

    def _forward(self, p, half, now):
        """Let p go as half says; all but the way out is already asked."""
        n = self.n
        w = n.flows.records
        at = half << 4
        there = at & ~BACK
        egress = n.links.get(w[at + EGRESS] & 0xFFFF)
        receiver = n.clients.by_slot[w[(at ^ BACK) + CLIENT]]
        if receiver and (egress is None or egress.client is not receiver):
            # the interface is gone, and its number perhaps another's; the client still has one
            egress = receiver.links[-1]
            w[at + EGRESS] = w[at + EGRESS] & 0xFFFF0000 | egress.number
        elif egress is None:
            self._error(p, icmp.DEST_UNREACHABLE, icmp.NET_UNREACHABLE, 0, now)
            return reasons.NO_UPLINK
        if not self._fits(p, egress):
            return self._too_big(p, egress, now)
        if (p.total > egress.mtu and not p.gso) and len(p.frame) < p.end:
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
        rewrite.rewrite(p, w, at)
        return self._send(p, egress)

    def _fits(self, p, egress):
        """Can p leave here, whole or in pieces? False: it is too large and must not be cut."""
        if p.gso:
            headers = p.l4 - IP + (p.frame[p.l4 + tcp.DATA_OFFSET] >> 4 << 2)
            if headers + p.gso <= egress.mtu:
                return True
            if p.fragment & ipv4.DF:
                return False
            p.gso = egress.mtu - headers  # smaller segments instead of pieces of segments
            return p.gso > 0
        # what came in pieces may leave in pieces
        return p.total <= egress.mtu or p.whole or not p.fragment & ipv4.DF

    def _too_big(self, p, egress, now):
        self._error(p, icmp.DEST_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, egress.mtu, now)
        return reasons.TOO_BIG

    def _send(self, p, egress):
        """The rewritten packet leaves: in place, or as frames in out if it is too large or was in pieces."""
        p.frame[: ethernet.SIZE] = egress.header
        if not p.whole and (p.gso or p.total <= egress.mtu):
            self.egress = egress.number
            self.octets = p.end
            self.blank = p.blank
            self.gso = p.gso
            return reasons.FORWARDED
        rewrite.complete(p)
        self._cut(egress, p.frame, p.size, p.end)
        return reasons.QUEUED

    def _cut(self, egress, frame, size, end):
        """Put a whole frame of ours into out, in as many pieces as the link needs."""
        if end - IP <= egress.mtu:
            self.out.append((egress.number, frame))
            return
        for piece in split(frame, size, end, egress.mtu, self._next_ident()):
            self.out.append((egress.number, piece))

    # --- packets to us, about us, by us ---

    def _ours(self, p, now):
        """From a client to the firewall itself: pings are answered, the rest is dropped, as Linux does."""
        if p.kind != icmp.ECHO:
            return reasons.OURS
        if len(p.frame) < p.end:
            return reasons.GATHER
        if p.link.bucket.take(ECHO_COST, now):
            frame = replies.pong(p, self._next_ident())
            if frame is None:
                return reasons.TRANSPORT
            self._cut(p.link, frame, ipv4.SIZE, len(frame))
        return reasons.QUEUED

    def _service(self, p, now):
        """From the uplink to us, of no flow: for a service of ours, or for nobody."""
        service = self.services.get(p.proto << 16 | p.destination_port()) if p.ports else None
        if service is None:
            return reasons.NO_FLOW
        if len(p.frame) < p.end:
            return reasons.GATHER
        if not p.blank:
            if p.proto == ipv4.TCP:
                right = tcp.checksum_ok(p.frame, p.l4, p.end, p.src, p.dst)
            else:
                length = p.frame[p.l4 + udp.LENGTH] << 8 | p.frame[p.l4 + udp.LENGTH + 1]
                right = udp.checksum_ok(p.frame, p.l4, length, p.src, p.dst)
            if not right:
                return reasons.TRANSPORT
        service(p.frame, p.l4, p.end, p.src, now)
        return reasons.QUEUED

    def _icmp_error(self, p, now):
        """An error that a flow's packet caused, on its way to who sent that."""
        n = self.n
        if len(p.frame) < p.end:
            return reasons.GATHER
        client = p.link.client
        key = quoted.key(p, SIDE_CLIENT if client else SIDE_UPLINK)
        half = -1 if key is None else n.flows.find(*key)
        w = n.flows.records
        if half >= 0 and w[(half << 4) + CLIENT] != (client.slot if client else 0):
            half = -1
        # an error goes to who sent what it quotes, and to nobody else
        if half < 0 or not n.flows.live(half, now) or words.swap(p.dst) != w[(half << 4) + DST]:
            return reasons.ICMP_ERROR
        there = (half & ~1) << 4
        if w[there + GENERATION] != n.clients.generations[w[there + CLIENT]] and not self._still_allowed(there, now):
            n.flows.remove(half >> 1)
            return reasons.DENIED
        receiver = n.clients.by_slot[w[((half << 4) ^ BACK) + CLIENT]]
        egress = n.links.get(w[(half << 4) + EGRESS] & 0xFFFF)
        if receiver and (egress is None or egress.client is not receiver):
            egress = receiver.links[-1]
        if p.ttl <= 1 or egress is None or p.total > egress.mtu:
            return reasons.ICMP_ERROR  # no error is sent about an error
        quoted.translate(p, w, half)
        return self._send(p, egress)

    def _refuse(self, p, reason, now):
        """A client hears that this is prohibited, rather than waiting for nothing."""
        self._error(p, icmp.DEST_UNREACHABLE, icmp.ADMIN_PROHIBITED, 0, now)
        return reason

    def _error(self, p, kind, code, rest, now):
        """An ICMP error about p to its sender, if one may be sent and its share is not used up."""
        if not replies.may_answer(p) or not p.link.bucket.take(ERROR_COST, now):
            return
        source = self.n.nat.address
        if p.link.client and self.n.gateway:
            source = self.n.gateway
        if source:
            self.out.append((p.link.number, replies.error(p, kind, code, rest, source, self._next_ident())))

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

    def _next_ident(self):
        self._ident = self._ident + 1 & 0xFFFF
        return self._ident
