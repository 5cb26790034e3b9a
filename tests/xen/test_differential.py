"""Frozen viper and native code gives on a real Xen what plain Python gives; tests/sim compares element by element."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "guest"))
import differential  # noqa: E402: under CPython, where the decorators do nothing


@pytest.mark.parametrize("seed", [1, 20261121])
def test_the_digests_are_equal(guest, seed):
    """Boots: tests/guest/differential.py in the test image."""
    domain = guest("differential", "rounds=200 seed=%d" % seed)
    domain.wait_for("differential: done", 60)
    assert [line for line in domain.console().splitlines() if line.startswith("differential")] == list(differential.lines(200, seed))
