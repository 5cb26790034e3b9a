"""The one loop: asyncio, waiting for Xen's events instead of streams.

asyncio calls wait_io_event() before every step of a task. It makes passes until one is to run. A pass is
  1. take the ports that have events (their bits are cleared before anyone looks at a ring) and call whoever
     registered them,
  2. call every ring service once,
  3. if none of that found anything to do and no task is ready: sleep until an event or the next task's time.
An event that arrives after 1 is still pending at 3, where xen.sleep() returns at once: no wake-up is lost.
While nothing is for Python, rounds.py does the same in machine code.

Nothing else in the system sleeps. How long the rings waited for their services, and because of what, is noted
(gap.py), at the cost of reading the clock twice in a pass. A pass that finds nothing allocates nothing. What escapes
from here (a ring service, a wake function, asyncio itself) is a mistake of ours: up in C it ends the domain.

Garbage is collected here, between two rounds of services, before it is so much that an allocation does it amid a task's
step: after a short round, asked for in the end. Else a gap would be a round, a step and a collection.
"""
import gc
from array import array

import rounds
import xen
from asyncio import core
from gap import Gap
from micropython import const
from waiting import Flag  # noqa: F401  (for those who import this module)

_NS_PER_MS = const(1000000)
_PORTS = const(256)  # taken in one pass; the rest stays pending for the next
_ALL_PORTS = const(4096)  # that there can be
_GARBAGE = const(384 << 10)  # octets allocated since the last collection: there is another after a round that is short
_SHORT_NS = const(200000)
_MUCH_GARBAGE = const(576 << 10)  # a round is told to be short, with another after it,
_SOON_NS = const(100000)  # so long after a pass that has found nothing others may be left out, see spare()
_MOST_GARBAGE = const(768 << 10)  # after any; boot.py has the amount for which it does not wait for a round


class _Passes:
    """What asyncio.core knows as its I/O queue."""

    map = True  # core ends when nothing is waited for; we never do

    def __init__(self):
        self.ports = xen.view(bytearray(2 * _PORTS), "H")
        self.wakes = {}  # port -> function without arguments
        self.quiet = bytearray(_ALL_PORTS)  # 1: nobody is to be told of the port's events
        self.services = []
        self.quick = None  # of the only service, see serve()
        self.hurried = False  # it was told to be short
        self.times = array("I", bytes(4 * 4))  # began and ended, for rounds.py
        self.tables = [xen.pending, self.ports, self.quiet, xen.own, xen.ns, xen.sleep, self.times, None, None]
        self.found = True  # the last round of services has found something to do, or there was none since we slept
        self.spared = 0  # passes left out since,
        self.sparing = 0  # and how many may be
        self.strays = 0  # events of ports that nobody registered: xenconsoled's, or of one just closed
        self.began = 0  # ns of xen.own(): start of the last round of services, or end of the last sleep
        self.ended = 0  # the same: end of that round
        self.gap = Gap()  # the longest since last asked
        self.longest = Gap()  # the longest that was told
        self.names = {}  # id of a task -> its name
        self.gone = None  # the last named task that ended,
        self.gone_name = None  # and its name: its last step is to be told as well
        self.fatal = None  # the exception that ended a task which must not end

    def wait_io_event(self, dt):
        """Passes until a task is to run. dt: ms until the next one's time; 0: one is ready, -1: none waits for that."""
        if self.sparing and not dt:
            if self._spares():
                return
            self.spared = 0
        tasks = core._task_queue
        # rounded down to asyncio's ticks, so that it finds the task due when we wake
        until = (xen.ns() // _NS_PER_MS + dt) * _NS_PER_MS if dt > 0 else None
        first = tasks.peek()
        due = first.ph_key if first else 0
        while True:
            if self.fatal:
                raise self.fatal
            n = self._quickly(until) if dt and self.quick else rounds.PYTHON
            if n == rounds.TIME:
                return
            if n == rounds.LONG:
                self._note(self.ended, self.ended)
                continue
            done = n == rounds.RAN or self._work(n)
            now = tasks.peek()
            if not dt or now is not first or now and now.ph_key != due:
                return
            if not done:
                if self.ended - self.began > self.gap.ns:
                    self._note(self.ended, self.ended)
                xen.sleep(until)
                self.begin()
            if until and xen.ns() >= until:
                return

    def _spares(self):
        """Whether a task goes on without a pass before it."""
        self.spared += 1
        return self.spared <= self.sparing and not (self.found or self.fatal) and xen.own() - self.ended < _SOON_NS

    def begin(self):
        """Gaps are measured from now on. Anything may have come meanwhile."""
        self.found = True
        self.began = self.ended = xen.own()

    def _quickly(self, until):
        """Rounds in machine code, and what rounds.run() says."""
        if xen.garbage() > _GARBAGE or not self.quick.begin():
            return rounds.PYTHON
        times = self.times
        times[0], times[1] = self.began & 0xFFFFFFFF, self.began >> 32
        times[2], times[3] = self.ended & 0xFFFFFFFF, self.ended >> 32
        try:
            n = rounds.run(self.tables, until, until or 0, self.gap.ns)
        except MemoryError:
            n = rounds.PYTHON  # the round has ended, the next goes on
            now = xen.own()
            times[2], times[3] = now & 0xFFFFFFFF, now >> 32
        self.began = times[0] | times[1] << 32
        self.ended = times[2] | times[3] << 32
        self.found = True
        self.quick.end()
        return n

    def _work(self, n):
        """Steps 1 and 2, and a collection if there is garbage. True if there was anything.

        n: so many ports were taken, rounds.PYTHON: none yet.
        """
        stepped = xen.own()
        if n == rounds.PYTHON:
            n = xen.pending(self.ports)
        i = 0
        while i < n:
            wake = self.wakes.get(self.ports[i])
            if wake:
                wake()
            else:
                self.strays += 1
            i += 1
        done = self._round(stepped, xen.own() if n else stepped)
        garbage = xen.garbage()
        if garbage > _GARBAGE or self.hurried:
            short = self.hurried or self.ended - self.began < _SHORT_NS
            due = garbage > (_GARBAGE if short else _MOST_GARBAGE)
            if self.quick and (self.hurried or garbage > _MUCH_GARBAGE):
                self.hurried = not due and garbage > _MUCH_GARBAGE
                self.quick.hurry(self.hurried)
            if due:
                gc.collect()
                now = xen.own()
                done = self._round(now, now) or done
        return done

    def _round(self, stepped, now):
        """Call every service, which ends a gap. stepped, now: as for _note(). True if there was anything."""
        done = False
        if now - self.began > self.gap.ns:
            self._note(stepped, now)
        self.began = now
        for service in self.services:
            if service():
                done = True
        self.ended = xen.own()
        self.found = done
        return done

    def _note(self, stepped, now):
        """The longest gap ends now: note what was in it. stepped: when the task's step ended. Allocates nothing."""
        if not self.services:
            return
        gap = self.gap
        gap.ns = now - self.began
        gap.services = self.ended - self.began
        gap.task = stepped - self.ended
        gap.wakes = now - stepped
        gap.collecting = xen.collecting(self.began)
        task = core.cur_task
        if task is None:
            gap.whose = None
        elif task is self.gone:
            gap.whose = self.gone_name
        else:
            gap.whose = self.names.get(id(task)) or task.coro


_passes = _Passes()


def _nothing():
    """Wake function of who needs none."""


def run():
    """Run all tasks, for ever. Returns only by an exception, which is the end of the domain."""
    core._io_queue = _passes
    core.Loop.set_exception_handler(_unsupervised)
    _passes.begin()
    core.run_until_complete()


def serve(service, quick=None):
    """Call service() once in every pass, until leave(service).

    It does at most one round of work and returns whether there was any; while it says True we do not sleep.
    quick: what does so in machine code, as long as this is the only service: quick.serve(quick.tables), see rounds.py,
    time and again after quick.begin() has said True, until quick.end(). quick.hurry(yes): rounds are to be short.
    """
    assert service not in _passes.services
    if not _passes.services:
        _passes.begin()
    _passes.services.append(service)
    _passes.quick, _passes.hurried = quick if len(_passes.services) == 1 else None, False
    if quick:
        _passes.tables[7], _passes.tables[8] = quick.serve, quick.tables


def spare(most):
    """Leave out so many passes in a row, which take as long as short steps, while none finds anything. At first: 0."""
    _passes.sparing = most


def leave(service):
    """Undo serve(). Allowed from within a service; one of the others may then miss its turn in this pass."""
    _passes.services.remove(service)
    _passes.quick = None


def bind(port, wake=None):
    """Call wake() whenever the port has had an event. A Flag's set is the usual one. None: services look anyway."""
    assert port not in _passes.wakes
    _passes.wakes[port] = wake or _nothing
    if wake is None:
        _passes.quiet[port] = 1


def unbind(port):
    """Undo bind(), without closing the port, also if it failed. Events still to come are counted as strays."""
    _passes.wakes.pop(port, None)
    _passes.quiet[port] = 0


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


def longest_gap():
    """The Gap that was the longest since last asked."""
    gap = _passes.gap
    _passes.gap = Gap()
    if gap.ns > _passes.longest.ns:
        _passes.longest = gap
    return gap


def longest_gap_ever():
    """The longest Gap since the first service."""
    return _passes.gap if _passes.gap.ns > _passes.longest.ns else _passes.longest


def name_task(name):
    """The task that runs is called so when a gap is told, until unname_task()."""
    _passes.names[id(core.cur_task)] = name


def unname_task():
    """The task that runs is about to end."""
    _passes.gone = core.cur_task
    _passes.gone_name = _passes.names.pop(id(core.cur_task))


def _unsupervised(_loop, context):
    """A task that nobody supervises ended by an exception: all are started by supervisor.spawn(), so this is ours."""
    crash(context["exception"])
