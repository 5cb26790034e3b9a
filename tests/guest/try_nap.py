"""A nap from inside: run=try_nap mode=NAME. Prints how many ms each sleep took."""
import asyncio
import gc
import micropython
import xen
from nap import Nap

nap = Nap(50)
slept = []  # ms, of each sleep


async def sleeper(times):
    for ms in times:
        began = xen.ns()
        nap.state = False
        await nap.sleep(ms)
        slept.append((xen.ns() - began) // 1000000)


async def main(store, words):
    await globals()[words["mode"]]()
    print("slept", slept)


async def nobody():
    await sleeper([0, 30, 400])


async def early():
    task = asyncio.create_task(sleeper([1000, 1000]))
    await asyncio.sleep_ms(100)
    gc.collect()
    micropython.heap_lock()
    nap.set()
    micropython.heap_unlock()
    await asyncio.sleep_ms(20)
    nap.set()  # which does not make it longer
    await task
    assert nap.state is False and slept.pop() == 1000


async def late():
    task = asyncio.create_task(sleeper([130]))
    await asyncio.sleep_ms(100)
    nap.set()  # it ends anyhow, before 50 ms are over
    await task


async def for_ever():
    task = asyncio.create_task(sleeper([-1]))
    await asyncio.sleep_ms(5000)
    assert not slept
    nap.set()
    await task


async def before():
    nap.set()  # nobody sleeps
    began = xen.ns()
    await nap.sleep(-1)  # it has moved since state was made False
    slept.append((xen.ns() - began) // 1000000)


async def cancelled():
    task = asyncio.create_task(sleeper([1000]))
    await asyncio.sleep_ms(10)
    task.cancel()
    await asyncio.sleep_ms(10)
    assert task.done()
    nap.set()
    await asyncio.sleep_ms(200)
