"""Every task starts here, with a name and a verdict on what its end means.

MicroPython's asyncio swallows the exception of a task that nobody awaits; here it is named in the log, and then

| policy  | for                                        | an exception, or the end of the task                       |
|---------|--------------------------------------------|------------------------------------------------------------|
| LINK    | one client, the uplink: one neighbour each | the task ends; its own finally gives the resources back    |
| SERVICE | QubesDB, qrexec, DNS, xenstore             | it starts again after 1 s, 2 s, 4 s ... 64 s               |
| FATAL   | what the firewall cannot be without        | the domain crashes with the traceback                      |

Whatever the policy, a failed assert is a broken invariant of ours and crashes the domain. A cancelled task just
ends. Packets are judged outside of tasks: see Guard.
"""
import gc
import xen
import loop
from array import array
from asyncio import CancelledError, create_task, sleep_ms
from log import Log
from micropython import const
from peererror import PeerError

LINK = const(0)
SERVICE = const(1)
FATAL = const(2)

_FIRST_DELAY_MS = const(1000)
_LAST_DELAY_MS = const(64000)
_QUIET_NS = const(300000000000)  # 5 min without an end: the next one counts as the first

_log = Log("supervisor")
_judge_log = Log("judge")  # its own, so that a flood of bad packets suppresses nothing else


def spawn(name, factory, policy):
    """Start the coroutine that factory() returns, as a task; returns it, so that it can be cancelled.

    factory is called again for every restart of a SERVICE. name appears in the log.
    """
    return create_task(_supervise(name, factory, policy))


async def _supervise(name, factory, policy):
    loop.name_task(name)
    try:
        delay = _FIRST_DELAY_MS
        while True:
            started = xen.ns()
            write = _log.error
            try:
                await factory()
                reason = "returned"
                if policy == LINK:
                    write = _log.debug  # it has said why
            except CancelledError:
                _log.debug("%s: cancelled", name)
                return
            except Exception as exception:
                if policy == FATAL or isinstance(exception, AssertionError):
                    loop.crash(exception)
                    return
                reason = explain(exception)
                if isinstance(exception, PeerError):
                    write = _log.warning
            if policy == FATAL:
                loop.crash(RuntimeError("%s returned" % name))
                return
            if policy == LINK:
                _tell(write, "%s: link closed: %s", name, reason)
                return
            if xen.ns() - started > _QUIET_NS:
                delay = _FIRST_DELAY_MS
            _tell(write, "%s: ended, starts again in %d s: %s", name, delay // 1000, reason)
            try:
                await sleep_ms(delay)
            except CancelledError:
                return
            delay = min(2 * delay, _LAST_DELAY_MS)
    finally:
        loop.unname_task()


def explain(exception):
    """One line that names an exception and where it was raised: "ValueError: no such word (ring.py:12 in take)".

    A neighbour's lie is told by its own words. Never raises: without memory it says less.
    """
    try:
        if isinstance(exception, PeerError):
            return str(exception)
        what = "%s: %s" % (type(exception).__name__, exception)
        where = xen.where(exception)
        return "%s (%s:%d in %s)" % ((what,) + where) if where else what
    except MemoryError:
        return "out of memory"


def _tell(write, text, *args):
    """write(text, *args), also when memory has run out: what the ended task held can be collected by now."""
    try:
        write(text, *args)
    except MemoryError:
        gc.collect()
        write(text, *args)


class Guard:
    """For the judging of one client's packets: a packet that makes it fail costs that packet only.

    An exception or MemoryError drops the packet, is counted and logged in one line. FAILURES of them within
    WINDOW_NS are no accident: disconnect() is called, once, to end that client's link.
    """

    FAILURES = 100
    WINDOW_NS = 10000000000

    def __init__(self, name, disconnect):
        self.name = name
        self.disconnect = disconnect
        self.failed = 0  # packets dropped so, since the link began
        self.times = array("l", [-self.WINDOW_NS] * self.FAILURES)  # of the last failures, in ns; a ring

    def judge(self, function, interface, packet, now):
        """function(interface, packet, now), or None if that failed. A failed assert is ours and not caught.

        As many arguments, and no more: to collect any number of them would take memory before anything is guarded.
        """
        try:
            return function(interface, packet, now)
        except AssertionError:
            raise
        except Exception as exception:
            self._drop(exception)
            return None

    def _drop(self, exception):
        now = xen.ns()
        self.times[self.failed % self.FAILURES] = now
        self.failed += 1
        oldest = self.times[self.failed % self.FAILURES]  # 99 before this one
        _tell(_judge_log.warning, "%s: packet dropped: %s", self.name, explain(exception))
        if now - oldest < self.WINDOW_NS:
            for i in range(self.FAILURES):
                self.times[i] = -self.WINDOW_NS
            _tell(_judge_log.error, "%s: disconnected: %d packets failed within 10 s", self.name, self.FAILURES)
            self.disconnect()
