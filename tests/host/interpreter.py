"""Runs a script under the project's own MicroPython, the one of the simulation, for the host tests.

    lines = interpreter.run("from firewall.wire import address\nprint(address.text4(1))")

The packages that ship are frozen in; everything else a script needs must be in its text.
"""
import os
import resource
import subprocess
import tempfile

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("FIREWALL_SIM") or os.path.join(CHECKOUT, "build", "firewall-sim")


def available():
    return os.access(PROGRAM, os.X_OK)


def run(script, seconds=600):
    """Lines that script prints. AssertionError with all of its output if it does not end well.

    seconds: of CPU time that it may take, so that an endless one ends, and a slow machine is no reason to.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [PROGRAM, file.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5)),
        )
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, text[-4000:]
    return text.splitlines()
