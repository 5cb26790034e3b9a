"""Rules and wire formats under the project's MicroPython: the same answers, no allocation, the cost."""
import json
import random

import pytest

from firewall.wire import address, arp, checksum, ethernet, icmp, ipv4, tcp, udp
from images import explain

import interpreter
import rulegen
from test_rule_cases import HERE

WIRE = (address, arp, checksum, ethernet, icmp, ipv4, tcp, udp)
LIMIT = 10  # 200 rules must not cost this many times what 20 cost

under_micropython = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)


def questions():
    """(entries, address, resolvers, names, what decide() is asked or None), plain values only."""
    for name in ("rule_parse.jsonl", "rule_verdict.jsonl", "rule_more.jsonl"):
        for line in (HERE / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            packet = row.get("packet")
            asked = None
            if packet:
                dst = address.parse(packet["dst"])
                asked = explain.protocol(packet), dst, packet.get("dport", -1), packet.get("type", -1), 0
            names = {
                host: None if found is None else explain.addresses(found)
                for host, found in row.get("names", {}).items()
            }
            client = row.get("address") or (packet or {}).get("src", "")
            yield explain.entries(row), client, explain.addresses(row.get("dns", ())), names, asked


# repr() of text and octets differs between the two interpreters; lists of numbers do not
SHOW = """
def show(value):
    if isinstance(value, str):
        return ["text"] + list(value.encode())
    if isinstance(value, (bytes, bytearray)):
        return ["octets"] + list(value)
    if isinstance(value, tuple):
        return [show(item) for item in value]
    return value
"""
exec(SHOW)

ANSWER = """
from firewall.rules import matcher

class Names:
    def __init__(self, names):
        self.addresses = lambda host: names.get(host)
        self.epoch = lambda now: 0

def answer(entries, address, resolvers, names, asked):
    rule_list, why = matcher.load(entries, address, resolvers, Names(names))
    return why, rule_list.decide(*asked) if asked else None
"""


@under_micropython
def test_cases_have_the_same_answer():
    space = {}
    exec(ANSWER, space)
    asked = list(questions())
    assert len(asked) > 400
    for start in range(0, len(asked), 100):
        some = asked[start : start + 100]
        script = [SHOW, ANSWER]
        # one at a time: the compiler keeps a whole list of literals on the heap otherwise
        script += ["print(show(answer(*%r)))" % (question,) for question in some]
        expected = [str(show(space["answer"](*question))) for question in some]  # noqa: F821
        assert interpreter.run("\n".join(script)) == expected


def calls(rng):
    """Random calls of everything in the wire modules that takes plain values."""
    data = rng.randbytes(rng.choice((0, 7, 8, 14, 19, 20, 28, 42, 60, 80)))
    if len(data) > 9 and rng.random() < 0.8:  # or hardly anything would be a header
        total = rng.choice((20, 24, len(data), len(data) - 4))
        head = bytes((0x40 | rng.choice((5, 6, 7, 15)), 0, total >> 8 & 255, total & 255))
        data = rng.choice((head, b"\0\x01\x08\0\x06\x04\0\x01", b"")) + data
    at = rng.choice((0, 0, 2))
    end = len(data) - rng.choice((0, 0, 1))
    word = rng.getrandbits(16)
    number = rng.getrandbits(32)
    yield "checksum.total", data, 0, len(data), word
    yield "checksum.update", word, rng.getrandbits(18)
    yield "checksum.delta32", number, rng.getrandbits(32)
    yield "checksum.pseudo", number, rng.getrandbits(32), 6, word
    yield "ethernet.header", b"123456", b"abcdef", word
    yield "arp.parse", data, at
    for name in ("icmp.parse", "ipv4.parse_quoted", "tcp.parse", "udp.parse"):
        yield name, data, at, end
    found = ipv4.parse_quoted(data, at, end)
    if found:
        yield "ipv4.options", data, at, found[0]
        yield "ipv4.checksum_ok", data, at, found[0]
        if ipv4.options(data, at, found[0]) == ipv4.PLAIN:
            yield "ipv4.copied_options", data, at, found[0]
    yield "ipv4.header", word, word, 0, 64, 6, number, 1, 0, b"\x01\x01\x01\x01"
    yield "address.text4", number
    yield "address.parse4", "%d.%d.%d.%d" % tuple(rng.choice((0, 9, 99, 255, 256)) for _ in range(4))
    yield "icmp.message", 8, 0, number, data
    yield "arp.build", 2, data[:6], number, data[:6], 7
    groups = [rng.choice(("", "0", "ffff", "12345", "1.2.3.4")) for _ in range(rng.randrange(9))]
    yield "address.parse", ":".join(groups)


@under_micropython
def test_wire_formats_have_the_same_answer():
    rng = random.Random(3)
    asked = [call for _ in range(100) for call in calls(rng)]
    space = {module.__name__.split(".")[-1]: module for module in WIRE}
    script = [SHOW]
    script += ["from firewall.wire import %s" % name for name in space]
    expected = []
    for name, *arguments in asked:
        call = "%s(*%r)" % (name, tuple(arguments))
        script.append("print(show(%s))" % call)
        expected.append(str(show(eval(call, space))))  # noqa: F821
    assert interpreter.run("\n".join(script)) == expected


@under_micropython
def test_deciding_allocates_nothing():
    texts = [rulegen.rule(random.Random(seed)).encode() for seed in range(100)]
    script = """
from micropython import heap_lock, heap_unlock
from firewall.rules import text as rules, matcher, names

entries = {"policy": b"drop"}
for i, text in enumerate(%r):
    entries["%%04d" %% i] = text
decide = matcher.seal(rules.parse(entries, "10.137.0.7"), (1, 2), names.NoNames()).decide
asked = [(proto, dst, port, kind) for proto in (1, 6, 17, 47) for dst in (1, 0xC0000232, 0xFFFFFFFF)
         for port in (-1, 53, 65535) for kind in (-1, 8)]
answers = [decide(proto, dst, port, kind, 0) for proto, dst, port, kind in asked]

def differing():
    count = 0
    for i in range(len(asked)):
        proto, dst, port, kind = asked[i]
        if decide(proto, dst, port, kind, 0) is not answers[i]:
            count += 1
    return count

count = 0  # a new name would need room among the globals
heap_lock()
count = differing()
heap_unlock()
print(count, len(asked))
"""
    assert interpreter.run(script % texts) == ["0 72"]


COST = """
from firewall.rules import text as rules, matcher, names

class Names:
    def addresses(self, host):
        return (int(host[4:-8]),)

    def epoch(self, now):
        return 0

def nets(i):
    return b"action=accept proto=tcp dst4=10.%d.%d.0/24 dstports=%d-%d" % (i >> 8, i & 255, i, i + 9)

def hosts(i):
    return b"action=accept proto=tcp dsthost=host%d.example dstports=443-443" % i

def cost(rule, count, clock, rounds):
    found = {"policy": b"drop"}
    for i in range(count):
        found["%04d" % i] = rule(i)
    start = clock()
    parsed = rules.parse(found, "10.137.0.7")
    made = matcher.seal(parsed, (), Names())
    commit = clock() - start
    best = 1 << 60
    for _ in range(9):
        start = clock()
        for _ in range(rounds):
            made.decide(6, 0xC0000232, 443, -1, 0)  # none matches: it goes down as far as it can
        best = min(best, clock() - start)
    return best / rounds, commit
"""
COUNTS = (1, 10, 20, 50, 200, 1000)


@under_micropython
@pytest.mark.parametrize("rule", ("nets", "hosts"))
def test_what_a_decision_takes_on_this_machine(figure, rule):
    """Figures without a verdict; test_costs.py and test_price.py count, and judge."""
    script = COST + "import xen\nfor n in %r: print(n, *cost(%s, n, xen.ns, 1000))\n" % (COUNTS, rule)
    found = [line.split() for line in interpreter.run(script)]
    costs = {int(n): float(ns) for n, ns, commit in found}
    commits = {int(n): int(ns) / 1e6 for n, _, ns in found}
    times = " / ".join("%.1f" % (costs[n] / 1000) for n in COUNTS)
    figure("deciding with %s %s, on this machine" % (" / ".join(map(str, COUNTS)), rule), times + " µs")
    figure("reading and sealing 50 / 1000 %s, on this machine" % rule, "%.1f / %.1f ms" % (commits[50], commits[1000]))
