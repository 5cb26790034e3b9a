"""The simulated Xen from the test's side: a machine, the firewall in it as a process, peers played by Python.

    with Machine() as machine:
        firewall = machine.firewall("run=try_loop mode=ping")   # domain 2, the frozen code, shared with xenstored
        machine.settle()                                        # until everybody sleeps
        machine.advance(1.5)                                    # seconds of the machine's clock
        peer = machine.peer(5)                                  # a domain that the test plays
        page = peer.page(); ref = peer.grant(page, firewall.domid)
        firewall.wait_for("done")

The test owns the clock, and exactly one of the test and the firewall runs at a time (port/sim/hv_turn.c), so that a
run is the same every time. Hypercalls are those of port/sim/hv_*.c, in a shared library, for both sides.

Nothing here waits for ever: a firewall that does not go to sleep within HANG seconds of real time, or an expectation
that does not come true within a bounded stretch of the machine's clock, fails with the console's last lines.
"""
import ctypes
import mmap
import os
import subprocess
import tempfile

from store import XENSTORED, Store
from xenstored import Xenstored

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("FIREWALL_SIM") or os.path.join(CHECKOUT, "build", "firewall-sim")
LIBRARY = os.environ.get("FIREWALL_SIM_LIBRARY") or os.path.join(CHECKOUT, "build", "sim", "libxensim.so")

PAGE = 4096
HEADER_FRAMES, DOMAINS, DOMAIN_FRAMES = 4096, 64, 16384  # machine.h
OCTETS = (HEADER_FRAMES + DOMAINS * DOMAIN_FRAMES) * PAGE
XENSTORE_PAGE, CONSOLE_PAGE, FIRST_FREE_PAGE = 4, 5, 6
GRANT_ENTRIES, PORTS = 2048, 1024
FOR_EVER = 2**64 - 1
HANG = 20  # s of real time
GTF_PERMIT, GTF_READONLY, GTF_READING, GTF_WRITING = 1, 4, 8, 16
POWEROFF, REBOOT, CRASH = 0, 1, 3
WALL_NS = 1763699400_000000000  # 2025-11-21T04:30:00Z

_OUT, _OUT_OCTETS = 1024, 2048  # the console ring's output: offset, size
_OUT_CONS, _OUT_PROD = 770, 771  # and its counters, as 32-bit words


class _Port(ctypes.Structure):
    _fields_ = [("state", ctypes.c_uint16), ("remote_domid", ctypes.c_uint16), ("remote_port", ctypes.c_uint16)]


class _Mapping(ctypes.Structure):
    _fields_ = [("ref", ctypes.c_uint32), ("frame", ctypes.c_uint32), ("granter_slot", ctypes.c_uint16),
                ("used", ctypes.c_uint8), ("readonly", ctypes.c_uint8)]


class _Domain(ctypes.Structure):  # domain_t of machine.h
    _fields_ = [
        ("domid", ctypes.c_uint16), ("ended", ctypes.c_uint16), ("reason", ctypes.c_uint32),
        ("frames", ctypes.c_uint32), ("port_limit", ctypes.c_uint32),
        ("xenstore_port", ctypes.c_uint32), ("console_port", ctypes.c_uint32),
        ("turn", ctypes.c_uint32), ("preempted", ctypes.c_uint32),
        ("deadline", ctypes.c_uint64), ("hypercalls", ctypes.c_uint64), ("wakes", ctypes.c_uint32),
        ("pending", ctypes.c_uint64 * (PORTS // 64)), ("ports", _Port * PORTS), ("mappings", _Mapping * 4096),
    ]


class _Fault(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("skip", ctypes.c_uint32), ("count", ctypes.c_uint32)]


class _Header(ctypes.Structure):  # machine_t up to its domains
    _fields_ = [
        ("magic", ctypes.c_uint64), ("lock", ctypes.c_uint8 * 40), ("clock_ns", ctypes.c_uint64),
        ("real_start_ns", ctypes.c_uint64), ("wall_ns", ctypes.c_uint64), ("seed", ctypes.c_uint64),
        ("attention", ctypes.c_uint32), ("guard_before", ctypes.c_uint32), ("preempt_every", ctypes.c_uint32),
        ("copy_fault", _Fault), ("map_fault", _Fault),
    ]


_library = None


def library():
    global _library
    if _library is None:
        _library = ctypes.CDLL(LIBRARY)
        _library.hv_domain.restype = ctypes.c_void_p
        _library.hv_first_frame.restype = ctypes.c_uint32
        _library.hv_mapped_frame.restype = ctypes.c_uint32
        _library.hv_runnable.restype = ctypes.c_bool
    return _library


class XenError(Exception):
    """A hypercall of the test's was refused: args[0] is -errno or GNTST_*."""


def _checked(result):
    if result < 0:
        raise XenError(result)
    return result


class Machine:
    """One simulated machine. See the module; close it, or use it in a with statement."""

    def __init__(self, seed=1, personality=XENSTORED, real_time=False, guard="after"):
        """personality: of xenstored (store.py). guard: on which side of xen.mem's pieces the inaccessible page lies."""
        self.hv = library()
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
        handle, self.path = tempfile.mkstemp(prefix="machine-", dir=folder)
        os.ftruncate(handle, OCTETS)
        self.memory = mmap.mmap(handle, OCTETS)
        os.close(handle)
        self.view = memoryview(self.memory)
        self._anchor = ctypes.c_char.from_buffer(self.memory)
        self.at = ctypes.c_void_p(ctypes.addressof(self._anchor))
        self.header = _Header.from_address(self.at.value)
        self.hv.hv_init(self.at, ctypes.c_uint64(seed), ctypes.c_uint64(WALL_NS), real_time)
        self.header.guard_before = guard == "before"
        self.real_time = real_time
        self.domains = {}  # domid: Peer or Firewall
        self.actors = []  # functions that serve someone; each returns whether it did anything
        self.store = Store(personality)
        self.xenstored = Xenstored(self.store)
        self.dom0 = self.store.client(0, lambda path, token: None)  # the toolstack's connection, for tests
        self.peer(0)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        for domain in list(self.domains.values()):
            domain.kill()
        os.unlink(self.path)

    # ---- domains

    def peer(self, domid, frames=8192):
        """A domain that the test plays."""
        self.domains[domid] = Peer(self, domid, frames)
        return self.domains[domid]

    def firewall(self, cmdline="", domid=2, script=None, frames=16384, arguments=(), first_index=0, tree=True):
        """The firewall's process as a domain, with a xenstore ring and a console. It has run until its first sleep.

        script: a file to run instead of the frozen boot. first_index: where the xenstore ring's counters stand.
        tree: write what libxl writes about every domain.
        """
        if tree:
            self.write_domain_tree(domid)
        firewall = self.domains[domid] = Firewall(self, domid, cmdline, script, frames, arguments, first_index)
        firewall.start()
        return firewall

    def write_domain_tree(self, domid):
        """A domain's own nodes as libxl creates them, as far as a guest looks at them."""
        path = "/local/domain/%d" % domid
        for node, value, owner in (
            ("", "", 0), ("/domid", str(domid), 0), ("/name", "sys-firewall", 0), ("/device", "", 0),
            ("/control", "", 0), ("/control/shutdown", "", domid), ("/control/feature-poweroff", "", domid),
            ("/control/feature-reboot", "", domid), ("/control/feature-suspend", "", domid), ("/data", "", domid),
        ):
            self.write(path + node, value, [("n", owner)] + ([("r", domid)] if owner != domid else []))

    def write(self, path, value, perms=None):
        """As dom0, into xenstore."""
        self.dom0.write(path.encode(), value.encode() if isinstance(value, str) else value)
        if perms:
            self.dom0.set_perms(path.encode(), perms)

    def read(self, path):
        return self.dom0.read(path.encode())

    # ---- time and turns

    @property
    def now(self):
        """ns of the machine's clock."""
        return self.header.clock_ns

    def serve(self):
        """Let everybody whom the test plays do what there is to do. True if there was anything."""
        any_did = did = True
        any_did = False
        while did:
            did = False
            for actor in list(self.actors):
                did = bool(actor()) or did
            any_did = any_did or did
        return any_did

    def firewalls(self):
        return [domain for domain in self.domains.values() if isinstance(domain, Firewall) and domain.alive()]

    def settle(self, turns=100000):
        """Run until every firewall sleeps and no peer has anything to do. The clock stands still."""
        for _ in range(turns):
            self.serve()
            runnable = [each for each in self.firewalls() if each.runnable()]
            if not runnable:
                return
            for each in runnable:
                each.turn()
        raise AssertionError("does not come to rest" + self._consoles())

    def advance(self, seconds):
        """Move the clock, waking firewalls at their deadlines on the way."""
        end = self.now + int(seconds * 1e9)
        self.settle()
        while True:
            deadline = min([each.domain.deadline for each in self.firewalls()] or [FOR_EVER])
            if deadline > end:
                break
            self.header.clock_ns = max(self.now, deadline)
            self.settle()
        self.header.clock_ns = end
        self.settle()

    def until(self, condition, seconds=30, what="condition"):
        """Move the clock until condition() is true; AssertionError after so many seconds of it."""
        end = self.now + int(seconds * 1e9)
        self.settle()
        while not condition():
            deadline = min([each.domain.deadline for each in self.firewalls()] or [FOR_EVER])
            step = min(max(deadline, self.now), self.now + 50_000_000)
            assert step <= end, "%s: not within %s s%s" % (what, seconds, self._consoles())
            self.header.clock_ns = step
            self.settle()

    def _consoles(self):
        return "".join("\n--- console of domain %d\n%s" % (each.domid, each.console[-3000:])
                       for each in self.domains.values() if isinstance(each, Firewall))


class Peer:
    """A domain played by the test: its pages, grants and event channels, by the real hypercalls."""

    def __init__(self, machine, domid, frames):
        self.machine, self.domid = machine, domid
        self.hv, self.at = machine.hv, machine.at
        _checked(self.hv.hv_create(self.at, domid, frames))
        self.first = self.hv.hv_first_frame(self.at, domid)
        self.end = self.first + frames
        self.domain = _Domain.from_address(self.hv.hv_domain(self.at, domid))
        self._next_frame = self.first + FIRST_FREE_PAGE
        self._free_frames = []
        self._free_refs = list(range(GRANT_ENTRIES - 1, 7, -1))
        table = machine.view[self.first * PAGE : (self.first + 4) * PAGE]
        self.halves = table.cast("H")  # of the grant table
        self.words = table.cast("I")

    def kill(self):
        """The domain dies as under `xl destroy`."""
        self.machine.domains.pop(self.domid, None)
        self.hv.hv_destroy(self.at, self.domid)

    # memory
    def page(self):
        """A page of its memory, zeroed: its frame number."""
        if self._free_frames:
            frame = self._free_frames.pop()
            self.octets(frame)[:] = bytes(PAGE)
            return frame
        frame, self._next_frame = self._next_frame, self._next_frame + 1
        assert frame < self.end, "domain %d is out of memory" % self.domid
        return frame

    def free_page(self, frame):
        self._free_frames.append(frame)

    def octets(self, frame):
        """A frame's octets, whoever's it is."""
        return self.machine.view[frame * PAGE : (frame + 1) * PAGE]

    # grants
    def grant(self, frame, domid, readonly=False):
        ref = self._free_refs.pop()
        self.words[2 * ref + 1] = frame
        self.halves[4 * ref + 1] = domid
        self.halves[4 * ref] = GTF_PERMIT | (GTF_READONLY if readonly else 0)
        return ref

    def in_use(self, ref):
        return self.halves[4 * ref] & (GTF_READING | GTF_WRITING) != 0

    def revoke(self, ref):
        """False while somebody uses the page."""
        if self.in_use(ref):
            return False
        self.halves[4 * ref] = 0
        self._free_refs.append(ref)
        return True

    def map(self, domid, ref, readonly=False):
        """(handle, octets) of another's page. XenError."""
        handle = _checked(self.hv.hv_map(self.at, self.domid, domid, ctypes.c_uint32(ref), readonly))
        return handle, self.octets(self.hv.hv_mapped_frame(self.at, self.domid, handle))

    def unmap(self, handle):
        _checked(self.hv.hv_unmap(self.at, self.domid, handle))

    # event channels
    def evtchn_alloc(self, domid):
        return _checked(self.hv.hv_evtchn_alloc(self.at, self.domid, domid))

    def evtchn_bind(self, domid, port):
        return _checked(self.hv.hv_evtchn_bind(self.at, self.domid, domid, port))

    def evtchn_send(self, port):
        return _checked(self.hv.hv_evtchn_send(self.at, self.domid, port))

    def evtchn_close(self, port):
        return _checked(self.hv.hv_evtchn_close(self.at, self.domid, port))

    def pending(self):
        """Ports that had events since last asked."""
        ports = (ctypes.c_uint16 * 256)()
        return list(ports[: self.hv.hv_evtchn_take(self.at, self.domid, ports, 256)])

    # for comparisons
    def ports_in_use(self):
        return [port for port in range(1, PORTS) if self.domain.ports[port].state]

    def granted(self):
        return [ref for ref in range(8, GRANT_ENTRIES) if self.halves[4 * ref]]

    def mapped(self):
        return sum(1 for mapping in self.domain.mappings if mapping.used)


class Firewall(Peer):
    """The firewall's process. console: all that it has written, without carriage returns."""

    def __init__(self, machine, domid, cmdline, script, frames, arguments, first_index):
        super().__init__(machine, domid, frames)
        self.console = ""
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
        out = bytes(self._screen[_OUT + (cons + i) % _OUT_OCTETS] for i in range(min(n, _OUT_OCTETS)))
        self.console += out.decode("ascii", "replace").replace("\r", "")
        self._screen_words[_OUT_CONS] = prod
        if self.alive():
            self._dom0.evtchn_send(self._console_port)
        return True

    def alive(self):
        return self.domain.domid == self.domid and not self.domain.ended

    def runnable(self):
        return self.hv.hv_runnable(self.at, self.domid)

    def turn(self):
        """Let it run until it sleeps or ends. AssertionError if it does neither."""
        self.hv.hv_give_turn(self.at, self.domid)
        for _ in range(HANG * 10):
            if self.hv.hv_wait_turn(self.at, self.domid, ctypes.c_uint64(100_000_000)):
                return
            if self.process.poll() is not None:
                self._take_console()
                raise AssertionError("the process died: %s\n%s\n%s" % (
                    self.process.returncode, self.process.stdout.read().decode(errors="replace"), self.console[-3000:]))
        self._take_console()
        raise AssertionError("it does not go to sleep\n" + self.console[-3000:])

    @property
    def reason(self):
        """Why it ended: POWEROFF, REBOOT or CRASH; None while it runs."""
        return None if self.alive() else self.domain.reason

    def lines(self, having=""):
        return [line for line in self.console.splitlines() if having in line]

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
            "grants": len(self.granted()), "ports": len(self.ports_in_use()), "mappings": self.mapped(),
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
