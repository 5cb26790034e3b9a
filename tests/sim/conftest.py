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
