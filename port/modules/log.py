"""The log: levelled lines on the console, none of which ever waits.

    log = Log("netback")
    log.warning("vif %s: link closed: %s", name, reason)

gives  2026-11-21T04:30:00.123Z warning netback: vif 7.0: link closed: tx producer 300 ahead

Text is escaped and cut, so a peer's words may be put in; a subsystem that floods is limited (logline.Limit); what
the console had no room for is dropped by C and told in the next line.
"""
import xen
from asyncio import sleep_ms
from loop import Flag
from logline import DEBUG, ERROR, INFO, NAMES, WARNING, Limit, line

_level = INFO
_logs = []
_dropped = 0  # octets that had no room on the console so far
_told = 0  # how many of them a line that did find room has told
_suppressing = Flag()


class Log:
    """One subsystem's lines. Make one for each at import: they live for ever."""

    def __init__(self, subsystem):
        self.subsystem = subsystem
        self.limit = Limit(xen.ns())
        _logs.append(self)

    def error(self, text, *args):
        self._write(ERROR, text, args)

    def warning(self, text, *args):
        self._write(WARNING, text, args)

    def info(self, text, *args):
        self._write(INFO, text, args)

    def debug(self, text, *args):
        self._write(DEBUG, text, args)

    def answer(self, text):
        """What somebody has asked for: at any level, however many lines."""
        _emit(INFO, self.subsystem, text)

    def _write(self, level, text, args):
        if level > _level:
            return
        now = xen.ns()
        self.tell_suppressed(now)
        if self.limit.allow(now, level):
            _emit(level, self.subsystem, text % args if args else text)
        else:
            _suppressing.set()

    def tell_suppressed(self, now):
        """Write how many lines were refused, if it is time to."""
        n = self.limit.due(now)
        if n:
            _emit(WARNING, self.subsystem, "%d lines suppressed" % n)


def get_level():
    """The level up to which lines are written, as set_level() takes it."""
    return NAMES[_level]


def set_level(name):
    """Write lines up to this level: "error", "warning", "info" or "debug"; any other word changes nothing."""
    global _level
    if name in NAMES:
        _level = NAMES.index(name)


async def tell_when_calm():
    """For the supervisor: tells what was suppressed once a flood has ended. Sleeps otherwise."""
    while True:
        await _suppressing.wait()
        while any(log.limit.suppressed for log in _logs):
            await sleep_ms(1000)
            now = xen.ns()
            for log in _logs:
                log.tell_suppressed(now)


def _emit(level, subsystem, text):
    global _dropped, _told
    wall = xen.wall()
    octets = line(wall, level, subsystem, text)
    if _dropped > _told:
        # a line was cut somewhere: end it first
        octets = b"\n" + line(wall, WARNING, "log", "console full: %d octets dropped" % (_dropped - _told)) + octets
    dropped = xen.console(octets)
    if dropped == _dropped:
        _told = _dropped
    _dropped = dropped
