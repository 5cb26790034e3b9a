"""The firewall's mind stays something that an administrator can read in an evening.

Counted are lines of code: neither blank nor only a comment or a docstring, which are there to be
read the first time and skipped afterwards. What joins the mind to rings and daemons is not counted.
"""
import ast
import os

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "firewall")
MIND = (
    "arp checksum clients ethernet flows flowstate fragments icmp index ipv4 judge nat neighbours packet "
    "quoted reasons record replies rewrite rules sealed tcp udp words"
).split()
LIMIT = 2500  # lines of code
LONGEST = 400  # lines of a file, everything counted


def code(text):
    """Numbers of the lines of code in a module's text."""
    lines = {i for i, line in enumerate(text.splitlines(), 1) if line.strip() and line.strip()[0] != "#"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, False):
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def test_the_mind_is_under_2500_lines_of_code(figure):
    texts = [open(os.path.join(FOLDER, name + ".py"), encoding="utf-8").read() for name in MIND]
    count = sum(len(code(text)) for text in texts)
    lines = [text.count("\n") for text in texts]
    figure("firewall/: the mind", "%d lines of code (%d with prose and blank lines)" % (count, sum(lines)), LIMIT)
    assert count < LIMIT
    assert max(lines) <= LONGEST


def test_what_is_counted():
    text = '"""Prose.\n\nMore."""\nimport os\n\n# why\ndef f():\n    """What."""\n    return (\n        os,\n    )  # so\n'
    assert code(text) == {4, 7, 9, 10, 11}
