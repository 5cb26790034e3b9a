"""Fixtures of the tests in the simulated Xen."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine as machines  # noqa: E402
from machine import Machine  # noqa: E402


# where rings and packets are written at places that a neighbour has a say in
_BOTH_GUARDS = (
    "test_attacks_client_rx", "test_attacks_client_tx", "test_attacks_netvm", "test_noise", "test_traffic_sim",
    "test_vchan", "test_vchan_deaths", "test_vchan_lies",
)  # fmt: skip


def pytest_generate_tests(metafunc):
    """Some modules' tests run twice, with the inaccessible page on either side of the firewall's memory."""
    if metafunc.module.__name__ in _BOTH_GUARDS:
        metafunc.parametrize("guard", ["after", "before"], indirect=True)


@pytest.fixture(autouse=True)
def guard(request, monkeypatch):
    """On which side of the firewall's memory the inaccessible page lies, for every machine that the test makes."""
    if hasattr(request, "param"):
        monkeypatch.setattr(machines, "GUARD", request.param)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the firewalls' consoles under a failure, of its set-up too."""
    report = (yield).get_result()
    machine = getattr(item, "machine", None)
    if report.failed and machine and call.when != "teardown":
        report.sections.append(("consoles", machine.consoles()))


@pytest.fixture
def machine(request):
    """A machine whose clock the test owns; every domain of it ends with the test."""
    with Machine() as machine:
        request.node.machine = machine
        yield machine


@pytest.fixture
def qrexec(machine):
    """qrexec(): (firewall, dom0), connected. What a program in dom0 would have gone for fails the test."""
    from qrexec_scenes import started

    all_dom0 = []

    def start(**options):
        firewall, dom0 = started(machine, **options)
        all_dom0.append(dom0)
        return firewall, dom0
    yield start
    for dom0 in all_dom0:
        assert (dom0.left, dom0.daemon.stray, dom0.daemon.refused) == ([], [], [])
    assert all(firewall.alive() for firewall in machine.firewalls()) and machine.firewalls()


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
