"""Memory that was lent to a peer and is to come back: freed when the peer has let go of all of it.

A page whose revocation fails can be read and written by that domain at any moment, so it is kept, and asked for again
every second. Nobody waits for it. A peer that collects pages so is refused more (XSA-396, MSA-02).
"""
import xen
import supervisor
from asyncio import sleep_ms
from micropython import const
from xennumbers import PAGE

LIMIT = const(256)  # pages held by peers without a right to them; beyond it nothing more is lent
_RETRY_MS = const(1000)

_held = []  # [grefs not yet revoked, memory]
_asking = False  # the task runs


def lend(memory, domid):
    """Grant all pages of a piece from xen.mem(); returns the references. OSError: the table is full, or LIMIT."""
    if held() > LIMIT:
        raise OSError(28)  # ENOSPC
    refs = []
    first = xen.gfn(memory)
    try:
        for page in range(len(memory) // PAGE):
            refs.append(xen.grant(first + page, domid, False))
    except OSError:
        for ref in refs:
            xen.revoke(ref)  # nobody knows it yet
        raise
    return refs


def take_back(refs, memory):
    """Revoke and free, now or as soon as the peer lets us. memory and views of it must not be used any more."""
    global _asking
    left = [ref for ref in refs if not xen.revoke(ref)]
    if not left:
        xen.free(memory)
        return
    _held.append([left, memory])
    if not _asking:
        _asking = True
        supervisor.spawn("lent memory", _ask_again, supervisor.SERVICE)


def held():
    """How many pages peers hold against their right."""
    return sum(len(refs) for refs, _ in _held)


async def _ask_again():
    global _held
    while True:
        await sleep_ms(_RETRY_MS)
        before = _held
        _held = []
        for refs, memory in before:
            take_back(refs, memory)
