"""A real Xen for tests: boots it, starts domains, asks them things, and shows what they said.

    lab = Lab()
    guest = lab.domain("guest", lab.upload("/src/build/vmlinuz"), "debug=1", memory=32)
    guest.wait_for("ready", timeout=10)
    guest.shutdown()

Every wait has a limit in seconds of the host's clock; reaching it raises LabError with what was seen.
"""
import hashlib
import os
import shlex
import threading
import time

from . import initramfs
from .channel import Channel, LabError
from .emulator import Emulator

BOOT_SECONDS = 300  # of the host's clock; about 15 on two idle cores, far more on busy ones
CONSOLES = "/var/log/xen/console"


class Domain:
    """A domU. Its console goes to a file in dom0 from its first line on."""

    def __init__(self, lab, name, domid):
        self.lab, self.name, self.domid = lab, name, domid
        self.log = "%s/guest-%s.log" % (CONSOLES, name)

    def console(self):
        """All it has written, as text without carriage returns."""
        return self.lab.read(self.log, missing=b"").decode("utf-8", "replace").replace("\r", "")

    def wait_for(self, text, timeout=20.0, after=0):
        """Wait until its console shows text (from octet `after` on); the offset behind it."""
        found = self.lab.await_text(self.log, text, timeout, after)
        if found is None:
            raise LabError("%s did not say %r in %g s; state %s; its console:\n%s"
                           % (self.name, text, timeout, self.state(), self.console()[-2000:]))
        return found

    def state(self):
        """"running", "gone", or why it has shut down: "poweroff", "reboot", "crash"."""
        return self.lab.call("domains.state", self.domid)

    def wait_for_end(self, timeout=10.0):
        """Why it has shut down. LabError if it still runs after that many seconds."""
        state = self.lab.call("domains.wait_for_end", self.domid, timeout, timeout=timeout + 10)
        if state == "running":
            raise LabError("%s still runs after %g s; its console:\n%s" % (self.name, timeout, self.console()[-2000:]))
        return state

    def cpu_seconds(self):
        """CPU time it has used, in s."""
        return self.lab.call("domains.cpu_ns", self.domid)[0] / 1e9

    def shutdown(self):
        """Ask it to power off, as `xl shutdown` does."""
        self.lab.run(["xl", "shutdown", str(self.domid)])

    def destroy(self):
        """End it at once, whatever it is doing."""
        self.lab.run(["xl", "destroy", str(self.domid)], timeout=300, check=False)  # a busy counting lab is slow

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

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command in it, standard error included. LabError if it fails and check is set."""
        Linux._count += 1
        mark = "m%d" % Linux._count
        after = len(self.lab.read(self.log, missing=b""))
        self.lab.call("consoles.type_line", self.domid, "%s %s" % (mark, command))
        self.stuck = True
        self.wait_for("\n", 5, self.wait_for("</%s " % mark, timeout, after))
        self.stuck = False
        text = self.lab.read(self.log)[after:].decode("utf-8", "replace").replace("\r", "")
        body, _, rest = text.partition("<%s>\n" % mark)[2].partition("</%s " % mark)
        if check and int(rest.split(">")[0]):
            raise LabError("%s: %s: status %s\n%s" % (self.name, command, rest.split(">")[0], body))
        return body


class Lab:
    """One running Xen."""

    def __init__(self, xenstore="xenstored", counting=False, xen_options=""):
        """Boot. xenstore: "xenstored" or "oxenstored"; counting: see Emulator."""
        self.xenstore, self.counting = xenstore, counting
        self.domains, self._names = [], {}
        self._creating = threading.Lock()  # two at once keep dom0 busy for longer than xl waits for a backend
        began = time.monotonic()
        self.emulator = Emulator(xenstore, counting, xen_options)
        try:
            self.channel = Channel(self.emulator.socket, self.emulator.alive)
            limit = BOOT_SECONDS * (4 if counting else 1)
            self.channel.request({"do": "run", "argv": ["true"], "timeout": 10}, timeout=limit)
        except LabError as error:
            log, complaint = self.xen_log(), self.emulator.complaint()
            self.close()
            raise LabError("dom0 did not come up: %s\n%s\n%s" % (error, complaint, log[-3000:]))
        self.boot_seconds = time.monotonic() - began

    def close(self):
        """Switch the machine off."""
        self.emulator.stop()

    def usable(self):
        """Does dom0 answer, and list its domains?"""
        try:
            return self.emulator.alive() and self.run(["xl", "list"], timeout=20).startswith("Name")
        except LabError:
            return False

    def xen_log(self):
        """Xen's own console with dom0's, as text."""
        try:
            with open(self.emulator.xen_log, errors="replace") as text:
                return text.read().replace("\n\n", "\n")
        except FileNotFoundError:
            return ""

    # ---- in dom0

    def run(self, argv, timeout=30.0, check=True):
        """Standard output of a program in dom0. LabError if its status is not 0 and check is set."""
        argv = shlex.split(argv) if isinstance(argv, str) else list(argv)
        header, _ = self.channel.request({"do": "run", "argv": argv, "timeout": timeout}, timeout=timeout + 30)
        if check and header["status"]:
            raise LabError("%s: status %d\n%s%s" % (" ".join(argv), header["status"], header["out"], header["err"]))
        return header["out"]

    def start(self, argv, log="/dev/null"):
        """Start a program in dom0 that goes on running; its process id. Its output goes to the file log."""
        argv = shlex.split(argv) if isinstance(argv, str) else list(argv)
        return self.channel.request({"do": "start", "argv": argv, "log": log})[0]["pid"]

    def call(self, function, *args, timeout=60.0):
        """Result of MODULE.FUNCTION(*args) of tests/xen/steps, run in dom0; both go through JSON."""
        request = {"do": "call", "function": function, "args": args, "timeout": timeout}
        return self.channel.request(request, timeout=timeout + 30)[0]["value"]

    def write(self, path, content, mode=0o644):
        """Write a file in dom0."""
        self.channel.request({"do": "put", "path": path, "mode": mode}, content, timeout=60)

    def read(self, path, offset=0, missing=None):
        """Bytes of a file in dom0; `missing` if there is none and that is given."""
        try:
            return self.channel.request({"do": "get", "path": path, "offset": offset})[1]
        except LabError as error:
            if missing is not None and "FileNotFoundError" in str(error):
                return missing
            raise

    def await_text(self, path, text, timeout, offset=0):
        """Wait until a file in dom0 contains text from offset on; the offset behind it, or None."""
        request = {"do": "await", "path": path, "text": text, "offset": offset, "timeout": timeout}
        return self.channel.request(request, timeout=timeout + 30)[0]["found"]

    def upload(self, path):
        """Path in dom0 of a file of the host; sent once."""
        with open(path, "rb") as data:
            content = data.read()
        there = "/images/" + hashlib.sha256(content).hexdigest()[:16]
        if not self.run(["sh", "-c", "[ -e %s ] || echo absent" % there]) == "":
            self.write(there, content)
        return there

    def store_read(self, path):
        """Text of a xenstore node; None if there is none."""
        header, _ = self.channel.request({"do": "run", "argv": ["xenstore-read", path], "timeout": 10})
        return None if header["status"] else header["out"].rstrip("\n")

    def store_write(self, path, value):
        self.run(["xenstore-write", path, value])

    # ---- domains

    def domain(self, name, kernel, cmdline="", memory=32, config="", ramdisk="", monitored=False, paused=False, kind=Domain):
        """Create a PVH domain and start it; a Domain.

        kernel: a path in dom0, see upload(). config: further lines for xl. It stays, shut down, until it is
        destroyed; monitored: xl watches it and destroys it when it ends, as on a Qubes machine.
        """
        self._names[name] = self._names.get(name, 0) + 1
        if self._names[name] > 1:
            name = "%s.%d" % (name, self._names[name])
        lines = ['name="%s"' % name, 'type="pvh"', 'kernel="%s"' % kernel, "memory=%d" % memory, "maxmem=%d" % memory,
                 "vcpus=1", 'tsc_mode="native"', 'extra="%s"' % cmdline,
                 'on_poweroff="destroy"', 'on_reboot="destroy"', 'on_crash="destroy"']
        if ramdisk:
            lines.append('ramdisk="%s"' % ramdisk)
        path = "/tmp/%s.cfg" % name
        self.write(path, ("\n".join(lines) + "\n" + config + "\n").encode())
        command = ["xl", "create", "-q"] + ([] if monitored else ["-e"]) + (["-p"] if paused else [])
        if monitored:  # its monitor goes on, and would keep a pipe of ours open
            command = ["sh", "-c", " ".join(command + [path]) + " > /tmp/%s.xl 2>&1 || { cat /tmp/%s.xl; exit 1; }" % (name, name)]
        else:
            command.append(path)
        with self._creating:
            self.run(command, timeout=120)
        made = kind(self, name, int(self.run(["xl", "domid", name])))
        self.domains.append(made)
        return made

    def linux(self, name, memory=0, config="", timeout=60.0, python=False, words=""):
        """Start a Linux domU and wait until it takes commands; a Linux. python: with Python, scapy and /steps.

        memory: in MB; 0: what it needs. words: further ones of its command line.
        """
        kernel = self.upload(initramfs.kernel("domu"))
        archive = os.path.join(self.emulator.folder, "domu%s.cpio" % ("-python" if python else ""))
        if not os.path.exists(archive):
            with open(archive, "wb") as out:
                initramfs.write("domu", out, python)
        memory = memory or (420 if python else 256)
        made = self.domain(name, kernel, ("console=hvc0 quiet rdinit=/init " + words).strip(), memory, config, self.upload(archive), kind=Linux)
        made.wait_for("LINUX-READY", timeout)
        return made

    def reset(self):
        """Destroy all domains, so that the next test finds none."""
        for domain in self.domains:
            domain.destroy()
        self.domains = []
