"""What build.py tells its user: steps, progress of long ones, and errors in one line."""
import sys
import time


class Problem(Exception):
    """Something the user can act on. Its text is one line that says what to do."""


def say(text):
    """A line of progress. Goes to stderr, so that stdout stays for results and pytest."""
    print(text, file=sys.stderr, flush=True)


class Step:
    """A step that takes long: `with Step("Unpacking", total) as step: step.done(1)`.

    On a terminal one line is rewritten in place; in a log a line appears for each third of the way.
    """

    def __init__(self, title, total=0, unit=""):
        self.title, self.total, self.unit = title, total, unit
        self.count, self.began, self.thirds = 0, time.monotonic(), 0

    def __enter__(self):
        self._show()
        return self

    def done(self, amount=1):
        """Count amount more of the total."""
        self.count += amount
        self._show()

    def _show(self):
        if sys.stderr.isatty():
            print("\r\033[K%s%s" % (self.title, self._share()), end="", file=sys.stderr, flush=True)
        elif self.total and self.count * 3 // self.total > self.thirds:
            self.thirds = self.count * 3 // self.total
            if self.thirds < 3:
                say(self.title + self._share())

    def _share(self):
        return " %d of %d %s" % (self.count, self.total, self.unit) if self.total else " ..."

    def __exit__(self, kind, value, trace):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)
        seconds = time.monotonic() - self.began
        say("%s: %s (%.0f s)" % (self.title, "stopped" if kind else "done", seconds))
