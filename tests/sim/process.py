"""The firewall's process in the simulated Xen: its turns, its console, its end."""
import ctypes
import os
import signal
import subprocess
import time

from hypervisor import CONSOLE_PAGE, PROGRAM, SHUT_DOWN, WATCHDOG, XENSTORE_PAGE
from peer import Peer

HANG = 20  # s of the process's own CPU time, which other work on the machine does not use up
HANG_EXPECTED = 2  # where a test has it hang

_OUT, _OUT_OCTETS = 1024, 2048  # the console ring's output: offset, size
_OUT_CONS, _OUT_PROD = 770, 771  # and its counters, as 32-bit words


class Firewall(Peer):
    """The firewall's process. console: all that it has written, without carriage returns; screen: the octets."""

    def __init__(self, machine, domid, cmdline, script, frames, arguments, first_index):
        super().__init__(machine, domid, frames)
        self.console = ""
        self.screen = b""
        self.read_console = True
        self._argv = [PROGRAM, "--machine", machine.path, "--domid", str(domid), "--cmdline", cmdline]
        self._argv += list(arguments) + ([script] if script else [])
        self.process = None
        self._dom0 = machine.domains[0]
        self.domain.xenstore_port, self._store_port = self._channel()
        self.domain.console_port, self._console_port = self._channel()
        self.ring = self.octets(self.first + XENSTORE_PAGE)
        self._screen = self.octets(self.first + CONSOLE_PAGE)
        self._screen_words = self._screen.cast("I")
        self.store_end = machine.xenstored.attach(
            self.ring, domid, lambda: self._dom0.evtchn_send(self._store_port), first_index)

    def _channel(self):
        port = self.evtchn_alloc(0)
        return port, self._dom0.evtchn_bind(self.domid, port)

    def start(self):
        self.machine.actors.append(self._serve)
        self.process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not self.machine.real_time:
            self.turn()
            self.machine.settle()

    def _serve(self):
        """xenstored and xenconsoled for this domain."""
        self._dom0.pending()
        did = self.store_end.serve()
        return self._take_console() or did

    def _take_console(self):
        cons, prod = self._screen_words[_OUT_CONS], self._screen_words[_OUT_PROD]
        n = (prod - cons) & 0xFFFFFFFF
        if not n or not self.read_console:
            return False
        at = cons % _OUT_OCTETS
        out = bytes(self._screen[_OUT : _OUT + _OUT_OCTETS])
        out = (out[at:] + out[:at])[:n]
        self.screen += out
        self.console += out.decode("ascii", "replace").replace("\r", "")
        self._screen_words[_OUT_CONS] = prod
        if self.alive():
            self._dom0.evtchn_send(self._console_port)
        return True

    def alive(self):
        return self.domain.domid == self.domid and not self.domain.ended

    def end_hung(self):
        """What Xen's watchdog does with it."""
        self.process.kill()
        self.process.wait()
        self._take_console()
        self.domain.reason, self.domain.ended, self.domain.preempted = WATCHDOG, SHUT_DOWN, 0

    def runnable(self):
        return self.hv.hv_runnable(self.at, self.domid)

    def turn(self):
        """Let it run until it sleeps or ends. AssertionError, with its Python traceback, if it does neither."""
        self._give_turn(self._patience())
        while self.domain.preempted:
            self.machine.on_preempt(self)
            self._give_turn(self._patience())

    def _patience(self):
        return HANG_EXPECTED if self.machine.hangs_end and self.domain.watchdog_ns else HANG

    def _give_turn(self, seconds):
        self.hv.hv_give_turn(self.at, self.domid)
        if self._turn_is_back(seconds):
            return
        if self.machine.hangs_end and self.domain.watchdog_ns:
            self.machine.header.clock_ns = max(self.machine.now, self.domain.watchdog_ns)
            self.end_hung()
            return
        os.kill(self.process.pid, signal.SIGABRT)  # its handler prints where Python is
        while self._turn_is_back(2) and self.alive():
            self._take_console()
            self.hv.hv_give_turn(self.at, self.domid)
        self._take_console()
        raise AssertionError("it did not go to sleep in %d s of CPU time\n%s" % (seconds, self.console[-3000:]))

    def cpu_seconds(self):
        """CPU time that its process has taken; 0 when that is gone."""
        try:
            return time.clock_gettime(~self.process.pid << 3 | 2)  # that process's clock: clock_getcpuclockid(3)
        except OSError:
            return 0

    def _turn_is_back(self, seconds):
        """Wait for it; False when it has computed for so long. AssertionError if the process has died of something."""
        end = self.cpu_seconds() + seconds
        while True:
            if self.hv.hv_wait_turn(self.at, self.domid, ctypes.c_uint64(100_000_000)):
                return True
            if self.process.poll() is not None:
                self._take_console()
                raise AssertionError("the process died: %s\n%s\n%s" % (
                    self.process.returncode, self.process.stdout.read().decode(errors="replace"), self.console[-3000:]))
            if self.cpu_seconds() > end:
                return False

    @property
    def reason(self):
        """Why it ended: POWEROFF, REBOOT, CRASH or WATCHDOG; None while it runs."""
        return None if self.alive() else self.domain.reason

    def lines(self, having=""):
        return [line for line in self.console.splitlines() if having in line]

    def status(self, letter="s", perms=(("n", 2),)):
        """The lines that it shows when dom0 asks by `xl sysrq`. perms: of the node that dom0 writes."""
        before = len(self.lines("status: "))
        self.machine.write("/local/domain/%d/control/sysrq" % self.domid, letter, list(perms))
        self.machine.advance(1)
        return [line.partition("status: ")[2] for line in self.lines("status: ")[before:]]

    def wait_for(self, text, seconds=30):
        """Until the console shows text."""
        self.machine.until(lambda: text in self.console or not self.alive(), seconds, repr(text))
        assert text in self.console, "ended without %r\n%s" % (text, self.console[-3000:])

    def wait_end(self, seconds=30):
        """Until it has ended; the reason."""
        self.machine.until(lambda: not self.alive(), seconds, "the end")
        self._take_console()
        return self.reason

    def holdings(self):
        """What must not grow: compare two of these."""
        store = self.machine.store
        return {
            "pages": self.domain.pages_used, "grants": len(self.granted()), "ports": len(self.ports_in_use()),
            "mappings": self.mapped(),
            "nodes": store.owned_by(self.domid), "watches": store.watches(self.domid),
            "transactions": store.transactions(self.domid),
        }

    def kill(self):
        """As `xl destroy`: at once, whatever it is doing."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self._take_console()
        if self._serve in self.machine.actors:
            self.machine.actors.remove(self._serve)
        self.machine.xenstored.detach(self.domid)
        super().kill()
