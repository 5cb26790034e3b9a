"""Frames that leave by the uplink outside of a pass: our own questions, above all who our gateway is."""
import asyncio

import supervisor
from micropython import const

from firewall.interfaces import UPLINK

_FIRST_MS = const(500)  # from one question for the gateway to the next, each thrice the one before
_LAST_MS = const(60000)


class Gateway:
    def __init__(self, forwarder, neighbours):
        self._forwarder = forwarder
        self._neighbours = neighbours
        self._asking = 0  # counts the tasks that ask: only the last one does

    def emit(self, frame):
        """Send a frame of our own by the uplink, if it is there."""
        self._forwarder.delivery.emit(UPLINK, frame)
        if self._forwarder.uplink:
            self._forwarder.uplink.rings.flush()
        self._forwarder.active.set()

    def ask(self, frame):
        """Send this question by ARP until the judge sees the answer, or stop(). A VPN's netvm never answers."""
        self.stop()
        number = self._asking
        supervisor.spawn("arp", lambda: self._ask(number, frame), supervisor.LINK)

    def stop(self):
        self._asking += 1

    async def _ask(self, number, frame):
        delay = _FIRST_MS
        while self._asking == number and not self._neighbours.gateway_known:
            self.emit(frame)
            await asyncio.sleep_ms(delay)
            delay = min(3 * delay, _LAST_MS)
