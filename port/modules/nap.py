"""A task's sleep that others cut short: for who looks at something now and then, and soon after something has moved."""
from asyncio import core
from time import ticks_add, ticks_diff
from time import ticks_ms as ticks

from micropython import const

_MOST_MS = const(1 << 28)  # what asyncio's clock can tell apart, and less


class Nap:
    """One task sleeps here. state: something has moved since it was made False.

    set() allocates nothing, so that it can be a port's wake function.
    """

    def __init__(self, soon_ms):
        """soon_ms: how long the task sleeps at most once something has moved."""
        self.state = False
        self._soon_ms = soon_ms
        self._task = None  # that sleeps until something moves

    def set(self):
        """Something has moved. What moves behind it does not make the sleep longer."""
        self.state = True
        task, self._task = self._task, None
        if task:
            soon = ticks_add(ticks(), self._soon_ms)
            if ticks_diff(task.ph_key, soon) > 0:
                core._task_queue.remove(task)
                core._task_queue.push(task, soon)

    async def sleep(self, ms):
        """Sleep for so long, or until soon_ms after something has moved; ms less than 0: only until then."""
        if self.state:
            ms = self._soon_ms
        else:
            self._task = core.cur_task
        try:
            await core.sleep_ms(min(ms, _MOST_MS) if ms >= 0 else _MOST_MS)
        finally:
            self._task = None
