"""The terms of one connection to a netvm: what stands in its directory and ours, and what we publish there.

Source: Xen public/io/netif.h (feature nodes; split event channels), docs/misc/xenstore-paths.pandoc.
"""
from net.netif import MTU, MTU_LEAST, MTU_MOST
from xenbus import values
from xenbus.states import CONNECTED

_FEATURES = ("request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4")
_ONE_CHANNEL = ("event-channel",)
_TWO_CHANNELS = ("event-channel-tx", "event-channel-rx")


class Terms:
    """mac: ours, or None. mtu. sg, gso, csum: what the netvm takes. split: a port for each ring. copies: into our pages."""


async def read(store, path, backend):
    """Terms, of what dom0 wrote below path and the netvm below backend. StoreError."""
    terms = Terms()
    terms.mac = values.mac(await values.read(store, path + "/mac"))
    mtu = values.decimal(await values.read(store, path + "/mtu"), MTU_MOST)
    terms.mtu = mtu if mtu and mtu >= MTU_LEAST else MTU
    terms.sg = await values.flag(store, backend + "/feature-sg")
    if not terms.sg:
        terms.mtu = min(terms.mtu, MTU)  # one slot for each frame
    terms.gso = await values.flag(store, backend + "/feature-gso-tcpv4")
    terms.csum = not await values.flag(store, backend + "/feature-no-csum-offload")
    terms.split = await values.flag(store, backend + "/feature-split-event-channels")
    terms.copies = await values.flag(store, backend + "/feature-rx-copy")
    return terms


async def publish(store, path, link):
    """Tell the netvm where our rings are, and that we are connected. StoreError: nothing was written, as far as we know."""
    split = len(link.ports) == 2
    names = _TWO_CHANNELS if split else _ONE_CHANNEL

    async def write(t):
        await t.read(path + "/backend")  # lest the directory comes back by our writing
        for name in _ONE_CHANNEL if split else _TWO_CHANNELS:
            await t.rm("%s/%s" % (path, name))  # of a connection before: netvms look for two first
        await t.write(path + "/tx-ring-ref", "%d" % link.refs[0])
        await t.write(path + "/rx-ring-ref", "%d" % link.refs[1])
        for name, port in zip(names, link.ports):
            await t.write("%s/%s" % (path, name), "%d" % port)
        for feature in _FEATURES:
            await t.write("%s/%s" % (path, feature), "1")
        await t.write(path + "/state", "%d" % CONNECTED)

    await store.transaction(write)
