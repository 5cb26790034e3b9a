"""Frozen viper and native code gives what plain Python gives, element by element. tests/xen has the digests only."""
import pytest

from tests.guest import differential  # under CPython, where the decorators do nothing

ROUNDS = 60


@pytest.mark.parametrize("seed", [1, 20261121])
def test_every_result_is_that_of_plain_python(machine, seed):
    firewall = machine.firewall("run=differential rounds=%d seed=%d list=1" % (ROUNDS, seed))
    firewall.wait_for("differential: done")
    said = {tuple(line.split(" ", 2)[:2]): line.split(" ", 2)[2] for line in firewall.lines() if line.count(" ") > 1}
    for name, _ in differential.CASES:
        for i, expected in enumerate(differential.results(name, ROUNDS, seed)):
            assert said.get((name, str(i))) == expected, "%s, round %d" % (name, i)


def test_the_digests_are_equal(machine):
    firewall = machine.firewall("run=differential rounds=200 seed=3")
    firewall.wait_for("differential: done")
    assert firewall.lines("differential") == list(differential.lines(200, 3))


def test_a_difference_would_be_seen(monkeypatch):
    honest = list(differential.lines(5, 1))
    monkeypatch.setattr(differential, "mix", lambda words, n, key: 0)
    assert [line for line in differential.lines(5, 1) if line not in honest][0].startswith("differential mix: 5 results")
