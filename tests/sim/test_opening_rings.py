"""Flows that begin in random rings, nearly right ones too, beside the judge and by him: the same comes of it.

The scenes of bending.py, in which clients begin flows in every burst: plain ones and such as are the judge's,
among packets of known flows; rules refuse some, and are changed.
"""
import pytest
from bending import A, B, SERVER, Scene, both, same
from packets import ACK, RST, SYN, echo, tcp, udp

OTHER = "198.51.100.9"
NOWHERE = ("10.138.0.1", "255.255.255.255", "127.0.0.1")
SOME = ["action=drop dst4=198.51.100.0/24 proto=udp", "action=drop proto=tcp dstports=25-25", "action=accept"]
# flows that the netvm answers are let out by all lists: whose turn it is must make no difference
LESS = ["action=drop dst4=198.51.100.0/24", "action=drop proto=tcp dstports=25-25", "action=accept"]


class Beginning(Scene):
    def bend(self):
        super().bend()
        self.rules(SOME)
        for wire in (self.net.a, self.net.b):
            # who is answered first has the first identification
            wire.send(echo(wire.address, self.net.address))
            assert wire.recv()

    def rules(self, entries):
        self.net.set_rules(A, entries)
        assert self.net.complaint in ("", "-"), self.net.complaint

    def frame(self, wire):
        net, rng = self.net, self.rng
        if wire is net.uplink or rng.random() < 0.3:
            return super().frame(wire)
        src = wire.address if rng.random() < 0.95 else rng.choice((A, B, OTHER, net.address))
        dst = rng.choice((SERVER, SERVER, OTHER, OTHER, A, B, net.address, *NOWHERE))
        # those of two clients never are the same: who of them keeps a port depends on whose turn it is
        sport = rng.randrange(5000, 5040) + (100 if wire is net.b else 0)
        data = bytes([rng.randrange(256)]) * rng.choice((0, 1, 8, 500, 1452, 1472, 1500))
        ttl = rng.choice((64, 64, 64, 64, 2, 1, 0))
        proto = rng.choice("uuuttttee")
        if proto == "t":
            flags = rng.choice((SYN, SYN, SYN, SYN | 0xC0, SYN | ACK, ACK, RST, 0, 3))
            return tcp(src, sport, dst, rng.choice((80, 25)), flags, data, ttl=ttl), False, 0
        if proto == "e":
            return echo(src, dst, ident=sport, data=data, ttl=ttl), False, 0
        blank = rng.random() < 0.2
        return udp(src, sport, dst, rng.choice((53, 443)), data, blank=blank, ttl=ttl), blank, 0

    def act(self):
        super().act()
        net, rng = self.net, self.rng
        if net.uplink.end.holds and net.uplink.end.tx:
            # one act long: what a ring that is full leaves in clients' rings depends on the way
            net.uplink.end.holds = False
            net.uplink.end.resume()
            net.settle()
        if rng.random() < 0.2 and net.a.end.tx and net.a.end.room() > 100:
            # more than it is told of
            for i in range(80):
                net.a.end.queue(udp(A, 6000 + i, OTHER, 53) if i % 9 else udp(A, 5000 + i % 40, SERVER, 443))
            net.a.end.kick()
            net.settle()
        luck = rng.random()
        if luck < 0.05:
            self.rules(rng.choice((SOME, LESS, ["action=accept"])))
        elif luck < 0.08:
            net.advance(rng.choice((0.02, 1, 3)))


@pytest.mark.parametrize("who", ["nobody", "client"])
@pytest.mark.parametrize("seed", range(6))
def test_flows_begin_the_same_way(seed, who):
    same(both(Beginning, seed, who, 40))
