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
from xenbus.store import Store

_GC_THRESHOLD = const(1 << 20)  # octets; a smaller one costs time, none at all makes for one long pause later

_log = log.Log("boot")


def main():
    words = cmdline.parse(xen.cmdline())
    log.set_level(words.get("loglevel", ""))
    gc.threshold(_GC_THRESHOLD)
    _log.info("firewall %s, inputs %s", VERSION, DIGEST)
    total, free = xen.memory()
    heap_total, heap_free = xen.heap()
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
    """What this domain is for: the firewall (port/image), or in builds for tests what tests/guest has in its place."""
    from program import start

    await start(store, words)
    await loop.Flag().wait()  # all tasks are started: this one has nothing more to do


main()
