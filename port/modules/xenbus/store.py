"""The client of xenstore, dom0's tree of small values.

    store = Store(*xen.xenstore())
    store.start()
    value = await store.read("control/shutdown")
    watch = await store.watch("backend/vif", levels=2)
    await store.transaction(body)  # body(t) does t.read(...), t.write(...)

What the daemon refuses raises Missing (ENOENT), Denied (EACCES), QuotaError (ENOSPC, EQUOTA, E2BIG), Again (EAGAIN)
or another StoreError with the daemon's word in .name. nodes.py has the requests; connection.py and patience.py
say what happens when the daemon is wrong, slow or silent.

Source: Xen docs/misc/xenstore.txt.
"""
import supervisor
from asyncio import Lock, sleep_ms
from micropython import const
from xenbus import patience
from xenbus.connection import Connection
from xenbus.nodes import Nodes
from xenbus.request import Request
from xenbus.watch import Watch
from xenbus.wire import (  # noqa: F401  (Missing, Denied, QuotaError: for those who import this module)
    GET_DOMAIN_PATH,
    TRANSACTION_END,
    TRANSACTION_START,
    UNWATCH,
    WATCH,
    Again,
    Denied,
    Missing,
    QuotaError,
    StoreError,
    event,
    expect_ok,
    number,
    path_ok,
    strings,
    texts,
)

_TRANSACTION_TRIES = const(10)
_UNWATCH_TRIES = const(10)
_RETRY_MS = const(10)  # longer by this before every further try


class Transaction(Nodes):
    """What body gets from Store.transaction(): all of Nodes, on a snapshot of the store."""

    def __init__(self, connection, begun):
        self.connection = connection
        self.tx_id = number(begun.reply)
        self.began_on = begun.connection
        self.over = False  # the daemon has ended it

    async def ask(self, kind, payload):
        if self.began_on != self.connection.number:  # by now the daemon may have given our number to another
            raise Again("EAGAIN", "connection began anew")
        return (await self.connection.exchange(Request(kind, payload, self.tx_id))).reply

    async def ask_all(self, kind, payloads):
        if self.began_on != self.connection.number:
            raise Again("EAGAIN", "connection began anew")
        requests = [Request(kind, payload, self.tx_id) for payload in payloads]
        await self.connection.exchange_all(requests)
        return requests

    async def commit(self):
        request = (await self.ask_all(TRANSACTION_END, (b"T\0",)))[0]
        self.over = True
        if request.error:
            raise request.error
        expect_ok(request.reply)

    def abandon(self):
        """End it without effect, if it is not over. Does not wait: tasks that are being cancelled call it too."""
        if not self.over and self.began_on == self.connection.number:
            self.connection.post(TRANSACTION_END, b"F\0", self.tx_id)


class Store(Nodes):
    """xenstore as this domain sees it. page, port: from xen.xenstore()."""

    def __init__(self, page, port):
        self.connection = Connection(page, port, self._on_event, self._on_begin)
        self.watches = {}  # token -> Watch
        self.strange_events = 0  # watch events that made no sense, or came for a watch just ended
        self._next_token = 0
        self._transaction_lock = Lock()

    def start(self):
        """Spawn the tasks of the connection. Requests may be made before; they wait."""
        supervisor.spawn("xenstore", self.connection.run, supervisor.SERVICE)
        supervisor.spawn("xenstore patience", lambda: patience.run(self.connection), supervisor.SERVICE)

    async def ask(self, kind, payload):
        return (await self.connection.exchange(Request(kind, payload))).reply

    async def ask_all(self, kind, payloads):
        requests = [Request(kind, payload) for payload in payloads]
        await self.connection.exchange_all(requests)
        return requests

    async def get_domain_path(self, domid):
        """Path of a domain's own directory, such as "/local/domain/5", whether or not it exists."""
        reply = texts(await self.ask(GET_DOMAIN_PATH, strings("%d" % domid)))
        if len(reply) != 1:
            raise StoreError("EPROTO", "reply is not one path")
        return reply[0]

    # ---- watches ------------------------------------------------------------------------------

    async def watch(self, path, levels=0):
        """A Watch on path and all below, whether it exists or not; fires at once. QuotaError: 128 already."""
        self._next_token += 1
        watch = Watch(self, path, "%d" % self._next_token, levels)
        payload = strings(path_ok(path), watch.token)
        self.watches[watch.token] = watch  # an event may come before the reply
        try:
            expect_ok(await self.ask(WATCH, payload))
        except BaseException as exception:
            del self.watches[watch.token]
            if not isinstance(exception, StoreError):
                self.connection.post(UNWATCH, payload)  # the daemon may have it by now
            raise
        watch.registered = True
        return watch

    async def unwatch(self, watch):
        """What Watch.close() does. Allowed twice. Asked again if refused: nobody else could give its place back."""
        if not self.watches.pop(watch.token, None):
            return
        for tries in range(_UNWATCH_TRIES):
            await sleep_ms(tries * _RETRY_MS)
            try:
                expect_ok(await self.ask(UNWATCH, strings(watch.path, watch.token)))
                return
            except Missing:
                return  # the connection began anew meanwhile
            except StoreError as error:
                refusal = error
            except MemoryError as error:
                refusal = error
        raise refusal

    def _on_event(self, payload):
        named = event(payload)
        if named and named[1] in self.watches:
            self.watches[named[1]].fire(named[0])
            return
        self.strange_events += 1
        if named is None:  # whose it was is unknown; an event too many is allowed, one too few is not
            for watch in self.watches.values():
                watch.fire(watch.path)

    def _on_begin(self):
        """The daemon has no watches any longer, and what changed meanwhile nobody knows."""
        for watch in self.watches.values():
            if watch.registered:
                self.connection.post(WATCH, strings(watch.path, watch.token))
                watch.fire(watch.path)

    # ---- transactions -------------------------------------------------------------------------

    async def transaction(self, body):
        """Result of `await body(t)`, t a Transaction: all of it happens, or nothing.

        body is called again when others interfered, up to 10 times, then Again is raised; QuotaError when so many were
        open all the time. It should wait for nothing but t: transactions run one at a time, for ours would interfere
        with each other. Whatever body raises ends the transaction without effect and is passed on.
        """
        await self._transaction_lock.acquire()
        try:  # no `async with`, whose end needs memory
            return await self._transaction(body)
        finally:
            self._transaction_lock.release()

    async def _transaction(self, body):
        for tries in range(_TRANSACTION_TRIES):
            await sleep_ms(tries * _RETRY_MS)
            try:
                begun = await self.connection.exchange(Request(TRANSACTION_START, b"\0", late=self._too_late))
            except QuotaError as full:  # those of cancelled tasks may be about to end
                refusal = full
                continue
            t = self._begun(begun)
            try:
                result = await body(t)
                await t.commit()
                return result
            except Again as again:
                refusal = again
            finally:
                t.abandon()
        raise refusal

    def _begun(self, request):
        try:
            return Transaction(self.connection, request)
        except StoreError:
            self.connection.distrust("transaction without a number")  # one is open that nobody could end
            raise
        except MemoryError:
            self.connection.distrust("no memory for a transaction")
            raise

    def _too_late(self, request):
        """A transaction was begun for a task that has gone: end it."""
        if not request.error:
            try:
                self._begun(request).abandon()
            except StoreError:
                pass
            except MemoryError:
                pass
