"""A call that somebody makes to us: from dom0's message to the exit code.

    Request   what dom0 said; waits until there is a place for it (agent.py)
    serve()   connects to the caller, says hello, runs the service, tells how it ended
    Call      what the service sees of it

Source: Qubes core-qrexec, agent/qrexec-agent-data.c, libqrexec/process_io.c.
"""
import supervisor
import xen
from asyncio import TimeoutError
from log import Log
from micropython import const
from vchan import transport
from waiting import wait_for_ms

from firewall.qubes import qrexec
from firewall.qubes.stream import CallEnded, Stream

PATIENCE_NS = const(10000000000)  # the longest that a caller waits for our connection: 5 s, or 10 from release 4.4 on
_LARGEST = const(16)  # order of its rings, as callers have them: 33 pages are mapped, of our 1,024
_FAILED = const(1)  # exit code of a service that an error has ended

_log = Log("qrexec")


class Request:
    """daemon: which of dom0's daemons said it, see agent.py."""

    def __init__(self, kind, domain, port, command, whole, daemon):
        """command: str, as far as it was kept. whole: it is all there."""
        self.just = kind == qrexec.JUST_EXEC  # nobody reads what comes of it
        self.domain = domain
        self.port = port
        self.command = command
        # a service must not see half an argument
        self.service, self.argument, self.source = qrexec.parse(command) if whole else ("", "", "")
        self.arrived = xen.ns()
        self.daemon = daemon

    def name(self):
        return "qrexec call, domain %d port %d" % (self.domain, self.port)


class Call:
    """service, argument, source: str; "" for none. arrived: when dom0 asked for it, in ns.

    write(), error() and read() raise CallEnded. Let it fly: nobody is there any more who could be told anything.
    """

    def __init__(self, request, stream):
        self.service = request.service
        self.argument = request.argument
        self.source = request.source
        self.command = request.command
        self.arrived = request.arrived
        self._stream = stream
        self._at_end = False  # of stdin

    @property
    def ended(self):
        """The caller is gone. A service that waits for something else looks now and then; it is ended after 10 s."""
        return self._stream.ended()

    def text(self):
        """`service+argument`, fit for a log line."""
        return qrexec.shown(self.service + ("+" + self.argument if self.argument else ""))

    async def write(self, octets):
        """To the caller's stdout. Returns when the ring has taken all of it."""
        await self._stream.send(qrexec.STDOUT, octets)

    async def error(self, text):
        """A line to the caller's stderr."""
        await self._stream.send(qrexec.STDERR, (text + "\n").encode())

    async def read(self, n):
        """1 to n octets of stdin, as bytes; b"" at its end."""
        while not self._at_end:
            kind, octets = await self._stream.receive(n)
            if kind == qrexec.STDIN:
                self._at_end = not octets
                return octets
        return b""


async def serve(store, request, services, connected):
    """All of one call. services: see services/table.py. connected(stream): it may be closed from now on."""
    left = PATIENCE_NS - (xen.ns() - request.arrived)
    connecting = transport.connect(store, request.domain, request.port, _LARGEST)
    try:
        channel = await wait_for_ms(connecting, max(left // 1000000, 1))
    except TimeoutError:
        _log.warning("%s: the caller offers no channel", request.name())
        return
    except ValueError:
        _log.warning("%s: that domain is us", request.name())
        return
    stream = Stream(channel)
    connected(stream)
    try:
        await stream.handshake()
        call = Call(request, stream)
        if request.just:  # nobody waits for what comes of it
            known = services.known(request.service)
            await _exit(stream, 0 if known else qrexec.NOT_FOUND)
            stream.close()
            if known:
                await _run(services, call)
        else:
            code = await _run(services, call)
            await stream.end(qrexec.STDOUT)
            await stream.end(qrexec.STDERR)
            await _exit(stream, code)
    except CallEnded as why:
        _log.debug("%s: ended before its time: %s", request.name(), why)
    finally:
        stream.close()


async def _exit(stream, code):
    await stream.send(qrexec.EXIT_CODE, code.to_bytes(4, "little"))


async def _run(services, call):
    """The service's exit code; whatever goes wrong in it costs this call only."""
    try:
        return (await services.serve(call) or 0) & 0xFF
    except (AssertionError, CallEnded):
        raise
    except Exception as exception:
        why = supervisor.explain(exception)
    _log.error("%s: %s", call.text(), why)
    await call.error("failed: " + why)
    return _FAILED
