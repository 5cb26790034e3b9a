"""Tells dom0 once what this qube does: keys /features-request/NAME in QubesDB, then a call of qubes.FeaturesRequest.

dom0 takes of it what it likes; for most qubes that it did not make from a template it asks nobody, and for others it
refuses. Nothing here depends on the answer.

Source: Qubes core-admin qubes/ext/core_features.py, supported_features.py.
"""
from asyncio import sleep_ms
from log import Log
from micropython import const

from firewall.qubes import qrexec
from firewall.qubes.messages import writable

_ROOT = "/features-request/"
_OWN = ("qrexec", "qubes-firewall", "supported-service.qubes-firewall")
_LOOK_MS = const(200)
_AGAIN_MS = const(60000)
_TRIES = const(5)

_log = Log("qrexec")


def keys(services):
    """Paths of all that we do, one at a time, for services by name; a name too long for a path is left out."""
    for name in _OWN:
        yield _ROOT + name
    for service in services:
        path = _ROOT + "supported-rpc." + service
        if writable(path):
            yield path


async def announce(agent, database, wake, services):
    """To be run once, as a LINK. wake(): the database has something to send. services: names."""
    await agent.connected.wait()
    await _until(lambda: database.synced)
    paths = []
    for path in keys(services):
        paths.append(path)
        await _until(lambda: database.write(path, b"1"))  # else too much is waiting
        await sleep_ms(0)  # all of them at once would keep the rings waiting
    wake()
    for _ in range(_TRIES):
        for path in paths:
            await _until(lambda: agent.version and not database.waits(path))
            await sleep_ms(0)
        code, _ = await agent.call("qubes.FeaturesRequest", "dom0")
        if code != qrexec.BROKEN:
            _log.info("dom0 was told what we do, and says %d", code)
            return
        await sleep_ms(_AGAIN_MS)


async def _until(condition):
    """Look ever less often: what never comes must not wake us for ever."""
    delay = _LOOK_MS
    while not condition():
        await sleep_ms(delay)
        delay = min(2 * delay, _AGAIN_MS)
