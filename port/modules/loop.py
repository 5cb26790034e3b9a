"""The one loop: asyncio, waiting for Xen's events instead of streams.

asyncio calls wait_io_event() before every step of a task. One such pass is
  1. take the ports that have events (their bits are cleared before anyone looks at a ring) and call whoever
     registered them,
  2. call every ring service once,
  3. if none of that found anything to do and no task is ready: sleep until an event or the next task's time.
An event that arrives after 1 is still pending at 3, where xen.sleep() returns at once: no wake-up is lost.

Nothing else in the system sleeps. A pass that finds nothing allocates nothing. What escapes from here (a ring
service, a wake function, asyncio itself) is a mistake of ours: it flies through run() up to C, which prints it
and ends the domain as crashed.
"""
import xen
from asyncio import Event, core
from micropython import const

_NS_PER_MS = const(1000000)
_PORTS = const(256)  # taken in one pass; the rest stays pending for the next


class Flag(Event):
    """An event that is seen once: wait() returns when it was set since the last wait(), and clears it.

    set() allocates nothing, so that it can be a port's wake function.
    """

    async def wait(self):
        if not self.state:
            await Event.wait(self)
        self.state = False


class _Passes:
    """What asyncio.core knows as its I/O queue."""

    map = True  # core ends when nothing is waited for; we never do

    def __init__(self):
        self.ports = xen.view(bytearray(2 * _PORTS), "H")
        self.wakes = {}  # port -> function without arguments
        self.services = []
        self.strays = 0  # events of ports that nobody registered: xenconsoled's, or of one just closed
        self.round_began = 0  # ns; start of the last round of services, or end of the last sleep
        self.longest_gap = 0  # ns
        self.fatal = None  # the exception that ended a task which must not end

    def wait_io_event(self, dt):
        """One pass. dt: ms until the next task's time, 0: one is ready, -1: no task waits for a time."""
        tasks = core._task_queue
        while True:
            if self.fatal:
                raise self.fatal
            first = tasks.peek()
            if not self._work() and dt and tasks.peek() is first:
                # rounded down to asyncio's ticks, so that it finds the task due when we wake
                xen.sleep((xen.ns() // _NS_PER_MS + dt) * _NS_PER_MS if dt > 0 else None)
                self.round_began = xen.ns()
            if dt >= 0 or tasks.peek():
                return

    def _work(self):
        """Steps 1 and 2. True if there was anything."""
        done = False
        n = xen.pending(self.ports)
        i = 0
        while i < n:
            wake = self.wakes.get(self.ports[i])
            if wake:
                wake()
            else:
                self.strays += 1
            done = True
            i += 1
        now = xen.ns()
        if now - self.round_began > self.longest_gap:
            self.longest_gap = now - self.round_began
        self.round_began = now
        for service in self.services:
            if service():
                done = True
        return done


_passes = _Passes()


def run():
    """Run all tasks, for ever. Returns only by an exception, which is the end of the domain."""
    core._io_queue = _passes
    core.Loop.set_exception_handler(_unsupervised)
    _passes.round_began = xen.ns()
    core.run_until_complete()


def serve(service):
    """Call service() once in every pass, until leave(service).

    It does at most one round of work and returns whether there was any; while it says True we do not sleep.
    It must not raise: an exception from here is the end of the domain.
    """
    assert service not in _passes.services
    _passes.services.append(service)


def leave(service):
    """Undo serve(). Allowed from within a service; one of the others may then miss its turn in this pass."""
    _passes.services.remove(service)


def bind(port, wake):
    """Call wake() whenever the port has had an event. A Flag's set is the usual one."""
    assert port not in _passes.wakes
    _passes.wakes[port] = wake


def unbind(port):
    """Undo bind(), without closing the port. Events still to come are counted as strays."""
    del _passes.wakes[port]


def close(port):
    """Undo bind() and give the port back to Xen."""
    unbind(port)
    xen.evtchn_close(port)


def crash(exception):
    """End the domain with this exception's traceback before anything else runs: see supervisor.FATAL."""
    _passes.fatal = exception


def strays():
    """How many events came from ports that nobody had registered."""
    return _passes.strays


def longest_gap_ns():
    """The longest time between two rounds of ring services since last asked, sleep left out."""
    gap = _passes.longest_gap
    _passes.longest_gap = 0
    return gap


def _unsupervised(_loop, context):
    """A task that nobody supervises ended by an exception: all are started by supervisor.spawn(), so this is ours."""
    crash(context["exception"])
