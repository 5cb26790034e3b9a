"""Memory that is refused while pieces are collected: what is held and what is counted stay the same.

Otherwise the end of its time finds a datagram that is in one list and not in the other, and with it the domain ends.
"""
_SCRIPT = """
import starve
from firewall.packets.reassemble import Reassembly
from firewall.packets import v4
from firewall.packets.packet import Packet
from firewall.wire import ipv4

state = [12345]

def draw(n):
    state[0] = (state[0] * 1103515245 + 12345) & 0x7FFFFFFF
    return (state[0] >> 8) % n

def sound(held):
    assert held.octets == sum(held._octets_of.values()) == sum(each.cost for each in held._by_key.values()), "octets"
    assert sum(len(queue) for queue in held._queues.values()) == len(held._by_key), "datagrams"
    for holder in held._queues:
        queue = held._queues[holder]
        assert queue and held._octets_of[holder] == sum(each.cost for each in queue), "holder"
        for each in queue:
            assert each.holder == holder and held._by_key[each.key] is each, "queue"
    assert len(held._octets_of) == len(held._queues), "held"

packet = Packet()
held, now, failed, wholes = Reassembly(), 0, 0, 0
for _ in range(6000):
    now += draw(60)
    start = draw(3)
    header = ipv4.header(20 + 16, draw(40), (0x2000 if start < 2 else 0) | start * 2, 64, 17, 0xC0000201, 0x0A8A0002)
    frame = bytearray(bytes(12) + b"\\x08\\x00" + header + bytes(16))
    assert not v4.read(packet, None, frame, len(frame), False, 0)
    slot = draw(6)
    starve.after(draw(40))
    starve.on()
    whole = 0
    try:
        whole = held.add(packet, 0, now, lambda p, now: slot) if draw(2) else held.add(packet, 1 + draw(5), now)
    except MemoryError:
        failed += 1
    starve.off()
    starve.after(-1)
    if not isinstance(whole, int):
        assert len(whole) == 34 + 48 and whole[26:34] == frame[26:34], "header"
        wholes += 1
    sound(held)
    if draw(20) == 0:
        held.drop(draw(6))
        sound(held)
    if draw(20) == 0:
        held.tick(now)
        sound(held)
held.tick(now + 60000)
assert not held.octets and not held._by_key
print("done", failed, wholes)
"""


def test_whatever_allocation_fails_what_is_held_is_what_is_counted(machine, run):
    firewall = run(machine, _SCRIPT)
    (line,) = firewall.lines("done")
    failed, wholes = map(int, line.split()[1:])
    assert failed > 500 and wholes > 20
