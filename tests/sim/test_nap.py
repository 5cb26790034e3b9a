"""A sleep that others cut short (port/modules/nap.py)."""
import pytest


@pytest.mark.parametrize("mode, slept", [
    ("nobody", [0, 30, 400]), ("early", [150]),
    ("late", [130]), ("for_ever", [5050]), ("before", [50]), ("cancelled", []),
])  # fmt: skip
def test_a_sleep_that_others_cut_short(machine, mode, slept):
    firewall = machine.firewall("run=try_nap mode=%s" % mode)
    firewall.wait_for("slept", seconds=20)
    assert firewall.lines("slept ") == ["slept %r" % slept]
