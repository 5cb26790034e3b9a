"""The first five minutes: a bare checkout, an empty cache, `demo`, then `explain` on README's example.

Nothing here was built or made before, the lab's archives included. Only what was downloaded is the cache's own, for tests
use no network, and the tool roots made of it; with --long these are made anew, too.
"""
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from tests import readme

CHECKOUT = "/src"
CACHE = "qubes-python-firewall"
_NOT_CLONED = shutil.ignore_patterns("build", "__pycache__", ".git", ".hypothesis", ".pytest_cache", "*.pyc")
STEPS = ["Boot Xen", "Boot the netvm", "xl create firewall", "Boot two Linux clients", "work pings", "chat downloads", "chat tries",
         "work downloads from two", "Throughput out", "Throughput in", "xl sysrq", "xl shutdown", "together"]

pytestmark = pytest.mark.xdist_group("newcomer")


@pytest.fixture
def newcomer(request, labs):
    """run(words) in such a checkout, with such a cache: what it printed. On disk: a tool root has a gigabyte and more."""
    labs.close()  # the demo brings its own
    kept = ("files",) if request.param == "tool roots anew" else ("files", "roots", "sources")
    os.makedirs(CHECKOUT + "/build", exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="newcomer-", dir=CHECKOUT + "/build") as folder:
        cache = os.path.join(folder, "cache", CACHE)
        os.makedirs(cache)
        for name in kept:
            os.symlink(os.path.join(os.environ["XDG_CACHE_HOME"], CACHE, name), os.path.join(cache, name))
        checkout = shutil.copytree(CHECKOUT, os.path.join(folder, "a checkout"), ignore=_NOT_CLONED)
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_CACHE_HOME": os.path.join(folder, "cache"), "COLUMNS": "120"}

        def run(*words):
            done = subprocess.run(["./build.py", *words], cwd=checkout, env=environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, done.stdout[-8000:]
            return done.stdout
        run.checkout = checkout
        yield run
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)


@pytest.mark.parametrize("newcomer", ["tool roots kept", pytest.param("tool roots anew", marks=pytest.mark.long)], indirect=True)
def test_demo_and_explain(newcomer, figure):
    """Boots: what the demo does."""
    questions, answers = readme.explained()
    with open(newcomer.checkout + "/questions.jsonl", "w") as out:
        out.write(questions)
    assert newcomer("explain", "questions.jsonl", "--text") == answers  # even before anything is built
    said = newcomer("demo")
    table = said[said.index("The image on a real Xen"):]
    assert [step for step in STEPS if step not in table] == [], said
    assert "✗" not in said
    ours, lab = re.search(r"together.* ([\d.]+) +([\d.]+) *$", table, re.MULTILINE).groups()
    figure("the demo from an empty lab cache", "%s s of the host's clock, %s s of the lab's" % (ours, lab))
    assert newcomer("explain", "questions.jsonl", "--text") == answers
