"""The judge under the project's own MicroPython: what it allocates, and the same octets out.

What a packet takes is printed and no more: it is of this machine. test_costs.py and test_price.py count, and judge.
"""
import random

import pytest
from packets import ACK, SYN, echo, error, fragments, tcp, udp
from scenes import A, OURS, SERVER

import interpreter
from tests.network import Network

under_micropython = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)

GENERATOR = """
class Generator:
    state = 1

    def __call__(self, count):
        out = bytearray(count)
        for i in range(count):
            self.state = self.state * 1103515245 + 12345 & 0x3FFFFFFF
            out[i] = self.state >> 16 & 255
        return bytes(out)
"""

SET_UP = """
import gc, xen
from struct import pack_into
from firewall.judge import Judge
from firewall.neighbours import Neighbours
from firewall.rules import matcher as rules
from firewall.rules.names import NoNames
from firewall.wire.address import parse4

kept = []
def words(count):
    kept.append(xen.mem(count * 4))
    return xen.view(kept[-1], "I")

def set_rules(texts):
    entries = {"%04d" % i: text for i, text in enumerate(texts)}
    entries["policy"] = b"drop"
    n.set_rules(A, rules.load(entries, "10.137.0.21", (), NoNames())[0])

GENERATOR
octets = Generator()
n = Neighbours(CAPACITY, words, octets)
n.gateway = parse4("10.138.0.2")
judge = Judge(n, octets)
MAC = b"\\x00\\x16\\x3e\\x5e\\x6c\\x00"
n.uplink_up(n.gateway, MAC, parse4("10.138.0.1"))
A = parse4("10.137.0.21")
n.attach(A, 1, MAC)
set_rules([b"action=accept"])
frame = xen.mem(65536)
""".replace("GENERATOR", GENERATOR)

COST = """
def rounds(ports, now):
    best = 1 << 60
    for first in range(0, len(ports), 20):
        spent = 0
        for port in ports[first : first + 20]:
            frame[: len(base)] = base
            pack_into(">H", frame, 34, port)
            begin = xen.ns()
            verdict = judge.frame(1, frame, len(base), now)
            spent += xen.ns() - begin
            assert verdict == 0
        best = min(best, spent // 20)
    return best

for count in (10, 200):
    set_rules([b"action=drop dst4=198.51.%d.0/24 proto=udp dstports=80-90" % i for i in range(count - 1)] + [b"action=accept"])
    gc.collect()
    ports = list(range(count * 100, count * 100 + 3000))
    print(rounds(ports, 1), rounds(ports, 2), rounds(ports, 3))
"""


@under_micropython
def test_what_a_packet_takes_on_this_machine(figure):
    """Figures without a verdict: the best of many rounds, as other work on the machine only ever adds to them."""
    base = udp(A, 1, SERVER, 80, bytes(18), check=0)
    lines = interpreter.run("CAPACITY = 65536\n" + SET_UP + "base = %r\n" % base + COST)
    (first, hit, again), (first_200, _, _) = [[int(word) / 1000 for word in line.split()] for line in lines]
    figure("first packet of a flow, 10 / 200 rules, on this machine", "%.1f / %.1f us" % (first, first_200))
    figure("packet of a known flow, slow path, on this machine", "%.1f us" % min(hit, again))


@under_micropython
def test_a_known_flow_allocates_little():
    """No more than small tuples: nothing that a collection would have to hurry for."""
    base = tcp(A, 4001, SERVER, 80, SYN, b"x" * 1000)
    script = "CAPACITY = 1024\n" + SET_UP + "base = %r\n" % base + """
def one():
    frame[: len(base)] = base
    return judge.frame(1, frame, len(base), 1)

one()
gc.collect()
before = gc.mem_alloc()
for _ in range(100):
    one()
print((gc.mem_alloc() - before) // 100)
"""
    assert int(interpreter.run(script)[0]) <= 6 * 64


def scene(rng):
    """Frames of an honest and a bent kind: (link, frame)."""
    for i in range(300):
        sport = rng.choice((1, 80, 4001, 4002))
        server = rng.choice((SERVER, "192.0.2.51"))
        flags = rng.choice((SYN, ACK, SYN | ACK, 4, 17, 0, 3))
        yield 1, rng.choice((
            tcp(A, sport, server, 80, flags), udp(A, sport, server, 53), echo(A, server, ident=sport),
            udp(A, sport, server, 53, bytes(1600)), udp(A, sport, server, 53, ttl=1),
        ))
        yield 0, error("203.0.113.1", OURS, 3, 1, udp(OURS, sport, server, 53)[14:][: rng.choice((28, 40))])
        yield 0, rng.choice((
            tcp(server, 80, OURS, sport, flags), udp(server, 53, OURS, sport), echo(server, OURS, ident=sport, kind=0),
        ))
        pieces = fragments(udp(A, sport, server, 53, bytes([i & 255]) * 3000, ident=i), 1480, 1480)
        for piece in rng.sample(pieces, rng.choice((1, 3))):
            yield 1, piece
        frame = bytearray(udp(A, sport, server, 53))
        frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
        yield 1, bytes(frame)


@under_micropython
def test_same_octets_out_as_under_cpython():
    frames = list(scene(random.Random(5)))

    space = {}
    exec(GENERATOR, space)
    with Network(octets=space["Generator"]()) as net:
        client = net.client(A)
        expected = []
        for i, (link, frame) in enumerate(frames):
            net.now = i
            (client if link else net.uplink).send(frame)
            out = [bytes(f) for wire in (net.uplink, client) for f, _, _ in wire.frames]
            net.uplink.frames.clear()
            client.frames.clear()
            expected.append("%d %s" % (net.verdict, [list(f) for f in out]))
    script = "CAPACITY = 1024\n" + SET_UP + """
def one(now, link, octets):
    frame[: len(octets)] = octets
    verdict = judge.frame(link, frame, len(octets), now)
    out = [(judge.egress, bytes(frame[: judge.octets]))] if verdict == 0 else []
    out += [(number, bytes(f)) for number, f in judge.out]
    judge.out.clear()
    out = [f for number, f in out if number == 0] + [f for number, f in out if number == 1]
    print(verdict, [list(f) for f in out])
"""
    script += "\n".join("one(%d, %d, %r)" % (i, link, frame) for i, (link, frame) in enumerate(frames))
    assert interpreter.run(script) == expected
