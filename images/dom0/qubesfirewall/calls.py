"""Calls of a qube's services, and what dom0 knows of its qubes: by dom0's own commands, or from a folder of recorded
ones.

A source has two methods. listing() gives what `qvm-ls` prints; call() begins a service call, whose answer is read in
pieces,
never waiting. Neither looks at what comes: that is for streams.py.
"""

import os
import signal
import subprocess
import tempfile

PIECE = 65536  # octets taken at once
COMPLAINT = 2048  # octets of stderr that are kept
SECONDS = 20  # that qvm-ls may take
LIST = ["qvm-ls", "--raw-data", "--fields", "NAME,STATE,CLASS,IP,NETVM,KERNEL"]


class Unavailable(Exception):
    """dom0's own commands do not answer: a sentence."""


class Qubes:
    """dom0's own: qvm-ls and qvm-run. caller: a program that is started as `caller QUBE SERVICE` instead of qvm-run."""

    recorded = False

    def __init__(self, caller=None):
        self.caller = caller

    def list_call(self):
        """A Call of qvm-ls."""
        return Call(LIST)

    def listing(self):
        try:
            done = subprocess.run(
                LIST, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS
            )
        except FileNotFoundError:
            raise Unavailable("qvm-ls is not here: this program runs in dom0")
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable("qvm-ls: %s" % error)
        if done.returncode:
            raise Unavailable("qvm-ls failed: %s" % done.stderr.decode("ascii", "replace").strip()[-200:])
        return done.stdout

    def call(self, qube, service, said=b""):
        """A Call. said: what is written to the service; its end follows."""
        if self.caller:
            return Call([self.caller, qube, service], said)
        return Call(
            [
                "qvm-run",
                "--pass-io",
                "--no-gui",
                "--no-autostart",
                "--no-colour-output",
                "--no-colour-stderr",
                "--service",
                "--",
                qube,
                service,
            ],
            said,
        )


class Call:
    """A running call. read() never waits; code is None while it runs."""

    def __init__(self, command, said=b""):
        self.code, self._complaint, self._open = None, b"", True
        stdin = subprocess.DEVNULL
        if said:
            stdin = tempfile.TemporaryFile()  # not a pipe: who does not read must not keep us waiting
            stdin.write(said)
            stdin.seek(0)
        try:
            # a session of its own: what it starts in turn ends with it
            self._process = subprocess.Popen(
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise Unavailable("%s: %s" % (command[0], error.strerror))
        finally:
            if said:
                stdin.close()
        for pipe in (self._process.stdout, self._process.stderr):
            os.set_blocking(pipe.fileno(), False)

    def fileno(self):
        """For select(); -1 when there is nothing more to come."""
        return self._process.stdout.fileno() if self._open else -1

    def read(self, most=PIECE):
        """What is there, b"" if nothing is; code is set when it has ended and all has been read."""
        self._hear()
        octets = self._take(self._process.stdout, most) if self._open else b""
        if octets is None:
            self._open, octets = False, b""
        if not self._open and self.code is None:
            self.code = self._process.poll()
            if self.code is not None:
                self._hear()
        return octets

    def _hear(self):
        heard = self._take(self._process.stderr, COMPLAINT)
        while heard:
            self._complaint = (self._complaint + heard)[:COMPLAINT]
            heard = self._take(self._process.stderr, COMPLAINT) if len(self._complaint) < COMPLAINT else b""

    @staticmethod
    def _take(pipe, most):
        """Octets; b"" when there are none now; None at its end."""
        try:
            return os.read(pipe.fileno(), most) or None
        except BlockingIOError:
            return b""

    @property
    def complaint(self):
        """What it said on stderr, not cleaned."""
        return self._complaint.decode("ascii", "replace")

    def end(self):
        """End it, and all that it has started."""
        if self._process.poll() is None:  # else its number may be another's by now
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()
        self._open = False


class Recorded:
    """A folder: `qvm-ls`, and for each qube a folder with a file for each service that was called, named as the call
    was.

    `SERVICE.err` beside one is what it said on stderr; such a call ends with 1.
    """

    recorded = True

    def __init__(self, folder):
        self.folder = folder

    def listing(self):
        try:
            with open(os.path.join(self.folder, "qvm-ls"), "rb") as file:
                return file.read()
        except OSError as error:
            raise Unavailable("%s: %s" % (os.path.join(self.folder, "qvm-ls"), error.strerror))

    def list_call(self):
        return Replay(os.path.join(self.folder, "qvm-ls"))

    def call(self, qube, service, said=b""):
        return Replay(os.path.join(self.folder, qube, service))


class Replay:
    """A call that is read from a file, a piece at a time."""

    def __init__(self, path):
        self.code, self.complaint = None, ""
        try:
            self._file = open(path, "rb")
        except OSError:
            self._file, self.complaint = None, "%s: was not recorded" % os.path.basename(path)
        try:
            with open(path + ".err", encoding="ascii", errors="replace") as file:
                self.complaint = file.read(COMPLAINT)
        except OSError:
            pass

    def fileno(self):
        return -1

    def read(self, most=PIECE):
        octets = self._file.read(most) if self._file else b""
        if not octets and self.code is None:
            self.code = 1 if self.complaint else 0
        return octets

    def end(self):
        if self._file:
            self._file.close()
            self._file = None
