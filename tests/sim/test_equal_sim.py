"""`./build.py equal` in the simulated Xen: a run is the same every time, and a peer that does otherwise is found."""
from hypervisor import CHECKOUT
from tests.equal.__main__ import compare
from told import told


def test_two_runs_are_equal():
    score = compare("sim", CHECKOUT, CHECKOUT, seed=3, rounds=2, events=400)
    assert not score.differences and not score.raised
    assert score.events >= 800 and score.out > score.frames / 4 and score.rounds == 2
    assert score.counters["forwarded"] > 100 and len(score.names) > 30


def test_two_runs_of_the_program_that_ships_are_equal():
    score = compare("whole", CHECKOUT, CHECKOUT, seed=3, rounds=1, events=300)
    assert not score.differences and not score.raised
    assert score.events >= 300 and score.counters["forwarded"] > 20


def test_a_difference_on_the_rings_is_found(tmp_path):
    """The same program, told to have other addresses."""
    other = told(tmp_path, "gateway=%s", "ours=10.138.0.77 gateway=%s")
    score = compare("sim", CHECKOUT, other, seed=3, rounds=2, events=400)
    assert len(score.differences) == 1
