"""Waiting for something, and for a time at most.

asyncio's own wait_for_ms() has a task between who waits and what he waits for: a MemoryError in it is nobody's, and
ends the domain. Here what is waited for runs in the task that waits. Another one only looks at the time: it is
complete before anything begins, and from then on needs no memory.
"""
from asyncio import CancelledError, Event, TimeoutError, core, sleep_ms
from micropython import const

_BUSY_MS = const(1)  # until it is tried again to end a task that is being ended already


class Flag(Event):
    """An event that is seen once: wait() returns when it was set since the last wait(), and clears it.

    set() allocates nothing, so that it can be a port's wake function.
    """

    async def wait(self):
        if not self.state:
            await Event.wait(self)
        self.state = False

    async def wait_ms(self, ms):
        """wait(), for so long at most. Whether it was set."""
        try:
            await wait_for_ms(self.wait(), ms)
            return True
        except TimeoutError:
            return False


class _Late(CancelledError):
    """Raised where the task waits, when its time is over."""


class _Timer:
    def __init__(self):
        self.task = core.cur_task  # that waits; None: not any longer
        self.late = _Late()
        self.started = False

    async def run(self, ms):
        if not self.task:
            return
        self.started = True
        try:
            await sleep_ms(ms)
            while self.task and self._ending():
                await sleep_ms(_BUSY_MS)
            if self.task:
                self.task.cancel()
                self.task.data = self.late
        except BaseException:  # cancelled: to make the exception for that may itself have failed
            pass

    def _ending(self):
        """Whether it is being cancelled already, or another time of it is over: that goes first."""
        data = self.task.data
        return data is CancelledError or isinstance(data, BaseException)


async def wait_for_ms(coroutine, ms):
    """What it returns. TimeoutError if it takes longer: it is cancelled then. It must not wait for a task."""
    timer = _Timer()
    task = core.create_task(timer.run(ms))
    try:
        return await coroutine
    except _Late as late:
        if late is timer.late:
            raise TimeoutError
        raise
    finally:
        timer.task = None
        if timer.started:
            task.cancel()
