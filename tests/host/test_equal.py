"""The tool that compares two commits: the same code is equal, and small changes of what it does are found and told."""
import os
import shutil

import pytest

from tests.equal.__main__ import compare, report

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHANGES = {  # what it is: (text of the firewall's Python, what it becomes, rounds after which it must have been seen)
    "the time to live stays": ("p.ttl - 1, proto", "p.ttl, proto", 1),
    "UDP flows rest for a second longer": ("2 * _MINUTES, 5 *", "2 * _MINUTES + 1000, 5 *", 10),
    "another reason is counted": ("return reasons.SPOOFED_UPLINK  # QSB-056", "return reasons.NOT_OURS", 10),
    "an answer goes to the wrong interface": ("egress = receiver.interfaces[-1]", "egress = receiver.interfaces[0]", 40),
}


@pytest.fixture
def changed(tmp_path):
    """changed(text, other): a checkout with that change."""
    for folder in ("firewall", "port/modules", "tests/stubs"):
        shutil.copytree(os.path.join(CHECKOUT, folder), str(tmp_path / folder), ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "network.py"):
        shutil.copy(os.path.join(CHECKOUT, "tests", name), str(tmp_path / "tests" / name))

    def change(text, other):
        having = [path for path in (tmp_path / "firewall").rglob("*.py") if text in path.read_text()]
        assert len(having) == 1 and having[0].read_text().count(text) == 1, "%r must be there once, to be changed" % text
        having[0].write_text(having[0].read_text().replace(text, other))
        return str(tmp_path)

    return change


def test_the_same_code_is_equal(capsys):
    score = compare("host", CHECKOUT, CHECKOUT, seed=5, rounds=2, events=1000)
    assert report("host", 5, score, 1000), capsys.readouterr().out
    assert score.rounds == 2 and score.events >= 2000 and score.out > score.frames / 4 and not score.raised
    assert len([name for name in score.names if score.counters.get(name)]) > 20


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_change_is_found(changed, change, capsys):
    text, other, rounds = CHANGES[change]
    score = compare("host", CHECKOUT, changed(text, other), seed=5, rounds=rounds, events=1000)
    assert len(score.differences) == 1
    assert not report("host", 5, score, 1000)
    said = capsys.readouterr().out
    assert "DIFFERENCE: ground host, seed 5, round %s, event " % score.differences[0][0] in said
    assert "before:" in said and "after:" in said and "again: --ground host" in said


def test_it_goes_on_where_told_to(changed):
    checkout = changed(*CHANGES["the time to live stays"][:2])
    score = compare("host", CHECKOUT, checkout, seed=5, rounds=3, events=200, go_on=True)
    assert [number for number, _, _ in score.differences] == [0, 1, 2] and score.rounds == 3


def test_a_side_that_ends_early_is_a_difference(changed):
    """A checkout that cannot even be imported, and one that raises in the middle."""
    text, other, _ = CHANGES["another reason is counted"]
    for broken in ("return unheard_of", "return )"):
        score = compare("host", CHECKOUT, changed(text, broken), seed=5, rounds=10, events=1000)
        assert len(score.differences) == 1
        text = broken
