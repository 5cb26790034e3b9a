"""The bench's further columns: Linux's of an earlier run, and ours with what watches in use."""
import argparse
import copy
import json

import pytest

from tests.bench import __main__ as bench
from tests.bench import earlier, features, table

GROUND = {"lab": "a", "usr/bin/traffic": "b"}
SETTINGS = {"jobs": ["up"], "clients": 4, "untrusted": True, "pace": {"warm": 1}, "ground": GROUND, "image": "one",
            "firewalls": ["ours"]}


def ours():
    return {"settings": copy.deepcopy(SETTINGS), "figures": {"ours": {"up_rate": 300}}, "failed": [], "seconds": 1}


def linux(**other):
    settings = dict(copy.deepcopy(SETTINGS), jobs=["up", "down"], image="two", **other)
    rates = {"linux": 100, "flowtable": 150, "ours": 7}
    return {"settings": settings, "figures": {name: {"up_rate": rate} for name, rate in rates.items()}}


def test_linux_of_an_earlier_run_stands_beside_ours_and_is_named():
    """Our image may differ, and Linux may have done more; ours of then counts for nothing."""
    result = earlier.put_beside(ours(), linux(), "linux.json")
    row = next(row for row in table.ROWS if row.name == "up_rate")
    assert table.ratio(result, row) == 2.0 and result["figures"]["ours"] == {"up_rate": 300}
    assert "linux.json" in earlier.note(result)[0] and earlier.note(ours()) == []


@pytest.mark.parametrize("other, name", [
    ({"clients": 1}, "clients"), ({"untrusted": False}, "untrusted"), ({"pace": {"warm": 2}}, "pace"),
    ({"ground": dict(GROUND, lab="c")}, "lab"), ({"ground": {"lab": "a"}}, "usr/bin/traffic"),
    ({"ground": None}, "ground"),
])
def test_figures_of_another_lab_are_refused_by_name(other, name):
    with pytest.raises(earlier.Differs) as why:
        earlier.put_beside(ours(), {**linux(), "settings": {**linux()["settings"], **other}}, "linux.json")
    assert name in str(why.value)


def test_what_linux_did_not_do_is_refused():
    few = linux()
    few["settings"]["jobs"] = ["down"]
    with pytest.raises(earlier.Differs, match="jobs: up were not done"):
        earlier.put_beside(ours(), few, "linux.json")
    with pytest.raises(earlier.Differs, match="none of Linux"):
        earlier.put_beside(ours(), ours(), "linux.json")
    with pytest.raises(earlier.Differs, match="measured now"):
        earlier.put_beside(linux(firewalls=["linux"]), linux(), "linux.json")


def test_what_cannot_stand_beside_it_is_refused_before_anything_is_measured(monkeypatch, tmp_path, capsys):
    def measured(options, note):
        raise AssertionError("measured")

    few = linux()
    few["settings"]["jobs"] = ["down"]
    (tmp_path / "linux.json").write_text(json.dumps(few))
    monkeypatch.setattr(bench, "measure", measured)
    monkeypatch.setattr(bench, "digest", lambda path: "0")
    words = argparse.Namespace(jobs=["up"], firewalls=["ours"], quick=False, trusted=False, compare=None,
                               beside=str(tmp_path / "linux.json"))
    assert bench.compared(words, str(tmp_path / "bench")) == 1
    assert "jobs: up were not done" in capsys.readouterr().out


def test_watched_stands_beside_bare():
    result = {"settings": {"jobs": ["up"]}, "figures": {"bare": {"up_rate": 200, "up_cpu": 100},
                                                        "watched": {"up_rate": None, "up_cpu": 103}}}
    text = features.lines(result)
    assert text[2].split()[-4:] == ["100", "103", "+3.0", "%"] and text[3].split()[-3:] == ["200", "–", "–"]
    assert features.lines(ours()) == []
    result["figures"]["citizen"] = {"up_rate": 198, "up_cpu": 100}
    text = features.lines(result)
    assert text[2].split()[-7:] == ["100", "100", "+0.0", "%", "103", "+3.0", "%"]


def test_its_jobs_are_the_bench_s():
    assert set(features.JOBS) <= set(table.JOBS)
