"""Until the uplink has come, or it is known that none will, what clients send waits in their own rings.

It would be told that the network is unreachable, and who sent it ask again a second later; the uplink comes some ms
behind the clients. No ring is looked at meanwhile. Only at the start of the image, and for _MOST_MS at most: a netvm's
script may take 10 s, or fail.
"""
import asyncio

import loop
from micropython import const
from waiting import wait_for_ms

_MOST_MS = const(1000)
_LOOK_MS = const(1)
_SPARED = const(15)  # passes in a row that are left out meanwhile, as rings are not looked at and tasks have much to do


async def run(firewall):
    """For the supervisor, as a LINK, once, before frames flow. firewall: main.Firewall."""
    forwarder = firewall.forwarder
    forwarder.starting = forwarder.busy = True  # busy: machine code waits too
    loop.spare(_SPARED)
    try:
        await wait_for_ms(_ready(firewall), _MOST_MS)
    except asyncio.TimeoutError:
        pass
    finally:
        loop.spare(0)
        forwarder.starting = False


async def _ready(firewall):
    """Until uplink and clients are connected, with lists in force; or the uplink's first try has failed."""
    await firewall.uplink.tried.wait()
    if firewall.uplink.link:
        await firewall.came.wait()
        making = getattr(firewall.settings, "making", bool)
        while making() or any(vif.link is None for vif in firewall.backends.vifs.values()):
            await asyncio.sleep_ms(_LOOK_MS)
