"""The fast path against its specification: the same packets through a judge with known() in front, and one without."""
import pytest

import interpreter
from test_judge_micropython import GENERATOR

under_micropython = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)

WORLDS = """
import xen
from array import array
from struct import pack_into, unpack_from
from firewall import reasons
from firewall.fast.entries import move
from firewall.fast.known import known
from firewall.fast.rings import enter
from firewall.flows import state
from firewall.judge import Judge
from firewall.neighbours import Neighbours
from firewall.opening import BEGUN, LEFT, Opening
from firewall.policy import Policy
from firewall.rules import matcher
from firewall.rules.names import NoNames
from firewall.wire import byteorder
from firewall.wire.address import parse4, text4
from firewall.wire.checksum import total

GENERATOR

kept = []
def words(count):
    kept.append(xen.mem(count * 4))
    return xen.view(kept[-1], "I")

def place_of(memory):
    enter(two := words(2), 0, memory)
    return two[0] | two[1] << 32

luck_state = SEED * 2654435761 & 0xFFFFFFFF
def pick(n):
    # Marsaglia's xorshift of 32 bits
    global luck_state
    x = luck_state
    x ^= x << 13 & 0xFFFFFFFF
    x ^= x >> 17
    x ^= x << 5 & 0xFFFFFFFF
    luck_state = x
    return (x >> 3) % n

ADDRESSES = [parse4("10.137.0.%d" % i) for i in (21, 22)]
SERVERS = [parse4("192.0.2.%d" % i) for i in (1, 2, 3)]
SERVERS.append(parse4("10.138.0.255"))  # may become a broadcast address
OURS, GATEWAY = parse4("10.138.0.2"), parse4("10.137.0.1")
SHOWN = parse4("192.168.1.128")
own = list(ADDRESSES)  # what each client has on its side: its own, or the one that both may be shown
MAC = b"\\x00\\x16\\x3e\\x5e\\x6c\\x00"
ACCEPT = {"policy": b"accept"}
SOME = {"policy": b"drop", "0000": b"action=accept dst4=192.0.2.1 proto=tcp",
        "0001": b"action=accept proto=udp dstports=7000-7001"}

takes = [7, 7, 7, 7]  # what each interface takes: parts, super-frames, blank checksums

class World:
    def __init__(self, fast):
        self.fast = fast
        octets = Generator()
        self.n = Neighbours(64, words, octets, 16)
        self.n.gateway = GATEWAY
        self.judge = Judge(self.n, octets)
        self.n.uplink_up(OURS, MAC, parse4("10.138.0.1"), netmask=0xFFFFFF00)
        for i, address in enumerate(ADDRESSES):
            self.n.attach(address, i + 1, MAC)
            self.rules(address, ACCEPT)
        self.n.set_pairs([(ADDRESSES[0], ADDRESSES[1])])
        self.judge.to_ports_of_ours = lambda p, now: reasons.QUEUED
        self.scalars = words(64)
        f = self.n.flows
        self.tables = (self.scalars, f.records, f.index.slots, self.n.clients.generations, self.n.clients.lives,
                       self.n.interfaces.rows, state.NEXT, state.RANK, array("I", state.TIMEOUT), self.n.clients.ends,
                       move, f.mappings.hold)
        for i in range(9):
            enter(self.scalars, 16 + 2 * i, self.tables[i])
        self.frame = xen.mem(8192)
        self.rows = words(8), words(4), self.frame
        self.of_known = tuple([place_of(memory) for memory in self.rows + (self.scalars,)])
        self.opening = Opening(self.judge, self.tables, self.rows)
        self.asks = False
        self.hits = self.moves = self.begun = self.ended = self.dropped = self.strays = self.foreign = 0

    def rules(self, address, entries):
        self.n.set_rules(address, matcher.load(entries, text4(address), (), NoNames())[0])

    def tell(self):
        for i, k in enumerate(self.n.flows.index.key):
            self.scalars[i] = k
        self.scalars[7] = self.n.flows.index.buckets
        self.scalars[8] = self.n.flows.index.shift
        self.scalars[10] = byteorder.swap(self.n.nat.address)
        self.scalars[11] = byteorder.swap(self.n.gateway)
        self.scalars[12] = byteorder.swap(self.n.broadcast) if self.n.broadcast >= 0 else 0
        rows = self.n.interfaces.rows
        for number in range(4):
            # there are no rings that would say so
            rows[number * 8 + 3] = takes[number] if self.n.interfaces.by_number[number] else 0

    def send(self, number, octets, now, blank, gso, parts, have):
        # have: octets in the first of its parts; of what is behind them known() must know nothing
        frame = self.frame
        frame[:len(octets)] = octets
        frame[len(octets):len(octets) + 64] = bytes(64)
        if self.fast and self.n.interfaces.by_number[number]:
            self.scalars[9] = now
            self.tell()
            ends = bytes(self.n.clients.ends[:64])  # of eight slots
            behind = range(have, have + 64)
            for i in behind:
                frame[i] ^= 0xA5
            packets, first, _ = self.rows
            packets[3], packets[4], packets[5], packets[6], first[2] = parts, len(octets), blank | gso << 16, 0, have
            hit = known(self.of_known, self.tables, 0, 1, number)
            if not hit:
                assert packets[4] == len(octets) and packets[6] == 0 and first[2] == have
                before = list(self.judge.counters)
                interface, begun = self.n.interfaces.by_number[number], LEFT
                self.asks = not self.asks
                if self.asks and number:  # as a pass in machine code does; what it does not let out is asked again
                    begun = self.opening.let_out(interface, 0, now)
                if begun != BEGUN:
                    begun = self.opening.begin(interface, 0, now)
                if begun == BEGUN:
                    self.begun += 1
                    self.ended += self.opening.ended
                    hit = known(self.of_known, self.tables, 0, 1, number)
            for i in behind:
                frame[i] ^= 0xA5
            if not hit and begun not in (LEFT, BEGUN):
                self.dropped += 1
                after = self.judge.counters
                reason = [i for i in range(len(after)) if after[i] != before[i]][0]
                self.foreign += reason == reasons.ETHERNET
                self.strays += reason == reasons.NO_FLOW
                return reasons.NAMES[reason], []
            if hit:
                assert not self.judge.out
                end, egress = packets[4], packets[6]
                assert first[2] == (end if parts == 1 else have) and (parts == 1 or end == len(octets))
                need = (1 if parts > 1 else 0) | (2 if gso else 0) | (4 if blank else 0)
                assert need & takes[egress] == need
                self.hits += 1
                self.moves += bytes(self.n.clients.ends[:64]) != ends
                self.judge.counters[reasons.FORWARDED] += 1
                return "forwarded", egress, bytes(frame[:end]), blank, gso
        view = memoryview(frame)[:len(octets)]
        verdict = self.judge.frame(number, view, len(octets), now, bool(blank), gso)
        out = [(egress, bytes(made)) for egress, made in self.judge.out]
        self.judge.out.clear()
        if verdict == reasons.FORWARDED:
            j = self.judge
            return "forwarded", j.egress, bytes(frame[:j.octets]), int(j.blank), j.gso
        return reasons.NAMES[verdict], out

worlds = World(True), World(False)

def accounts(n):
    a = n.accounts
    r = a.refusals
    each = [(b.address, list(b.drops), list(b.hits), b.new_flows, b.refused) for b in a.by_slot[:6] if b]
    return each, bytes(a.rules), bytes(a.begun), r.what, r.why, r.first, r.last, r.count

def header(octets, src, dst, proto, total_octets):
    ttl = (64, 2, 1, 255)[pick(8) % 4 if pick(6) == 0 else 0]
    fragment = (0x4000, 0, 0x8000, 0x2000, 0x2001, 0x00B9, 0x0100)[pick(7) if pick(15) == 0 else pick(4) == 0]
    if pick(20) == 0:
        total_octets -= pick(16)
    pack_into(">HBBHHHBBHII", octets, 12, 0x0800, 0x45, 0, total_octets, pick(65536), fragment,
              ttl, proto, 0, src, dst)
    pack_into(">H", octets, 24, total(octets, 14, 20, 0) ^ 0xFFFF)

def packet(src, sport, dst, dport, proto, flags, size):
    head = {6: 20, 17: 8, 1: 8}[proto]
    octets = bytearray(34 + head + size)
    octets[0] = 0xFE
    if proto == 6:
        offset = 0x50 if pick(8) else (0, 0x40, 0x60, 0xF0)[pick(4)]
        pack_into(">HHIIBBHHH", octets, 34, sport, dport, pick(65536), pick(65536), offset, flags, 1000, pick(65536), 0)
    elif proto == 17:
        length = 8 + size if pick(10) else (0, 7, 8, 7 + size, 9 + size)[pick(5)]
        pack_into(">HHHH", octets, 34, sport, dport, length, (0, 0xFFFF, pick(65536))[pick(3)])
    else:
        pack_into(">BBHHH", octets, 34, 0 if flags else 8, 0, pick(65536), sport, 1)
    header(octets, src, dst, proto, 20 + head + size)
    return octets

"""

SERIES = WORLDS + """
FLAGS = (2, 0x12, 0x10, 0x10, 0x18, 0x10, 0x11, 0x14, 4, 0x30, 0, 3, 0x38, 0xD0)
heard = []  # (the interface it left by, the frame): what may be answered
now = 1000000
asked = 0
last = None
for step in range(STEPS):
    luck = pick(1000) / 10
    if step % 1000 == 0:
        # now and then a port is forwarded
        forwards = {17 << 16 | 5300: (ADDRESSES[0], 53, 0, OURS)} if step // 1000 % 4 == 3 else {}
        for world in worlds:
            world.n.set_policy(Policy({(ADDRESSES[0], ADDRESSES[1]): ((-1, -1, -1),)}, forwards))
    now = now + pick(20) if pick(600) else now + (70000, 125000, 260000, 660000, 8000000)[pick(5)]
    if luck < 0.4:
        what = pick(9)
        place = 1 + pick(3)
        takes[pick(4)] = pick(8) if pick(3) == 0 else 7
        who = pick(2)
        mtu = (1500, 1280, 9000)[pick(3)]
        pick_once = pick(4)
        if what == 8:
            own[who] = SHOWN if pick_once else ADDRESSES[who]
        for world in worlds:
            n = world.n
            if what == 0:
                world.rules(ADDRESSES[who], (ACCEPT, SOME)[mtu & 1280 == 1280])
            elif what == 1:
                n.change(n.interfaces.by_number[who + 1], MAC, mtu) if n.interfaces.by_number[who + 1] else None
            elif what == 2:
                if n.interfaces.by_number[who + 1]:
                    n.detach(who + 1)
                if pick_once:
                    n.attach(ADDRESSES[who], who + 1, MAC)
                    world.rules(ADDRESSES[who], ACCEPT)
            elif what == 3:
                if n.uplink:
                    n.uplink_down()
                if pick_once:
                    n.uplink_up(OURS, MAC, parse4("10.138.0.1"), mtu=mtu, netmask=(0xFFFFFF00, 0xFFFFFFFF)[who])
            elif what == 4:
                n.set_connected([SERVERS[0]] if who else [])
            elif what == 5:
                n.gateway = (GATEWAY, SERVERS[1])[who]
            elif what == 8:
                n.set_shown(ADDRESSES[who], own[who], SERVERS[2] if place == 3 else 0)
            elif what == 7:
                # the client has one more, or the number is another client's
                if n.interfaces.by_number[place]:
                    n.detach(place)
                n.attach(ADDRESSES[who], place, MAC)
                world.rules(ADDRESSES[who], ACCEPT)
            elif n.interfaces.by_number[who + 1]:
                n.flows.mappings.recycle(n.interfaces.by_number[who + 1].client, 1 + pick_once % 2, True)
        continue
    if pick(2):
        # they have been told enough
        for world in worlds:
            for client in world.n.clients.by_address.values():
                client.bucket.take(client.bucket._tokens if client.bucket.has(0, now) else 0, now)
    blank, gso, parts = 0, 0, 1
    if luck < 6:
        # of no flow, mostly
        number, proto = 0, (6, 17, 17, 1)[pick(4)]
        sources = SERVERS[pick(4)], ADDRESSES[pick(2)], OURS, GATEWAY, 0xF0000001, 0x7F000001
        src = sources[pick(6) if pick(9) == 0 else 0]
        dst = OURS if pick(20) else SERVERS[pick(4)]
        dport = (9, 53, 5300, 0)[pick(4)] if pick(4) else pick(65536)
        octets = packet(src, (53, 9)[pick(2)], dst, dport, proto, FLAGS[pick(len(FLAGS))], (0, 4, 1400)[pick(3)])
    elif luck < 55 or not heard:
        who = pick(2)
        there = worlds[0].n.clients.by_address.get(ADDRESSES[who])
        number = there.interfaces[pick(len(there.interfaces))].number if there else who + 1
        proto = (6, 6, 17, 17, 1)[pick(5)]
        dst = SERVERS[pick(4)] if pick(5) else ADDRESSES[1 - who]
        size = (0, 4, 100, 1400, 1472, 3000)[pick(6)]
        flags = 0 if proto == 1 else FLAGS[pick(len(FLAGS))]
        src = own[who] if pick(20) else ADDRESSES[who]
        octets = packet(src, 7000 + pick(3), dst, (80, 443, 7000)[pick(3)], proto, flags, size)
    else:
        number, frame = heard[pick(len(heard))]
        octets = bytearray(frame)
        proto = octets[23]
        src, dst = unpack_from(">II", octets, 26)
        sport = unpack_from(">H", octets, 38 if proto == 1 else 36)[0]
        dport = 0 if proto == 1 else unpack_from(">H", octets, 34)[0]
        octets = packet(dst, sport, src, dport, proto, FLAGS[pick(len(FLAGS))] or 1, (0, 50, 1460, 2500)[pick(4)])
    if pick(4) == 0:
        blank = 1
    if pick(8) == 0 and (proto == 6 or pick(8) == 0):
        gso = (500, 1448, 1460, 8000)[pick(4)]
    if pick(12) == 0:
        octets[pick(min(len(octets), 60))] ^= 1 << pick(8)
        if pick(2):
            pack_into(">H", octets, 24, 0)
            pack_into(">H", octets, 24, total(octets, 14, 20, 0) ^ 0xFFFF)
    if pick(50) == 0:
        pack_into(">H", octets, 12, (0x86DD, 0x86DD, 0x0806, 0x8100, 0x88A8, 0, 0x05DC, 0x8035, 0x0886)[pick(9)])
    if pick(12) == 0:
        octets += bytes(pick(20))
    if pick(40) == 0:
        octets = octets[:pick(len(octets))]
    if pick(30) == 0:
        number = pick(4)
    if last and pick(100) == 0:
        # the same packet again, when its flow has just expired, or is just about to
        number, octets, blank, gso, parts, now = last
        now += (60000, 120000, 240000, 300000)[pick(4)] + pick(2)
    elif last and last[0] == 0 and last[1][23:24] == b"\\x01" and pick(5) == 0:
        # answers alone keep no query's flow
        number, octets, blank, gso, parts, now = last
        now += 31000
    elif pick(100) == 0:
        now += 31000
    have = min(len(octets), 4096)
    if len(octets) > 40 and pick(4) == 0:
        parts = 2
        have = min(have, (34, 35, 38, 41, 42, 43, 50, 53, 54, 55, 60, 100, 1000)[pick(13)])
    asked += 1
    first, second = [world.send(number, octets, now, blank, gso, parts, have) for world in worlds]
    if first != second:
        print("step", step, "number", number, "frame", bytes(octets), "blank", blank, "gso", gso, "parts", parts)
        print("fast", first)
        print("slow", second)
        raise SystemExit
    last = (number, octets, blank, gso, parts, now) if first[0] == "forwarded" else None
    if first[0] == "forwarded" and first[2][23] in (1, 6, 17):
        heard.append((first[1], first[2]))
        if len(heard) > 40:
            heard.pop(0)
    if step % 50 == 0:
        a, b = [world.n.flows for world in worlds]
        assert bytes(a.records) == bytes(b.records), step
        assert bytes(a.index.slots) == bytes(b.index.slots), step
        assert bytes(a.clients.ends) == bytes(b.clients.ends), step
        assert bytes(a.mappings.index.slots) == bytes(b.mappings.index.slots), step
        assert bytes(a.mappings._entries) == bytes(b.mappings._entries), step
        each = [[(c.maps_first, c.maps_last) for c in f.clients.by_slot if c] for f in (a, b)]
        assert each[0] == each[1], step
        assert worlds[0].judge.counters == worlds[1].judge.counters
        assert worlds[0].judge.opened == worlds[1].judge.opened
        assert accounts(worlds[0].n) == accounts(worlds[1].n), step
        for a, b in [[(f.count, f._fresh, f._free) for f in (a, b)]]:
            assert a == b, step
        for world in worlds:
            world.n.tick(now, 20)
print({name: n for name, n in zip(reasons.NAMES, worlds[0].judge.counters) if n})
w = worlds[0]
print("same %d hits %d of %d moves %d begun %d dropped %d strays %d of %d foreign %d of %d"
      % (asked, w.hits, w.judge.counters[reasons.FORWARDED], w.moves, w.begun, w.dropped - w.strays - w.foreign,
         w.strays, w.judge.counters[reasons.NO_FLOW], w.foreign, w.judge.counters[reasons.ETHERNET]))
"""


@under_micropython
@pytest.mark.parametrize("seed", range(4))
def test_the_fast_path_does_what_the_judge_does(seed):
    script = SERIES.replace("GENERATOR", GENERATOR).replace("SEED", str(seed + 1)).replace("STEPS", "20000")
    lines = interpreter.run(script)
    assert lines[-1].startswith("same "), "\n".join(lines[-3:])
    hits, forwarded = int(lines[-1].split()[3]), int(lines[-1].split()[5])
    assert hits > forwarded // 3, lines[-1]
    assert int(lines[-1].split()[7]) > 100, lines[-1]  # from one of the client's lists to another
    assert int(lines[-1].split()[9]) > 200 and int(lines[-1].split()[11]) > 100, lines[-1]  # begun, dropped
    strays, all_of_none = int(lines[-1].split()[13]), int(lines[-1].split()[15])
    assert strays > 200 and strays > all_of_none // 4, lines[-1]
    foreign, all_of_them = int(lines[-1].split()[17]), int(lines[-1].split()[19])
    assert foreign > 100 and all_of_them - foreign < foreign, lines[-1]
    print(lines[-1])


UNREAD = WORLDS + """
import gc
w = worlds[0]
w.tell()
packets, parts, frame = w.rows
def pick(n):
    return 1
for number, foreign in ((0, True), (1, True), (0, False)):
    octets = packet(SERVERS[0], 9, OURS, 9, 17, 0, 4)
    if foreign:
        octets[12:14] = b"\\x86\\xdd"
    frame[:len(octets)] = octets
    packets[3], packets[4], parts[2] = 1, len(octets), len(octets)
    interface = w.n.interfaces.by_number[number]
    assert w.opening.strays(interface, 0, 1) == 1
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(100):
        w.opening.strays(interface, 0, 1)
    print(gc.mem_alloc() - before)
"""


@under_micropython
def test_what_nobody_need_read_is_dropped_without_an_object():
    script = UNREAD.replace("GENERATOR", GENERATOR).replace("SEED", "4")
    assert interpreter.run(script) == ["0", "0", "0"]
