"""The table of Qubes' own network cases names tests that there are, and has a verdict for each case."""
import glob
import os
import re

from tests.xen.cases import CASES, Table

XEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "xen")
NUMBERS = "000 010 020 030 031 040 050 100 110 111 112 113 114 200 201 202 203 204 210 211 212".split()


def test_every_case_is_there_once():
    numbers = [number for number, *_ in CASES]
    assert [number for number in numbers if not number.startswith("001")] == NUMBERS
    assert [number for number in numbers if number.startswith("001")] == ["001" + letter for letter in "abcdef"]


def test_each_has_tests_or_a_reason():
    assert [number for number, _, tests, why in CASES if bool(tests) == bool(why)] == []
    assert [number for number, _, tests, why in CASES if not tests and len(why.split()) < 2] == []


def test_the_tests_are_there():
    found = set()
    for path in glob.glob(os.path.join(XEN, "test_*.py")):
        with open(path, encoding="utf-8") as text:
            found.update(re.findall(r"^def (test_\w+)", text.read(), re.M))
    assert {test for _, _, tests, _ in CASES for test in tests} - found == set()


def test_a_case_has_passed_when_all_its_tests_have():
    table = Table()
    assert not table.begun()
    assert all(verdict.startswith(("not run here", "not applicable")) for _, _, verdict in table.rows())
    for _, _, tests, _ in CASES:
        for test in tests:
            table.note(test, "passed")
    assert table.begun()
    assert {verdict for _, _, verdict in table.rows() if not verdict.startswith("not applicable")} == {"passed"}
    table.note("test_210_a_custom_address", "failed")
    table.note("test_210_a_custom_address", "passed")
    assert [number for number, _, verdict in table.rows() if verdict == "failed"] == ["210", "212"]
