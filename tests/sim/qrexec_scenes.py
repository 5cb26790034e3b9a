"""What the tests of qrexec begin with: tests/guest/try_qrexec.py, dom0's daemon connected to it."""
from qrexec_server import FW, Dom0


def started(machine, **options):
    """(firewall, dom0). options: of the daemon."""
    dom0 = Dom0(machine, **options)
    firewall = machine.firewall("run=try_qrexec")
    machine.until(lambda: dom0.daemon.agreed)
    machine.settle()
    return firewall, dom0


def do(machine, text):
    """A command of try_qrexec's."""
    machine.write("/local/domain/2/data/do", text, [("n", FW)])
    machine.settle()


def result(call):
    return call.code, call.stdout, call.stderr
