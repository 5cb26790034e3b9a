"""`./build.py equal` in the simulated Xen: a run is the same every time, and a peer that does otherwise is found."""
import os
import shutil

from hypervisor import CHECKOUT, LIBRARY, PROGRAM
from tests.equal.__main__ import compare


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
    """Other code needs another build; here the same program is told to have other addresses."""
    for folder in ("tests", "firewall", "port/modules"):
        shutil.copytree(os.path.join(CHECKOUT, folder), str(tmp_path / folder), ignore=shutil.ignore_patterns("__pycache__"))
    for made in (PROGRAM, LIBRARY):
        copy = tmp_path / os.path.relpath(made, CHECKOUT)
        os.makedirs(str(copy.parent), exist_ok=True)
        shutil.copy(made, str(copy))
    network = tmp_path / "tests" / "sim" / "network.py"
    text = network.read_text()
    assert text.count("gateway=%s") == 1
    network.write_text(text.replace("gateway=%s", "ours=10.138.0.77 gateway=%s"))
    score = compare("sim", CHECKOUT, str(tmp_path), seed=3, rounds=2, events=400)
    assert len(score.differences) == 1
