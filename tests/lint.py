"""`./build.py lint`: what can be said of the Python without running it. Exit status 1 if there is something.

    names       pyflakes: what is undefined, imported for nothing, assigned for nothing; and, by ourselves, private names
                (with an underscore) that their file never uses
    style       pycodestyle: lines of at most 120 characters, and what PEP 8 says of blank lines and spaces
    format      autopep8 would change nothing of what pycodestyle does not mind
    viper       no unary - or ~ of what is no constant: MicroPython's compiler for machine code, native or viper, spoils
                the variable (up to release 1.28)

Known exceptions stand where they are needed: a comment `noqa: CODE` at the end of the line. Files that were here before
the limit have some longer lines: lint.txt says how many there may be. `./build.py lint -- --write` writes it anew, when
there are fewer.
"""
import ast
import io
import os
import sys
import tokenize
from concurrent.futures import ProcessPoolExecutor

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("firewall", "images", "netback", "netfront", "port", "tests")
LIST = os.path.join(CHECKOUT, "tests", "lint.txt")
WIDTH = 120
# E203, E226: spaces in a[i : j] and around * show what belongs together. E24, E70, E72x, E73x, W50: matters of taste.
# E402: imports after what makes them possible. E501 is counted here
IGNORED = "E126,E127,E128,E129,E131,E203,E226,E241,E306,E402,E501,E704,E741,W503,W504"
# what MicroPython's compiler and its manifests know beside Python's own names
BUILTINS = ("micropython", "ptr", "ptr8", "ptr16", "ptr32", "uint", "include", "freeze", "package")


def files(root=CHECKOUT):
    """Paths of all Python files, relative to the checkout, in order."""
    yield "build.py"
    for folder in FOLDERS:
        for path, folders, names in os.walk(os.path.join(root, folder)):
            folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("build"))
            for name in sorted(names):
                if name.endswith(".py"):
                    yield os.path.relpath(os.path.join(path, name), root).replace(os.sep, "/")


def excused(text):
    """Numbers of the lines that have a comment `noqa`."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT and "noqa" in token.string}


def names(text):
    """(line, complaint) of pyflakes."""
    from pyflakes import checker, messages

    for found in checker.Checker(ast.parse(text), builtins=BUILTINS).messages:
        if isinstance(found, messages.RedefinedWhileUnused):
            continue  # a test's argument, named like the fixture that is imported for it
        if isinstance(found, messages.ImportShadowedByLoopVar):
            continue
        yield found.lineno, found.message % found.message_args


def private(text):
    """(line, complaint) for names of a module that begin with an underscore and that it never uses."""
    bound, used = {}, set()
    module = ast.parse(text)
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound[node.name] = node.lineno
        elif isinstance(node, ast.Assign):
            names = [each for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            bound.update((each.id, node.lineno) for each in names)
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Store):
                used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            used.add(node.value)  # getattr() and its like
    for name, line in bound.items():
        if name[0] == "_" and name.strip("_") and not name.endswith("__") and name not in used:
            yield line, "%s is used nowhere in this file" % name


def machine_code(text):
    """(line, complaint) for unary - and ~ where MicroPython's compiler miscompiles them."""
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef):
            continue
        decorators = {each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in function.decorator_list}
        if not decorators & {"viper", "native"}:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
                if not isinstance(node.operand, ast.Constant):
                    yield node.lineno, "unary - or ~ in %s(), which is compiled to machine code: write 0 - x, x ^ -1" % function.name


def style(text, path):
    """(line, complaint) of pycodestyle."""
    import pycodestyle

    found = []

    class Report(pycodestyle.BaseReport):
        def error(self, line, offset, message, check):
            if super().error(line, offset, message, check):
                found.append((line, message))

    guide = pycodestyle.StyleGuide(ignore=IGNORED.split(","), reporter=Report, max_line_length=WIDTH)
    guide.input_file(path, lines=text.splitlines(True))
    return found


def formatted(text):
    """(line, complaint) where autopep8 would write something else."""
    import autopep8

    options = {"ignore": IGNORED.split(",") + ["W6", "E7"], "max_line_length": WIDTH}
    after = autopep8.fix_code(text, options=options)
    for number, (old, new) in enumerate(zip(text.splitlines(), after.splitlines()), 1):
        if old != new:
            yield number, "autopep8 would write: %s" % new.strip()
            return


def long_lines(text):
    return sum(len(line) > WIDTH for line in text.splitlines())


def known():
    """{path: how many long lines it may have}."""
    with open(LIST, encoding="utf-8") as lines:
        rows = (line.split() for line in lines if line.strip() and line[0] != "#")
        return {path: int(count) for count, path in rows}


def complaints(path, text, allowed):
    """(line, complaint) about one file; allowed: long lines that it may have."""
    skip = excused(text)
    found = list(names(text)) + list(private(text)) + list(machine_code(text)) + style(text, path) + list(formatted(text))
    found = [(line, what) for line, what in found if line not in skip]
    count = long_lines(text)
    if count > allowed:
        numbers = [number for number, line in enumerate(text.splitlines(), 1) if len(line) > WIDTH]
        found.append((numbers[-1], "%d lines of over %d characters, %d were there before: %s" % (
            count, WIDTH, allowed, ", ".join(map(str, numbers)))))
    return sorted(found)


def read(path):
    with open(os.path.join(CHECKOUT, path), encoding="utf-8") as file:
        return file.read()


def _of_one(path, allowed):
    return ["%s:%d: %s" % (path, line, what) for line, what in complaints(path, read(path), allowed)]


def complaints_of_all(paths, allowed):
    """Lines of text, for each complaint one."""
    with ProcessPoolExecutor() as pool:
        found = [line for some in pool.map(_of_one, paths, [allowed.get(path, 0) for path in paths], chunksize=8) for line in some]
    return found + ["tests/lint.txt: there is no %s" % path for path in allowed if path not in paths]


def main(words):
    """words: nothing, or --write."""
    paths = list(files())
    if "--write" in words:
        counts = {path: long_lines(read(path)) for path in paths}
        with open(LIST, "w", encoding="utf-8") as out:
            out.write("# Lines of over %d characters in files that were here before the limit. Written by `./build.py lint -- --write`.\n" % WIDTH)
            out.writelines("%d %s\n" % (count, path) for path, count in counts.items() if count)
        return 0
    found = complaints_of_all(paths, known())
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
