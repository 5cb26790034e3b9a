"""A loop that hangs ends the domain as crashed: Xen's watchdog, fed by a task.

Xen goes on counting while dom0 has us paused, as it does while the host sleeps; with the watchdog on, a pause of more
than 30 s would be our end. So it is on only while dom0 has promised to tell us before it does so:

    on()    a qrexec connection with dom0 stands; qubes.SuspendPost, SuspendPostAll: the host is awake again
    off()   that connection is lost; qubes.SuspendPre, SuspendPreAll; an orderly shutdown has begun

Both may be called any number of times. Whoever pauses us by hand is to switch off before (docs/life.md).

Source: Xen public/sched.h (SCHEDOP_watchdog), xen/common/sched/core.c.
"""
import supervisor
import xen
from asyncio import CancelledError, sleep_ms
from log import Log
from micropython import const

SECONDS = const(30)
_FEED_MS = const(10000)

_log = Log("watchdog")
_task = None  # that feeds it; None: it is off


def on():
    """End the domain as crashed when no task has run for 30 s, from now on."""
    global _task
    if not _task:
        _task = supervisor.spawn("watchdog", _feed, supervisor.LINK)


def off():
    """No longer, from now on."""
    global _task
    task, _task = _task, None
    if task:
        task.cancel()
        _set(0)


async def _feed():
    try:
        while _set(SECONDS):
            await sleep_ms(_FEED_MS)
    except CancelledError:
        pass  # it is off


def _set(seconds):
    """False: Xen refuses, and it stays as it is."""
    try:
        xen.watchdog(seconds)
        return True
    except OSError as refusal:
        _log.warning("Xen refuses %d s: errno %d", seconds, refusal.errno)
        return False
