"""Fixtures of the tests in the simulated Xen."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from machine import Machine  # noqa: E402


@pytest.fixture
def machine():
    """A machine whose clock the test owns; every domain of it ends with the test."""
    with Machine() as machine:
        yield machine


@pytest.fixture
def run(tmp_path):
    """run(machine, text, ...): the firewall's process with a script of this text instead of boot, until it has ended."""
    def run(machine, text, **more):
        script = tmp_path / "script.py"
        script.write_text(text)
        firewall = machine.firewall(script=str(script), **more)
        firewall.wait_end()
        return firewall

    return run
