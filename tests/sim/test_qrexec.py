"""The qrexec agent in the simulated Xen: dom0's daemon and the callers over shared memory."""
import pytest
from qrexec_server import FW, Dom0


@pytest.fixture
def start(machine):
    def start(**options):
        dom0 = Dom0(machine, **options)
        firewall = machine.firewall("run=try_qrexec")
        machine.until(lambda: dom0.daemon.agreed)
        machine.settle()
        return firewall, dom0
    dom0 = None
    yield start
    del dom0


def do(machine, text):
    machine.write("/local/domain/2/data/do", text, [("n", FW)])
    machine.settle()


def test_a_service_and_its_exit_code(machine, start):
    firewall, dom0 = start()
    call = dom0.call("qubes.WaitForSession")
    machine.settle()
    assert call.code == 0 and call.stdout == b"" and call.gone
    assert dom0.daemon.terminated == [(0, call.port)] and dom0.daemon.ports == {}
    assert dom0.left == [] and dom0.daemon.stray == []


def test_stdin_to_stdout(machine, start):
    firewall, dom0 = start()
    call = dom0.call("test.Echo+7")
    sent = bytes(range(256)) * 1000
    call.write(sent)
    call.close_stdin()
    machine.settle()
    assert (call.code, call.stdout, call.stderr) == (7, sent, "")
    assert dom0.left == []


def test_an_unknown_service(machine, start):
    firewall, dom0 = start()
    call = dom0.call("qubes.NoSuch+x\ty")
    machine.settle()
    assert call.code == 127 and call.stderr.startswith("qubes.NoSuch+x\\x09y: no such service")


def test_call_out(machine, start):
    firewall, dom0 = start()
    dom0.policy = lambda trigger: 0
    do(machine, "call qubes.Test+a dom0 some words")
    side = dom0.served[0]
    assert (side.trigger.service, side.trigger.target, side.stdin) == ("qubes.Test+a", "dom0", b"some words")
    side.write(b"answer")
    side.exit(3)
    machine.settle()
    assert firewall.lines("result") == ["result 3 b'answer'"]
    assert dom0.daemon.ports == {} and dom0.left == [] and dom0.daemon.stray == []
