"""How long the lab is waited for: by how far the emulated computer has got, not by how long the host took.

A machine that is slow or busy with other things makes these slower with it; one that stands still is found all the same.
"""
import os
import time

from .errors import LabError

ASK_EVERY = 10.0  # s of the host's clock between two questions for dom0's clock, while something is waited for
DEAD = 300.0  # s of CPU that QEMU has used without an answer to that: a lab boots in some 20
_TICKS = os.sysconf("SC_CLK_TCK")


class Wait:
    """One wait for dom0, by dom0's clock.

    dom0 tells it behind all that it has answered before: what is not there then was not done by then. The clock of QEMU
    itself would not do: it runs ahead by minutes while the computer is idle and the host is slow to pass an answer on.
    """

    def __init__(self, channel, cpu_seconds):
        """channel: ask() sends a question for dom0's clock, told(number) is the answer or None; cpu_seconds(): of QEMU."""
        self._channel, self._cpu_seconds = channel, cpu_seconds
        self._asked = self._began = None
        self._last, self._used = time.monotonic(), cpu_seconds()

    def is_over(self, timeout):
        """Whether so many seconds have passed since the first answer. LabError if dom0 tells no more."""
        now = None if self._asked is None else self._channel.told(self._asked)
        if now is not None:
            self._asked, self._used = None, self._cpu_seconds()
            self._began = now if self._began is None else self._began
            return now - self._began > timeout
        if self._asked is None and time.monotonic() - self._last > ASK_EVERY:
            self._asked, self._last = self._channel.ask(), time.monotonic()
        if self._cpu_seconds() - self._used > DEAD:
            raise LabError("dom0 tells nothing any more: QEMU has used %d s of CPU since" % DEAD)
        return False


def cpu_seconds(pid):
    """CPU time that a process has used, in s."""
    with open("/proc/%d/stat" % pid) as text:
        words = text.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS
