"""port/modules/waiting.py: what is waited for, for a time; whoever is cancelled; each allocation refused in turn."""
import os

from tests.host.test_imports import FOLDERS, ROOT

_BEGIN = """
import asyncio
import starve
import xen
from asyncio import CancelledError, TimeoutError, core, create_task, sleep_ms
from waiting import Flag, wait_for_ms

async def late(ms, result):
    await sleep_ms(ms)
    return result

async def outcome(coroutine):
    try:
        return await coroutine
    except TimeoutError:
        return "late"
    except CancelledError:
        return "cancelled"
    except ValueError:
        return "wrong"
    except MemoryError:
        return "memory"

unsupervised = []
core.Loop.set_exception_handler(lambda _, context: unsupervised.append(context["exception"]))

class Passes:
    map = True
    def wait_io_event(self, dt):
        if dt:
            assert dt > 0
            xen.sleep(xen.ns() + dt * 1000000)
core._io_queue = Passes()
"""
_TIMES = """
cleaned = []

async def wrong():
    await sleep_ms(1)
    raise ValueError

async def cleaning():
    try:
        await sleep_ms(50)
    finally:
        await sleep_ms(20)  # its end takes a time of its own
        cleaned.append(1)

async def inner(coroutine, ms):
    # a time in a time, as a channel is waited for in one that is announced
    while True:
        try:
            return await wait_for_ms(coroutine(), ms)
        except TimeoutError:
            pass

told = []
async def tell(coroutine):
    told.append(await outcome(coroutine))

async def main():
    begun = xen.ns()
    assert await outcome(wait_for_ms(late(1, 7), 5)) == 7
    assert await outcome(wait_for_ms(late(9, 7), 5)) == "late"
    assert await outcome(wait_for_ms(late(0, 7), 0)) in (7, "late")
    assert await outcome(wait_for_ms(wrong(), 5)) == "wrong"
    assert xen.ns() - begun < 20000000
    assert await outcome(wait_for_ms(cleaning(), 5)) == "late" and cleaned
    for ms in (1, 2, 3, 4, 5, 6, 7, 10):
        for outer in (1, 2, 3, 4, 5, 6, 7, 10):
            begun = xen.ns()
            result = await outcome(wait_for_ms(inner(lambda: late(10000, 0), ms), outer))
            assert result == "late" and xen.ns() - begun < (outer + 5) * 1000000, (ms, outer)
    flag = Flag()
    assert not await flag.wait_ms(3)
    flag.set()
    assert await flag.wait_ms(3) and not flag.state
    # cancelled by others before, with and after the time: that is what is seen, and told to nobody else
    for at in (0, 1, 4, 5, 6):
        for first in (False, True):
            if first:
                task = create_task(tell(wait_for_ms(late(10000, 0), 5)))
                await sleep_ms(at)
            else:
                stop = asyncio.Event()
                async def canceller():
                    await sleep_ms(at)
                    task.cancel()
                create_task(canceller())
                task = create_task(tell(wait_for_ms(late(10000, 0), 5)))
                await sleep_ms(at)
            task.cancel()
            await sleep_ms(10)
            assert task.done() and told[-1] == ("late" if at > 5 else "cancelled") or at == 5, (at, first, told[-1])
    assert len(told) == 10 and not unsupervised, (told, unsupervised)
    print("done")

core.run_until_complete(create_task(main()))
"""
_REFUSED = """
seen = set()

async def at_once():
    return 7

async def main():
    for what in range(5):
        n = 0
        failed = True
        while failed or n < 30:
            flag, other = Flag(), Flag()
            async def setting():
                await sleep_ms(1)
                flag.set()
            def asked():
                if what == 0:
                    return wait_for_ms(late(1, 7), 5)
                if what == 1:
                    return wait_for_ms(late(50, 7), 2)
                if what == 2:
                    return flag.wait_ms(5)
                if what == 3:
                    return wait_for_ms(other.wait_ms(2), 1)
                return wait_for_ms(at_once(), 5)
            create_task(setting())
            task = create_task(outcome(asked()))
            await sleep_ms(0) if n & 1 else None
            starve.after(n // 2)
            starve.on()
            await sleep_ms(8)
            failed = starve.off()
            starve.after(-1)
            assert task.done(), (what, n)
            seen.add(task.data.value)
            assert not unsupervised, (what, n, unsupervised)
            flag.set()
            assert await outcome(flag.wait_ms(5)) is True, (what, n)
            assert not await flag.wait_ms(1), (what, n)
            n += 1
    assert seen == {7, "late", "memory", True}, seen
    print("done")

core.run_until_complete(create_task(main()))
"""


def test_it_has_its_time_and_no_more(machine, run):
    firewall = run(machine, _BEGIN + _TIMES)
    assert firewall.lines("done"), firewall.console


def test_what_is_refused_is_told_to_who_waits(machine, run):
    """asyncio makes a task to wait in: what failed there was nobody's, and the domain ended."""
    firewall = run(machine, _BEGIN + _REFUSED)
    assert firewall.lines("done"), firewall.console


def test_nobody_waits_by_asyncios_own():
    for folder in FOLDERS:
        for place, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                if name.endswith(".py"):
                    with open(os.path.join(place, name), encoding="utf-8") as file:
                        text = file.read()
                    assert "asyncio.wait_for" not in text and "asyncio import wait_for" not in text, name
                    named = [line for line in text.splitlines() if line.startswith("from asyncio import")]
                    assert not any("wait_for" in line or "gather" in line for line in named), name
