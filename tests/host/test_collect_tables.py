"""What port/collect.c relies on: no table of references in the image holds one of the types that it passes over."""
import ast
import os

import pytest

from tests.host.test_imports import FOLDERS, ROOT

PLAIN = {"str", "bytes", "bytearray", "array", "memoryview"}


def told(text):
    """Lines on which a list, a dict or a set holds such a type itself, or one is an argument beside `*`."""
    found = []
    for node in ast.walk(ast.parse(text)):
        held = []
        if isinstance(node, (ast.List, ast.Set)):
            held = node.elts
        elif isinstance(node, ast.Dict):
            held = node.keys + node.values
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
            held = [node.elt]
        elif isinstance(node, ast.DictComp):
            held = [node.key, node.value]
        elif isinstance(node, ast.Call):
            into = isinstance(node.func, ast.Attribute) and node.func.attr in ("append", "add", "insert", "setdefault")
            starred = any(isinstance(each, ast.Starred) for each in node.args)
            held = node.args if into or starred else []
        elif isinstance(node, ast.Assign) and any(isinstance(each, ast.Subscript) for each in node.targets):
            held = [node.value] + [each.slice for each in node.targets if isinstance(each, ast.Subscript)]
        found += [each.lineno for each in held if isinstance(each, ast.Name) and each.id in PLAIN]
    return found


@pytest.mark.parametrize("text", ["a = [str, 1]", "{bytes: 1}", "a.append(str)", "a[0] = array", "f(*[1], str)"])
def test_it_is_seen(text):
    assert told(text) == [1]


def test_no_table_holds_such_a_type():
    for folder in FOLDERS:
        for place, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                if name.endswith(".py"):
                    with open(os.path.join(place, name), encoding="utf-8") as file:
                        assert told(file.read()) == [], name
