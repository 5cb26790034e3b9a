"""Xen's watchdog from inside: run=try_watchdog mode=NAME seconds=N. Whoever hangs ends as crashed."""
import asyncio
import watchdog
import xen
from loop import serve


async def main(store, words):
    await globals()["mode_" + words["mode"]](int(words.get("seconds", "0")))


async def mode_bare(seconds):
    """Xen's own part: set once, and hang."""
    xen.watchdog(seconds)
    await asyncio.sleep_ms(100)
    print("hangs")
    while True:
        pass


async def mode_cleared(seconds):
    """Set, set again, ended, and ended once more."""
    for each in (seconds, seconds, 0, 0, seconds, 0):
        xen.watchdog(each)
    print("cleared")


async def mode_on(seconds):
    watchdog.on()
    watchdog.on()
    print("is on")


async def mode_off(seconds):
    watchdog.off()
    watchdog.on()
    await asyncio.sleep_ms(25000)
    watchdog.off()
    watchdog.off()
    print("off")


async def mode_again(seconds):
    watchdog.on()
    watchdog.off()
    watchdog.on()
    print("is on")


async def mode_task(seconds):
    """A task that does not end its step."""
    watchdog.on()
    await asyncio.sleep_ms(1000)
    print("hangs")
    while True:
        pass


async def mode_service(seconds):
    """A ring service that always has work, and no task its turn: the loop is what hangs."""
    watchdog.on()
    await asyncio.sleep_ms(1000)
    print("hangs")

    def service():
        while True:
            pass

    serve(service)
