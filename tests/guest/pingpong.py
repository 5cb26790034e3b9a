"""Events to and fro with another domain, strictly in turn: one lost wake-up and it stands still for ever.

Words: peer=DOMID, rounds=N, way=loop (through the loop, as a ring's events come) or way=bare (xen.sleep alone).
serve=1 answers instead of asking, at port= of the peer. Who asks writes its port to data/port. Each prints
"pingpong: N rounds" after every 1000, and at the end with what one took.

For tests of the test: lose=N forgets the event of round N, as if the wake-up for it were lost; busy=MS computes so long
in each round.
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
    lose, busy = int(words.get("lose", 0)), int(words.get("busy", 0)) * 1000000
    gc.collect()
    began = xen.ns()
    for i in range(1, rounds + 1):
        if not serve:
            xen.evtchn_send(port)
        await way.wait()
        if i == lose:
            await way.wait()
        if busy:
            until = xen.ns() + busy
            while xen.ns() < until:
                pass
        if serve:
            xen.evtchn_send(port)
        if i % 1000 == 0 and i < rounds:
            print("pingpong: %d rounds" % i)
    print("pingpong: %d rounds, %d us each" % (rounds, (xen.ns() - began) // rounds // 1000))
    await loop.Flag().wait()
