"""130 ports at once, more than SCHEDOP_poll could wait for: each event of dom0 is answered on its own port."""
import loop
import xen

PORTS = 130


async def main(store, words):
    seen = [0] * PORTS
    ports = [xen.evtchn_alloc(0) for _ in range(PORTS)]
    for i, port in enumerate(ports):
        loop.bind(port, lambda i=i, port=port: answer(i, port))

    def answer(i, port):
        seen[i] += 1
        xen.evtchn_send(port)

    await store.write("data/ports", " ".join(str(port) for port in ports))
    print("many_ports: ready")
    watch = await store.watch("data/stop")
    while True:
        await watch.changes()
        try:
            await store.read("data/stop")
            break
        except Exception:
            pass
    print("many_ports: seen %d..%d" % (min(seen), max(seen)))
