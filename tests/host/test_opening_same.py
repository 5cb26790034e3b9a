"""Flows begun beside the judge, and by him: the same packets in every form, while settings, limits and names change.

Two worlds as in test_fast_known.py, one of which asks opening.py first. What differs in a verdict, a frame, a counter,
an account or a word of the flow table is a fault of it.
"""
import ast

import pytest

import interpreter
from test_fast_known import WORLDS
from test_judge_micropython import GENERATOR

under_micropython = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)

SERIES = WORLDS + """
from struct import pack
from firewall.flows.nat import POOLS
from firewall.policy import ANY, CLOSED, Policy

OTHER, LAN, GONE = parse4("198.51.100.7"), parse4("172.16.3.4"), parse4("10.137.0.23")
TOS = ADDRESSES + SERVERS + [OTHER, LAN, GONE, OURS, GATEWAY, SHOWN, parse4("10.138.0.1")]
ODD = [parse4(each) for each in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.251", "239.1.1.1", "240.0.0.1",
                                 "255.255.255.255", "10.138.0.0", "1.0.0.1", "223.255.255.255")]
PORTS = (53, 80, 123, 443, 7000, 7001, 0, 65535)
SOURCES = (7000, 7001, 7002, 7002, 53, 1023, 1024, 0, 65535, 512)
NAMED = {"policy": b"drop", "0000": b"action=drop proto=udp dstports=443-443",
         "0001": b"action=accept dsthost=one.example proto=tcp dstports=80-443",
         "0002": b"action=drop dsthost=two.example", "0003": b"action=accept specialtarget=dns",
         "0004": b"action=accept proto=icmp icmptype=8", "0005": b"action=accept dst4=172.16.0.0/12",
         "0006": b"action=accept dsthost=two.example proto=udp"}
LISTS = (ACCEPT, ACCEPT, ACCEPT, SOME, NAMED, NAMED, {"policy": b"drop"},
         {"policy": b"accept", "0000": b"action=drop dst4=192.0.2.0/30 proto=udp",
          "0001": b"action=drop proto=icmp"},
         {"policy": b"accept", "0000": b"action=accept proto=tcp", "0001": b"nonsense"})

class Names(NoNames):
    hosts, serial = {}, 0

    def addresses(self, host):
        return self.hosts.get(host)

    def epoch(self, now):
        return self.serial

names = Names()
taught = [0, 0]

def teach(which):
    def teaches(p, half, now):
        taught[which] += 1
    return teaches

for i, world in enumerate(worlds):
    world.judge.teaches = teach(i)
    world.judge.to_ports_of_ours = lambda p, now: reasons.NO_FLOW

def chance(one_in):
    return pick(one_in) == 0

def random_policy():
    a, b = ADDRESSES
    pairs = {(a, b): ((ANY, ANY, ANY),), (b, a): ((17, 7000, 7001), (6, 80, 80))}
    remote = (0, 0xFFFFFFFF) if chance(2) else (SERVERS[0], SERVERS[1])
    return (
        Policy, Policy, lambda: Policy(pairs), lambda: Policy(pairs, lan=(a,)), lambda: Policy(lan=(ANY,)),
        lambda: Policy(lan=(a, b), resolvers=(LAN, SERVERS[1])), lambda: Policy(only={a: (17, SERVERS[0], 7000)}),
        lambda: Policy(pairs, only={b: (6, SERVERS[1], 443)}, lan=(ANY,)), lambda: Policy(shut=(b,)), lambda: CLOSED,
        lambda: Policy(pairs, forwards={17 << 16 | 7000: (a, 7001) + remote}),
        lambda: Policy(forwards={6 << 16 | 7001: (b, 7000) + remote, 17 << 16 | 53: (b, 53) + remote}, lan=(b,)),
    )[pick(24) % 13 % 12 if chance(2) else 0]()

def change():
    what, who, luck = pick(16), pick(2), pick(4)
    address, number = ADDRESSES[who], who + 1
    there = worlds[0].n.interfaces.by_number[number]
    value = pick(3)
    some, policy, entries = pick(65536), random_policy(), LISTS[pick(len(LISTS))]
    mtu = (1500, 1500, 1500, 1500, 576, 68, 9000)[pick(7)]
    if what == 0:
        own[who] = SHOWN if luck else address
    elif what == 1:
        names.serial += 1
        names.hosts = {"one.example": [(), (SERVERS[0],), (SERVERS[0], OTHER), None][luck],
                       "two.example": [None, (), (SERVERS[1], LAN), (OTHER,)][pick(4)]}
    elif what == 2:
        takes[0] = pick(8) if luck == 0 else 7
    for world in worlds:
        n = world.n
        if what == 0:
            n.set_shown(address, own[who], (0, SERVERS[2])[value == 0])
        elif what in (3, 4, 5):
            n.set_policy(policy)
        elif what in (6, 7):
            n.set_rules(address, matcher.load(entries, text4(address), (SERVERS[1],), names)[0])
        elif what == 8:
            connected = ([], [GONE], [GONE, SERVERS[0]] + own, own)[luck]
            n.set_connected(connected, luck > 1 and value == 0)
        elif what == 9:
            n.set_teachers((SERVERS[1], LAN)[:value])
        elif what == 10:
            if n.uplink and luck == 0:
                n.uplink_down()
            elif not n.uplink or luck != 3:
                n.uplink_up(OURS, MAC, parse4("10.138.0.1"), mtu=mtu, netmask=(0xFFFFFF00, 0xFFFFFFFF)[who])
            else:
                n.uplink_up(OURS + 2 * (value == 0), MAC, parse4("10.138.0.1"), mtu=mtu, netmask=0xFFFFFF00)
        elif what == 11:
            if there:
                n.detach(number)
            if luck or not there:
                n.attach(address, number, MAC)
                world.rules(address, ACCEPT) if value or some & 1 else None
        elif what == 12:
            n.gateway = (GATEWAY, SERVERS[1], 0)[value if luck == 0 else 0]
        elif what == 13 and there:
            # nearly at its limit of ports, or at it
            client = n.interfaces.by_number[number].client
            pool = value if value < 3 else 0
            share = min(n.flows.share, (POOLS[pool][1] - POOLS[pool][0]) // len(n.clients.by_address))
            most = POOLS[pool][1] - POOLS[pool][0] - share * (len(n.clients.by_address) - 1)
            client.mapped[pool] = most - luck
        elif what == 14:
            proto = (17, 6)[who]
            port = SOURCES[some % len(SOURCES)]
            if port and (proto << 16 | port) in n.nat._reserved:
                n.nat.release(proto, port)
            elif port:
                n.nat.reserve(proto, port)
        elif what == 15:
            n.interfaces.describe(n.uplink, n.uplink.header, mtu) if n.uplink else None

def ip(octets, src, dst, proto, total_octets, options=b""):
    size = 20 + len(options)
    ttl = (0, 1, 2, 3, 255)[pick(5)] if chance(8) else 64
    fragment = (0x4000, 0, 0x8000, 0x2000, 0x2001, 0x00B9, 0x6000)[pick(7) if chance(12) else pick(2)]
    if chance(30):
        total_octets += (-1, 1, -8, -total_octets, 20)[pick(5)]
    pack_into(">HBBHHHBBHII", octets, 12, 0x0800, 0x40 | size >> 2, pick(256), total_octets & 0xFFFF, pick(65536),
              fragment, ttl, proto, 0, src, dst)
    octets[34 : 34 + len(options)] = options
    if chance(40):
        octets[14 + pick(20)] ^= 1 << pick(8)
        octets[24] = octets[25] = 0
    pack_into(">H", octets, 24, total(octets, 14, size, 0) ^ 0xFFFF)
    if chance(40):
        octets[24 + pick(2)] ^= 1 << pick(8)

def made(src, dst):
    proto = (6, 6, 6, 17, 17, 17, 1, 1, 33, 136, 47)[pick(11)] if chance(4) else (6, 17, 1)[pick(3)]
    sport, dport = SOURCES[pick(len(SOURCES))], PORTS[pick(len(PORTS))]
    size = (0, 0, 4, 100, 540, 1400, 1472, 3000)[pick(8)]
    if proto == 6:
        options = (0, 4, 20)[pick(3)] if chance(4) else 0
        offset = ((20 + options) << 2) if pick(10) else (0, 0x40, 0x60, 0xF0)[pick(4)]
        flags = FLAGS[pick(len(FLAGS))] if chance(4) else (2, 0xC2)[chance(10)]
        rest = pack(">HHIIBBHHH", sport, dport, pick(65536), 0, offset, flags, 1000, pick(65536), 0)
        rest += bytes(options + size)
    elif proto == 17:
        length = 8 + size if pick(10) else (0, 7, 8, 7 + size, 9 + size)[pick(5)]
        rest = pack(">HHHH", sport, dport, length, (0, 0xFFFF, pick(65536))[pick(3)]) + bytes(size)
    elif proto == 1:
        kind = (0, 3, 4, 5, 8, 10, 11, 12, 13, 14, 17, 30, 255)[pick(13)] if chance(4) else 8
        rest = pack(">BBHHH", kind, pick(2) if chance(4) else 0, pick(65536), sport, 1) + bytes(size)
    else:
        rest = bytes(pick(30))
    options = b""
    if chance(30):
        options = (bytes((1, 1, 1, 0)), bytes((131, 3, 4, 0)), bytes((7, 0, 0, 0)), bytes((148, 4, 0, 0)))[pick(4)]
    octets = bytearray(34 + len(options)) + rest
    octets[0] = 0xFF if chance(40) else 0xFE
    ip(octets, src, dst, proto, 20 + len(options) + len(rest), options)
    return octets

FLAGS = (0, 1, 3, 4, 6, 8, 10, 0x10, 0x11, 0x12, 0x14, 0x18, 0x22, 0x29, 0x38, 0x3F, 0x42, 0xFF)
heard = []
now = 1000000
barred = {}
for step in range(STEPS):
    now = now + pick(20) if pick(400) else now + (70000, 125000, 260000, 660000)[pick(4)]
    if chance(50):
        change()
        continue
    if pick(3):
        # they have been told enough, or nearly
        tokens = (0, 0, 0, 19, 20, 21)[pick(6)]
        for world in worlds:
            for client in world.n.clients.by_address.values():
                client.bucket.has(0, now)
                client.bucket._tokens = tokens
    blank, gso, parts = 0, 0, 1
    if heard and chance(4):
        # an answer, so that flows are of every rank
        number, frame = heard[pick(len(heard))]
        octets = bytearray(frame)
        proto = octets[23]
        src, dst = unpack_from(">II", octets, 26)
        if proto == 1:
            octets[34] = 0
        else:
            octets[34:38] = octets[36:38] + octets[34:36]
            if proto == 6:
                octets[47] = 0x12
        pack_into(">BBHII", octets, 22, 64, proto, 0, dst, src)
        pack_into(">H", octets, 24, total(octets, 14, 20, 0) ^ 0xFFFF)
    else:
        who = pick(2)
        there = worlds[0].n.clients.by_address.get(ADDRESSES[who])
        number = there.interfaces[pick(len(there.interfaces))].number if there else who + 1
        src = TOS[pick(len(TOS))] if chance(30) else ODD[pick(len(ODD))] if chance(30) else own[who]
        dst = ODD[pick(len(ODD))] if chance(10) else src if chance(40) else TOS[pick(len(TOS))] if chance(2) else \\
            (SERVERS + [OTHER, LAN])[pick(len(SERVERS) + 2)]
        octets = made(src, dst)
        if chance(60):
            # IEEE 802.1Q: a priority alone, or a network
            octets = octets[:12] + bytes((0x81, 0, 0x60, pick(2))) + octets[12:]
        if chance(40):
            octets += bytes(pick(20))
        if chance(60):
            octets = octets[:pick(len(octets))]
        if chance(80):
            number = pick(4)
    if chance(5):
        blank = 1
    if chance(12):
        gso = (500, 1448, 8000)[pick(3)]
    have = min(len(octets), 4096)
    if len(octets) > 40 and chance(5):
        parts, have = 2, min(have, (34, 41, 42, 53, 54, 60, 100)[pick(7)])
    before = list(worlds[0].judge.counters), worlds[0].dropped
    first, second = [world.send(number, octets, now, blank, gso, parts, have) for world in worlds]
    a, b = worlds
    if first != second or a.judge.counters != b.judge.counters or a.judge.opened != b.judge.opened:
        print("step", step, "number", number, "frame", bytes(octets), "blank", blank, "gso", gso, "parts", parts)
        print("beside", first, a.judge.opened)
        print("judged", second, b.judge.opened)
        raise SystemExit
    if a.dropped != before[1]:
        barred[first[0]] = barred.get(first[0], 0) + 1
    if first[0] == "forwarded" and first[2][23] in (1, 6, 17):
        heard.append((first[1], first[2]))
        if len(heard) > 60:
            heard.pop(0)
    if step % 20 == 0:
        a, b = [world.n.flows for world in worlds]
        assert bytes(a.records) == bytes(b.records), step
        assert bytes(a.index.slots) == bytes(b.index.slots), step
        assert bytes(a.mappings.index.slots) == bytes(b.mappings.index.slots), step
        assert bytes(a.mappings._entries) == bytes(b.mappings._entries), step
        assert bytes(a.clients.ends) == bytes(b.clients.ends), step
        assert accounts(worlds[0].n) == accounts(worlds[1].n), step
        assert taught[0] == taught[1]
        each = [[(c.address, c.flows, c.mapped, c.maps_first, c.maps_last, c.bucket.has(0, now) and c.bucket._tokens)
                 for c in f.clients.by_slot if c] for f in (a, b)]
        assert each[0] == each[1], step
        for proto in (17, 1):
            used = [bytes(world.n.nat._ports[proto].used) for world in worlds]
            assert used[0] == used[1], step
        assert (a.count, a._fresh, a._free) == (b.count, b._fresh, b._free), step
        for world in worlds:
            world.n.tick(now, 20)
w = worlds[0]
said = [sum(each != 0 for each in w.judge.counters), w.begun, w.ended, taught[0]]
print("same", said + [barred.get(reasons.NAMES[each], 0) for each in (
    reasons.DENIED, reasons.ONLY, reasons.SHUT, reasons.NOT_ATTACHED, reasons.LAN)])
"""


@under_micropython
@pytest.mark.parametrize("seed", range(3))
def test_a_flow_is_begun_as_the_judge_begins_it(seed):
    script = SERIES.replace("GENERATOR", GENERATOR).replace("SEED", str(seed + 71)).replace("STEPS", "30000")
    lines = interpreter.run(script)
    assert lines[-1].startswith("same "), "\n".join(lines[-3:])
    verdicts, begun, ended, taught, *barred = ast.literal_eval(lines[-1][5:])
    assert verdicts > 30 and begun > 300 and ended > 60 and taught > 5 and min(barred) > 20, lines[-1]
