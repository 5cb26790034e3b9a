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

Nothing here waits for ever: a firewall that does not go to sleep within HANG seconds of its CPU time, peers that never
come to rest, or an expectation that does not come true within a bounded stretch of the machine's clock fail with the
console's last lines.
"""
import ctypes
import heapq
import itertools
import mmap
import os
import time

from hypervisor import (  # noqa: F401: also for those who import this
    CRASH, GTF_PERMIT, GTF_READING, GTF_READONLY, GTF_WRITING, HEADER_FRAMES, OCTETS, PAGE, POWEROFF, REBOOT, WATCHDOG, Header, XenError,
    library)
from peer import Peer
from process import Firewall
from store import XENSTORED, Store
from xenstored import Xenstored

FOR_EVER = 2**64 - 1
GUARD = os.environ.get("FIREWALL_SIM_GUARD", "after")  # or "before": see Machine
RESTLESS = 60  # s of CPU time, ours and the firewalls', in which everybody must have come to rest
IDLE = 120  # s of real time, where the clock runs by itself, in which no firewall does anything: it is stuck
FRAMES_32_MB, FRAMES_24_MB = 25 * 256, 18 * 256  # what xen.mem has in such a domain, image and object heap left out
WALL_NS = 1763699400_000000000  # 2025-11-21T04:30:00Z


class Machine:
    """One simulated machine. See the module; close it, or use it in a with statement."""

    def __init__(self, seed=1, personality=XENSTORED, real_time=False, guard=None):
        """personality: of xenstored (store.py). guard: on which side of xen.mem's pieces the inaccessible page lies,
        GUARD if None."""
        self.hv = library()
        self.file = os.memfd_create("machine")
        self.path = "/proc/%d/fd/%d" % (os.getpid(), self.file)
        os.ftruncate(self.file, OCTETS)
        self.memory = mmap.mmap(self.file, OCTETS)
        self.view = memoryview(self.memory)
        self._anchor = ctypes.c_char.from_buffer(self.memory)
        self.at = ctypes.c_void_p(ctypes.addressof(self._anchor))
        self.header = Header.from_address(self.at.value)
        self.hv.hv_init(self.at, ctypes.c_uint64(seed), ctypes.c_uint64(WALL_NS), real_time)
        self.header.guard_before = (guard or GUARD) == "before"
        self.real_time = real_time
        self.hangs_end = False  # by the watchdog of whoever has set one; else a firewall that hangs fails the test
        self.domains = {}  # domid: Peer or Firewall
        self.actors = []  # functions that serve someone; each returns whether it did anything
        self.timers = []  # a heap of (ns, number, function)
        self._timer_numbers = itertools.count()
        self.on_preempt = lambda firewall: None
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
        self.memory.madvise(mmap.MADV_REMOVE)  # now: views of it may live on for long
        os.close(self.file)

    # ---- domains

    def peer(self, domid, frames=8192):
        """A domain that the test plays."""
        self.domains[domid] = Peer(self, domid, frames)
        return self.domains[domid]

    def firewall(self, cmdline="", domid=2, script=None, frames=FRAMES_32_MB, arguments=(), first_index=0, tree=True):
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
            ("/control", "", 0), ("/control/shutdown", "", domid), ("/control/sysrq", "", domid),
            ("/control/feature-poweroff", "", domid),
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
        return self.hv.hv_now(self.at)

    def serve(self):
        """Let everybody whom the test plays do what there is to do. True if there was anything."""
        any_did, did = False, True
        while did:
            did = False
            for actor in list(self.actors):
                did = bool(actor()) or did
            any_did = any_did or did
        return any_did

    def firewalls(self):
        return [domain for domain in self.domains.values() if isinstance(domain, Firewall) and domain.alive()]

    def call_later(self, seconds, function):
        """Call function() when the machine's clock has moved so far; of equal times the first asked for comes first."""
        heapq.heappush(self.timers, (self.now + int(seconds * 1e9), next(self._timer_numbers), function))

    def preempt(self, every, function):
        """Call function(firewall) within every so many-th hypercall of a firewall, 0: never again.

        So a peer can change what it shares while the firewall is in the middle of its work, at the same place in
        every run. function must not let the firewall run.
        """
        self.header.preempt_every = every
        self.on_preempt = function

    def fail_copies(self, status, skip=0, count=1):
        """Of the copy operations to come, let count end with that status, after skip more."""
        self.header.copy_fault.status, self.header.copy_fault.skip, self.header.copy_fault.count = status, skip, count

    def fail_maps(self, status, skip=0, count=1):
        """The same for mappings, page by page."""
        self.header.map_fault.status, self.header.map_fault.skip, self.header.map_fault.count = status, skip, count

    def pause(self, seconds):
        """dom0 pauses every firewall for so long, as while the host sleeps: the clock jumps. The watchdog counts on."""
        self.settle()
        self.header.clock_ns = self.now + int(seconds * 1e9)
        self.settle()

    def _end_hung(self):
        """End those whose watchdog has not heard of them in time, as Xen does."""
        for each in self.firewalls():
            if 0 < each.domain.watchdog_ns <= self.now:
                each.end_hung()

    def _run_timers(self):
        ran = False
        while self.timers and self.timers[0][0] <= self.now:
            heapq.heappop(self.timers)[2]()
            ran = True
        return ran

    def _next_time(self):
        """When something happens by itself, in ns; FOR_EVER: never."""
        times = [each.domain.deadline for each in self.firewalls()] + [timer[0] for timer in self.timers[:1]]
        times += [each.domain.watchdog_ns for each in self.firewalls() if each.domain.watchdog_ns]
        return min(times, default=FOR_EVER)

    def settle(self):
        """Run until every firewall sleeps and no peer has anything to do. The clock stands still."""
        end = self._computed() + RESTLESS
        while self._computed() < end:
            self._end_hung()
            timers = self._run_timers()
            served = self.serve()
            runnable = [each for each in self.firewalls() if each.runnable()]
            if not (runnable or served or timers):
                return
            for each in runnable:
                each.turn()
        raise AssertionError("does not come to rest within %d s of CPU time%s" % (RESTLESS, self.consoles()))

    def _computed(self):
        """CPU time of this process and the firewalls, in s: it does not go on while others have the CPU."""
        return time.process_time() + sum(each.cpu_seconds() for each in self.firewalls())

    def advance(self, seconds):
        """Move the clock, waking firewalls at their deadlines on the way."""
        end = self.now + int(seconds * 1e9)
        self.settle()
        while self._next_time() <= end:
            self.header.clock_ns = max(self.now, self._next_time())
            self.settle()
        self.header.clock_ns = end
        self.settle()

    def until(self, condition, seconds=30, what="condition"):
        """Move the clock until condition() is true; AssertionError after so many seconds of it."""
        if self.real_time:
            return self._until_real(condition, seconds, what)
        end = self.now + int(seconds * 1e9)
        self.settle()
        while not condition():
            step = min(max(self._next_time(), self.now), self.now + 50_000_000)
            assert step <= end, "%s: not within %s s%s" % (what, seconds, self.consoles())
            self.header.clock_ns = step
            self.settle()

    def _until_real(self, condition, seconds, what):
        """The same with a clock that runs by itself, and everybody at once. However long it takes, as long as they do something."""
        def doing():
            return [(each.domain.hypercalls, len(each.console)) for each in self.firewalls()]
        seen, did, last = 0, doing(), time.monotonic()
        while not condition():
            if doing() != did:
                did, last = doing(), time.monotonic()
            assert time.monotonic() < last + IDLE, "%s: nothing done for %s s%s" % (what, IDLE, self.consoles())
            if not self.serve():
                wait = min([20_000_000] + [max(timer[0] - self.now, 0) for timer in self.timers[:1]])
                seen = self.hv.hv_wait_attention(self.at, seen, ctypes.c_uint64(wait))
            self._end_hung()
            self._run_timers()

    def consoles(self):
        """The last lines of every firewall."""
        return "".join("\n--- console of domain %d\n%s" % (each.domid, each.console[-3000:])
                       for each in self.domains.values() if isinstance(each, Firewall))
