"""Every row of the rule case files, through `explain`, as an administrator would ask."""
import json
import pathlib

import pytest

from images import explain

HERE = pathlib.Path(__file__).resolve().parent.parent / "cases"


def rows(*names):
    for name in names:
        for line in (HERE / name).read_text(encoding="utf-8").splitlines():
            yield pytest.param(json.loads(line), id=json.loads(line)["id"])


@pytest.mark.parametrize("row", list(rows("rule_parse.jsonl", "rule_verdict.jsonl", "rule_more.jsonl")))
def test_case(row):
    answer = explain.explain(row)
    expected = row["expect"]
    assert answer["id"] == row["id"]
    if isinstance(expected, str) and expected != "deny_all":
        assert answer["verdict"] in expected.split("|")
        if "rule" in row:
            assert answer["rule"] == row["rule"]
    elif expected == "deny_all":
        assert set(answer) == {"id", "deny_all"} and answer["deny_all"]
        assert row.get("why", "") in answer["deny_all"]
    else:
        assert set(answer) == {"id", "rules", "then"}
        assert {key: answer[key] for key in ("rules", "then") if key in expected}.items() <= expected.items()
    assert row["id"] in explain.explain(row, text=True)
