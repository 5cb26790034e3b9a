"""How large the image's files and functions may be, and which may be larger: house.txt, each with its reason.

`python3 tests/host/house.py` takes lines out of house.txt that are needed no more, and says what is too large without a line.
"""
import ast
import os
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("firewall", "netback", "netfront", "port/modules")
LIST = os.path.join(CHECKOUT, "tests", "host", "house.txt")
FILE_LINES, FUNCTION_LINES = 300, 40


def files(root=CHECKOUT):
    """Paths of the image's Python, relative to the checkout."""
    for folder in FOLDERS:
        for path, folders, names in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(".py"):
                    yield os.path.relpath(os.path.join(path, name), root).replace(os.sep, "/")


def functions(node, within=""):
    """(name with the classes and functions around it, lines from def to its end) of each function below a node."""
    for each in ast.iter_child_nodes(node):
        name = within
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = within + "." + each.name if within else each.name
            if not isinstance(each, ast.ClassDef):
                yield name, each.end_lineno - each.lineno + 1
        yield from functions(each, name)


def too_large(root=CHECKOUT):
    """{path or path:function: lines} of what is over its limit."""
    found = {}
    for path in files(root):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        lines = text.count("\n")
        if lines > FILE_LINES:
            found[path] = lines
        for name, lines in functions(ast.parse(text)):
            if lines > FUNCTION_LINES:
                found["%s:%s" % (path, name)] = lines
    return found


def allowed():
    """{path or path:function: reason} of house.txt."""
    with open(LIST, encoding="utf-8") as file:
        rows = (line.strip().split("  ", 1) for line in file if line.strip() and line[0] != "#")
        return {what: "".join(reason).strip() for what, *reason in rows}


def main():
    found = too_large()
    with open(LIST, encoding="utf-8") as file:
        lines = [line for line in file if line[0] in "#\n" or line.split("  ")[0].strip() in found]
    with open(LIST, "w", encoding="utf-8") as file:
        file.writelines(lines)
    missing = {what: size for what, size in found.items() if what not in allowed()}
    for what, size in missing.items():
        print("%s  has %d lines: make it smaller, or give a reason in house.txt" % (what, size))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
