"""What C starts: says who we are, then runs everything else inside the loop. Importing this module never returns."""
import gc
import xen
import cmdline
import control
import log
import loop
import supervisor
from _build import DIGEST, VERSION
from micropython import const
from xenstore import Store

_GC_THRESHOLD = const(1 << 20)  # octets; a smaller one costs time, none at all makes for one long pause later

_log = log.Log("boot")


def main():
    words = cmdline.parse(xen.cmdline())
    log.set_level(words.get("loglevel", ""))
    gc.threshold(_GC_THRESHOLD)
    _log.info("firewall %s, inputs %s", VERSION, DIGEST)
    total, free = xen.memory()
    heap_free = gc.mem_free()
    heap_total = heap_free + gc.mem_alloc()
    _log.info(
        "memory: %d KiB of object heap, %d free; %d KiB of pages, %d free",
        heap_total >> 10,
        heap_free >> 10,
        total >> 10,
        free >> 10,
    )
    supervisor.spawn("log", log.tell_when_calm, supervisor.SERVICE)
    store = Store(*xen.xenstore())
    store.start()
    supervisor.spawn("control", lambda: control.run(store), supervisor.SERVICE)
    supervisor.spawn("program", lambda: _program(store, words), supervisor.FATAL)
    loop.run()


async def _program(store, words):
    """What this domain is for: in builds for tests the program that run=NAME names."""
    start = None
    try:
        from guest import start  # tests/guest/guest.py; not in the image that ships
    except ImportError:
        pass
    if start:
        await start(store, words)
    await loop.Flag().wait()  # nothing more to do: an idle domain, until it is shut down


main()
