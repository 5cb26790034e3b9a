"""How this domain is doing, in a few lines: for an administrator who asks (control.py), and at the end.

The lines are made one at a time, so that the rings have their turn between them.
"""
import loop
import xen
from micropython import const

_NS_PER_S = const(1000000000)
_NS_PER_MS = const(1000000)

_began = xen.ns()
_reports = []


def add(report):
    """report() -> lines of text, an iterable, for whoever asks. To be called once, by each part that has some."""
    _reports.append(report)


def lines():
    """All there is to say. The longest gap is that since last asked."""
    heap, pages = xen.heap()[1], xen.memory()[1]
    yield "up %d s, CPU taken by others for %d ms" % (_uptime(), (xen.ns() - xen.own()) // _NS_PER_MS)
    yield "memory free: %d KiB of heap, %d KiB of pages; events that nobody waited for: %d" % (
        heap >> 10, pages >> 10, loop.strays())  # fmt: skip
    for report in _reports:
        for line in report():
            yield line
    yield "since the start: hypercalls %d, copy operations %d, events sent %d, events received %d" % xen.counts()
    ever, recent = loop.longest_gap_ever(), loop.longest_gap()
    yield "longest gap between ring services since last asked: %s" % recent.text()
    if ever is not recent:
        yield "longest ever: %s" % ever.text()


def summary():
    """One line, for the end."""
    return "up %d s, longest gap between ring services %s" % (_uptime(), loop.longest_gap_ever().text())


def _uptime():
    return (xen.ns() - _began) // _NS_PER_S
