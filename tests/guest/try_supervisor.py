"""The supervisor from inside: run=try_supervisor mode=NAME. Every case prints what the test then judges."""
import asyncio
import gc
import xen
import supervisor
from peererror import PeerError


async def main(store, words):
    await globals()["mode_" + words["mode"]]()
    print("done")


def seconds():
    return "%.3f" % (xen.ns() / 1e9)


def failing(what):
    async def task():
        print("start", seconds())
        try:
            await asyncio.sleep_ms(10)
            fail(what)
        finally:
            print("finally")

    return task


def fail(what):
    if what == "lie":
        raise PeerError("tx producer 300 ahead")
    if what == "memory":
        bytearray(1 << 30)
    if what == "value":
        raise ValueError("bad\nvalue")
    if what == "assert":
        assert False, "counts differ"
    if what == "recursion":
        fail(what)


async def mode_link():
    """Exceptions of three kinds, and plain return: the task is over, its finally has run, the others live."""
    for what in ("lie", "memory", "value", "recursion", "return"):
        supervisor.spawn("vif " + what, failing(what), supervisor.LINK)
    await asyncio.sleep_ms(200000)


async def mode_service():
    """Starts again with growing delay."""
    supervisor.spawn("qubesdb", failing("value"), supervisor.SERVICE)
    await asyncio.sleep_ms(300000)


async def mode_service_memory():
    """A service that eats all memory is started again, and the others never notice."""
    eaten = 0

    async def eater():
        nonlocal eaten
        kept = []
        eaten += 1
        while eaten < 4:
            kept.append(bytearray(1000))
        print("full", eaten)
        await asyncio.sleep_ms(100000)

    supervisor.spawn("dns", eater, supervisor.SERVICE)
    for _ in range(20):
        await asyncio.sleep_ms(1000)
    gc.collect()
    print("free after", gc.mem_free() > gc.mem_alloc())


async def mode_service_recovers():
    """After a quiet time the delay is short again."""
    runs = 0

    async def service():
        nonlocal runs
        runs += 1
        print("start", seconds())
        await asyncio.sleep_ms(10 if runs != 4 else 400000)
        raise ValueError("again")

    supervisor.spawn("qrexec", service, supervisor.SERVICE)
    await asyncio.sleep_ms(420000)


async def mode_cancel():
    """A cancelled task ends, whatever its policy, also during the delay before a new start."""
    tasks = [supervisor.spawn("service", failing("value"), supervisor.SERVICE)]
    for policy in (supervisor.LINK, supervisor.SERVICE, supervisor.FATAL):
        tasks.append(supervisor.spawn("endless %d" % policy, endless, policy))
    await asyncio.sleep_ms(100)
    for task in tasks:
        task.cancel()
    await asyncio.sleep_ms(100000)
    for task in tasks:
        assert task.done()


async def endless():
    try:
        await asyncio.sleep_ms(1000000)
    finally:
        print("finally")


async def mode_fatal():
    supervisor.spawn("pages", failing("value"), supervisor.FATAL)
    await asyncio.sleep_ms(1000)


async def mode_fatal_returns():
    supervisor.spawn("pages", failing("return"), supervisor.FATAL)
    await asyncio.sleep_ms(1000)


async def mode_assert():
    """A broken invariant is not a link's or a service's own affair."""
    supervisor.spawn("vif 7.0", failing("assert"), supervisor.LINK)
    await asyncio.sleep_ms(1000)


# ---- judging packets -----------------------------------------------------------------------------


def guard():
    return supervisor.Guard("vif 7.0", lambda: print("disconnect"))


async def mode_judge():
    """A failing packet is dropped, counted and logged; the next is judged."""
    g = guard()
    for packet in ("value", "memory", "fine", "recursion", "lie"):
        print(packet, g.judge(judge, None, packet, 0))
    print("failed", g.failed)


def judge(_interface, what, _now):
    fail(what)
    return "accepted"


async def mode_judge_assert():
    guard().judge(judge, None, "assert", 0)


async def mode_judge_100_in_10_s():
    g = guard()
    for _ in range(99):
        await asyncio.sleep_ms(100)
        g.judge(judge, None, "value", 0)
    print("after 99")
    g.judge(judge, None, "value", 0)
    print("after 100")
    for _ in range(99):
        g.judge(judge, None, "value", 0)
    print("99 more")


async def mode_judge_slowly():
    g = guard()
    for _ in range(300):
        await asyncio.sleep_ms(102)
        g.judge(judge, None, "value", 0)
    print("failed", g.failed)
