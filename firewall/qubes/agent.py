"""The qrexec agent: dom0 asks for services, we ask dom0 for others' services, over one control channel.

    dom0's daemon ──EXEC_CMDLINE──▶ waiting ──▶ running: a task and a data channel each (calls.py)
                  ◀─TERMINATED───── ended
                  ◀─TRIGGER──────── outgoing.py ── a data channel each, of which we are the server

dom0's daemon waits for our next channel when this one closes, and exits, for good, when we send what is no message: so
all that we send is built in qrexec.py, and what it sends wrongly costs the channel at most.
"""
import supervisor
import watchdog
import xen
from asyncio import sleep_ms
from log import Log
from loop import Flag
from micropython import const
from peererror import PeerError
from struct import unpack_from
from vchan import transport
from vchan.channel import Closed

from firewall.qubes import calls, outgoing, qrexec

DOM0 = const(0)
PORT = const(512)
RUNNING = const(8)  # data channels at once: 33 pages of the caller's each
KEPT = const(1)  # of them only for what dom0 asks and what ends soon: the suspend of the host must not wait
WAITING = const(248)  # with those that run all that dom0's daemon has ports for
WAITING_OTHERS = const(64)  # of them from other domains than dom0
_RING = const(4096)  # octets, each way: what dom0's daemon expects
_PIECE = const(1024)  # octets taken at once, then everybody else has his turn
_OUT = const(4096)  # octets not yet sent: beyond it nothing more is read
_PAUSE_MS = const(100)  # between two channels,
_LONG_PAUSE_MS = const(5000)  # and after nonsense
_TICK_MS = const(1000)
_TICK_MAX_MS = const(2000)  # more has not passed for anybody: we were paused
_CROWDED_MS = const(20000)  # a caller may keep us waiting so long, while others wait for its place
_GONE_MS = const(10000)  # a service has so long to see that its caller is gone

_log = Log("qrexec")


class _Running:
    def __init__(self, request):
        self.request = request
        self.stream = None  # not connected yet
        self.task = None
        self.gone = 0  # for so many ms its caller is seen to be gone

    def connected(self, stream):
        self.stream = stream


class Agent:
    """store: xenstore. services: see services/table.py. version: of the control channel; 0 while there is none."""

    def __init__(self, store, services):
        self.store = store
        self.services = services
        self.version = 0
        self.daemon = 0  # counts dom0's daemons: a port belongs to one
        self.waiting = []  # Requests
        self.running = []
        self.connected = Flag()  # dom0's daemon is there
        self.turned_away = 0  # requests beyond the bounds
        self.outgoing = outgoing.Outgoing(store, self)
        self._channel = None
        self._inbox = None
        self._out = b""
        self._messages = []  # to be sent,
        self._ended = []  # and those that say so of calls
        self._busy = Flag()

    def start(self):
        """Spawn all tasks."""
        supervisor.spawn("qrexec", self.run, supervisor.SERVICE)
        supervisor.spawn("qrexec calls", self.look_after, supervisor.SERVICE)

    def text(self):
        """A line for the status."""
        return "qrexec: %s, calls: %d, waiting: %d, turned away: %d, calls of ours: %d" % (
            "version %d" % self.version if self.version else "dom0 is not connected", len(self.running),
            len(self.waiting), self.turned_away, self.outgoing.open_calls)  # fmt: skip

    async def call(self, service, target="", stdin=None):
        """Call a service, `name` or `name+argument`, of a domain: (exit code, up to 4,096 octets of stdout).

        target "": where dom0's policy sends it. stdin: an iterable of bytes. 126: refused, 125: it did not get through.
        """
        return await outgoing.call(self.outgoing, service, target, stdin)

    async def open(self, service, target=""):
        """A call that stays open, see outgoing.py. CallEnded, Refused."""
        return await self.outgoing.open(service, target)

    # ---- the control channel ------------------------------------------------------------------

    async def run(self):
        """For the supervisor, as a SERVICE. Ends only by StoreError, OSError or MemoryError."""
        while True:
            self._channel = await transport.accept(self.store, DOM0, PORT, _RING, _RING)
            pause = _PAUSE_MS
            try:
                await self._serve(self._channel)
            except Closed:
                self.daemon += 1  # the next one has given out no port yet
                self._ended = []
                _log.info("dom0's daemon has gone")
            except PeerError as why:
                # this daemon stays, and will want to hear of the ports that it has given out
                _log.warning("channel closed: %s", why)
                pause = _LONG_PAUSE_MS
            finally:
                watchdog.off()
                self.version = 0
                self._channel.close()
                self._channel = None
                self._messages = []
                self.outgoing.forget()
            await sleep_ms(pause)

    async def _serve(self, channel):
        self._inbox = qrexec.Inbox()
        self._out = qrexec.hello()
        while True:
            while not self._choked():
                message = self._inbox.message()
                if message is None:
                    break
                self._message(*message)
            if self.version and (self._messages or self._ended):
                self._out += b"".join(self._messages) + b"".join(self._ended)
                self._messages, self._ended = [], []
            done = channel.put(self._out)
            self._out = self._out[done:]
            choked = self._choked()
            octets = b"" if choked else channel.take(_PIECE)
            if octets:
                self._inbox.feed(octets)
            elif not done:
                await channel.wait_any(not choked, len(self._out) > 0)
            await sleep_ms(0)

    def _choked(self):
        """So much waits to be sent that nothing is to be read."""
        return len(self._out) > _OUT

    def send(self, message):
        """A message of qrexec.py's, to dom0's daemon; forgotten when that goes."""
        self._messages.append(message)
        self._wake()

    def terminated(self, daemon, domain, port):
        """A call has ended: dom0's daemon may use its port again, if it is the one that gave it out."""
        if daemon == self.daemon and qrexec.data_port(port):
            self._ended.append(qrexec.terminated(domain, port))
            self._wake()

    def _wake(self):
        if self._channel:
            self._channel.wake()

    # ---- what dom0 says -----------------------------------------------------------------------

    def _message(self, kind, payload, length):
        if not self.version:
            if kind != qrexec.HELLO or length != 4:
                raise PeerError("message 0x%x of %d octets for a HELLO" % (kind, length))
            self.version = qrexec.version(payload)
            self.connected.set()
            watchdog.on()  # from now on dom0 tells us before it pauses us
            _log.info("dom0 is connected, version %d", self.version)
        elif kind in (qrexec.EXEC_CMDLINE, qrexec.JUST_EXEC, qrexec.SERVICE_CONNECT) and length > qrexec.PARAMS:
            domain, port = unpack_from("<II", payload)
            text = qrexec.word(payload[qrexec.PARAMS :])
            if not qrexec.data_port(port):
                _log.warning("port %d of domain %d is no data port", port, domain)
            elif kind == qrexec.SERVICE_CONNECT:
                if not self.outgoing.decide(text, (self.daemon, domain, port)):
                    self.terminated(self.daemon, domain, port)
            else:
                self._take(calls.Request(kind, domain, port, text, len(payload) == length, self.daemon))
        elif kind == qrexec.SERVICE_REFUSED:
            self.outgoing.decide(qrexec.word(payload), None, True)
        else:
            _log.warning("message 0x%x of %d octets ignored", kind, length)

    def _take(self, request):
        others = request.domain != DOM0 and sum(each.domain != DOM0 for each in self.waiting) >= WAITING_OTHERS
        if others or len(self.waiting) >= WAITING:
            self.turned_away += 1
            _log.warning("%s: %d others wait", request.name(), len(self.waiting))
            self.terminated(request.daemon, request.domain, request.port)
            return
        self.waiting.append(request)
        self._begin()
        self._busy.set()

    # ---- calls --------------------------------------------------------------------------------

    def _begin(self):
        """Start what there is a place for, the first come first."""
        for request in list(self.waiting):
            left = RUNNING - len(self.running)
            if left > KEPT or (left and self._soon(request)):
                running = _Running(request)
                self.running.append(running)
                try:
                    running.task = self._spawn(running)
                except BaseException:  # it waits on
                    self.running.remove(running)
                    raise
                self.waiting.remove(request)

    def _soon(self, request):
        return request.domain == DOM0 and not self.services.lasts(request.service)

    def _spawn(self, running):
        return supervisor.spawn(running.request.name(), lambda: self._run(running), supervisor.LINK)

    async def _run(self, running):
        request = running.request
        try:
            await calls.serve(self.store, request, self.services, running.connected)
        finally:
            self.running.remove(running)
            self.terminated(request.daemon, request.domain, request.port)
            self._begin()

    async def look_after(self):
        """For the supervisor, as a SERVICE: end what has no end. Sleeps while there is no call."""
        while True:
            looked = xen.ns()
            while self.running or self.waiting:
                await sleep_ms(_TICK_MS)
                now = xen.ns()
                self._turn_away(now)
                passed = min((now - looked) // 1000000, _TICK_MAX_MS)
                for running in list(self.running):
                    if running.stream:
                        self._look(running, running.stream, passed)
                if self.waiting:
                    self._make_room()
                    self._begin()
                looked = now
            await self._busy.wait()

    def _turn_away(self, now):
        for request in [each for each in self.waiting if now - each.arrived > calls.PATIENCE_NS]:
            self.waiting.remove(request)  # nobody is there any more
            _log.warning("%s: no place became free", request.name())
            self.terminated(request.daemon, request.domain, request.port)

    def _look(self, running, stream, passed):
        stream.waited += passed if stream.waits else 0
        if stream.ended():
            running.gone += passed
            if running.gone > _GONE_MS:
                running.task.cancel()
        elif stream.waited > stream.patience:
            self._give_up(running)

    def _make_room(self):
        """End the one that waits longest for its caller, if that is long."""
        longest = None
        for running in self.running:
            waited = running.stream.waited if running.stream else 0
            if waited > (longest.stream.waited if longest else _CROWDED_MS):
                longest = running
        if longest:
            self._give_up(longest)

    def _give_up(self, running):
        waited = running.stream.waited // 1000
        _log.warning("%s: nothing from the caller for %d s", running.request.name(), waited)
        running.stream.close()
