"""The whole tree under tests/lint.py, and what that finds."""
import pytest

from tests import lint


def test_there_is_nothing_to_complain_of():
    assert lint.complaints_of_all(list(lint.files()), lint.known()) == []


HEAD = '"""A module."""\nfrom micropython import const, viper\n\n'


@pytest.mark.parametrize("text, line, words", [
    ("import os\n\nA = const(viper)\n", 4, "imported but unused"),
    ("A = const(viper(unknown))\n", 4, "undefined name"),
    ("_A = const(viper)\n", 4, "_A is used nowhere"),
    ("\ndef _a():\n    return const(viper)\n", 5, "_a is used nowhere"),
    ("A = const( viper)\n", 4, "E201"),
    ("A = const(viper)\n\n\n\nB = 1\n", 8, "E303"),
    ("A = const(viper)  # %s\n" % ("x" * 120), 4, "1 lines of over 120 characters, 0 were there before: 4"),
    ("\n@micropython.viper\ndef f(a: int) -> int:\n    return const(-a)\n", 7, "f(), which is compiled to machine code"),
    ("\n@micropython.native\ndef f(a):\n    return const(viper(~a))\n", 7, "f(), which is compiled to machine code"),
])
def test_a_fault_is_found(text, line, words):
    found = lint.complaints("x.py", HEAD + text, 0)
    assert any(number == line and words in what for number, what in found), found


@pytest.mark.parametrize("text", [
    "A = const(viper(unknown))  # noqa: F821\n",
    "\n@micropython.viper\ndef f(a: int) -> int:\n    return const(0 - a) ^ -1\n",
    "\ndef f(a):\n    return const(viper(-a))\n",
])
def test_what_is_no_fault(text):
    assert [what for line, what in lint.complaints("x.py", HEAD + text, 0) if "unused" not in what] == []


def test_long_lines_become_no_more():
    text = HEAD + "A = const(viper)  # %s\n" % ("x" * 120)
    assert lint.complaints("x.py", text, 1) == [] and len(lint.complaints("x.py", text, 0)) == 1


def test_every_file_is_looked_at():
    paths = set(lint.files())
    assert {"build.py", "firewall/judge.py", "port/modules/boot.py", "tests/lint.py", "images/lock.py"} <= paths and len(paths) > 200
