"""Refusals as notifications on dom0's screen, one per client and minute at most, while `fw-notify` says so.

One call of qubes.Notifications for all, opened when there is first something to say. What it answers is read and not
used. One wrong octet ends its server, so all text is ASCII, and short.

Source: Qubes notification-proxy, notification-proto (messages); reference in docs/services.md.
"""
import supervisor
from asyncio import sleep_ms
from log import Log
from loop import Flag
from micropython import const
from struct import pack, unpack

from firewall import reasons
from firewall.qubes.stream import CallEnded, Refused
from firewall.services import told
from firewall.wire import ipv4
from firewall.wire.address import text4

_MAJOR, _VERSION = const(1), const(0x10000)  # major << 16 | minor
_LOOK_MS = const(500)
_EACH_MS = const(60000)  # of a client
_AGAIN_MS = const(30000)  # after a call that has ended
_REFUSED_MS = const(600000)  # after dom0's policy said no
_TOLD = (reasons.DENIED, reasons.OTHER_CLIENT, reasons.SPOOFED, reasons.LAN, reasons.ONLY, reasons.SHUT)

_log = Log("notify")


class Notifier:
    def __init__(self, firewall):
        self.firewall = firewall
        self.on = False
        self._switched = Flag()
        self._serial = 0  # of the refusals that were looked at
        self._told = {}  # client's address -> (ms, how much was refused to it until then)
        self._sequence = 0

    def switch(self, on):
        """Whether refusals are told from now on."""
        if on and not self.on:
            self._serial = self.firewall.neighbours.accounts.refusals.serial  # what was before is no news
        self.on = on
        self._switched.set()

    async def run(self):
        """For the supervisor, as a SERVICE."""
        while True:
            if not self.on:
                await self._switched.wait()
                continue
            texts = self._due()
            pause = _LOOK_MS
            if texts:
                try:
                    await self._call(texts)
                except Refused:
                    _log.warning("dom0 refuses qubes.Notifications, which fw-notify wants")
                    pause = _REFUSED_MS
                except CallEnded as why:
                    _log.info("qubes.Notifications: %s", why)
                    pause = _AGAIN_MS
            await sleep_ms(pause)

    async def _call(self, texts):
        """Open the call, tell these, and go on for as long as it is open. CallEnded."""
        call = await self.firewall.agent.open("qubes.Notifications")
        hearing = None
        try:
            await self._hello(call)
            hearing = supervisor.spawn("notify answers", lambda: _hear(call), supervisor.LINK)
            while self.on and not call.ended:
                for text in texts:
                    await call.write(self._message(*text))
                await sleep_ms(_LOOK_MS)
                texts = self._due()
        finally:
            if hearing:
                hearing.cancel()
            call.close()

    async def _hello(self, call):
        octets = b""
        while len(octets) < 4:
            some = await call.read(4 - len(octets))
            if not some:
                raise CallEnded("it ended before its version")
            octets += some
        (version,) = unpack("<I", octets)
        if version >> 16 != _MAJOR:
            raise CallEnded("version %d.%d, and we speak 1.0" % (version >> 16, version & 0xFFFF))
        await call.write(pack("<I", _VERSION))

    def _due(self):
        """[(summary, body)] of what is to be told now: of each client the newest refusal."""
        rows, now = self.firewall.neighbours.accounts.refusals, told.now_ms()
        if rows.serial == self._serial:
            return ()
        newest = {}  # client's address -> row
        for row in range(rows.used):
            client, reason = rows.why[row] >> 24, rows.why[row] >> 16 & 0xFF
            if rows.changed[row] > self._serial and reason in _TOLD:
                if client not in newest or rows.changed[row] > rows.changed[newest[client]]:
                    newest[client] = row
        self._serial = rows.serial
        known = self.firewall.neighbours.clients.by_address
        for client in [client for client in self._told if client not in known]:
            del self._told[client]
        return [self._text(client, row, now) for client, row in newest.items() if self._may(client, now)]

    def _may(self, client, now):
        """Whether there may be another one of this client, which is still attached."""
        before = self._told.get(client)
        return client in self.firewall.neighbours.clients.by_address and (before is None or now - before[0] >= _EACH_MS)

    def _text(self, client, row, now):
        neighbours = self.firewall.neighbours
        rows = neighbours.accounts.refusals
        refused = neighbours.accounts.by_slot[neighbours.clients.by_address[client].slot].refused
        others = refused - self._told.get(client, (0, 0))[1] - 1
        self._told[client] = (now, refused)
        what, why = rows.what[row], rows.why[row]
        to, proto, port, rule = what >> 24, what >> 16 & 0xFF, what & 0xFFFF, (why & 0xFFFF) - 1
        name = told.name(self.firewall, client, to, now)
        summary = "%s: %s %s%s%s refused%s" % (
            text4(client), told.protocol(proto), text4(to), ":%d" % port if port and proto != ipv4.ICMP else "",
            " (%s)" % name if name else "", " by rule %d" % rule if rule >= 0 else "")  # fmt: skip
        body = told.quoted(reasons.NAMES[why >> 16 & 0xFF])[1:-1]
        return summary, body + ("; %d more since the last time" % others if others > 0 else "")

    def _message(self, summary, body):
        """One notification: no sound, transient, of low urgency, without actions."""
        self._sequence += 1
        fields = pack("<QI", self._sequence, 0) + bytes((1, 1, 0)) + pack("<BI", 1, 0) + pack("<I", 0)
        for text in (summary, body):
            fields += pack("<Q", len(text)) + text.encode()
        fields += pack("<Q", 0) + b"\0" + pack("<i", -1) + b"\0"
        return pack("<I", len(fields)) + fields


async def _hear(call):
    """Take what it answers: else it would wait for us."""
    while await call.read(512):
        pass
