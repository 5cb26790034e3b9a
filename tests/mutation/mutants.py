"""The faults to plant: small changes of one place in a module's syntax tree.

A fault is named by its file, the function that it is in, and its statement before and after, so that a name stays
right while lines move. Two of one name in one function are told apart by a number.
"""
import ast
import copy

_COMPARE = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}
_ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}


class Mutant:
    """One fault. tree: the module's syntax tree with it."""

    def __init__(self, path, function, lines, before, after, tree, number=1):
        self.path, self.function = path, function  # function: dotted; "" for the module itself
        self.lines = lines  # (first, last) of the statement's head, as the source has them now
        self.before, self.after, self.tree, self.number = before, after, tree, number

    @property
    def name(self):
        return self.path, self.function, self.before, self.after, self.number

    def __str__(self):
        number = " (%d)" % self.number if self.number > 1 else ""
        return "%s %s%s\n- %s\n+ %s" % (self.path, self.function or "-", number, self.before, self.after)


def _head(statement):
    """A statement as text, in one line; of a compound one the head only."""
    if hasattr(statement, "body"):
        statement = copy.copy(statement)
        statement.body = [ast.Pass()]
        for name in ("orelse", "finalbody", "handlers", "decorator_list"):
            if getattr(statement, name, None):
                setattr(statement, name, [])
        if isinstance(statement, ast.Try):
            return "try:"
    text = ast.unparse(statement).replace("\n    pass", "")
    return " ".join(text.split())


def _head_lines(statement):
    body = getattr(statement, "body", None)
    if not body:
        return statement.lineno, statement.end_lineno
    return statement.lineno, max(statement.lineno, body[0].lineno - 1)


def _changes(node):
    """Functions that change the node in place, each one way, and give back what undoes it."""
    def put(name, value):
        def change():
            old = getattr(node, name)
            setattr(node, name, value)
            return lambda: setattr(node, name, old)
        return change

    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in _COMPARE[type(op)]:
                yield put("ops", node.ops[:i] + [other()] + node.ops[i + 1:])
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in _ARITHMETIC:
        text = isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, (str, bytes))
        if not text:  # "%d" % ... makes a message
            yield put("op", _ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield put("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for i in range(len(node.values)):
            if len(node.values) > 2:
                yield put("values", node.values[:i] + node.values[i + 1:])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield put("operand", ast.UnaryOp(ast.Not(), node.operand))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
        yield put("op", ast.UAdd())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield put("value", not node.value)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield put("value", node.value + 1)
        if node.value > 1:
            yield put("value", node.value - 1)
    if isinstance(node, (ast.If, ast.While, ast.IfExp)) and not isinstance(node.test, (ast.Compare, ast.UnaryOp, ast.Constant)):
        yield put("test", ast.UnaryOp(ast.Not(), node.test))


def _without(statement):
    """Is a statement worth leaving out? Not definitions, imports, and what only hands on a value."""
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Return):
        return statement.value is None
    if isinstance(statement, ast.Assign):
        return not all(isinstance(target, ast.Name) for target in statement.targets)
    return isinstance(statement, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete))


def _expressions(statement):
    """Nodes of a statement's own, without those of the statements in it; no docstrings, messages and annotations."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.Raise) or isinstance(node, ast.Assert) or isinstance(node, ast.JoinedStr):
            continue
        for field, value in ast.iter_fields(node):
            if field in ("body", "orelse", "finalbody", "handlers") and not isinstance(node, ast.IfExp):
                continue
            if field in ("annotation", "returns", "decorator_list"):
                continue
            waiting.extend(each for each in (value if isinstance(value, list) else [value]) if isinstance(each, ast.AST))


def make(path, source, functions=None):
    """All mutants of a module's source; functions: only inside these, by their dotted names."""
    tree = ast.parse(source)
    made, counts = [], {}

    def note(statement, function, change, replaced=None):
        before = _head(statement)
        undo = change()
        after = "pass" if replaced else _head(statement)
        copied = ast.fix_missing_locations(copy.deepcopy(tree))
        undo()
        name = function, before, after
        counts[name] = counts.get(name, 0) + 1
        made.append(Mutant(path, function, _head_lines(statement), before, after, copied, counts[name]))

    def visit(body, function):
        for i, statement in enumerate(body):
            inside = function
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inside = function + "." + statement.name if function else statement.name
            wanted = functions is None or any(inside == each or inside.startswith(each + ".") for each in functions)
            if wanted and not isinstance(statement, (ast.Import, ast.ImportFrom)):
                if _without(statement):
                    def leave_out(body=body, i=i, statement=statement):
                        body[i] = ast.copy_location(ast.Pass(), statement)
                        return lambda: body.__setitem__(i, statement)
                    note(statement, function, leave_out, replaced=True)
                for node in _expressions(statement):
                    for change in _changes(node):
                        note(statement, function, change)
            for field in ("body", "orelse", "finalbody"):
                visit(getattr(statement, field, None) or [], inside)
            for handler in getattr(statement, "handlers", None) or []:
                visit(handler.body, inside)

    visit(tree.body, "")
    return made


def read_known(text):
    """{name: reason} of a list of mutants as str() writes them, each followed by "= REASON"."""
    known, block = {}, []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        block.append(line)
        if line.startswith("= "):
            if len(block) != 4 or not block[1].startswith("- ") or not block[2].startswith("+ "):
                raise ValueError("known.txt: not a mutant and its reason: %r" % block)
            path, function, *number = block[0].split(" ")
            number = int(number[0].strip("()")) if number else 1
            known[path, "" if function == "-" else function, block[1][2:], block[2][2:], number] = line[2:]
            block = []
    if block:
        raise ValueError("known.txt: no reason for %r" % block)
    return known
