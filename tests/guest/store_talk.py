"""Xenstore on a real Xen: says what it reads of itself, then answers each word that dom0 writes to data/ask.

The answer goes to data/answer. The word "end" powers off.
"""
import xen


async def main(store, words):
    domid = int(await store.read("domid"))
    print("store: domain %d, %s" % (domid, sorted(await store.directory("control"))))
    await store.write("data/hello", b"from %d" % domid)
    watch = await store.watch("data/ask")
    while True:
        await watch.changes()
        try:
            word = await store.read("data/ask")
        except OSError:
            continue  # not written yet: a watch fires once at its birth
        except Exception as missing:
            print("store: %s" % missing)
            continue
        print("store: asked %s" % word.decode())
        if word == b"end":
            xen.shutdown(xen.POWEROFF)
        await store.write("data/answer", word + b"!")
