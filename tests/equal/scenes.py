"""What happens in a round: conversations, pieces, mistakes; rules, clients and netvms that come and go."""
import rulegen
from packets import ICMP, TCP, UDP, ip
from series import CLIENTS, Series
from traffic import REMOTES, View

IDLE = 60, 120, 240, 300, 600  # s, about which flows end
BAD_RULES = ("action=accept dst4=192.0.2.0/33", "action=accept proto=tcp dstports=9-8", "action=accept dst4=1.2.3.4 dst4=1.2.3.4", "drop",
             "action=accept dsthost=-. proto=icmp dstports=53", "action=accept icmptype=8", "action=accept dst6=fe80::1")


class Scenes(Series):
    # ---- frames

    def one(self):
        wire = self.any_wire()
        if wire:
            self.send(wire, self.fresh(wire))

    def burst(self):
        wire = self.any_wire()
        if wire:
            self.together = self.random.randrange(2, 30) if self.ground.bursts else 0
            for _ in range(self.together + 1):
                self.send(wire, self.fresh(wire))
            self.settle()

    def settle(self):
        if self.together:
            self.together = 0
            self.note("nobody sends")

    def conversation(self):
        """Opened, answered, gone on with and perhaps ended, the newest frame always being answered."""
        wire, uplink = self.client(), self.net.uplink
        if not wire or not uplink:
            return
        self.send(wire, self.traffic.first(wire.address))
        for _ in range(self.random.randrange(1, 10)):
            end, source = (uplink, None) if self.chance(0.5) else (wire, wire.address)
            if self.got[end]:
                self.send(end, self.traffic.answer(self.got[end][-1], source))
            elif self.sent[end]:
                self.send(end, self.traffic.again(self.sent[end][-1]))

    def about_idle(self):
        """A flow that rests for nearly as long as it may, or for a little longer, and then goes on."""
        wire, uplink = self.client(), self.net.uplink
        if not wire or not uplink:
            return
        self.send(wire, self.traffic.first(wire.address))
        for _ in range(self.random.randrange(4)):
            if self.got[uplink]:
                self.send(uplink, self.traffic.answer(self.got[uplink][-1]))
            if self.got[wire] and self.chance(0.5):
                self.send(wire, self.traffic.answer(self.got[wire][-1], wire.address))
        self.advance(self.random.choice(IDLE) + self.random.choice((-0.5, 0, 0.001, 0.5)))
        if self.got[uplink] and self.chance(0.7):
            self.send(uplink, self.traffic.answer(self.got[uplink][-1]))
        if self.sent[wire]:
            self.send(wire, self.traffic.again(self.sent[wire][-1]))

    def pieces(self):
        wire = self.any_wire()
        if not wire:
            return
        frame = self.fresh(wire)
        seen = View(frame)
        if self.chance(0.6) and seen.proto == UDP:
            size = self.random.choice((1600, 3000, 6000, 20000))
            frame = self.traffic.udp(seen.src, seen.sport, seen.dst, seen.dport, self.random.randbytes(size))
        for piece in self.traffic.in_pieces(frame):
            self.send(wire, piece)
            if self.chance(0.01):
                self.advance(self.random.choice((1, 29, 31)))

    def many_pieces(self):
        """First pieces only, of many datagrams: more than may wait."""
        wire = self.any_wire()
        if wire:
            frame = self.fresh(wire)
            if View(frame).proto < 0:
                return
            for ident in range(self.random.randrange(20, 60)):
                data = self.traffic.in_pieces(frame[:18] + ident.to_bytes(2, "big") + frame[20:])
                self.send(wire, data[0])

    def super_frame(self):
        wire = self.any_wire()
        frame = wire and (self.a_frame(self.sent[wire]) or self.fresh(wire))
        if wire is self.net.uplink and wire and self.got[wire]:
            frame = self.traffic.answer(self.a_frame(self.got[wire]))
        made = frame and self.traffic.super_frame(frame)
        if made:
            self.send(wire, *made)

    def jumbo(self):
        """More than a page in one frame that stands for itself: the whole of it is needed to cut, answer or collect it."""
        wire = self.any_wire()
        frame = wire and self.fresh(wire)
        seen = View(frame or b"")
        if seen.proto not in (TCP, UDP, ICMP):
            return
        data = self.random.randbytes(self.random.choice((4100, 6000, 8000, 30000)))
        blank = self.chance(0.5)
        if seen.proto == TCP:
            frame = self.traffic.tcp(seen.src, seen.sport, seen.dst, seen.dport, 24, data, blank=blank)
        elif seen.proto == UDP:
            frame = self.traffic.udp(seen.src, seen.sport, seen.dst, seen.dport, data, blank=blank)
        else:
            frame = self.traffic.question(seen.src, self.random.choice((seen.dst, self.net.address)), data=data)
        self.send(wire, frame, blank and seen.proto != ICMP)

    def promises(self):
        """Offloads, right or wrong, on any frame."""
        wire = self.any_wire()
        if not wire:
            return
        frame = self.a_frame(self.got[wire])
        frame = frame and self.traffic.answer(frame, None if wire is self.net.uplink else wire.address, blank=True)
        frame = frame or self.fresh(wire)
        self.send(wire, frame, self.chance(0.8), self.random.choice((1, 536, 1448, 9000, 65535)) if self.chance(0.2) else 0)

    def wrong(self):
        wire = self.any_wire()
        if wire:
            source = wire.address if wire is not self.net.uplink else self.random.choice(REMOTES + (wire.address,))
            self.send(wire, self.traffic.wrong(source, self.net.address, CLIENTS))

    def mutated(self):
        wire = self.any_wire()
        if wire:
            self.send(wire, self.traffic.mutated(self.fresh(wire)))

    def between(self):
        """To another client, and its answer."""
        wire, other = self.client(), self.client()
        if wire and wire is not other:
            self.send(wire, self.traffic.first(wire.address, other.address))
            for end in (other, wire, other):
                if end in self.got and self.got[end]:
                    self.send(end, self.traffic.answer(self.got[end][-1], end.address))

    def alike(self):
        """All clients open what outside would be the same flow."""
        dst = self.random.choice(REMOTES)
        sport, dport = self.traffic.ports()
        protocol, build = self.random.choice((47, 50)), self.random.randrange(3)
        for wire in self.clients:
            if build == 0:
                self.send(wire, self.traffic.udp(wire.address, sport, dst, dport, b"data"))
            elif build == 1:
                self.send(wire, self.traffic.tcp(wire.address, sport, dst, dport, 2))
            else:
                self.send(wire, ip(wire.address, dst, protocol, b"data"))

    def flood(self):
        """Many flows of one client: more than its share, perhaps all in use."""
        wire, uplink = self.client(), self.net.uplink
        if wire:
            dst, build = self.random.choice(REMOTES), self.random.choice((self.traffic.tcp, self.traffic.udp))
            begin = self.random.randrange(1024, 60000)
            last = 2 if build == self.traffic.tcp else b"x"
            used = uplink and self.chance(0.3)
            for i in range(self.random.randrange(10, 120)):
                self.send(wire, build(wire.address, begin + i, dst, self.random.choice((53, 80, 443)), last))
                if used and self.got[uplink]:
                    for _ in range(2):
                        self.send(uplink, self.traffic.answer(self.got[uplink][-1]))
                        self.send(wire, self.traffic.again(self.sent[wire][-1]))

    # ---- events

    def rules(self, address):
        random = self.random
        lines = [rulegen.rule(random) for _ in range(random.choice((0, 1, 3, 8, 20)))]
        if self.chance(0.7):
            lines.append("action=accept")
        if self.chance(0.05):
            lines.insert(random.randrange(len(lines) + 1), random.choice(BAD_RULES))
        entries = {"%04d" % i: text.encode() for i, text in enumerate(lines)}
        entries["policy"] = random.choice((b"drop", b"accept"))
        if self.chance(0.02):
            del entries["policy"]
        self.do("rules", self.net.set_rules, address, entries)
        self.note("complaint", str(self.net.complaint))

    def reload(self):
        wire = self.client()
        if wire:
            self.rules(wire.address)

    def attach(self):
        if len(self.clients) < 5:
            wire = self.client() if self.chance(0.4) else None
            address = wire.address if wire else self.random.choice(CLIENTS)  # perhaps a second interface
            options = self.ground.client_options(self.random)
            wire = self.net.client(address, None, **options)
            self._known(wire)
            self.note("attach %s %s" % (address, options))
            if self.chance(0.95):
                self.rules(address)
            if self.chance(0.6):
                self.do("rules", self.net.set_rules, address, ["action=accept"])

    def detach(self):
        """An interface goes; what comes by the uplink is for its flows, too, which another one of its client's may take."""
        wire, uplink = self.client(), self.net.uplink
        if wire and len(self.clients) > 1:
            del self.sent[wire], self.got[wire]
            self.ground.detach(wire)
            self.gone.append(wire)
            self.note("detach %s" % wire.address)
            if self.ground.late:
                self.send(self.random.choice(self.gone), self.traffic.first(wire.address))
            for _ in range(3):
                if uplink and self.got[uplink]:
                    self.send(uplink, self.traffic.answer(self.a_frame(self.got[uplink])))

    def known(self):
        addresses = [address for address in CLIENTS if self.chance(0.6)]
        self.do("connected", self.net.connected, *addresses, only=self.chance(0.3))
        if self.chance(0.5):
            self.do("connected", self.net.connected)

    def pairs(self):
        pairs = [(a, b) for a in CLIENTS for b in CLIENTS if a != b and self.chance(0.4)]
        self.do("pairs", self.net.allow, *pairs)

    def wait(self):
        self.advance(self.random.choice((0.05, 0.05, 0.3, 1, 1, 2, 5, 31, self.ground.long)))

    def netvm(self):
        """It goes, and another comes, perhaps with another address for us."""
        if self.net.uplink:
            wire = self.net.uplink
            del self.sent[wire], self.got[wire]
            self.ground.no_netvm()
            self.note("no netvm")
            for _ in range(self.random.randrange(4)):
                wire = self.client()
                if wire:
                    self.send(wire, self.fresh(wire))
        address = self.net.address if self.chance(0.7) else self.random.choice(("10.138.0.2", "10.138.0.9"))
        options = self.ground.netvm_options(self.random)
        wire = self.ground.netvm(address, **options)
        self._known(wire)
        self.note("netvm %s %s" % (address, options))
        if self.chance(0.5):
            self.send(wire, self.traffic.wrong(wire.address, self.net.address, CLIENTS))

    def hostile(self):
        """What only rings can do."""
        wire = self.any_wire()
        if wire and self.ground.hostile:
            self.note("hostile %s: %s" % (self.name(wire), self.ground.lie(wire, self.random)))
            if not self.ground.healed(wire):
                del self.sent[wire], self.got[wire]
                self.gone.append(wire)
                self.note("%s is gone" % self.name(wire))

    SCENES = (
        (100, one), (10, burst), (40, conversation), (3, about_idle), (8, pieces), (1, many_pieces), (6, super_frame), (4, jumbo), (8, promises),
        (25, wrong), (40, mutated), (6, between), (4, alike), (1, flood), (3, reload), (3, attach), (2, detach), (2, known), (2, pairs), (6, wait),
        (1, netvm), (3, hostile),
    )  # fmt: skip

    def run(self):
        self.attach()
        self.attach()
        scenes = [scene for weight, scene in self.SCENES for _ in range(weight)]
        while self.left > 0:
            self.random.choice(scenes)(self)
            if self.chance(0.02):
                self.note("figures", self.ground.figures())
        self.note("figures", self.ground.figures())
