"""Memory that is refused to xenstore's client: no request is lost, nothing is left with the daemon, and it goes on.

Each allocation in turn, in the connection and in those that use it: several nodes at once, transactions, watches. A
daemon of the script's own answers at once; one that can begin the connection anew, and one that cannot.
"""
_SCRIPT = """
import struct
import log
import starve
import xen
from asyncio import core, sleep_ms, create_task
from xenbus import connection, wire
from xenbus.store import Store, StoreError

class Daemon:
    # in place of the ring and of who is behind it
    def __init__(self, page, port):
        self.came = bytearray()
        self.out = bytearray()
        self.nodes = {b"a": b"1", b"b": b"2"}
        self.open = set()
        self.watches = {}
        self.next = 1
        self.can = RECONNECT
    def connected(self):
        return True
    def reconnect(self):
        if self.can:
            self.came = bytearray()
            self.out = bytearray()
            self.open = set()
            self.watches = {}
        return self.can
    def drop_received(self):
        self.out = bytearray()
    def send(self, message, done):
        was = quiet()
        self.came += message[done : done + 300]
        n = len(message[done : done + 300])
        loud(was)
        return n
    def receive(self, limit):
        was = quiet()
        got, self.out = bytes(self.out[:limit]), self.out[limit:]
        loud(was)
        return got
    def work(self):
        while len(self.came) >= 16:
            kind, req, tx, n = struct.unpack("<IIII", self.came)
            if len(self.came) < 16 + n:
                return
            payload = bytes(self.came[16 : 16 + n])
            self.came = self.came[16 + n :]
            words = payload.split(b"\\0")
            reply = b"OK\\0"
            if kind == wire.READ:
                reply = self.nodes.get(words[0])
                if reply is None:
                    kind, reply = wire.ERROR, b"ENOENT\\0"
            elif kind == wire.WRITE:
                self.nodes[words[0]] = words[1]
            elif kind == wire.TRANSACTION_START:
                if len(self.open) > 3:
                    kind, reply = wire.ERROR, b"ENOSPC\\0"
                else:
                    self.open.add(self.next)
                    reply = b"%d\\0" % self.next
                    self.next += 1
            elif kind == wire.TRANSACTION_END:
                self.open.remove(tx)
            elif kind == wire.RESET_WATCHES:
                self.watches = {}
                self.open = set()
            elif kind == wire.WATCH:
                self.watches[words[1]] = words[0]
                self.reply(kind, req, tx, b"OK\\0")
                self.event(words[0], words[1])
                continue
            elif kind == wire.UNWATCH:
                if words[1] not in self.watches:
                    kind, reply = wire.ERROR, b"ENOENT\\0"
                else:
                    del self.watches[words[1]]
            self.reply(kind, req, tx, reply)
    def event(self, path, token):
        self.reply(wire.WATCH_EVENT, 0, 0, path + b"\\0" + token + b"\\0")
    def reply(self, kind, req, tx, payload):
        self.out += struct.pack("<IIII", kind, req, tx, len(payload)) + payload
        store.connection._wake.set()

on = False
def quiet():
    global on, hit
    was = on
    if on:
        hit = starve.off()
        on = False
    return was
def loud(was):
    global on
    if was:
        on = True
        starve.on()

class Passes:
    map = True
    def wait_io_event(self, dt):
        global armed
        was = quiet() or armed  # the loop itself has begun by now
        armed = False
        while True:
            store.connection.ring.work()
            first = core._task_queue.peek()
            if first and dt <= 0 and core.ticks_diff(first.ph_key, core.ticks()) <= 0:
                break
            if not first or dt > 200:
                raise Idle()
            left = core.ticks_diff(first.ph_key, core.ticks())
            if left > 200:
                raise Idle()
            if left > 0:
                xen.sleep(xen.ns() + left * 1000000)
            dt = 0
        loud(was)

class Idle(Exception):
    pass

async def service():
    while True:
        try:
            await store.connection.run()
        except AssertionError:
            raise
        except Exception:  # started again, as the supervisor does
            quiet()
            await sleep_ms(0)

ended = 0
async def client(number, what):
    global ended, failed
    try:
        await what()
    except MemoryError:
        failed += 1
    except StoreError:
        failed += 1
    ended += 1

async def some():
    found = await store.reads(["a", "b", "c"])
    assert found == [b"1", b"2", None], found
async def body(t):
    assert await t.reads(["a", "b"]) == [b"1", b"2"]
    await t.writes([("x", "5"), ("y", "6")])
async def transaction():
    await store.transaction(body)
async def watched():
    watch = await store.watch("w")
    try:
        await watch.changes()
    finally:
        try:
            await watch.close()
        except MemoryError:
            await watch.close()

def spin():
    try:
        core.run_until_complete()
    except Idle:
        pass

connection.Ring = Daemon
connection.loop.bind = lambda port, wake: None
log._level = -1

def crowd(*whats):
    for number, what in enumerate(whats):
        create_task(client(number, what))
    return len(whats)

async def keeping():
    watch = await store.watch("kept")
    while True:
        fired.append(await watch.changes())

armed = False
for RECONNECT in (True, False):
    n = times = 0
    hit = True
    while hit:
        core.new_event_loop()
        core._io_queue = Passes()
        core.cur_task = None
        ended = failed = 0
        hit = False
        fired = []
        store = Store(None, 1)
        daemon = store.connection.ring
        create_task(service())
        create_task(keeping())
        spin()
        assert len(fired) == 1
        starve.after(n)
        armed = True
        begun = crowd(some, transaction, watched, some, transaction)
        spin()
        quiet()
        starve.after(-1)
        spin()
        assert ended == begun, "request lost: allocation %d" % n
        times += failed
        begun += crowd(transaction, watched)
        spin()
        assert ended == begun and failed < 2, "store held: allocation %d" % n
        assert not daemon.open, "transaction left open: allocation %d" % n
        assert list(daemon.watches.values()) == [b"kept"] and len(store.watches) == 1, "watches: allocation %d" % n
        before = len(fired)
        daemon.event(b"kept", list(daemon.watches)[0])
        spin()
        assert len(fired) == before + 1, "deaf: allocation %d" % n
        n += 1
    assert 100 < times < n < 3000, (times, n)
print("done")
"""


def test_each_allocation_may_be_refused(machine, run):
    """A request was lost, whose task waited for ever, and so did all others behind its transaction."""
    firewall = run(machine, _SCRIPT)
    assert firewall.lines("done"), firewall.console


_LISTENING = """
from asyncio import Event, core, create_task, sleep_ms
from xenbus.device import Device

class Watch:
    left = 3
    async def changes(self):
        self.left -= 1
        if self.left == 1:
            raise MemoryError
        if self.left < 0:
            await Event().wait()

async def main():
    device, watch = Device(None, "a device", None, None), Watch()
    task = create_task(device._listen(watch))
    seen = 0
    while watch.left >= 0:
        await device.changed.wait()
        seen += 1
    await sleep_ms(1)
    assert seen == 2 and not task.done(), seen  # the first was seen together with what failed, or before it
    print("done")

class Passes:
    map = True
    def wait_io_event(self, dt):
        if dt > 0:
            import xen
            xen.sleep(xen.ns() + dt * 1000000)
core._io_queue = Passes()
core.run_until_complete(create_task(main()))
"""


def test_who_listens_goes_on(machine, run):
    """A task that nobody supervises: its MemoryError ended the domain."""
    firewall = run(machine, _LISTENING)
    assert firewall.lines("done"), firewall.console
