"""dom0's qrexec daemon for one VM, and the other ends of data channels, as far as they can be seen from the VM.

    daemon = Daemon()
    daemon.connected()                     # the VM's server was there
    daemon.feed(octets)                    # what it has sent; raises Left when the real daemon would exit
    daemon.take()                          # what is to be sent to it
    port = daemon.execute("user:QUBESRPC qubes.WaitForSession dom0")    # as qrexec-client asks
    caller = Caller(port)                  # what that is on the data channel: feed(), take(), stdout, stderr, code

It is as strict as the real one: for what makes that exit it raises Left. Needs nothing but Python, so that it also runs
in a real dom0.

Source: core-qrexec daemon/qrexec-daemon.c, daemon/qrexec-daemon-common.c, libqrexec/remote.c.
"""
import re
import struct

EXEC_CMDLINE, JUST_EXEC, SERVICE_CONNECT, SERVICE_REFUSED = 0x200, 0x201, 0x202, 0x203
TRIGGER_SERVICE, CONNECTION_TERMINATED, TRIGGER_SERVICE3, TRIGGER_SERVICE4 = 0x210, 0x211, 0x212, 0x213
HELLO = 0x300
STDIN, STDOUT, STDERR, EXIT_CODE = 0x190, 0x191, 0x192, 0x193
PORTS = range(513, 769)
SERVICE_MAX = 65000
_IDENT = re.compile(rb"[A-Za-z0-9_. -]*\0+\Z")


class Left(Exception):
    """The program in dom0 has ended: it says why."""


def message(kind, payload=b""):
    return struct.pack("<II", kind, len(payload)) + payload


def hello(version):
    return message(HELLO, struct.pack("<I", version))


def chunk(version):
    return 4096 if version < 3 else 65536


class Messages:
    """A stream in pieces as (type, payload); check(type, length) raises Left as soon as the header is there."""

    def __init__(self, check):
        self.check, self.held = check, bytearray()

    def feed(self, octets):
        self.held += octets
        while len(self.held) >= 8:
            kind, length = struct.unpack_from("<II", self.held)
            self.check(kind, length)
            if len(self.held) < 8 + length:
                return
            payload = bytes(self.held[8 : 8 + length])
            del self.held[: 8 + length]
            yield kind, payload


class End:
    """What leaves: octets to be sent."""

    def __init__(self):
        self.out = bytearray()

    def take(self, limit=None):
        n = len(self.out) if limit is None else min(limit, len(self.out))
        octets = bytes(self.out[:n])
        del self.out[:n]
        return octets


class Trigger:
    """A request of the VM's to call a service. The daemon asks the policy; a test is that."""

    def __init__(self, ident, target, service, source=""):
        self.ident, self.target, self.service, self.source = ident, target, service, source


class Daemon(End):
    """version: of this dom0. echo: it answers HELLO with the agent's own number instead."""

    def __init__(self, version=4, echo=False):
        super().__init__()
        self.version, self.echo = version, echo
        self.ports = {}  # in use: port -> domain
        self.terminated = []  # (domain, port), as the VM has said
        self.stray = []  # the same of ports that were not in use: harmless, and wrong
        self.triggers = []
        self.refused = []  # idents that it refused without asking the policy
        self.connected()

    def connected(self):
        """The VM's server is there, and says HELLO first."""
        self.agreed = 0
        self.out.clear()
        self.messages = Messages(self._check)

    # ---- what dom0 does

    def allocate(self, domain=0):
        port = next(port for port in PORTS if port not in self.ports)
        self.ports[port] = domain
        return port

    def execute(self, command, domain=0, just=False):
        """The port at which the caller, of this domain, listens."""
        port = self.allocate(domain)
        self.params(JUST_EXEC if just else EXEC_CMDLINE, domain, port, command.encode())
        return port

    def params(self, kind, domain, port, text):
        self.out += message(kind, struct.pack("<II", domain, port) + text + b"\0")

    def allow(self, trigger, domain=0):
        """The port where the service's side, of this domain, will look for the VM's server."""
        port = self.allocate(domain)
        self.params(SERVICE_CONNECT, domain, port, trigger.ident.encode())
        return port

    def refuse(self, trigger):
        self._refuse(trigger.ident.encode())

    def _refuse(self, ident):
        self.out += message(SERVICE_REFUSED, ident.ljust(32, b"\0"))

    # ---- what the VM sends

    def feed(self, octets):
        """Left: the real daemon would have exited."""
        for kind, payload in self.messages.feed(octets):
            self._message(kind, payload)

    def _check(self, kind, length):
        if not self.agreed:
            if kind != HELLO or length != 4:
                raise Left("invalid HELLO: type 0x%x, %d octets" % (kind, length))
            return
        least, most = {
            TRIGGER_SERVICE: (128, 128), CONNECTION_TERMINATED: (8, 8),
            TRIGGER_SERVICE3: (97, 96 + SERVICE_MAX), TRIGGER_SERVICE4: (161, 160 + SERVICE_MAX),
        }.get(kind, (1, 0))
        first = {TRIGGER_SERVICE3: 3, TRIGGER_SERVICE4: 4}.get(kind, 2)
        if not least <= length <= most:
            raise Left("type 0x%x with %d octets" % (kind, length))
        if self.agreed < first or (kind == TRIGGER_SERVICE and self.agreed >= 3):
            raise Left("type 0x%x in version %d" % (kind, self.agreed))

    def _message(self, kind, payload):
        if kind == HELLO:
            theirs, = struct.unpack("<I", payload)
            if theirs < 2:
                raise Left("incompatible version %d" % theirs)
            self.agreed = min(theirs, self.version)
            self.out += hello(theirs if self.echo else self.version)
        elif kind == CONNECTION_TERMINATED:
            domain, port = struct.unpack("<II", payload)
            if port not in PORTS:
                raise Left("port %d terminated" % port)
            if self.ports.get(port) == domain:
                del self.ports[port]
                self.terminated.append((domain, port))
            else:
                self.stray.append((domain, port))
        elif kind == TRIGGER_SERVICE:
            service, target, ident = struct.unpack("64s32s32s", payload)
            self._trigger(ident, target, service.split(b"\0")[0] + b"\0")
        elif kind == TRIGGER_SERVICE3:
            target, ident = struct.unpack_from("64s32s", payload)
            self._trigger(ident, target, payload[96:])
        else:
            source, target, ident = struct.unpack_from("64s64s32s", payload)
            self._trigger(ident, target, payload[160:], source)

    def _trigger(self, ident, target, service, source=b""):
        name = service[:-1]
        if not _IDENT.match(ident) or service[-1:] != b"\0" or not name or b"\0" in name or name[:1] == b"+":
            self.refused.append(ident)
            self._refuse(ident)
            return
        found = [octets.split(b"\0")[0] for octets in (target, name, source)]
        sane = [re.sub(rb"[^A-Za-z0-9_.@:+-]", b"_", octets).decode() for octets in found]
        self.triggers.append(Trigger(ident.split(b"\0")[0].decode(), *sane))


class Data(End):
    """One end of a data channel. first: it sends its HELLO when it is made; which all do."""

    SENDS = RECEIVES = ()

    def __init__(self, version=4):
        super().__init__()
        self.version = version
        self.agreed = 0
        self.messages = Messages(self._check)
        self.got = {STDIN: b"", STDOUT: b"", STDERR: b""}
        self.at_end = set()  # of these
        self.largest = 0  # payload that came
        self.code = None
        self.out += hello(version)

    def _check(self, kind, length):
        if not self.agreed:
            if kind != HELLO or length != 4:
                raise Left("invalid HELLO on data: type 0x%x, %d octets" % (kind, length))
        elif kind not in self.RECEIVES:
            raise Left("type 0x%x on data" % kind)
        elif length > chunk(self.agreed):
            raise Left("%d octets in one message of version %d" % (length, self.agreed))

    def feed(self, octets):
        """Left: it would have closed."""
        for kind, payload in self.messages.feed(octets):
            self._message(kind, payload)

    def _message(self, kind, payload):
        if kind == HELLO:
            theirs, = struct.unpack("<I", payload)
            if theirs < 2:
                raise Left("incompatible version %d on data" % theirs)
            self.agreed = min(theirs, self.version)
        elif self.code is not None or kind in self.at_end:
            raise Left("type 0x%x behind its end" % kind)
        elif kind == EXIT_CODE:
            self.code = int.from_bytes(payload, "little") if len(payload) == 4 else 255
        elif payload:
            self.got[kind] += payload
            self.largest = max(self.largest, len(payload))
        else:
            self.at_end.add(kind)

    def send(self, kind, octets):
        size = chunk(self.agreed or 2)
        for at in range(0, len(octets), size):
            self.out += message(kind, octets[at : at + size])

    def finish(self, kind):
        self.out += message(kind)


class Caller(Data):
    """qrexec-client: what calls a service in the VM."""

    RECEIVES = (STDOUT, STDERR, EXIT_CODE)

    @property
    def stdout(self):
        return self.got[STDOUT]

    @property
    def stderr(self):
        return self.got[STDERR].decode()

    def write(self, octets):
        self.send(STDIN, octets)

    def close_stdin(self):
        self.finish(STDIN)


class Service(Data):
    """The far side of a call that the VM makes."""

    RECEIVES = (STDIN,)

    @property
    def stdin(self):
        return self.got[STDIN]

    def write(self, octets):
        self.send(STDOUT, octets)

    def exit(self, code=0):
        self.finish(STDOUT)
        self.finish(STDERR)
        self.out += message(EXIT_CODE, struct.pack("<I", code))
