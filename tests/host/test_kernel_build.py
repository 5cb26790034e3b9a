"""What is built is known by its sources: never by others than it was made of."""
import os

import pytest

from images import kernel
from images.progress import Problem


class Root:
    """In place of a tool root: its compiler takes whatever stands in one source."""

    path, name, packages, comparable = "/", "root", [], True
    edit = None  # what an editor writes meanwhile

    def run(self, argv, binds, **keywords):
        source = os.path.join(kernel.CHECKOUT, "firewall", "x.py")
        if self.edit:
            with open(source, "w") as out:
                out.write(self.edit)
        with open(source) as text, open(os.path.join(kernel.CHECKOUT, "build", "sim", "firewall-sim"), "w") as out:
            out.write("made of " + text.read())
        return type("Done", (), {"returncode": 0})


def test_sources_that_change_while_they_are_built(tmp_path, monkeypatch):
    """Made of the edit, it had the name of what stood there before: once that stood there again it was taken for it."""
    for path, text in (("port/Makefile", ""), ("images/VERSION", "1"), ("firewall/x.py", "before")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(kernel, "CHECKOUT", str(tmp_path))
    monkeypatch.setattr(kernel, "micropython", lambda root, sources: str(tmp_path))
    root = Root()
    root.edit = "after"
    with pytest.raises(Problem) as problem:
        kernel.build("sim", root=root)
    assert "changed while" in str(problem.value)
    root.edit = None
    (tmp_path / "firewall/x.py").write_text("before")
    with open(kernel.build("sim", root=root)) as text:
        assert text.read() == "made of before"
