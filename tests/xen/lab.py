"""A real Xen for tests: boots it, starts domains, asks them things, and shows what they said.

    lab = Lab()
    guest = lab.domain("guest", lab.upload("/src/build/vmlinuz"), "debug=1", memory=32)
    guest.wait_for("ready", timeout=10)
    guest.shutdown()

Every wait has a limit in seconds of the lab's own clock, dom0's, see clocks.py, and ends at once when the domain it waits for
has ended; either raises LabError with what was seen.
"""
import hashlib
import re
import shlex
import threading

from . import initramfs
from .channel import Channel
from .domain import Domain, Linux, settings
from .emulator import Emulator
from .errors import LabError

BOOT_SECONDS = 120  # of the lab's clock; it takes about 5
_SHOWN = 30  # lines of a console, or of Xen's log, in an error
_NOISE = re.compile(r"HVM (d\d+(v\d+)? save|restore)")  # of Xen's log, each time a domain is made
_DUMP = 40  # lines of Xen's log that belong to a dump of registers


class Lab:
    """One running Xen."""

    def __init__(self, xenstore="xenstored", cpus=1, xen_options="", emulator_words=()):
        """Boot. xenstore: "xenstored" or "oxenstored"; cpus, emulator_words: see Emulator."""
        self.xenstore = xenstore
        self.domains, self._names = [], {}
        self._uploading = threading.Lock()
        self._creating = threading.Lock()  # two at once keep dom0 busy for longer than xl waits for a backend
        self.emulator = Emulator(xenstore, cpus, xen_options, words=emulator_words)
        try:
            self.channel = Channel(self.emulator)
            self.channel.request({"do": "run", "argv": ["true"], "timeout": 10}, timeout=BOOT_SECONDS)
        except LabError as error:
            log, complaint = self.xen_log(), self.emulator.complaint()
            self.close()
            raise LabError("dom0 did not come up: %s\n%s\n%s" % (error, complaint, log[-3000:]))

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

    def xen_tail(self):
        """The last lines of it, without those about each domain's registers."""
        return "\n".join([line for line in self.xen_log().splitlines() if not _NOISE.search(line)][-_SHOWN:])

    def xen_lines(self, domid):
        """Lines of Xen's log about a domain, its registers when it ended included."""
        names = re.compile(r"\b(d%d|d%dv\d+|[Dd]om%d|[Dd]omain %d)\b" % ((domid,) * 4))
        found, dump = [], 0
        for line in self.xen_log().splitlines():
            if names.search(line):
                dump = _DUMP if "Dumping" in line else dump
            elif not dump:
                continue
            dump = max(dump - 1, 0)
            if not _NOISE.search(line):
                found.append(line)
        return found

    def clock(self):
        """Seconds by which the lab's waits are limited, see clocks.py."""
        return self.channel.request({"do": "clock"})[0]["clock"]

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
        return self._await(path, text, timeout, offset, None)["found"]

    def await_console(self, domain, text, timeout, offset=0):
        """Wait until a domain's console shows text, or it has ended: (the offset behind it, or None, its state)."""
        answer = self._await(domain.log, text, timeout, offset, domain.domid)
        return answer["found"], answer["state"]

    def _await(self, path, text, timeout, offset, domid):
        request = {"do": "await", "path": path, "text": text, "offset": offset, "domid": domid, "timeout": timeout}
        return self.channel.request(request, timeout=timeout + 60)[0]

    def upload(self, path):
        """Path in dom0 of a file of the host; sent once, however many threads want it there."""
        with open(path, "rb") as data:
            content = data.read()
        there = "/images/" + hashlib.sha256(content).hexdigest()[:16]
        with self._uploading:
            if self.run(["stat", "-c", "%s", there], check=False).strip() != str(len(content)):
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
        with self._creating:
            self._names[name] = self._names.get(name, 0) + 1
            if self._names[name] > 1:
                name = "%s.%d" % (name, self._names[name])
        lines = settings(name, kernel, cmdline, memory)
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

    def linux(self, name, memory=0, config="", timeout=60.0, python=False, words="", files=None, paused=False):
        """Start a Linux domU and wait until it takes commands; a Linux. python: with Python, scapy and /steps.

        memory: in MB; 0: what it needs. words: further ones of its command line. files: {name: octets} of further programs in
        it; /start, if there is one, is run at the start. paused: not started yet, and not waited for.
        """
        kernel = self.upload(initramfs.kernel("domu"))
        archive = initramfs.image("domu", self.emulator.folder, python, files)
        memory = memory or (420 if python else 256)
        words = ("console=hvc0 quiet rdinit=/init " + words).strip()
        made = self.domain(name, kernel, words, memory, config, self.upload(archive), paused=paused, kind=Linux)
        if not paused:
            made.wait_for("LINUX-READY", timeout)
        return made

    def reset(self):
        """Destroy all domains, so that the next test finds none."""
        for domain in self.domains:
            domain.destroy()
        self.domains = []
