"""The client of xenstore from inside: run=try_xenstore mode=NAME. Prints "done", or crashes with what failed."""
import asyncio
import gc
import supervisor
from xenbus.store import Again, Denied, Missing, QuotaError, StoreError


async def main(store, words):
    await globals()["mode_" + words["mode"]](store)
    print("done")


async def refused(kind, name, request):
    """Await a request that must be refused in this way."""
    try:
        await request
    except StoreError as refusal:
        assert type(refusal) is kind and refusal.name == name, refusal
        return
    assert False, "not refused"


async def mode_requests(store):
    """Every request, honestly answered."""
    assert await store.read("domid") == b"2"
    await store.write("data/a", b"1")
    await store.write("data/b", "text")
    await store.write("data/empty", b"")
    assert await store.read("data/a") == b"1"
    assert await store.read("data/empty") == b""
    octets = bytes(range(256))
    await store.write("data/octets", octets)
    assert await store.read("data/octets") == octets
    await store.mkdir("data/dir/sub")
    await store.mkdir("data/dir")  # exists
    assert sorted(await store.directory("data")) == ["a", "b", "dir", "empty", "octets"]
    assert await store.directory("data/dir/sub") == []
    await store.rm("data/dir")
    await store.rm("data/dir")  # not there: no error
    await refused(Missing, "ENOENT", store.read("data/dir"))
    await refused(Missing, "ENOENT", store.directory("nothing"))
    await refused(Denied, "EACCES", store.read("/local/domain/0/secret"))
    await refused(Denied, "EACCES", store.write("/local/domain/0/mine", b"1"))
    await refused(StoreError, "EINVAL", store.read("a//b"))
    await refused(StoreError, "EINVAL", store.read("a\0b"))
    await refused(QuotaError, "E2BIG", store.write("data/big", bytes(4090)))
    await refused(QuotaError, "E2BIG", store.read("x" * 2049))
    assert await store.get_domain_path(7) == "/local/domain/7"
    assert await store.get_perms("data/a") == ["n2"]
    await store.set_perms("data/a", ["n2", "r1"])
    assert await store.get_perms("data/a") == ["n2", "r1"]


async def mode_large(store):
    """Messages larger than the ring, both ways at once; a directory that needs parts."""
    value = bytes(i * 7 & 0xFF for i in range(2000))
    await asyncio.gather(*[store.write("data/large/%d" % i, value) for i in range(60)])
    found = await asyncio.gather(*[store.read("data/large/%d" % i) for i in range(60)])
    assert all(octets == value for octets in found)
    names = await store.directory("data/many")  # dom0's quota has no limit
    assert sorted(names) == ["a-name-of-some-length-%03d" % i for i in range(300)]


async def mode_quotas(store):
    """What the daemon has no room for is refused by name, and nothing else breaks."""
    watches = []
    try:
        while True:
            watches.append(await store.watch("w/%d" % len(watches)))
    except QuotaError as refusal:
        print("watches", len(watches), refusal.name)
    for watch in watches:
        await watch.close()
    await (await store.watch("w")).close()
    nodes = 0
    try:
        while True:
            await store.mkdir("data/n/%d/%d" % (nodes // 20, nodes))
            nodes += 1
    except QuotaError as refusal:
        print("nodes", nodes, refusal.name)
    await store.rm("data/n")
    try:
        await store.write("data/big", bytes(3000))
        assert False
    except QuotaError as refusal:
        print("octets", refusal.name)
    await store.write("data/small", b"1")


async def mode_transactions(store):
    """All or nothing; conflicts are tried again; an exception within leaves none open."""
    await store.write("data/count", b"0")

    async def add(t):
        await t.write("data/count", b"%d" % (int(await t.read("data/count")) + 1))

    await asyncio.gather(*[store.transaction(add) for _ in range(30)])
    assert await store.read("data/count") == b"30"

    tries = 0

    async def disturbed(t):
        nonlocal tries
        tries += 1
        await t.read("data/count")
        if tries < 4:
            await store.write("data/count", b"%d" % tries)
        await t.write("data/count", b"mine")
        return "result"

    assert await store.transaction(disturbed) == "result"
    assert tries == 4 and await store.read("data/count") == b"mine"

    async def hopeless(t):
        await t.read("data/count")
        await store.write("data/count", b"theirs")
        await t.write("data/count", b"mine")

    await refused(Again, "EAGAIN", store.transaction(hopeless))

    async def fails(t):
        await t.write("data/count", b"never")
        raise ZeroDivisionError

    for _ in range(30):  # only 10 may be open
        try:
            await store.transaction(fails)
            assert False
        except ZeroDivisionError:
            pass
    assert await store.read("data/count") == b"theirs"

    async def endless(t):
        await t.write("data/count", b"never")
        await asyncio.sleep_ms(1000000)

    for ms in (0, 1, 10) * 10:  # cancelled before, during and after the start
        task = asyncio.create_task(store.transaction(endless))
        await asyncio.sleep_ms(ms)
        task.cancel()
    await store.transaction(add_nothing)


async def add_nothing(t):
    await t.read("data/count")


async def mode_cancelled_start(store):
    """Transactions whose start is answered only after their task was cancelled."""
    await store.write("data/count", b"0")
    await asyncio.sleep_ms(1000)
    for _ in range(15):  # the daemon is silent by now
        task = asyncio.create_task(store.transaction(add_nothing))
        await asyncio.sleep_ms(100)
        task.cancel()
        await asyncio.sleep_ms(100)
    print("cancelled")
    await store.transaction(add_nothing)


async def mode_watches(store):
    """A watch fires at once, then for what is written below it; as a set, cut to its levels."""
    flat = await store.watch("data/tree")
    deep = await store.watch("data/tree", levels=2)
    assert await flat.changes() == {"data/tree"} and await deep.changes() == {"data/tree"}
    for path in ("data/tree/7/0/state", "data/tree/7/0/mac", "data/tree/8/1/state", "data/tree/9", "data/treetop"):
        await store.write(path, b"1")
    assert await flat.changes() == {"data/tree"}
    assert await deep.changes() == {"data/tree/7/0", "data/tree/8/1", "data/tree/9"}
    await store.rm("data/tree")
    assert "data/tree" in await deep.changes()
    await flat.changes()
    await flat.close()
    await store.write("data/tree/7", b"2")
    assert await deep.changes() == {"data/tree/7"}
    for n in range(1000):
        await store.write("data/tree/%d" % (n % 300), b"%d" % n)
    changed = await deep.changes()
    assert "data/tree" in changed and len(changed) <= 257
    for n in range(1000):  # places in the quota come back
        await (await store.watch("data/tree")).close()


async def mode_patient(store):
    """A request that is answered late. Meanwhile others live."""
    ticks = 0

    async def ticker():
        nonlocal ticks
        while True:
            await asyncio.sleep_ms(1000)
            ticks += 1

    supervisor.spawn("ticker", ticker, supervisor.FATAL)
    await asyncio.sleep_ms(1000)
    print("asking")
    assert await store.read("domid") == b"2"
    print("ticks", ticks)


async def mode_many_at_once(store):
    """100 small requests at once."""
    await asyncio.sleep_ms(1000)
    assert await asyncio.gather(*[store.read("domid") for _ in range(100)]) == [b"2"] * 100


async def mode_hostile(store):
    """Eight tasks ask whatever the daemon answers, until it is honest again; says how much memory lives."""
    outcomes = {"refused": 0, "answered": 0}

    async def body(t):
        await t.write("data/hostile/t", await t.read("data/hostile/t"))

    async def ask(n):
        if n == 0:
            await store.read("data/hostile/a")
        elif n == 1:
            await store.write("data/hostile/b", bytes(1500))
        elif n == 2:
            await store.directory("data/hostile")
        elif n == 3:
            await store.transaction(body)
        elif n == 4:
            watch = await store.watch("data/hostile", levels=1)
            await watch.changes()
            await watch.close()
        elif n == 5:
            await store.get_perms("data/hostile/a")
        elif n == 6:
            await store.get_domain_path(7)
        else:
            await store.rm("data/hostile/c")

    async def asker(n):
        while True:
            try:
                await ask(n)
                outcomes["answered"] += 1
            except StoreError:
                outcomes["refused"] += 1
            await asyncio.sleep_ms(1)

    tasks = [supervisor.spawn("asker %d" % n, lambda n=n: asker(n), supervisor.FATAL) for n in range(8)]
    told = 0
    while True:
        await asyncio.sleep_ms(1000)
        asked = outcomes["refused"] + outcomes["answered"]
        if asked >= told + 250:
            told = asked
            gc.collect()
            print("memory", asked, gc.mem_alloc())
        try:
            if await store.read("data/end") == b"honest":
                break  # its first honest answer
        except StoreError:
            pass
    for task in tasks:
        task.cancel()
    await asyncio.sleep_ms(1000)
    watch = await store.watch("data/hostile")
    await watch.changes()
    await watch.close()
    await store.rm("data/hostile")
    await store.rm("data/end")
    await mode_requests(store)
    gc.collect()
    print("memory", asked, gc.mem_alloc())
    print("outcomes", outcomes["answered"], outcomes["refused"])
