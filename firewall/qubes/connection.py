"""The connection to QubesDB: dom0's small store of what this domain should know, and how it hears of changes.

One task. dom0's daemon may go and come again (a restart, or we asked for everything anew): until the new copy is
complete the old one stays in force.
"""
from asyncio import TimeoutError, sleep_ms
from micropython import const
from waiting import wait_for_ms

from log import Log
from vchan import transport
from vchan.channel import Closed

DOM0 = const(0)
PORT = const(111)
_PIECE = const(1024)  # octets taken at once: 14 messages
_MESSAGES = const(5)  # dealt with, half a ms, then everybody else has his turn
_PATIENCE_MS = const(10000)  # then a line in the log
_PAUSE_MS = const(100)  # between two connections

_log = Log("qubesdb")


class Connection:
    """store: xenstore. database: what the messages are for."""

    def __init__(self, store, database):
        self.store = store
        self.database = database
        self.channel = None
        self.anew = False  # we have closed the channel ourselves, to read everything again

    async def run(self):
        """For the supervisor, as a SERVICE. Ends only by PeerError or StoreError."""
        while True:
            channel = await self._connect()
            self.channel = channel
            try:
                await self._serve(channel)
            except Closed:
                if not self.anew:
                    _log.warning("dom0 has closed the channel; the last values stay in force")
                self.anew = False
            finally:
                self.channel = None
                channel.close()
            await sleep_ms(_PAUSE_MS)

    def read_anew(self):
        """Connect again, to read everything once more: dom0 allows one full reading for each connection."""
        if self.channel:
            self.anew = True
            self.channel.close()

    def wake(self):
        """Wake the task: the database has something to send."""
        if self.channel:
            self.channel.wake()

    async def _connect(self):
        try:
            return await wait_for_ms(transport.connect(self.store, DOM0, PORT), _PATIENCE_MS)
        except TimeoutError:
            _log.warning("waiting for dom0's QubesDB")
        return await transport.connect(self.store, DOM0, PORT)

    async def _serve(self, channel):
        database = self.database
        database.begin()
        before = database.left_out  # -1: told
        while True:
            done = 0
            while database.step():
                done += 1
                if database.busy() or done % _MESSAGES == 0:
                    await sleep_ms(0)
            if database.left_out > before >= 0:
                before = -1
                _log.error("dom0 has written more keys than are kept: a setting among the last of them has no effect")
            out = database.outgoing()
            if out:
                n = channel.put(out)
                database.sent(n)
                done += n
            reading = not database.choked()
            octets = channel.take(_PIECE) if reading else b""
            if octets:
                database.feed(octets)
            elif not done:
                await channel.wait_any(reading, len(out) > 0)
            await sleep_ms(0)
