"""What dom0 asks of this domain through the directory control of our xenstore.

    control/shutdown   poweroff, halt or reboot: `xl shutdown`, `xl reboot`. Acknowledged at once; then the
                       hooks run, of which one takes leave of all clients (netback/goodbye.py); the console drains
    control/sysrq      any letter: `xl sysrq DOMAIN LETTER` wants to know how we are doing, on the console

Source: Xen docs/misc/xenstore-paths.pandoc (control/), docs/misc/xenstore.txt; what Linux does with sysrq.
"""
import xen
import status
import supervisor
import watchdog
from asyncio import TimeoutError, sleep_ms
from log import Log
from logline import printable
from micropython import const
from waiting import wait_for_ms
from xenbus.store import Missing, StoreError

_ROOT = "control"
_SHUTDOWN = "control/shutdown"
_SYSRQ = "control/sysrq"
_FEATURES = (("feature-poweroff", b"1"), ("feature-reboot", b"1"), ("feature-suspend", b"0"))
_REASONS = {b"poweroff": xen.POWEROFF, b"halt": xen.POWEROFF, b"reboot": xen.REBOOT}
_HOOKS_MS = const(500)  # for all together, beside what one asked for: dom0 shall see the end within a second
_LINE_MS = const(2)  # between two lines of the status: the console's daemon reads meanwhile

_log = Log("control")
_status = Log("status")
_hooks = []


def before_end(name, hook, ms=0):
    """Await hook() before the domain powers off or reboots. All hooks together have 500 ms, and what each asks for."""
    _hooks.append((name, hook, ms))


async def run(store):
    """For the supervisor, as a SERVICE: obey dom0, until the end."""
    for name, value in _FEATURES:
        try:
            await store.write("control/" + name, value)
        except StoreError as refusal:
            _log.debug("%s", refusal)  # dom0 need not know
    watch = await store.watch(_ROOT, levels=1)
    try:
        while True:
            changed = await watch.changes()
            if _SHUTDOWN in changed or _ROOT in changed:
                word = await _take(store, _SHUTDOWN, _REASONS)
                if word in _REASONS:
                    await _end(word)
                elif word:
                    _log.warning("unknown word ignored: %s", printable(word, 80))
            if (_SYSRQ in changed or _ROOT in changed) and await _take(store, _SYSRQ, None):
                await _tell_status()
    finally:
        await watch.close()


async def _take(store, node, known):
    """The word that dom0 wrote; one that is known (None: any) is acknowledged by emptying the node."""

    async def acknowledge(t):
        word = await t.read(node)
        if word and (known is None or word in known):
            await t.write(node, b"")
        return word

    try:
        return await store.transaction(acknowledge)
    except Missing:
        return b""
    except StoreError as refusal:  # no right to write, no quota: obey all the same
        _log.debug("not acknowledged: %s", refusal)
    try:
        return await store.read(node)
    except StoreError:
        return b""


async def _tell_status():
    for line in status.lines():
        _status.answer(line)
        await sleep_ms(_LINE_MS)


async def _end(word):
    text = word.decode()
    watchdog.off()  # from now on dom0 waits for us
    _log.info("dom0 asks for %s", text)
    until = xen.ns() + (_HOOKS_MS + sum(ms for _, _, ms in _hooks)) * 1000000
    for name, hook, _ in _hooks:
        try:
            await wait_for_ms(hook(), max(1, (until - xen.ns()) // 1000000))
        except TimeoutError:
            _log.warning("%s: not done in time", name)
        except Exception as exception:
            _log.error("%s: %s", name, supervisor.explain(exception))
    _log.info("%s", status.summary())
    _log.info("%s now", text)
    xen.shutdown(_REASONS[word])  # the console drains; does not return
