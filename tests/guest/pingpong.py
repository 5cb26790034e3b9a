"""Events to and fro with another domain, strictly in turn: one lost wake-up and it stands still for ever.

Words: peer=DOMID, rounds=N, way=loop (through the loop, as a ring's events come) or way=bare (xen.sleep alone).
serve=1 answers instead of asking, at port= of the peer. Who asks writes its port to data/port.
"""
import gc
import loop
import xen


class _Loop:
    """Waits as everything in the firewall does."""

    def __init__(self, port):
        self.flag = loop.Flag()
        loop.bind(port, self.flag.set)

    async def wait(self):
        await self.flag.wait()


class _Bare:
    """Sleeps by itself; ports of others that wake us meanwhile are of no interest."""

    def __init__(self, port):
        self.port = port
        self.ports = xen.view(bytearray(16), "H")

    async def wait(self):
        while True:
            for i in range(xen.pending(self.ports)):
                if self.ports[i] == self.port:
                    return
            xen.sleep(None)


async def main(store, words):
    peer, rounds, serve = int(words["peer"]), int(words["rounds"]), "serve" in words
    port = xen.evtchn_bind(peer, int(words["port"])) if serve else xen.evtchn_alloc(peer)
    way = (_Bare if words["way"] == "bare" else _Loop)(port)
    if serve:
        # Xen marks a bound port pending once; the other side's first event is our "go"
        await way.wait()
        xen.evtchn_send(port)
    else:
        await store.write("data/port", str(port))
        print("pingpong: port %d" % port)
        await way.wait()
    gc.collect()
    began = xen.ns()
    for _ in range(rounds):
        if not serve:
            xen.evtchn_send(port)
        await way.wait()
        if serve:
            xen.evtchn_send(port)
    print("pingpong: %d rounds, %d us each" % (rounds, (xen.ns() - began) // rounds // 1000))
    await loop.Flag().wait()
