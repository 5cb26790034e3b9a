"""dom0's programs are of Python 3.8, its syntax and its library, whatever Python the tests run on.

tests/dom0/python38.txt was written by a Python 3.8; `./build.py test` runs the programs on every Python there is here.
"""

import ast
import builtins
import os

import pytest

from tests.dom0 import library

CHECKS = [
    ("import os\nos.path.join('a').removeprefix('b')\n", ".removeprefix"),
    ("import subprocess\nsubprocess.run([], process_group=0)\n", "subprocess.run(process_group)"),
    ("import itertools\nitertools.batched([], 2)\n", "itertools.batched"),
    ("from functools import cache\n", "functools.cache"),
    ("import tomllib\n", "tomllib"),
    ("zip([], [], strict=True)\n", "zip(strict)"),
    ("aiter(x)\n", "aiter"),
]


def test_all_that_is_used_is_what_python_3_8_has():
    """A name that is new here: let a Python 3.8 say that it has it, `python3.8 -m tests.dom0.library --write`."""
    assert sorted(library.used() - library.recorded()) == []


def test_nothing_is_recorded_that_is_not_used():
    assert sorted(library.recorded() - library.used()) == []


@pytest.mark.parametrize("text, name", CHECKS, ids=[name for _, name in CHECKS])
def test_what_came_later_is_seen(monkeypatch, text, name):
    monkeypatch.setattr(library, "trees", lambda: [ast.parse(text)])
    if name == "aiter" and not hasattr(builtins, "aiter"):
        pytest.skip("this Python has none either")
    assert name in library.used() - library.recorded()


@pytest.mark.parametrize("path", library.sources(), ids=os.path.basename)
def test_the_syntax_is_that_of_python_3_8(path):
    """Also what a parser lets pass: generic types, united mappings, quotes within the braces of a text."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read(), feature_version=(3, 8))
    kinds = {"list", "dict", "set", "frozenset", "tuple", "type"}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.JoinedStr), node.lineno
        if isinstance(node, ast.Subscript):
            assert not (isinstance(node.value, ast.Name) and node.value.id in kinds), node.lineno
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            united = (node.left, node.right)
            assert not any(isinstance(each, (ast.Dict, ast.DictComp)) for each in united), node.lineno
        if isinstance(node, ast.With):  # with (a as b, c as d): 3.10
            assert len(node.items) == 1, node.lineno
