"""The data channel of one call: stdin, stdout, stderr and the exit code as messages over a vchan, in either role.

Nothing is kept but the header that is being read: what the peer does not read waits in its ring, and whoever writes
waits there with it. The peer may be any domain, and say anything.
"""
from asyncio import sleep_ms
from log import Log
from micropython import const
from peererror import PeerError
from struct import unpack
from vchan.channel import Closed

from firewall.qubes import qrexec

_KINDS = (qrexec.STDIN, qrexec.STDOUT, qrexec.STDERR, qrexec.EXIT_CODE)
_HELLO_MS = const(10000)
_IDLE_MS = const(600000)

_log = Log("qrexec")


class CallEnded(Exception):
    """The other side of a call is gone, or dom0 never let it begin."""


class Refused(CallEnded):
    """dom0's policy, or a person, does not want it."""


class Stream:
    """Raises nothing but CallEnded. Only a read may be cancelled: half a message written ends the call."""

    def __init__(self, channel):
        self.channel = channel
        self.patience = _HELLO_MS  # how long the peer may let us wait; agent.py looks after it
        self.waits = False  # we wait for it,
        self.waited = 0  # for so many ms since it last moved, as agent.py counts them
        self._chunk = qrexec.chunk(qrexec.VERSION_MIN)
        self._head = b""  # of the message that is being read
        self._kind = 0
        self.left = 0  # octets of its payload still to be read

    def ended(self):
        """The peer is gone: nothing that is written will be read."""
        return not self.channel.is_open()

    def close(self):
        self.channel.close()

    async def handshake(self):
        """One HELLO each way; neither side waits for the other's."""
        await self._write(qrexec.hello())
        kind, length = unpack("<II", await self._header())
        if kind != qrexec.HELLO or length != 4:
            self._refuse("message 0x%x of %d octets for a HELLO" % (kind, length))
        self.left = length
        octets = b""
        while self.left:
            octets += await self._some(self.left)
        try:
            self._chunk = qrexec.chunk(qrexec.version(octets))
        except PeerError as why:
            self._refuse(str(why))
        self.patience = _IDLE_MS

    async def send(self, kind, octets):
        """All of octets, in as many messages as it takes; returns when the ring has them. Others have a turn."""
        view = memoryview(octets)
        for at in range(0, len(view), self._chunk):
            part = view[at : at + self._chunk]
            await self._write(qrexec.header(kind, len(part)))
            await self._write(part)
            await sleep_ms(0)  # a peer that reads as fast as we write is no reason to go on

    async def end(self, kind):
        """The end of stdin, stdout or stderr."""
        await self._write(qrexec.header(kind, 0))

    async def receive(self, limit):
        """(kind, 1 to limit octets of it as bytes); no octets: the end of a stream, or a message without any."""
        await sleep_ms(0)  # a peer that writes as fast as we read is no reason to go on
        if not self.left:
            kind, length = unpack("<II", await self._header())
            if kind not in _KINDS or length > self._chunk:
                self._refuse("message 0x%x of %d octets" % (kind, length))
            self._kind, self.left = kind, length
            if not length:
                return kind, b""
        return self._kind, await self._some(min(limit, self.left))

    async def _header(self):
        # a read that is cancelled here is gone on with by the next
        while len(self._head) < qrexec.HEADER:
            self._head += await self._take(qrexec.HEADER - len(self._head))
        head, self._head = self._head, b""
        return head

    async def _some(self, limit):
        octets = await self._take(limit)
        self.left -= len(octets)
        return octets

    async def _take(self, limit):
        channel = self.channel
        try:
            octets = channel.take(limit)
            while not octets:
                await self._moved(1, 0)
                octets = channel.take(limit)
            return octets
        except (Closed, PeerError) as why:
            raise CallEnded(str(why))

    async def _write(self, octets):
        channel = self.channel
        try:
            done = channel.put(octets)
            while done < len(octets):
                await self._moved(0, 1)
                done += channel.put(octets, done)
        except (Closed, PeerError) as why:
            raise CallEnded(str(why))

    async def _moved(self, octets, room):
        """Wait until the peer has written, or read."""
        self.waits = True
        try:
            await self.channel.wait(octets, room)
        finally:
            self.waits = False
            self.waited = 0

    def _refuse(self, why):
        """What came is no message: nothing behind it can be read."""
        _log.warning("%s: %s", self.channel.name, why)
        self.channel.close()
        raise CallEnded(why)
