"""`./build.py explain` as a command: JSON lines in, one line out for each. Verdicts: test_rule_cases.py."""
import io
import json
import os
import subprocess
import sys

from images import explain
from tests import readme

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VERDICT = {
    "id": "web",
    "rules": ["action=drop proto=udp", "action=accept dstports=80-80"],
    "policy": "drop",
    "dns": [],
    "names": {},
    "packet": {"proto": "tcp", "src": "10.137.7.21", "dst": "192.0.2.50", "dport": 80},
}
GOOD = {"id": "two", "entries": {"policy": "accept", "0000": "action=drop", "0007": "action=accept"}}
BAD = {"id": "bad", "entries": {"policy": "drop", "0000": "action=drop dpi=NO"}}


def command(*arguments, text=""):
    return subprocess.run(
        [sys.executable, os.path.join(CHECKOUT, "build.py"), "explain"] + list(arguments),
        input=text,
        capture_output=True,
        text=True,
    )


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_json_out(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(lines(VERDICT, GOOD, BAD))
    done = command(str(path))
    assert done.returncode == 0 and done.stderr == ""
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"id": "web", "verdict": "accept", "rule": 1},
        {"id": "two", "rules": 2, "then": "accept"},
        {"id": "bad", "deny_all": "0000: dpi: got 'NO', expected one of the options action dst4 dst6 dsthost "
         "proto specialtarget dstports icmptype"},
    ]


def test_sentences_out():
    rows = (VERDICT, GOOD, dict(VERDICT, id="none", rules=[]), dict(VERDICT, rules=["x"]))
    done = command("-", "--text", text=lines(*rows))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "web: the packet is accepted by rule 0001: action=accept dstports=80-80.",
        "two: 2 rules, then accept.",
        "none: the packet is dropped: no rule matches, and the policy is drop.",
        "web: the packet is dropped, as is everything from this client: 0000: got 'x', "
        "expected key=value pairs with single spaces between.",
    ]


def test_what_readme_shows(tmp_path):
    """The example by which a newcomer learns the command: its file, and what it says it answers."""
    questions, answers = readme.explained()
    (tmp_path / "questions.jsonl").write_text(questions)
    done = command(str(tmp_path / "questions.jsonl"), "--text")
    assert done.stdout == answers and done.returncode == 0
    assert len(answers.splitlines()) == 3


def test_octets_that_are_no_text_are_no_question(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"\xff\xfe\n" + lines(GOOD).encode())
    done = command(str(path), "--text")
    assert done.returncode == 1 and done.stdout.splitlines()[1] == "two: 2 rules, then accept."


def test_wrong_calls():
    assert command("/no/such/file").returncode == 2
    assert command().returncode == 2


def test_a_line_that_is_no_question_is_answered_and_the_rest_too():
    out = io.StringIO()
    rows = ["nonsense\n", "[]\n", "\n", '{"id": 7}\n', '{"id": 8, "rules": 5}\n', lines(GOOD)]
    assert explain.run(rows, out) == 4
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [answer["id"] for answer in answers] == [None, None, 7, 8, "two"]
    assert all("error" in answer for answer in answers[:4])


def test_text_notes_what_is_not_taken_by_the_letter():
    row = {"id": "wide", "entries": {"policy": "drop", "0003": "action=accept proto=tcp dstports=1-65536"}}
    note = "0003: dstports to 65536: there is no such port, the rule ends at 65535"
    assert explain.explain(row, True) == "wide: 1 rule, then drop. Note: %s." % note
