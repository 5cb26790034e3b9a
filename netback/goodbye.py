"""The end of clients' links in good order: nobody is left with requests that no one answers.

A frontend goes on sending for a while after it was told Closing. Of what is still unanswered when its device goes Linux
complains, from 6.18 on, and with panic_on_warn a qube is lost for it. So rings stay mapped for a while, what comes in
them is answered as dropped, and senders who hear nothing slow down by themselves.
"""
import asyncio

import supervisor
import xen
from micropython import const
from xenbus.device import Device
from xenbus.states import CLOSED, CLOSING
from xenbus.wire import StoreError

_LOOK_MS = const(20)  # from one look into the rings to the next: a ring of 256 slots is full at 12,800 frames a second
MOST_MS = const(3000)  # dom0 waits longer: 10 s when it detaches, 60 s when it shuts down
_IDLE_MS = const(300)  # without a request since the beginning: there was nobody who sent
_QUIET_MS = const(1000)  # without a request since the last one
_SLOW_MS = const(500)
_NS_PER_MS = const(1000000)


class Farewell:
    """How long it goes on."""

    def __init__(self, most_ms=MOST_MS):
        now = xen.ns()
        self.until = now + most_ms * _NS_PER_MS
        self._quiet = now + _IDLE_MS * _NS_PER_MS

    def heard(self, requests):
        """So many requests were answered just now."""
        if requests:
            self._quiet = xen.ns() + _QUIET_MS * _NS_PER_MS

    def quiet(self):
        """Nobody sends any more."""
        return xen.ns() >= self._quiet

    def over(self):
        """Whoever sends, it is enough."""
        return xen.ns() >= self.until


class Parting(Device):
    """A client's device, whose link may be retired: the firewall uses it no longer, and its rings are still mapped.

    parting: that link. leaving: the domain is about to end, and no link is made any more.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.parting = None
        self.leaving = False

    def retire(self, leaving=False):
        """Take nothing more from the client. How many requests were answered."""
        self.leaving = self.leaving or leaving
        if self.link:
            self._detach()
            self.parting, self.link = self.link, None
        return self.dismiss()

    def dismiss(self):
        """Answer what a retired client still sends. How many requests they were."""
        return self.parting.dismiss() if self.parting else 0

    def _drop_link(self):
        try:
            super()._drop_link()
        finally:
            parting, self.parting = self.parting, None
            if parting:
                parting.close()

    async def _see_off(self, most_ms, their_state):
        """Give a retired client the time to close its side, which sees our Closing, and to stop sending. StoreError."""
        farewell = Farewell(most_ms)
        theirs = await their_state()
        while theirs and not farewell.over() and not (theirs == CLOSED and (farewell.quiet() or not self.parting)):
            if await self._changed_within(_LOOK_MS if self.parting else _SLOW_MS):
                theirs = await their_state()
            farewell.heard(self.dismiss())


async def to_all(vifs):
    """The domain is about to end: take nothing more from these, tell them Closing, and answer until they are quiet."""
    if not vifs:
        return
    farewell = Farewell()
    for vif in vifs:
        farewell.heard(vif.retire(True))
    telling = supervisor.spawn("goodbye", lambda: _tell(vifs), supervisor.LINK)
    while not farewell.over() and not (farewell.quiet() and telling.done()):
        await asyncio.sleep_ms(_LOOK_MS)
        for vif in vifs:
            farewell.heard(vif.dismiss())


async def _tell(vifs):
    for vif in vifs:
        try:
            await vif.set_state(CLOSING)
        except StoreError:
            pass  # the device is gone, or dom0's store is: there is nobody to be told
