"""The log from inside: run=try_log mode=NAME."""
import asyncio
import log

_log = log.Log("trial")


async def main(store, words):
    await globals()["mode_" + words["mode"]]()
    print("done")


async def mode_levels():
    for name in ("error", "warning", "info", "debug"):
        getattr(_log, name)("at level %s", name)


async def mode_escape():
    _log.info("escape \x1b[31m, newline \n, high \xe9, %s", "peer's \r words")
    _log.info("100% plain")
    _log.error("x" * 5000)


async def mode_flood():
    """Lines are limited for the one who floods; errors and others pass; the count comes when it is calm."""
    other = log.Log("other")
    for n in range(1000):
        _log.info("line %d", n)
    _log.error("an error among them")
    other.info("not concerned")
    await asyncio.sleep_ms(10000)
    print("calm")


async def mode_full_console():
    """The test does not read the console: lines are dropped, nothing waits, and the loss is told."""
    print("ready")
    await asyncio.sleep_ms(1000)
    logs = [log.Log("log%d" % n) for n in range(10)]
    for each in logs:
        for n in range(10):
            each.info("line %d %s", n, "x" * 200)
    await asyncio.sleep_ms(2000)
    _log.info("room again")
