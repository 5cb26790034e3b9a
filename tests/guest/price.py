"""What a packet costs the judge, in ns: a line "price NAME: N ns" each, and at last "price: done".

Where an instruction takes a nanosecond this counts instructions. Each is the least of several rounds: in the others
garbage was collected, or the timer's interrupt came.
"""
import asyncio
import gc
from struct import pack_into

import xen

from firewall.judge import Judge
from firewall.neighbours import Neighbours
from firewall.rules import matcher
from firewall.rules.names import NoNames
from firewall.wire import ipv4
from firewall.wire.address import parse4
from firewall.wire.checksum import total

CLIENT, MAC = "10.137.0.21", b"\x00\x16\x3e\x5e\x6c\x00"
CAPACITY = 8192  # flows

_kept = []


def words(count):
    _kept.append(xen.mem(count * 4))
    return xen.view(_kept[-1], "I")


class Bench:
    """A judge between one client and an uplink, and a frame of that client."""

    def __init__(self):
        self.n = Neighbours(CAPACITY, words, xen.random)
        self.n.gateway = ours = parse4("10.138.0.2")
        self.judge = Judge(self.n, xen.random)
        self.n.uplink_up(ours, MAC, parse4("10.138.0.1"))
        self.client = parse4(CLIENT)
        self.n.attach(self.client, 1, MAC)
        self.frame = xen.mem(65536)
        head = bytearray(42)
        head[12:15] = b"\x08\x00\x45"
        pack_into(">HHHBBHIIHHHH", head, 16, 28, 1, 0, 64, ipv4.UDP, 0, self.client, parse4("192.0.2.50"), 0, 80, 8, 0)
        pack_into(">H", head, 24, total(head, 14, 20, 0) ^ 0xFFFF)
        self.head = bytes(head)

    def set_rules(self, texts):
        """Commit them; ns."""
        entries = {"%04d" % i: text for i, text in enumerate(texts)}
        entries["policy"] = b"drop"
        began = xen.ns()
        self.n.set_rules(self.client, matcher.load(entries, CLIENT, (), NoNames())[0])
        return xen.ns() - began

    def send(self, i, now):
        """Flow i's packet; ns."""
        frame = self.frame
        frame[: len(self.head)] = self.head
        pack_into(">HH", frame, 34, 1024 + i % 60000, 80)
        began = xen.ns()
        verdict = self.judge.frame(1, frame, len(self.head), now)
        spent = xen.ns() - began
        assert verdict == 0, verdict
        return spent

    def least(self, first, last, now=1):
        """Of packets of the flows first...last - 1, the least mean of 20."""
        gc.collect()
        best = 1 << 60
        for begin in range(first, last, 20):
            best = min(best, sum([self.send(i, now) for i in range(begin, begin + 20)]) // 20)
        return best


def rule_list(count):
    drops = [b"action=drop dst4=198.51.%d.0/24 proto=udp dstports=%d-%d" % (i & 255, 80 + (i >> 8), 90) for i in range(count - 1)]
    return drops + [b"action=accept"]


async def main(store, words):
    bench = Bench()

    async def say(name, ns):
        print("price %s: %d ns" % (name, ns))
        await asyncio.sleep_ms(1)

    await say("commit of 50 rules", min([bench.set_rules(rule_list(50)) for _ in range(3)]))
    bench.set_rules(rule_list(10))
    await say("first packet, 10 rules", bench.least(0, 400))
    await say("known flow", bench.least(0, 400, 2))
    bench.set_rules(rule_list(200))
    await say("first packet, 200 rules", bench.least(400, 800))
    await say("known flow judged again, 200 rules", bench.least(0, 400, 3))
    bench.set_rules(rule_list(10))
    for i in range(800, CAPACITY - 600):
        bench.send(i, 3)
    await say("first packet, nearly full table", bench.least(CAPACITY - 600, CAPACITY - 200))
    for i in range(CAPACITY - 200, CAPACITY + 200):
        bench.send(i, 3)
    await say("first packet that pushes a flow out", bench.least(CAPACITY + 200, CAPACITY + 600))
    print("price: done")
