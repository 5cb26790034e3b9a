"""Modules that can be imported by their bare names have different ones: whose is found does not hang on the path's order."""
import collections
import glob
import os

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = ("", "port/modules", "tests/stubs", "tests/host", "tests/sim")  # of tests, as both conftest.py have it


def named(folders):
    """{name: where modules and packages of this name are}"""
    found = collections.defaultdict(list)
    for folder in folders:
        for path in glob.glob(os.path.join(CHECKOUT, folder, "*")):
            name, ending = os.path.splitext(os.path.basename(path))
            if ending == ".py" and name not in ("conftest", "__init__") or not ending and glob.glob(os.path.join(path, "*.py")):
                found[name].append(os.path.relpath(path, CHECKOUT))
    return found


def test_no_two_modules_of_the_tests_have_one_name():
    found = named(PATH)
    assert {"packets", "frontend", "loop", "firewall"} <= set(found)
    assert [where for where in found.values() if len(where) > 1] == []


def test_no_program_of_tests_guest_hides_a_module_of_the_image():
    found = named(("", "port/modules", "tests/guest"))
    assert {"try_loop", "loop", "firewall"} <= set(found)
    assert [where for where in found.values() if len(where) > 1] == []
