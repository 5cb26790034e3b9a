"""A copy of the checkout in which the same program is told something else, for tests that compare two checkouts.

    folder = told(tmp_path, "gateway=%s", "ours=10.138.0.77 gateway=%s")    # in the words of tests/sim/network.py
"""
import os
import shutil

from hypervisor import CHECKOUT, LIBRARY, PROGRAM


def told(folder, words, others):
    """The copy's path: `others` stand in place of `words`, which are in network.py once."""
    left_out = shutil.ignore_patterns("__pycache__")
    for name in ("tests", "firewall", "port/modules"):
        shutil.copytree(os.path.join(CHECKOUT, name), str(folder / name), ignore=left_out)
    for made in (PROGRAM, LIBRARY):  # other code would need another build
        copy = folder / os.path.relpath(made, CHECKOUT)
        os.makedirs(str(copy.parent), exist_ok=True)
        shutil.copy(made, str(copy))
    network = folder / "tests" / "sim" / "network.py"
    text = network.read_text()
    assert text.count(words) == 1
    network.write_text(text.replace(words, others))
    return str(folder)
