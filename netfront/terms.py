"""The terms of one connection to a netvm: what stands in its directory and ours, and what we publish there.

Source: Xen public/io/netif.h (feature nodes; split event channels), docs/misc/xenstore-paths.pandoc.
"""
from net.netif import MTU, MTU_LEAST, MTU_MOST
from xenbus import values
from xenbus.states import CONNECTED

_FEATURES = ("request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4")
_OFFERED = (
    "feature-sg", "feature-gso-tcpv4", "feature-no-csum-offload", "feature-split-event-channels", "feature-rx-copy",
)  # fmt: skip
_ONE_CHANNEL = ("event-channel",)
_TWO_CHANNELS = ("event-channel-tx", "event-channel-rx")


class Terms:
    """mac: ours, or None. mtu. sg, gso, csum: what the netvm takes. split: a port for each ring. copies: into our pages."""


async def read(store, path, backend):
    """Terms, of what dom0 wrote below path and the netvm below backend. StoreError."""
    terms = Terms()
    mac, mtu = await values.reads(store, path, ("mac", "mtu"))
    terms.mac = values.mac(mac)
    mtu = values.decimal(mtu, MTU_MOST)
    terms.mtu = mtu if mtu and mtu >= MTU_LEAST else MTU
    flags = [value == b"1" for value in await values.reads(store, backend, _OFFERED)]
    terms.sg, terms.gso, no_csum, terms.split, terms.copies = flags
    terms.csum = not no_csum
    if not terms.sg:
        terms.mtu = min(terms.mtu, MTU)  # one slot for each frame
    return terms


async def publish(store, path, link):
    """Tell the netvm where our rings are, and that we are connected. StoreError: nothing was written, as far as we know."""
    split = len(link.ports) == 2
    names = _TWO_CHANNELS if split else _ONE_CHANNEL

    async def write(t):
        await t.read(path + "/backend")  # lest the directory comes back by our writing
        for name in _ONE_CHANNEL if split else _TWO_CHANNELS:
            await t.rm("%s/%s" % (path, name))  # of a connection before: netvms look for two first
        nodes = [("/tx-ring-ref", "%d" % link.refs[0]), ("/rx-ring-ref", "%d" % link.refs[1])]
        nodes += [("/" + name, "%d" % port) for name, port in zip(names, link.ports)]
        nodes += [("/" + feature, "1") for feature in _FEATURES] + [("/state", "%d" % CONNECTED)]
        await t.writes([(path + name, value) for name, value in nodes])

    await store.transaction(write)
