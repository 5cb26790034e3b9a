"""dom0's programs on every Python that this machine has, of those that a dom0 may have: python3 -m tests.dom0.pythons

It runs outside the tool root, which has one Python alone, before the tests on the host. A version that is not here is
named; that the oldest one's syntax and library are kept to, tests/host/test_dom0_python38.py sees on any.
"""

import glob
import os
import shutil
import subprocess
import sys

MINORS = range(8, 14)
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def found(minor):
    """The path of a Python 3.minor that runs, in PATH or of pyenv; None."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    paths = [shutil.which("python3.%d" % minor)] + sorted(glob.glob("%s/versions/3.%d.*/bin/python3" % (root, minor)))
    check = "import sys; sys.exit(sys.version_info[:2] != (3, %d))" % minor
    for path in paths:
        if path and subprocess.run([path, "-c", check], stderr=subprocess.DEVNULL).returncode == 0:
            return path
    return None


def main():
    absent, failed = [], 0
    for minor in MINORS:
        path = found(minor)
        if path is None:
            absent.append("3.%d" % minor)
            continue
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        modules = ["tests.dom0.screens"] + (["tests.dom0.library"] if minor == MINORS[0] else [])
        for module in modules:
            failed += subprocess.run([path, "-m", module], cwd=CHECKOUT, env=environment).returncode != 0
    if absent:
        print("not here: Python " + ", ".join(absent))
    sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
