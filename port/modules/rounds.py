"""Rounds of the loop in machine code: events taken, the one service called, and sleep, while nothing is for Python.

Twin: loop._Passes.wait_io_event() with what that calls, which goes on where this stops. It looks for no
task: none can become ready meanwhile but by an event that somebody is to be told of, or as
serve() says.
"""
import micropython
from micropython import const

# what run() is given: xen.pending, and what that writes ports to; octets by port, 1: nobody is to be told of its
# events, the service looks in every round; xen.own, xen.ns, xen.sleep; words, two each, the lower first: when the last
# round of services began, and when it ended; serve(tables), a round of the service, and what that is given
# serve() says 0: there is nothing to do, 1: there may be more, or what run() says: PYTHON, RAN
# what run() says, if it is no number of ports that Python is to take as told of
PYTHON = const(-1)  # the service is to be called, which goes on
TIME = const(-2)  # it is `limit`
RAN = const(-4)  # Python has run: a task may be ready
LONG = const(-3)  # nothing is to do, and the last round was longer than the longest gap


@micropython.viper
def run(t, until, limit: int, longest: int) -> int:
    """Rounds, until something is for Python: see above. until: for xen.sleep(); limit: the same in ns, 0: none.

    longest: ns; a longer gap is Python's to note. An event after the ports were taken is still pending at the sleep.
    """
    pending, taken, untold, own, clock, sleep, spans, serve, tables = t
    times = ptr32(spans)
    ports = ptr16(taken)
    quiet = ptr8(untold)
    began = times[0] | times[1] << 32
    now = int(own())
    while True:
        n = int(pending(taken))
        i = 0
        while i < n and quiet[ports[i]]:
            i += 1
        if i < n or now - began > longest:
            return n
        began = now
        times[0] = now
        times[1] = now >> 32
        how = int(serve(tables))
        now = int(own())
        times[2] = now
        times[3] = now >> 32
        if how < 0:
            return how
        if how == 0 and now - began > longest:
            return 0 - 3
        if how == 0:
            now = int(sleep(until))
            late = now >> 63
            now ^= late
            began = now
            times[0] = times[2] = now
            times[1] = times[3] = now >> 32
            if late:
                return 0 - 2
        elif limit and int(clock()) >= limit:
            return 0 - 2
