"""How fast clients may send and get, where a setting says so (fw-rate): a bucket of octets for each way.

From a client: who has used up its octets has no turn until there are some again; what it sends waits in its own ring.
To a client: frames wait here, as many as it gets in 100 ms and in _PAGES pages at most; of what is more the oldest is
dropped: who gets it can least use what waited longest. All interfaces of a client share its buckets.

A turn or a frame may take more than there is, which is a debt: so frames of any size pass at any rate. Of a client
without a rate nothing is asked but whether it has one: interface.rate is None.
"""
from asyncio import sleep_ms
from loop import Flag
from micropython import const

from firewall import reasons

_FRAME = const(1514)  # octets
_LEAST = const(2 * 1514)  # octets that a bucket holds,
_DEPTH = const(50)  # or those of this part of a second
_WAITING_LEAST = const(4 * 1514)  # octets that wait,
_WAITING = const(10)  # or likewise
_PAGES = const(128)  # that wait for a client, and no more than a quarter of the free ones
_LONGEST_US = const(60000000)
_SECOND_US = const(1000000)
_WAKE_MS = const(50)


class Bucket:
    """has: octets that may pass now; below 0: a debt. Times in us."""

    def __init__(self, octets, now):
        self.has = 0
        self._at = now
        self.set_rate(octets)

    def set_rate(self, octets):
        """So many come in a second."""
        self._rate = octets
        self._depth = max(_LEAST, octets // _DEPTH)

    def fill(self, now):
        """Those of the time that has passed."""
        passed = min(now - self._at, _LONGEST_US)
        gained = passed * self._rate // _SECOND_US
        self.has += gained
        if self.has >= self._depth or passed == _LONGEST_US:
            self.has = min(self.has, self._depth)
            self._at = now
        else:
            self._at += gained * _SECOND_US // self._rate  # what was too short for an octet counts the next time

    def wait(self):
        """ms until there are some."""
        return 1 + (1 - self.has) * 1000 // self._rate


class Rate:
    """Of a client. waiting: (interface, frame) towards it, the oldest first. pages, octets: of these."""

    def __init__(self, client, octets, now):
        self.client = client
        self.out = Bucket(octets, now)
        self.into = Bucket(octets, now)
        self.waiting = []
        self.pages = self.octets = 0
        self.paused = False  # the rings of the client's interfaces are not looked at
        self.set_rate(octets)

    def set_rate(self, octets):
        """Octets in a second, each way."""
        self.most = max(_WAITING_LEAST, octets // _WAITING)
        self.out.set_rate(octets)
        self.into.set_rate(octets)

    def slots(self, most):
        """How many of its ring a turn may take."""
        return min(most, 1 + max(self.out.has, 0) // _FRAME)

    def pop(self, i=0):
        """(interface, frame) that waits at this place, and does so no longer."""
        interface, frame = self.waiting.pop(i)
        self.pages -= len(frame.parts)
        self.octets -= frame.octets
        return interface, frame


class Rates:
    """all: a Rate for each client that is there and has one."""

    def __init__(self, pool, hand_on, judge, pause):
        """hand_on(interface, frame): to the client's ring. judge: counts what is dropped.

        pause(number, rings, on): look at its tx ring no longer, or again. None: rings are asked one by one.
        """
        self.all = []
        self._settings = {}  # client's address -> octets a second
        self._due = Flag()  # something waits for time to pass
        self._pool = pool
        self._hand_on = hand_on
        self._judge = judge
        self._pause = pause

    def set_rates(self, rates, interfaces, now):
        """{address: octets a second} of all clients with a rate, from now (ns) on. interfaces: all clients'."""
        self._settings = rates
        for interface in list(interfaces):
            if rates.get(interface.client.address):
                self.join(interface, now)
            elif interface.rate:
                while interface.rate and interface.rate.waiting:
                    self._hand_on(*interface.rate.pop())
                self.leave(interface)

    def join(self, interface, now):
        """A client's interface is there. MemoryError: without a rate."""
        octets = self._settings.get(interface.client.address) if self._settings else 0
        if not octets:
            return
        rate = interface.rate
        for other in interface.client.interfaces:
            rate = rate or other.rate
        if not rate:
            rate = Rate(interface.client, octets, now // 1000)
            self.all.append(rate)
        rate.set_rate(octets)
        interface.rate = rate

    def leave(self, interface):
        """It goes, or has no rate any more. What waits for it is dropped."""
        rate = interface.rate
        if not rate:
            return
        for i in range(len(rate.waiting) - 1, -1, -1):
            if rate.waiting[i][0] is interface:
                rate.pop(i)[1].release(self._pool)
        if rate.paused:
            self._look(interface, True)
        interface.rate = None
        for other in interface.client.interfaces:
            if other.rate is rate:
                return
        self.all.remove(rate)

    def begin(self, now):
        """A pass begins (ns): what time has brought. True if anything that waited went on."""
        now //= 1000
        done = False
        i = 0
        while i < len(self.all):
            rate = self.all[i]
            rate.out.fill(now)
            rate.into.fill(now)
            if rate.paused and rate.out.has > 0:
                for interface in rate.client.interfaces:
                    self._look(interface, True)
                rate.paused = False  # last: where memory is refused the next pass looks again
            while rate.waiting and rate.into.has > 0:
                interface, frame = rate.pop()
                rate.into.has -= frame.octets
                self._hand_on(interface, frame)
                done = True
            if i < len(self.all) and self.all[i] is rate:  # else it is gone, and the next stands in its place
                i += 1
        return done

    def taken(self, interface, octets):
        """A turn took so many octets from the client."""
        rate = interface.rate
        rate.out.has -= octets
        if rate.out.has <= 0:
            rate.paused = True
            for each in rate.client.interfaces:
                self._look(each, False)
            self._due.set()

    def _look(self, interface, on):
        if self._pause and interface.rings:
            self._pause(interface.number, interface.rings, not on)

    def passes(self, interface, frame):
        """True if a frame for a client may go on now; else it waits, and is ours. MemoryError: it is the caller's."""
        rate = interface.rate
        if not rate.waiting and rate.into.has > 0:
            rate.into.has -= frame.octets
            return True
        rate.waiting.append((interface, frame))
        rate.pages += len(frame.parts)
        rate.octets += frame.octets
        while len(rate.waiting) > 1 and (
            rate.octets > rate.most or rate.pages > min(_PAGES, (self._pool.free + rate.pages) >> 2)
        ):
            whose, oldest = rate.pop()
            oldest.release(self._pool)
            self._judge.counters[reasons.RATE] += 1
            self._judge.neighbours.accounts.by_slot[whose.client.slot].drops[reasons.RATE] += 1
        self._due.set()
        return False

    async def run(self):
        """For the supervisor, as a SERVICE: wakes us when something can go on. The pass does the rest."""
        while True:
            await self._due.wait()
            wait = self._wait()
            while wait:
                await sleep_ms(min(wait, _WAKE_MS))
                wait = self._wait()

    def _wait(self):
        """ms until the next of those that wait may go on; 0: nobody waits."""
        least = 0
        for rate in self.all:
            if rate.out.has <= 0:
                least = min(least or _WAKE_MS, rate.out.wait())
            if rate.waiting:
                least = min(least or _WAKE_MS, max(rate.into.wait(), 1))
        return least
