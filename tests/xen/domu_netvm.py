"""Linux domains as netvms of a site: driver domains, as on a Qubes machine. They can be killed, started again, exchanged.

Such a netvm has xen-netback and `xl devd`, which runs the vif script when it comes to it, while libxl in dom0 waits for the
backend's state 2 only: the firewall may connect long before. delay_script() and let_script_fail() say how it goes on.

dom0's part is done as qubesd does it: the interface of a netvm that died is detached, and once it runs again a new one is
attached; QubesDB hears of neither. Another netvm with another address is written to QubesDB in between.
"""
import shlex

from .dom0_netvm import SCRIPT_WORDS
from .internet import HEAD, Internet

ADDRESS, OTHER_ADDRESS = "10.137.0.8", "10.137.0.7"
_LIMIT = 600  # s of the lab's clock, for what has a limit of its own


class DomuNetvm:
    def __init__(self, lab, address=ADDRESS, name="netvm", python=True):
        """python: its internet can run steps/services.py."""
        self.lab, self.address, self.name, self.python = lab, address, name, python
        self.domain = self.internet = None
        self.boot()

    def boot(self):
        """Boot it, afresh if it has run before."""
        self.domain = self.lab.linux(self.name, config="driver_domain=1", timeout=240, python=self.python, words="netvm=" + self.address)
        self.domain.wait_for("NETVM-READY", 60)
        self.internet = Internet(self)

    def kill(self):
        self.domain.destroy()

    @property
    def interface_words(self):
        return "backend=%d,%s" % (self.domain.domid, SCRIPT_WORDS)

    @property
    def backends(self):
        return self.domain.store("backend/vif")

    def delay_script(self, seconds):
        """From now on the vif script waits so long before it does anything; 0: it does all at once."""
        self.sh("echo 'address=%s delay=%d' > /etc/site" % (self.address, seconds))

    def let_script_fail(self):
        """From now on the vif script gives up, and leaves the interface down; until delay_script()."""
        self.sh("echo 'address=%s fails=1' > /etc/site" % self.address)

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command in it; one line."""
        return self.domain.sh(HEAD + command, timeout, check)

    def run(self, argv, timeout=30.0, check=True):
        return self.domain.sh(shlex.join(argv), timeout, check)

    def start(self, argv, log):
        if log != "/dev/null":
            self.domain.sh("rm -f %s" % log)  # here: the shell that begins it anew may come later than a look
        self.domain.sh("%s > %s 2>&1 < /dev/null &" % (shlex.join(argv), log))

    def text(self, path):
        return self.domain.sh("cat %s 2> /dev/null" % path, _LIMIT, check=False)

    def await_text(self, path, text, seconds):
        """By its own clock."""
        command = "for i in $(seq %d); do grep -qsF %s %s && echo found && break; usleep 50000; done" % (20 * seconds, shlex.quote(text), path)
        return "found" in self.domain.sh(command, _LIMIT, check=False)

    def reset(self):
        """End all that was started in the internet; the vif script does all at once."""
        self.internet.reset()
        self.delay_script(0)

    def close(self):
        self.kill()
