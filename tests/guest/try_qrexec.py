"""The qrexec agent without a firewall: run=try_qrexec. Services of its own beside the usual ones:

    test.Echo         what comes in goes out; the exit code is the argument
    test.Zeros+N      N octets, as fast as the caller reads
    test.Wait+MS      looks whether the caller is there, for so long
    test.Sleep        never looks at all
    test.Fail         raises
    firewall.Wait+MS  as test.Wait, and counted among those that last

The words `call SERVICE TARGET [STDIN]` in our xenstore node data/do make a call, printed as `result ...`; `open SERVICE
TARGET` opens one that echoes its stdout to its stdin; `up 1` and `up 0` say whether there is an uplink; `memory` prints
how much of the heap is free.
"""
import asyncio
import gc

from firewall.qubes.agent import Agent
from firewall.qubes.stream import CallEnded
from firewall.services import table


class _Firewall:
    up = False


async def _echo(firewall, call):
    while True:
        octets = await call.read(3000)
        if not octets:
            return int(call.argument or "0")
        await call.write(octets)


async def _zeros(firewall, call):
    octets = bytes(100000)
    left = int(call.argument)
    while left:
        n = min(left, len(octets))
        await call.write(memoryview(octets)[:n])
        left -= n
    return 0


async def _wait(firewall, call):
    for _ in range(int(call.argument) // 100):
        if call.ended:
            return 1
        await asyncio.sleep_ms(100)
    return 3


async def _sleep(firewall, call):
    try:
        await asyncio.sleep(100000)
    except asyncio.CancelledError:
        print("cancelled")
        raise


async def _fail(firewall, call):
    raise KeyError("oh")


async def _who(firewall, call):
    await call.write(("%s|%s|%s|%s" % (call.service, call.argument, call.source, call.text())).encode())
    return 0


async def main(store, words):
    table.SERVICES.update({
        "test.Echo": _echo, "test.Zeros": _zeros, "test.Wait": _wait, "test.Sleep": _sleep, "test.Fail": _fail,
        "firewall.Wait": _wait, "test.Who": _who,
    })  # fmt: skip
    firewall = _Firewall()
    agent = Agent(store, table.Services(firewall))
    agent.start()
    watch = await store.watch("data/do")
    while True:
        await watch.changes()
        try:
            do, *words = (await store.read("data/do")).decode().split(" ")
        except Exception:
            continue
        if do == "memory":
            gc.collect()
            print("memory %d" % gc.mem_free())
        elif do == "up":
            firewall.up = words[0] == "1"
        elif do == "call":
            asyncio.create_task(_call(agent, *words))
        elif do == "open":
            asyncio.create_task(_open(agent, *words))


async def _call(agent, service, target, *stdin):
    code, stdout = await agent.call(service, target, [" ".join(stdin).encode()] if stdin else None)
    print("result", code, len(stdout), stdout[:100])


async def _open(agent, service, target):
    try:
        call = await agent.open(service, target)
    except CallEnded as why:
        print("not opened:", type(why).__name__, why)
        return
    print("opened")
    try:
        while True:
            octets = await call.read(100)
            if not octets:
                break
            await call.write(octets)
        print("exit code", call.code)
    except CallEnded:
        print("ended")
    finally:
        call.close()
