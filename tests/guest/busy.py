"""In the middle of everything: events, grants, mapped nothing, xenstore writes and transactions, without end."""
import asyncio
import supervisor
import xen


async def main(store, words):
    page = xen.mem(4096)
    port = xen.evtchn_alloc(0)

    async def grants():
        while True:
            reference = xen.grant(xen.gfn(page), 0, False)
            xen.evtchn_send(port)
            assert xen.revoke(reference)
            await asyncio.sleep_ms(0)

    async def writes():
        n = 0
        while True:
            n += 1

            async def body(t):
                await t.write("data/a", str(n))
                await t.write("data/b", str(n))

            await store.transaction(body)
            await store.read("data/a")
            if n == 20:
                print("busy: under way")

    supervisor.spawn("grants", grants, supervisor.FATAL)
    supervisor.spawn("writes", writes, supervisor.FATAL)
