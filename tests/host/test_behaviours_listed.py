"""docs/behaviours.md: every behaviour is there, once and in order, and so are the tests that it names."""
import glob
import os
import re

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LATER = {91, 92}  # no such behaviours


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


def begins(name, named):
    """The test is one of those that a row names, by its name or by how that begins."""
    return any(name == each or name.startswith(each + "_") for each in named)


def test_every_test_that_is_named_is_there():
    names = names_of_tests()
    assert [(number, test) for number, _, named in rows() for test in named if not any(begins(name, [test]) for name in names)] == []
    assert [number for number, _, named in rows() if not named] == []


def test_every_test_of_a_behaviour_is_found_by_its_row():
    """The numbers that a test's name begins with are rows that name it, so that each leads to the other."""
    of_row = {number: named for number, _, named in rows()}
    found = [(int(number), name) for name in names_of_tests() if name.startswith("test_behaviour_")
             for number in re.match(r"(?:\d\d_)*", name[len("test_behaviour_"):]).group(0).split("_")[:-1]]
    assert len(found) > 100
    assert [(number, name) for number, name in found if not begins(name, of_row.get(number, ()))] == []


def test_rows_played_by_neighbours_that_lie_are_listed_too():
    """Those of the simulation say which rows they play."""
    of_row = {number: named for number, _, named in rows()}
    found = []
    for path in glob.glob(os.path.join(CHECKOUT, "tests", "sim", "test_*.py")):
        with open(path) as text:
            for played, name in re.findall(r"^@row\((.*)\)\n(?:@.*\n)*def (test_\w+)", text.read(), re.MULTILINE):
                found += [(int(number), name) for number in re.findall(r"behaviour (\d+)", played)]
    assert len(found) > 4
    assert [(number, name) for number, name in found if not begins(name, of_row.get(number, ()))] == []
