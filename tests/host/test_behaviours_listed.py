"""docs/behaviours.md: every behaviour is there, once and in order, and so are the tests that it names."""
import os
import re

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LATER = set(range(81, 90)) | {91, 92}  # names of host rules; no such behaviours


def rows():
    """[(number, what holds, names of tests)]"""
    with open(os.path.join(CHECKOUT, "docs", "behaviours.md")) as text:
        cells = [line.strip("|\n ").split(" | ") for line in text if re.match(r"\| \d", line)]
    return [(int(number), what, re.findall("`([^`]+)`", tests)) for number, what, tests in cells]


def names_of_tests():
    """Names of all functions in the tests' files that pytest runs."""
    found = set()
    for kind in ("host", "sim", "xen"):
        for name in os.listdir(os.path.join(CHECKOUT, "tests", kind)):
            if name.startswith("test_") and name.endswith(".py"):
                with open(os.path.join(CHECKOUT, "tests", kind, name)) as text:
                    found.update(re.findall(r"^def (test_\w+)", text.read(), re.MULTILINE))
    return found


def test_every_behaviour_is_listed_once_and_in_order():
    assert [number for number, _, _ in rows()] == [number for number in range(1, 97) if number not in LATER]


def test_every_test_that_is_named_is_there():
    names = names_of_tests()
    assert [(number, test) for number, _, named in rows() for test in named if not any(name.startswith(test) for name in names)] == []
    assert [number for number, _, named in rows() if not named] == []


def test_every_test_of_a_behaviour_is_found_by_its_row():
    """A number in a test's name is a row, so that a reader of the test finds the row, and of the row the test."""
    listed = {number for number, _, _ in rows()}
    numbers = {int(number) for name in names_of_tests() for number in re.findall(r"_(\d\d)(?=_|$)", name.partition("test_behaviour")[2][:12])}
    assert numbers and numbers <= listed
