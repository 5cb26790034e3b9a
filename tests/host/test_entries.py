"""The flow table's machine code against its twins in plain Python, word by word; its copies of others' constants."""
import pytest

import interpreter
from firewall.flows import clients, record, state
from test_fast_constants import constants

under_micropython = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)

BOTH = """
import sys
from array import array
luck_state = SEED * 2654435761 & 0xFFFFFFFF
def bits():
    # Marsaglia's xorshift of 32 bits
    global luck_state
    x = luck_state
    x ^= x << 13 & 0xFFFFFFFF
    x ^= x >> 17
    x ^= x << 5 & 0xFFFFFFFF
    luck_state = x
    return x
"""

INDEX = BOTH + """
from firewall.flows.index import KEY_OCTETS, Fastest as Quick, Index
assert Quick is not Index
records = array("I", bytes(64 * 512))
key = bytes([bits() >> 7 & 255 for _ in range(KEY_OCTETS)])
second, mask = (1, 0xFFFFFFFF) if SEED & 1 else (9, 0xFFFF)
plain = Index(array("I", bytes(4 * SLOTS)), records, key, second, mask)
quick = Quick(array("I", bytes(4 * SLOTS)), records, key, second, mask)
held = {}
full = 0
for step in range(4000):
    half = bits() >> 9 & 511
    if half in held:
        w = held.pop(half)
        assert plain.find(*w) == quick.find(*w) == half, step
        if step & 4:
            other = bits() >> 9 & 511
            if other not in held:
                for i in range(16):
                    records[other * 16 + i] = records[half * 16 + i]
                plain.replace(half, other, *w)
                quick.replace(half, other, *w)
                held[other] = w
                assert plain.find(*w) == quick.find(*w), step
                continue
        plain.remove(half, *w)
        quick.remove(half, *w)
        assert plain.find(*w) == quick.find(*w) == -1, step
    else:
        w = (bits(), bits(), bits() & mask, bits() & 0x1FF)
        for i, word in ((0, w[0]), (second, w[1]), (2, w[2] | bits() & (mask ^ 0xFFFFFFFF)), (3, w[3])):
            records[half * 16 + i] = word
        added = plain.add(half, *w)
        assert quick.add(half, *w) == added, step
        full += not added
        if added:
            held[half] = w
    assert bytes(plain.slots) == bytes(quick.slots), step
    assert len([slot for slot in plain.slots if slot]) == len(held)
try:
    quick.where(1023, 1, 2, 3, 4)
    print("found")
except AssertionError:
    print(len(held) > 0, full)
"""


@under_micropython
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("slots", [64, 256, 4096])
def test_the_index_is_its_twin(seed, slots):
    """Entered, found, replaced and removed at random, in small indexes until they are full."""
    said = interpreter.run("SEED, SLOTS = %d, %d\n" % (seed, slots) + INDEX)
    some, full = said[-1].split()
    assert some == "True" and (int(full) > 0) == (slots < 4096)


WORDS_OF = BOTH + """
from firewall.fast import entries
source = SOURCE
space = {}
exec(source, space)
records = [array("I", [bits() for _ in range(32 * 16)]) for _ in range(1)]
records.append(array("I", records[0]))
for step in range(200):
    there = tuple([bits() for _ in range(11)])
    back = tuple([bits() for _ in range(11)])
    at = (bits() & 15) * 32
    now = bits()
    space["write"](records[0], at, there, back, now)
    entries.write(records[1], at, there, back, now)
    assert bytes(records[0]) == bytes(records[1]), step
lives = array("I", [bits() & 1 for _ in range(4)])
timeouts = array("I", TIMEOUTS)
seen = set()
for step in range(3000):
    for w in records[:1]:
        at = (bits() & 15) * 32
        state = (bits() >> 5) % len(TIMEOUTS)
        now = bits()
        limit = timeouts[state]
        w[at + 3] = bits() & 3
        w[at + 8] = state << 16 | bits() & 0xFFFF
        w[at + 16 + 14] = bits() & 3
        w[at + 16 + 10] = bits() & 1 if bits() & 7 == 0 else lives[w[at + 16 + 14]]
        for seen_at in (at + 11, at + 16 + 11):
            w[seen_at] = now - (limit + (bits() >> 8) % 3 - 1 if bits() & 1 else bits() % (2 * limit)) & 0xFFFFFFFF
    first = bits() & 7
    end = first + (bits() >> 4) % 9
    expected = space["ended"](records[0], lives, timeouts, first, end, now)
    assert entries.ended(records[0], lives, timeouts, first, end, now) == expected, step
    seen.add(expected < end)
    number = at // 32
    expected = space["ended"](records[0], lives, timeouts, number, number + 1, now)
    assert entries.ended(records[0], lives, timeouts, number, number + 1, now) == expected, step
    seen.add((expected == number, state))
print(len(seen))
"""


@under_micropython
@pytest.mark.parametrize("seed", [1, 2])
def test_records_are_written_and_looked_through_as_by_the_twins(seed):
    """The twins' own text, without its end, where machine code takes their place."""
    with open(interpreter.CHECKOUT + "/firewall/flows/entering.py", encoding="utf-8") as text:
        source = text.read().partition("if MACHINE_CODE:")[0]
    assert "def write" in source and "def ended" in source
    script = "SEED = %d\nSOURCE = %r\nTIMEOUTS = %r\n" % (seed, source, state.TIMEOUT)
    said = interpreter.run(script + WORDS_OF)
    assert int(said[-1]) == 2 + 2 * len(state.TIMEOUT)  # both answers, and each state both ended and not


def test_constants_are_their_owners():
    own = constants("entries")
    for name in ("KIND", "EGRESS", "CLIENT", "PREV", "GENERATION", "SEEN", "LIFE", "BACK", "WORDS"):
        assert own["_" + name] == getattr(record, name), name
    assert own["_ICMP_ASSURED"] == state.ICMP_ASSURED and own["_AFTER"] == record.NEXT
    assert own["_OF_CLIENT"] == clients.ENDS == 2 * own["_LASTS"] and state.RANKS <= own["_LASTS"]
