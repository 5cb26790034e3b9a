"""qrexec over the real vchan: dom0's daemon, which exits where the real one does, callers and services."""
import pytest

from tests.xen.conftest import both_daemons
from tests.xen.qrexec import Qrexec
from tests.xen.test_qubesdb import until


@pytest.fixture
def served(guest):
    """A domain that runs the agent alone, connected to dom0's daemon."""
    programs = []

    def start():
        domain = guest("try_qrexec")
        programs.append(Qrexec(domain.lab, domain))
        until(domain.lab, lambda: programs[0].state()["agreed"] == 4)
        return domain, programs[-1]
    yield start
    for program in programs:
        program.stop()


def results(domain, qrexec, numbers):
    """[(exit code, stdout, stderr)] of calls, when all have ended."""
    found = {}

    def ended():
        found.update(qrexec.state()["calls"])
        return all(found[str(number)]["gone"] for number in numbers)
    until(domain.lab, ended)
    return [tuple(found[str(number)][name] for name in ("code", "stdout", "stderr")) for number in numbers]


@both_daemons
def test_calls_and_a_daemon_that_is_started_again(served):
    """Boots: a test image that only runs the agent."""
    domain, qrexec = served()
    words = "to and fro " * 20000
    code, stdout, stderr = results(domain, qrexec, [qrexec.call("test.Echo+7", words)])[0]
    assert (code, stderr) == (7, "") and stdout == words
    names = ("qubes.WaitForSession+", "qubes.NoSuch")
    numbers = [qrexec.call(service, just=just) for service in names for just in (0, 1)]
    found = results(domain, qrexec, numbers)
    assert [code for code, _, _ in found] == [0, 0, 127, 127]
    assert found[2][2].startswith("qubes.NoSuch: no such service") and found[3] == (127, "", "")

    names = ["test.Echo+%d" % i for i in range(20)]  # dom0's kernel lends 1,024 pages, 33 for each
    first, more = qrexec.crowd(names[:8], names[8:])  # eight that all run: none has ended; and who waits for them
    assert results(domain, qrexec, first + more) == [(i, "%d" % number, "") for i, number in enumerate(first + more)]
    assert qrexec.state()["crowded"] == 0
    until(domain.lab, lambda: qrexec.state()["ports"] == [])

    for _ in range(2):
        qrexec.drop()
        until(domain.lab, lambda: qrexec.state()["agreed"] == 4)
        assert results(domain, qrexec, [qrexec.call("test.Echo+3", "again")]) == [(3, "again", "")]

    qrexec.answer("qubes.Test", "an answer", 5)
    domain.store_write("data/do", "call qubes.Test dom0 words")
    domain.wait_for("result 5 9 b'an answer'")
    domain.store_write("data/do", "call qubes.Other dom0")
    domain.wait_for("result 126 0")
    state = qrexec.state()
    assert state["left"] == [] and state["stray"] == []
    assert domain.state() == "running"
