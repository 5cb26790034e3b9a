"""vchan: streams of octets between this domain and another; dom0's QubesDB and qrexec speak over them.

    channel = await transport.connect(store, 0, 111)      # client: waits for the server
    channel = await transport.accept(store, 0, 512, 4096, 4096)  # server: waits for the client; again for the next
    header = await channel.read(72)                   # see channel.py

In the simulation, when it was given a folder for them, Unix sockets take the place of shared memory; the callers see
no difference.
"""
from vchan import memory
from vchan.page import LARGEST

try:
    import vchansocket  # not in the image that ships: it needs a module in C that only the simulation has
except ImportError:
    vchansocket = None


def _transport():
    return vchansocket if vchansocket and vchansocket.enabled() else memory


async def connect(store, server, port, largest=LARGEST):
    """A Channel to the server with this port in domain `server`; waits until there is one. StoreError.

    largest: log2 of the octets that a ring of it may have: its pages are mapped, of which there is no end of room.
    """
    return await _transport().connect(store, server, port, largest)


async def accept(store, client, port, octets_in, octets_out):
    """A Channel to the next client from domain `client`, with rings of at least these octets, in and out of here.

    Serves one client: call it again for another. StoreError, OSError, MemoryError: see memory.py.
    """
    return await _transport().accept(store, client, port, octets_in, octets_out)
