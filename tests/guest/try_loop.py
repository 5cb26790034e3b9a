"""The loop from inside: run=try_loop mode=NAME. Prints "done", or crashes with the assertion that failed."""
import asyncio
import gc
import micropython
import xen
import loop
import supervisor

PEER = 1  # the domain that the test plays


async def main(store, words):
    await globals()["mode_" + words["mode"]]()
    print("done")


def offer():
    """A port for the test to bind; it learns the number from the console."""
    port = xen.evtchn_alloc(PEER)
    print("port", port)
    return port


async def mode_nothing_to_do():
    """1000 passes that find nothing, timer wake-ups and a bound port's events included, allocate nothing."""
    rounds = 0

    def service():
        nonlocal rounds
        rounds += 1
        return False

    flag = loop.Flag()
    port = offer()
    loop.bind(port, flag.set)
    loop.serve(service)
    await asyncio.sleep_ms(100)
    gc.collect()
    before = gc.mem_alloc()
    micropython.heap_lock()
    for _ in range(1000):
        await asyncio.sleep_ms(1)
    micropython.heap_unlock()
    assert flag.is_set()  # the test sent events meanwhile
    assert rounds >= 1000
    assert gc.mem_alloc() == before, gc.mem_alloc() - before


async def mode_events():
    """Each event wakes the one who waits, once."""
    flag = loop.Flag()
    port = offer()
    loop.bind(port, flag.set)
    for n in range(100):
        await flag.wait()
        assert not flag.is_set()
        print("event", n)


async def mode_close():
    """A closed port is Xen's again, and can be bound anew under the same number."""
    seen = []
    port = offer()
    loop.bind(port, lambda: seen.append(1))
    while not seen:
        await asyncio.sleep_ms(1)
    loop.close(port)
    try:
        xen.evtchn_send(port)
        assert False
    except OSError:
        pass
    again = xen.evtchn_alloc(PEER)
    assert again == port
    flag = loop.Flag()
    loop.bind(again, flag.set)
    print("port", again)
    await flag.wait()
    assert len(seen) == 1


async def mode_strays():
    """Events of a port that nobody registered are counted and do no harm."""
    offer()
    before = loop.strays()
    while loop.strays() == before:
        await asyncio.sleep_ms(1)


async def mode_many_ports():
    """More ports with events than one pass takes: none is forgotten."""
    seen = set()
    flag = loop.Flag()

    def waker(port):
        def wake():
            seen.add(port)
            flag.set()

        return wake

    ports = set()
    for _ in range(700):
        port = xen.evtchn_alloc(PEER)
        ports.add(port)
        loop.bind(port, waker(port))
    print("ports", min(ports), max(ports))
    while seen != ports:
        await flag.wait()


async def mode_services():
    """A round of services before every step of a task; no sleep while one has work; leaving from within is allowed."""
    rounds = 0
    work = 50

    def service():
        nonlocal rounds, work
        rounds += 1
        if work:
            work -= 1
            return True
        return False

    def once():
        loop.leave(once)
        return True

    loop.serve(once)
    loop.serve(service)
    started = xen.ns()
    await asyncio.sleep_ms(1000)
    assert work == 0
    assert xen.ns() - started >= 1000000000
    before = rounds
    for _ in range(10):
        await asyncio.sleep_ms(0)
    assert rounds - before == 10, rounds - before
    loop.leave(service)
    await asyncio.sleep_ms(0)
    assert rounds - before == 10


async def mode_spared():
    """Up to so many passes in a row are left out while none finds anything to do; after a sleep there is one."""
    rounds = work = 0

    def service():
        nonlocal rounds, work
        rounds += 1
        work -= work > 0
        return work > 0

    async def steps(n):
        before = rounds
        for _ in range(n):
            await asyncio.sleep_ms(0)
        return rounds - before

    loop.serve(service)
    await asyncio.sleep_ms(1)
    loop.spare(3)
    await asyncio.sleep_ms(1)
    assert await steps(40) == 10
    work = 100
    await steps(4)
    assert await steps(10) == 10
    work = 0
    await steps(4)
    before = rounds
    await asyncio.sleep_ms(10)
    assert rounds > before
    loop.spare(0)
    assert await steps(10) == 10


async def mode_service_wakes_task():
    """A service that readies a task but says it did nothing: the task runs at once all the same."""
    flag = loop.Flag()
    armed = False

    def service():
        nonlocal armed
        if armed:
            armed = False
            flag.set()
        return False

    async def waiter():
        await flag.wait()
        print("woken at", xen.ns() - started)

    loop.serve(service)
    asyncio.create_task(waiter())
    await asyncio.sleep_ms(1000)  # after this no event is on its way that would keep us awake
    started = xen.ns()
    armed = True
    await asyncio.sleep_ms(5000)


async def mode_wake_cancels():
    """A wake function ends the sleep of the one task that sleeps: it is the first still, but for another time."""

    async def sleeper():
        try:
            await asyncio.sleep_ms(5000)
        except asyncio.CancelledError:
            print("cancelled after", xen.ns() - started)

    task = asyncio.create_task(sleeper())
    loop.bind(offer(), task.cancel)
    started = xen.ns()
    await task


async def mode_deadlines():
    """Sleeping tasks wake in order, and not before their time; at most 1 ms after it."""
    order = []

    async def sleeper(ms):
        until = xen.ns() + ms * 1000000
        await asyncio.sleep_ms(ms)
        late = xen.ns() - until
        assert -1000000 < late <= 1000000, late
        order.append(ms)

    times = (5, 700, 1, 30, 29, 3000, 2)
    for ms in times:
        asyncio.create_task(sleeper(ms))
    await asyncio.sleep_ms(4000)
    assert order == sorted(times), order


def take(ms):
    """Let time pass without giving the loop its turn, which nobody may do. Events that come meanwhile are lost."""
    until = xen.ns() + ms * 1000000
    ports = xen.view(bytearray(8), "H")
    while xen.ns() < until:
        xen.pending(ports)
        xen.sleep(until)


async def mode_gap():
    """The longest time between two rounds is known; time slept in the loop does not count, nor any before a service."""
    await asyncio.sleep_ms(100)
    take(70)
    await asyncio.sleep_ms(10)
    assert loop.longest_gap_ever().ns == 0
    take(60)
    loop.serve(lambda: False)
    await asyncio.sleep_ms(300)
    assert loop.longest_gap().ns < 1000000
    take(50)
    await asyncio.sleep_ms(0)
    gap = loop.longest_gap()
    assert 50000000 <= gap.ns < 52000000, gap.ns
    assert loop.longest_gap().ns < 1000000
    assert loop.longest_gap_ever() is gap


async def mode_gap_causes():
    """What ran in the longest gap is told by name, the last step of a task that has ended included."""
    ms = {}

    def service():
        take(ms.pop("service", 0))
        return False

    def wake():
        take(ms.pop("wake", 0))

    async def worker():
        take(ms.pop("worker", 0))

    async def told(what):
        await asyncio.sleep_ms(100)
        print(what, "-", loop.longest_gap().text())

    port = offer()
    loop.bind(port, wake)
    loop.serve(service)
    await asyncio.sleep_ms(1)
    ms["service"] = 30
    await told("service")
    ms["wake"] = 20
    await told("wake")
    take(40)
    await told("step")
    ms["worker"] = 50
    supervisor.spawn("worker 7.0", worker, supervisor.LINK)
    await told("worker")
    ms["worker"] = 5
    asyncio.create_task(worker())
    await told("nameless")
    ms.update({"service": 10, "worker": 6})
    supervisor.spawn("worker", worker, supervisor.LINK)
    await told("several")


class Quick:
    """Rounds as machine code would make them: each says what stands in `says` next, then 0."""

    tables = None

    def __init__(self):
        self.says = []
        self.rounds = self.calls = self.begun = self.ended = 0
        self.ready = True
        self.hurried = False
        self.port = None  # a hypercall is made in the next round

    def begin(self):
        self.begun += self.ready
        return self.ready

    def end(self):
        self.ended += 1

    def hurry(self, yes):
        self.hurried = yes

    def serve(self, _tables):
        self.rounds += 1
        if self.port is not None:
            port, self.port = self.port, None
            xen.evtchn_send(port)
        return self.says.pop(0) if self.says else 0

    def service(self):
        self.calls += 1
        return False

    def since(self):
        """(rounds, calls of the service) since it was last asked."""
        found = self.rounds, self.calls
        self.rounds = self.calls = 0
        return found


async def mode_quick():
    """Rounds without Python go on while something is done, sleep when not, and stop for what is Python's.

    Behind them stands one call of the service, when a task is to run.
    """
    quick, flag = Quick(), loop.Flag()
    port, told = offer(), offer()
    loop.bind(port)
    loop.bind(told, flag.set)
    loop.serve(quick.service, quick)
    await asyncio.sleep_ms(1)
    quick.since()
    for says, found in (([1, 1, 0], (3, 1)), ([1, -1], (2, 2)), ([-4, 1, 0], (3, 1)), ([], (1, 1))):
        quick.says = says
        before = xen.ns()
        await asyncio.sleep_ms(10)
        assert 9000000 < xen.ns() - before < 11000000
        now = quick.since()
        assert now == found, (now, found)
    quick.ready = False
    await asyncio.sleep_ms(10)
    now = quick.since()
    assert now == (0, 2), now
    quick.ready = True
    print("asleep")
    await asyncio.sleep_ms(10)
    quick.since()
    await flag.wait()  # the test sends five events to the one port, then one to the other
    now = quick.since()
    assert now == (6, 2), now
    quick.port = port  # here the test sends an event to it
    await asyncio.sleep_ms(10)
    now = quick.since()
    assert now == (2, 1), now
    assert quick.begun == quick.ended


async def mode_quick_gap():
    """What took long in a round without Python is told as its gap, once it is over, be there more to do or not.

    So is a step between two of them. Times are longer than 32 bits.
    """
    await asyncio.sleep_ms(9000)
    quick = Quick()
    slow, quick.serve = quick.serve, lambda tables: take(quick.says[0] if quick.says else 0) or slow(tables) // 10
    loop.serve(quick.service, quick)
    for says in ([7], [16, 0]):
        loop.longest_gap()
        quick.says = says
        await asyncio.sleep_ms(100)
        print(loop.longest_gap().text())
    for ms in (5, 4300):
        loop.longest_gap()
        await asyncio.sleep_ms(10)
        take(ms)
        await asyncio.sleep_ms(10)
        print(loop.longest_gap().text())


async def mode_quick_others():
    """Rounds without Python are made for the only service, as long as it is that, and garbage is collected before."""
    quick, others = Quick(), []

    def other():
        others.append(1)
        return False

    await asyncio.sleep_ms(100)
    loop.serve(other)
    loop.serve(quick.service, quick)
    await asyncio.sleep_ms(10)
    rounds, calls = quick.since()
    assert rounds == 0 < calls == len(others), (rounds, calls, others)
    loop.leave(quick.service)
    await asyncio.sleep_ms(10)
    assert quick.since() == (0, 0)
    loop.leave(other)
    loop.serve(quick.service, quick)
    await asyncio.sleep_ms(10)
    now = quick.since()
    assert now == (1, 1), now
    for _ in range(450):
        bytearray(1000)
    assert xen.garbage() > 400000
    await asyncio.sleep_ms(10)
    now = quick.since()
    assert now == (0, 3) and xen.garbage() < 100000, now  # two about the collection
    loop.leave(quick.service)
    await asyncio.sleep_ms(10)
    assert quick.since() == (0, 0)


async def mode_quick_hurry():
    """Long rounds, one after the other, and garbage: it is collected behind one that was short."""
    quick, behind, rounds = Quick(), [], []
    garbage = 0

    def service():
        nonlocal garbage
        if xen.garbage() < garbage:
            behind.append(rounds[-1])
        garbage = xen.garbage()
        rounds.append(quick.hurried)
        if not quick.hurried:
            take(2)
        return True

    quick.ready = False
    loop.serve(service, quick)
    for _ in range(1000):
        bytearray(2000)
        await asyncio.sleep(0)
    assert len(behind) >= 4 and all(behind), behind
    assert not quick.hurried and rounds.count(True) <= 2 * len(behind), (rounds.count(True), len(behind))
    loop.leave(service)


async def mode_quick_busy():
    """A service that has more to do for ever: tasks run when they are due, and whoever is told of an event is told."""
    quick, flag = Quick(), loop.Flag()
    port, told = offer(), offer()
    loop.bind(port)
    loop.bind(told, flag.set)

    def serve(_tables):
        quick.rounds += 1
        xen.evtchn_send(port)  # here the test lets 300 us pass, and sends an event to that port
        return 1

    quick.serve = serve
    await asyncio.sleep_ms(10)
    loop.serve(quick.service, quick)
    for ms in (1, 10, 2, 50):
        before = xen.ns()
        await asyncio.sleep_ms(ms)
        assert 1000000 * (ms - 1) < xen.ns() - before <= 1000000 * (ms + 1), (ms, xen.ns() - before)
    rounds, calls = quick.since()
    assert rounds >= 63000 // 300 - 4 and calls <= 9, (rounds, calls)
    for n in range(3):
        print("waits", n)  # here the test sends an event to the other port too
        rounds = quick.rounds
        await flag.wait()
        assert quick.rounds <= rounds + 4, n
    try:
        await asyncio.wait_for_ms(flag.wait(), 5)
        assert False
    except asyncio.TimeoutError:
        pass
    loop.leave(quick.service)  # else it would never sleep


async def mode_quick_ports():
    """A number is quiet only for who has bound it so: closed, or unbound, it is another's."""
    quick, flag = Quick(), loop.Flag()
    loop.serve(quick.service, quick)
    await asyncio.sleep_ms(1)
    port = offer()
    for _ in range(2):
        loop.bind(port)
        loop.unbind(port)
        loop.bind(port, flag.set)
        print("told")
        await flag.wait()
        loop.unbind(port)
        loop.bind(port)
        print("quiet")
        await asyncio.sleep_ms(5)  # the console's event has come
        quick.since()
        await asyncio.sleep_ms(20)
        now = quick.since()
        assert now == (2, 1) and not flag.is_set(), now
        loop.unbind(port)
        print("stray")
        await asyncio.sleep_ms(5)
        before = loop.strays()
        await asyncio.sleep_ms(20)
        assert loop.strays() == before + 1
        loop.bind(port)
        loop.close(port)
        assert offer() == port


async def mode_quick_gap_refused():
    """A round without Python that memory was refused to is what took long, and the next goes on."""
    quick = Quick()

    def serve(_tables):
        take(quick.says.pop(0) if quick.says else 0)
        raise MemoryError

    quick.serve = serve
    loop.serve(quick.service, quick)
    await asyncio.sleep_ms(1)
    loop.longest_gap()
    quick.says = [7]
    calls = quick.calls
    await asyncio.sleep_ms(100)
    assert quick.calls > calls
    print(loop.longest_gap().text())


async def mode_gap_stolen():
    """What Xen gives to others meanwhile is no gap of ours."""
    loop.serve(lambda: False)
    port = offer()
    await asyncio.sleep_ms(1000)
    loop.longest_gap()
    lost = xen.ns() - xen.own()
    before = xen.ns()
    xen.evtchn_send(port)  # here the test takes the turn away
    assert xen.ns() - before == 7000000, xen.ns() - before
    assert xen.ns() - xen.own() - lost == 7000000
    take(3)
    await asyncio.sleep_ms(0)
    print(loop.longest_gap().text())


async def mode_gap_collecting():
    """In real time: garbage collection is told apart, the automatic one as well."""
    loop.serve(lambda: False)
    await asyncio.sleep_ms(100)
    for collect in (gc.collect, lambda: [bytearray(1000) for _ in range(3000)]):
        loop.longest_gap()
        before = xen.own()
        gc.threshold(1 << 20)
        collect()
        spent = xen.collecting(before)
        await asyncio.sleep_ms(0)
        gap = loop.longest_gap()
        assert 0 < spent == gap.collecting <= gap.ns, (spent, gap.collecting, gap.ns)
        assert xen.collecting(xen.own()) == 0


async def mode_heap():
    """xen.heap() agrees with what MicroPython counts."""
    for octets in (0, 1, 64, 65, 1000, 100000):
        kept = bytearray(octets)
        total, free = xen.heap()
        counted = gc.mem_free()
        assert abs(free - counted) <= 256, (free, counted)
        assert total == counted + gc.mem_alloc()
        del kept


async def mode_service_raises():
    def broken_service():
        return [][1]

    loop.serve(broken_service)
    await asyncio.sleep_ms(10)


async def mode_wake_raises():
    def broken_wake():
        raise MemoryError("no more")

    loop.bind(offer(), broken_wake)
    await asyncio.sleep_ms(100000)


async def mode_unsupervised():
    async def broken_task():
        raise ValueError("nobody waits")

    asyncio.create_task(broken_task())
    await asyncio.sleep_ms(10)
