"""Domains of the lab: what tests ask of them, and what they say when they did not do it."""
from . import standing
from .errors import LabError

CONSOLES = "/var/log/xen/console"
_SHOWN = 30  # lines of a console, or of Xen's log, in an error


def settings(name, kernel, cmdline, memory):
    """xl's lines for a domain as dom0 makes one of our preferences (images/salt).

    It has all of its memory from the start on, and an end of any kind is its end.
    """
    return ['name="%s"' % name, 'type="pvh"', 'kernel="%s"' % kernel, "memory=%d" % memory, "maxmem=%d" % memory,
            "vcpus=1", 'tsc_mode="native"', 'extra="%s"' % cmdline,
            'on_poweroff="destroy"', 'on_reboot="destroy"', 'on_crash="destroy"']


class Domain:
    """A domU. Its console goes to a file in dom0 from its first line on."""

    def __init__(self, lab, name, domid):
        self.lab, self.name, self.domid = lab, name, domid
        self.log = "%s/guest-%s.log" % (CONSOLES, name)

    def console(self):
        """All it has written, as text without carriage returns."""
        return self.lab.read(self.log, missing=b"").decode("utf-8", "replace").replace("\r", "")

    def wait_for(self, text, timeout=20.0, after=0):
        """Wait until its console shows text (from octet `after` on); the offset behind it. LabError also if it has ended."""
        found, state = self.lab.await_console(self, text, timeout, after)
        if found is None:
            what = "did not say %r in %g s" % (text, timeout) if state == "running" else "ended before it said %r" % text
            words = self.last_words() + (self.doing() if state == "running" else "")
            raise LabError("%s %s; state %s; %s" % (self.name, what, state, words))
        return found

    def doing(self):
        """For an error: what it is doing instead of what it was waited for, where that can be told."""
        return ""

    def last_words(self):
        """For an error: the last lines of its console, and what Xen's log has of it."""
        lines = self.console().splitlines()[-_SHOWN:]
        said = "its console ends with:\n%s" % "\n".join(lines) if any(lines) else "its console is empty"
        of_xen = self.lab.xen_lines(self.domid)[-2 * _SHOWN:]
        return "%s\nXen's log says of it%s" % (said, ":\n" + "\n".join(of_xen) if of_xen else " nothing")

    def state(self):
        """"running", "gone", or why it has shut down: "poweroff", "reboot", "crash"."""
        return self.lab.call("domains.state", self.domid)

    def wait_for_end(self, timeout=10.0):
        """Why it has shut down. LabError if it still runs after that many seconds."""
        state = self.lab.call("domains.wait_for_end", self.domid, timeout, timeout=timeout + 10)
        if state == "running":
            raise LabError("%s still runs after %g s; %s" % (self.name, timeout, self.last_words()))
        return state

    def cpu_seconds(self):
        """CPU time it has used, in s."""
        return self.lab.call("domains.cpu_ns", self.domid)[0] / 1e9

    def shutdown(self):
        """Ask it to power off, as `xl shutdown` does."""
        self.lab.run(["xl", "shutdown", str(self.domid)])

    def destroy(self):
        """End it at once, whatever it is doing."""
        self.lab.run(["xl", "destroy", str(self.domid)], timeout=300, check=False)  # a busy lab is slow

    def pause(self):
        self.lab.run(["xl", "pause", str(self.domid)])

    def unpause(self):
        self.lab.run(["xl", "unpause", str(self.domid)])

    def store(self, path):
        """Absolute xenstore path of a node below this domain's directory."""
        return "/local/domain/%d/%s" % (self.domid, path)

    def store_read(self, path):
        """Text of a node below its directory; None if there is none."""
        return self.lab.store_read(self.store(path))

    def store_write(self, path, value):
        """Write a node below its directory, as dom0, with a right to it for the domain."""
        self.lab.store_write(self.store(path), value)


class Linux(Domain):
    """A Linux domU that runs commands typed on its console."""

    _count = 0
    stuck = False  # a command did not end in time: it still has the console

    def doing(self):
        return "\n" + standing.told(self)

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command in it, standard error included. LabError if it fails and check is set."""
        line, mark = self.line(command)
        self.lab.call("consoles.type_line", self.domid, line)
        return self.result(mark, command, timeout, check)

    def line(self, command):
        """What to type on its console to have a command run, and a mark for result(). Another may be typed when that has come."""
        Linux._count += 1
        mark = "m%d" % Linux._count
        return "%s %s" % (mark, command), (mark, len(self.lab.read(self.log, missing=b"")))

    def result(self, mark, command, timeout=30.0, check=True):
        """Wait for the output of a command that was typed."""
        mark, after = mark
        self.stuck = True
        self.wait_for("\n", 5, self.wait_for("</%s " % mark, timeout, after))
        self.stuck = False
        text = self.lab.read(self.log)[after:].decode("utf-8", "replace").replace("\r", "")
        body, _, rest = text.partition("<%s>\n" % mark)[2].partition("</%s " % mark)
        if check and int(rest.split(">")[0]):
            raise LabError("%s: %s: status %s\n%s" % (self.name, command, rest.split(">")[0], body))
        return body
