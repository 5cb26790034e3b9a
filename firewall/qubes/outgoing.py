"""Calls that we make, as qrexec-client-vm makes them: dom0's policy decides, then the service's side connects to us.

    call = await agent.open("qubes.Notifications")          # CallEnded: refused, or dom0's daemon is not there
    await call.write(octets); await call.finish()           # its stdin, and the end of that
    octets = await call.read(4096)                          # its stdout; b"" at the end, then call.code is known
    call.close()                                            # always, by whoever opened it

    code, stdout = await agent.call("qubes.GetDate")        # all of that for a short one
"""
from asyncio import TimeoutError
from log import Log
from loop import Flag
from micropython import const
from vchan import transport
from waiting import wait_for_ms
from xenbus.store import StoreError

from firewall.qubes import qrexec
from firewall.qubes.stream import CallEnded, Refused, Stream

CALLS = const(4)  # at once
_RING = const(4096)  # octets, each way
_CONNECT_MS = const(120000)  # for the service's domain to start its side, as the usual agent has it
_CUT = const(255)  # an exit code of less than 4 octets, as the usual caller reads it
_ANSWER = const(4096)  # octets of stdout that call() keeps

_log = Log("qrexec")


class _Pending:
    """A request that dom0 has not decided yet."""

    def __init__(self):
        self.decided = Flag()
        self.place = None  # (dom0's daemon, domain, port) of the service's side; None when decided: there is none
        self.refused = False  # by dom0, that is


class Outgoing:
    def __init__(self, store, agent):
        self.store = store
        self.agent = agent
        self.open_calls = 0
        self._pending = {}  # ident -> _Pending
        self._number = 0

    async def open(self, service, target=""):
        """A Caller. Waits for dom0's decision, which may be a person's. CallEnded; ValueError: no such name can be.

        May be cancelled.
        """
        agent = self.agent
        if not agent.version or self.open_calls >= CALLS:
            raise CallEnded("dom0 is not connected" if not agent.version else "%d calls are open" % CALLS)
        self._number += 1
        ident = "firewall-%d" % self._number
        message = qrexec.trigger(agent.version, ident, service, target)
        pending = self._pending[ident] = _Pending()
        self.open_calls += 1
        caller = None
        try:
            agent.send(message)
            await pending.decided.wait()
            if pending.refused:
                raise Refused(service)
            if not pending.place:
                raise CallEnded("%s: dom0 has gone" % service)
            caller = await self._connect(service, pending.place)
            return caller
        finally:
            self._pending.pop(ident, None)
            if not caller:
                self.open_calls -= 1
                if pending.place:
                    agent.terminated(*pending.place)

    async def _connect(self, service, place):
        _, domain, port = place
        try:
            accepted = transport.accept(self.store, domain, port, _RING, _RING)
            channel = await wait_for_ms(accepted, _CONNECT_MS)
        except (TimeoutError, OSError, StoreError) as why:
            raise CallEnded("%s: no connection: %s" % (service, why))
        caller = Caller(self, Stream(channel), place)
        try:
            await caller.stream.handshake()
        except BaseException:
            caller.stream.close()
            raise
        return caller

    def decide(self, ident, place, refused=False):
        """dom0 has said where the service will be, see _Pending. False: nobody asks any longer."""
        pending = self._pending.pop(ident, None)
        if pending:
            pending.place = place
            pending.refused = refused
            pending.decided.set()
        return pending is not None

    def forget(self):
        """dom0's daemon is gone, and with it what it had not decided."""
        for ident in list(self._pending):
            self.decide(ident, None)


class Caller:
    """Our side of an open call. code: its exit code, None as long as there is none.

    One task may read while another writes. read(), write() and finish() raise CallEnded. stderr is logged, a little.
    """

    def __init__(self, outgoing, stream, place):
        self.stream = stream
        self.code = None
        self._outgoing = outgoing
        self._place = place
        self._closed = False
        self._octets = b""  # of the exit code

    @property
    def ended(self):
        return self.code is not None or self.stream.ended()

    async def write(self, octets):
        """Returns when the ring has taken all of it."""
        await self.stream.send(qrexec.STDIN, octets)

    async def finish(self):
        """The end of stdin."""
        await self.stream.end(qrexec.STDIN)

    async def read(self, n):
        """1 to n octets of stdout, as bytes; b"": there will be no more, and code is known. May be cancelled."""
        while self.code is None:
            kind, octets = await self.stream.receive(n)
            if kind == qrexec.STDOUT and octets:
                return octets
            if kind == qrexec.STDERR and octets:
                _log.debug("domain %d says: %s", self._place[1], bytes(octets[:200]))
            elif kind == qrexec.EXIT_CODE:
                self._octets = (self._octets + octets)[:4]
                if not self.stream.left:
                    self.code = int.from_bytes(self._octets, "little") if len(self._octets) == 4 else _CUT
        return b""

    def close(self):
        """Allowed twice."""
        if not self._closed:
            self._closed = True
            self.stream.close()
            self._outgoing.open_calls -= 1
            self._outgoing.agent.terminated(*self._place)


async def call(outgoing, service, target, stdin):
    """See Agent.call()."""
    kept = b""
    try:
        caller = await outgoing.open(service, target)
    except Refused:
        return qrexec.REFUSED, b""
    except CallEnded as why:
        _log.debug("%s", why)
        return qrexec.BROKEN, b""
    try:
        try:
            for octets in stdin or ():
                await caller.write(octets)
            await caller.finish()
        except CallEnded:
            pass  # it wants no more of it; what it said before it left can still be read
        while True:
            octets = await caller.read(_ANSWER)
            if not octets:
                return caller.code, kept
            kept += octets[: _ANSWER - len(kept)]
    except CallEnded:
        return qrexec.BROKEN, kept
    finally:
        caller.close()
