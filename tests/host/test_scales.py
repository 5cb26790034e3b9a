"""Scales of rule lists in machine code against their twins in rules/matcher.py, at every edge of every piece."""
import random

import pytest

import interpreter
from firewall.rules import matcher
from test_fast_constants import constants

under_micropython = pytest.mark.skipif(not interpreter.available(), reason="no %s" % interpreter.PROGRAM)

SCRIPT = """
from firewall.fast.scales import at, packed
for narrow, begins, bits, values in CASES:
    scale = packed(begins, bits, narrow)
    print([at(scale, value) for value in values])
"""


def cases(rng):
    for narrow, top in ((True, 1 << 32), (True, 1 << 16), (True, 1 << 31), (False, 1 << 128), (False, 3)):
        for count in (0, 1, 2, 59, 121):
            near = min(top, 300)
            begins = {rng.choice((rng.randrange(top), rng.randrange(near), top, 0)) for _ in range(count)}
            begins = [-1] + sorted(begins)
            bits = [rng.choice((0, (1 << 60) - 1, 1 << 59, 1 << 30, 1 << 29, rng.randrange(1 << 60))) for _ in begins]
            values = {-1, 0, top - 1} | {edge + more for edge in begins[1:] for more in (-1, 0, 1)}
            if not narrow:
                values |= {(1 << 128) - 1, 1 << 64, (1 << 64) + 1, 1 << 32}
            most = 1 << 32 if narrow else 1 << 129
            yield narrow, begins, bits, sorted(value for value in values if -1 <= value < most)


@under_micropython
@pytest.mark.parametrize("seed", range(3))
def test_every_value_falls_into_the_twins_piece(seed):
    asked = list(cases(random.Random(seed)))
    expected = [str([matcher._at((begins, bits), value) for value in values]) for _, begins, bits, values in asked]
    assert interpreter.run("CASES = %r\n" % (asked,) + SCRIPT) == expected
    assert len({line for line in expected}) > 10


def test_a_group_fits():
    assert matcher._GROUP <= 2 * constants("scales")["_BITS"]
    assert constants("scales")["_LOW"] == (1 << constants("scales")["_BITS"]) - 1
