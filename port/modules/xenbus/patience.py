"""What to think of a xenstored that does not answer: nothing much, for a long time.

A daemon that is slow, or not there, may take as long as it likes; one line in the log says that it does. But it works
in order: one that answers a later request first has lost ours, and then waiting would be for ever. So another request
is made now and then, and if its answer overtakes, the connection begins anew. So it does after 10 min without a word,
for nothing is lost by that.
"""
import xen
from asyncio import sleep_ms
from log import Log
from micropython import const

_PATIENCE_NS = const(10000000000)  # then a line in the log, and a probe
_PROBE_MS = const(10000)  # between probes
_SILENCE_MS = const(600000)

_log = Log("xenstore")


async def run(connection):
    """For the supervisor, as a SERVICE: one line when a request has waited 10 s for its answer, one when it has it."""
    while True:
        while connection.sent:
            oldest = min(connection.sent.values(), key=lambda request: request.sent_at)
            left = oldest.sent_at + _PATIENCE_NS - xen.ns()
            if left > 0:
                await sleep_ms(left // 1000000 + 1)
                continue
            waiting = len(connection.sent) + len(connection.queue)
            _log.warning("no answer for 10 s: %s; %d requests wait", oldest.about(), waiting)
            while not oldest.answered.is_set():
                await _probe(connection, oldest)
            _log.warning("answers again after %d s", (xen.ns() - oldest.sent_at) // 1000000000)
        await connection.asked.wait()  # at the end: who is started again looks first


async def _probe(connection, late):
    """Wait for one of two answers. A request sent again meanwhile has a new number, and is not overtaken."""
    probe = connection.probe()
    while not (late.answered.is_set() or probe.answered.is_set()):
        if not await connection.heard.wait_ms(_SILENCE_MS):
            connection.distrust("silent for 10 min")
    if probe.connection and late.req_id < probe.req_id and late in connection.sent.values():
        connection.distrust("no answer to " + late.about())
    if not late.answered.is_set():
        await sleep_ms(_PROBE_MS)
