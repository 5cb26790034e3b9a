"""No path that the image's Python names in xenstore ends in a slash (XSA-481: C xenstored of Xen 4.18 and newer dies of
/local/domain/). What is only known when it runs, xenbus/wire.py refuses."""
import ast

import pytest
from test_imports import MODULES

# of the store, of a transaction, and of the functions that read for others: where their path is among the arguments
FIRST = {"read", "write", "mkdir", "rm", "directory", "get_perms", "set_perms", "watch", "Watch"}
SECOND = {"flag", "required", "read_state", "write_state"}


def ends_in_slash(node, constants):
    """Whether an expression is a str or bytes that ends in a slash, as far as its text tells."""
    if isinstance(node, ast.Constant):
        value = node.value
        return isinstance(value, (str, bytes)) and value[-1:] in ("/", b"/")
    if isinstance(node, ast.BinOp):
        return ends_in_slash(node.right if isinstance(node.op, ast.Add) else node.left, constants)
    if isinstance(node, ast.Name):
        return node.id in constants
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return ends_in_slash(node.func.value, constants)
    return isinstance(node, ast.JoinedStr) and bool(node.values) and ends_in_slash(node.values[-1], constants)


def wrong(text):
    """[(line, the path's text)] of calls that name such a path."""
    tree = ast.parse(text)
    constants = set()
    for each in ast.walk(tree):
        if isinstance(each, ast.Assign) and ends_in_slash(each.value, ()):
            constants |= {target.id for target in each.targets if isinstance(target, ast.Name)}
    found = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            whose = ast.unparse(call.func.value).split(".")[-1] if isinstance(call.func, ast.Attribute) else ""
            of_store = whose in ("store", "t", "self")
            paths = call.args[:1] if name in FIRST and of_store else call.args[1:2] if name in SECOND | {"read"} else []
            found += [(call.lineno, ast.unparse(path)) for path in paths if ends_in_slash(path, constants)]
    return found


def test_no_path_in_xenstore_ends_in_a_slash():
    found = {}
    looked_at = 0
    for name, path in MODULES.items():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if "xenbus" in text or name.startswith(("xenbus", "control", "vchan")):
            looked_at += 1
            found.update({"%s:%d" % (name, line): what for line, what in wrong(text)})
    assert found == {} and looked_at > 15


@pytest.mark.parametrize("text", [
    'await store.read("/local/domain/")', 'await self.store.watch("a/" + b + "/")', 'await t.write("a/%d/" % n, b"")',
    'await values.read(store, path + "/")', 'await read_state(store, "x/")',
    '_ROOT = "backend/"\nawait store.directory(_ROOT)',
    'await store.rm(f"a/{n}/")', 'await store.mkdir("{}/".format(n))', 'await self.directory("/")',
])
def test_such_a_path_is_found(text):
    assert len(wrong("async def f():\n    " + text.replace("\n", "\n    "))) == 1


@pytest.mark.parametrize(
    "text", ['await store.read("a/b")', 'text.split("/")', 'path.startswith("a/")', 'file.write("a/")'])
def test_others_are_not(text):
    assert wrong("async def f():\n    " + text) == []
