"""The tool that plants faults: what it makes of a source, how faults are named, and that it tells seen from unseen."""
import os
import subprocess
import sys
import textwrap
import types

import pytest

from tests.mutation import mutants, runner
from tests.mutation.__main__ import KNOWN

SOURCE = '''
"""What it does."""
LIMIT = 3

class Box:
    def put(self, x):
        """Says 5 < 6."""
        if x < LIMIT and not self.full:
            self.held += x
        return "%d of 9" % x
'''


def test_what_is_made_of_a_source():
    made = mutants.make("box.py", SOURCE)
    assert [(each.function, each.before, each.after) for each in made] == [
        ("", "LIMIT = 3", "LIMIT = 4"),
        ("", "LIMIT = 3", "LIMIT = 2"),
        ("Box.put", "if x < LIMIT and (not self.full):", "if not (x < LIMIT and (not self.full)):"),
        ("Box.put", "if x < LIMIT and (not self.full):", "if x < LIMIT or not self.full:"),
        ("Box.put", "if x < LIMIT and (not self.full):", "if x < LIMIT and (not not self.full):"),
        ("Box.put", "if x < LIMIT and (not self.full):", "if x <= LIMIT and (not self.full):"),
        ("Box.put", "if x < LIMIT and (not self.full):", "if x >= LIMIT and (not self.full):"),
        ("Box.put", "self.held += x", "pass"),
        ("Box.put", "self.held += x", "self.held -= x"),
    ]
    assert {SOURCE.splitlines()[each.lines[0] - 1].strip() for each in made} == {
        "LIMIT = 3", "if x < LIMIT and not self.full:", "self.held += x"}


def test_names_stay_right_while_lines_move():
    moved = [each.name for each in mutants.make("box.py", "\n\nimport os\n" + SOURCE)]
    assert moved == [each.name for each in mutants.make("box.py", SOURCE)]
    twice = "def f(x):\n    x += 1\n    x += 1\n"
    names = [each.name for each in mutants.make("f.py", twice)]
    assert len(names) == len(set(names)) == 6 and names[0][:4] == names[3][:4]


def test_known_faults_are_read_as_they_are_printed():
    made = mutants.make("box.py", SOURCE)
    text = "# a remark\n\n" + "\n\n".join("%s\n= reason %d" % (each, i) for i, each in enumerate(made))
    assert mutants.read_known(text) == {each.name: "reason %d" % i for i, each in enumerate(made)}
    for broken in ("box.py f\n- a\n+ b", "box.py f\n+ b\n= why", "box.py f\n- a\n= why"):
        with pytest.raises(ValueError):
            mutants.read_known(broken)
    with open(KNOWN) as text:
        mutants.read_known(text.read())


def test_seen_and_unseen(tmp_path):
    """Planted in replace(): by a test that looks at what it did, and by one that only calls it."""
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    body = """
        import sys
        sys.path.append("tests/stubs")
        from array import array
        from firewall.flows.index import Index

        def test_it():
            records = array("I", bytes(4 * 64))
            records[16:20] = records[32:36] = array("I", (1, 2, 3, 4))
            index = Index(array("I", bytes(4 * 64)), records, bytes(range(28)))
            assert index.add(1, 1, 2, 3, 4)
            %s
    """
    calls = "index.replace(1, 2, 1, 2, 3, 4)"
    for last, score in (
        (calls + "; assert index.find(1, 2, 3, 4) == 2", {"killed": 3, "survived": 0, "unreached": 0}),
        (calls, {"killed": 0, "survived": 3, "unreached": 0}),
    ):
        (tmp_path / "test_it.py").write_text(textwrap.dedent(body % last))
        done = subprocess.run(
            [sys.executable, "-m", "tests.mutation", "index", "-n", "Index.replace", "--tests", str(tmp_path / "test_it.py")],
            cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        heads, row = [line.split() for line in done.stdout.splitlines()[-2:]]
        assert score.items() <= dict(zip(heads, map(int, row[1:]))).items(), done.stdout
        assert done.returncode == (score["killed"] != 3)


def test_an_object_of_anothers_class_is_another_by_what_it_holds():
    """Fault: `DENY = RuleList(True, ...)` was never planted, as only plain values were compared, and so never seen."""
    source = "from types import SimpleNamespace\nHELD = SimpleNamespace(full=False)\nKEPT = SimpleNamespace(full=False)\n"
    module, other = types.ModuleType("box"), types.ModuleType("other")
    module.__file__ = "box.py"
    exec(source, vars(module))
    other.HELD, other.KEPT = module.HELD, module.KEPT
    kept = module.KEPT
    planted, = [each for each in mutants.make("box.py", source) if each.after == "HELD = SimpleNamespace(full=True)"]
    sys.modules["other"] = other
    sys.modules["box"] = module
    try:
        runner.plant(module, planted)
    finally:
        del sys.modules["other"], sys.modules["box"]
    assert module.HELD.full and other.HELD is module.HELD
    assert module.KEPT is other.KEPT is kept  # what is as it was stays the same object
