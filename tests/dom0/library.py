"""What dom0's programs use of Python's library, and whether Python 3.8 has it.

    python3.8 -m tests.dom0.library [--write]

Only a Python 3.8 can say; what it said is in python38.txt, a line for each name that is used: `subprocess.run`,
`.split` of whatever object, `subprocess.run(timeout)` for an argument by name. A test holds the programs against it.
"""

import ast
import builtins
import glob
import importlib
import inspect
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DOM0 = os.path.join(HERE, "..", "..", "images", "dom0")
RECORD = os.path.join(HERE, "python38.txt")
OWN = "qubesfirewall"


def sources():
    """Paths of all of dom0's Python."""
    found = sorted(glob.glob(os.path.join(DOM0, OWN, "*.py")))
    return found + sorted(path for path in glob.glob(DOM0 + "/qubes-firewall-*") if "." not in os.path.basename(path))


def trees():
    made = []
    for path in sources():
        with open(path, encoding="utf-8") as file:
            made.append(ast.parse(file.read(), path))
    return made


class Names(ast.NodeVisitor):
    """used: names as in the record. own: what the programs define themselves."""

    def __init__(self):
        self.used, self.own, self.modules = set(), set(), {}

    def file(self, tree):
        self.modules = {}
        self._constants(tree)
        self.visit(tree)

    def _constants(self, node):
        """What a module or a class names in its body."""
        targets = [target for each in node.body if isinstance(each, ast.Assign) for target in each.targets]
        self.own |= {target.id for target in targets if isinstance(target, ast.Name)}

    def visit_Import(self, node):
        for each in node.names:
            first = each.name.split(".")[0]
            self.modules[each.asname or first] = each.name if each.asname else first
            self.used.add(each.name)

    def visit_ImportFrom(self, node):
        if node.level or node.module.split(".")[0] == OWN:
            return
        for each in node.names:
            self.modules[each.asname or each.name] = "%s.%s" % (node.module, each.name)
            self.used.add("%s.%s" % (node.module, each.name))

    def dotted(self, node):
        """The name of a module's thing, "" if it is none."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id, "")
        base = self.dotted(node.value) if isinstance(node, ast.Attribute) else ""
        return "%s.%s" % (base, node.attr) if base else ""

    def visit_Attribute(self, node):
        if isinstance(node.ctx, ast.Store):
            self.own.add(node.attr)
        else:
            self.used.add(self.dotted(node) or "." + node.attr)
        self.generic_visit(node)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and hasattr(builtins, node.id):
            self.used.add(node.id)

    def visit_Call(self, node):
        name = self.dotted(node.func)
        if not name and isinstance(node.func, ast.Attribute):
            name = "." + node.func.attr
        elif not name and isinstance(node.func, ast.Name) and hasattr(builtins, node.func.id):
            name = node.func.id
        if name == ".add_argument":  # what it names is an attribute of what parse_args() gives
            self.own |= {each.value.lstrip("-") for each in node.args if isinstance(each, ast.Constant)}
        self.used |= {"%s(%s)" % (name, each.arg) for each in node.keywords if name and each.arg}
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self.own.add(node.name)
        self.generic_visit(node)

    def visit_ClassDef(self, node):
        self._constants(node)
        self.own.add(node.name)
        self.generic_visit(node)


def used():
    """Names that the programs use of Python, as the record has them."""
    names = Names()
    for tree in trees():
        names.file(tree)
    fields = {"name", "running", "address", "netvm", "kernel"}  # of a named tuple
    return {each for each in names.used if each.split("(")[0].lstrip(".") not in names.own | fields}


def _thing(name):
    """The object of a dotted name; AttributeError or ImportError if this Python has none."""
    parts = name.split(".")
    if parts[0] not in sys.modules and hasattr(builtins, name):
        return getattr(builtins, name)
    found = importlib.import_module(parts[0])
    for at, part in enumerate(parts[1:], 1):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[: at + 1]))
        found = getattr(found, part)
    return found


def _takes(thing, word):
    """Whether it can be called with this argument by name; None if this Python cannot tell."""
    try:
        parameters = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return True if word in (getattr(thing, "__doc__", "") or "") else None
    loose = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return word in parameters or loose and None


def had(names):
    """Those of these names that this Python has."""
    modules = {each.split("(")[0].split(".")[0] for each in names if not each.startswith(".")}
    kinds = [str, bytes, bytearray, list, dict, set, frozenset, int, float, tuple, type, object, BaseException, OSError]
    for each in modules:
        try:
            kinds += [value for value in vars(importlib.import_module(each)).values() if inspect.isclass(value)]
        except ImportError:
            pass
    kinds += [type(sys.stdout), type(sys.stdout.buffer), ast.AST, type(sys.version_info)]
    methods = {}
    for kind in kinds:
        for name in dir(kind):
            methods.setdefault(name, []).append(getattr(kind, name, None))
    # attributes that only an instance has
    for name in ("returncode", "stdout", "stderr", "stdin", "pid", "errno", "strerror", "columns"):
        methods.setdefault(name, [])
    made = set()
    for name in names:
        what, _, word = name.rstrip(")").partition("(")
        try:
            things = methods[what[1:]] if what.startswith(".") else [_thing(what)]
        except (AttributeError, ImportError, KeyError):
            continue
        if not word or any(_takes(each, word) is not False for each in things):
            made.add(name)
    return made


def recorded():
    with open(RECORD, encoding="ascii") as file:
        return {line.rstrip("\n") for line in file if not line.startswith("#")}


def main():
    if sys.version_info[:2] != (3, 8):
        sys.exit("tests.dom0.library: this is for a Python 3.8")
    names = used()
    here = had(names)
    for name in sorted(names - here):
        print("Python 3.8 has no " + name)
    if "--write" in sys.argv:
        with open(RECORD, "w", encoding="ascii") as file:
            file.write("# Written by a Python 3.8: see library.py.\n" + "".join("%s\n" % name for name in sorted(here)))
    return 1 if names - here or recorded() != here else 0


if __name__ == "__main__":
    sys.exit(main())
