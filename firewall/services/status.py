"""firewall.Status: how the firewall is doing, and a line for each client."""
import loop
import xen
from _build import DIGEST, VERSION

from firewall.flows.clients import V4
from firewall.services import told
from firewall.wire.address import text4

_UPLINK = (
    '{"state": "%s", "domain": %d, "address": "%s", "gateway": "%s", "mtu": %d, "sg": %s, "gso": %s, "csum": %s, '
    '"since": %d}'
)
_MEMORY = '{"heap_used": %d, "heap_free": %d, "pages": %d, "pages_free": %d, "quarantine": %d}'
_CLIENT = (
    '{"client": "%s", "device": "%s", "domain": %d, "rules": %d, "loaded": %d, "denied": %s, "flows": %d, "limit": %d, '
    '"mtu": %d}'
)


async def status(firewall, call):
    return await told.answer(firewall, call, _status, 0)


async def _status(firewall, lines, _):
    await (_json if lines.json else _text)(firewall, lines)
    known = firewall.neighbours.clients.by_address
    for address, client in told.clients(firewall):
        if known.get(address) is client:  # others had a turn meanwhile
            await lines.put(_client(firewall, lines.json, address, client))


async def _json(firewall, lines):
    flows, gap = firewall.neighbours.flows, loop.longest_gap_ever()
    parts = [
        '{"version": %s, "digest": %s' % (told.quoted(VERSION), told.quoted(DIGEST)),
        '"uptime": %d' % (told.now_ms() - _began),
        '"uplink": ' + _UPLINK % _uplink(firewall),
        '"memory": ' + _MEMORY % _memory(firewall),
        '"flows": {"used": %d, "capacity": %d}' % (flows.count, flows.capacity),
        '"gap": {"longest_us": %d, "cause": %s}}' % (gap.ns // 1000, told.quoted(gap.text())),
    ]  # fmt: skip
    await lines.put(", ".join(parts))


async def _text(firewall, lines):
    flows, now = firewall.neighbours.flows, told.now_ms()
    state, domain, address, gateway, mtu, sg, gso, csum, since = _uplink(firewall)
    await lines.put("firewall %s (%s), up %s" % (VERSION, DIGEST, told.span(now - _began)))
    if state == "connected":
        takes = [word for word, has in (("sg", sg), ("gso", gso), ("csum", csum)) if has == "true"]
        await lines.put("uplink: %s by domain %d (%s), MTU %d, offloads %s, since %s" % (
            address, domain, gateway, mtu, " ".join(takes) or "none", told.span(now - since)))  # fmt: skip
    else:
        await lines.put("uplink: " + (state if domain < 0 else "%s (domain %d)" % (state, domain)))
    used, free, pages, pages_free, quarantine = _memory(firewall)
    await lines.put("memory: heap %d KiB used, %d KiB free; packet pages %d of %d free, %d in quarantine" % (
        used >> 10, free >> 10, pages_free, pages, quarantine))  # fmt: skip
    await lines.put("flows: %d of %d" % (flows.count, flows.capacity))
    await lines.put("longest gap: " + loop.longest_gap_ever().text())


def _uplink(firewall):
    """What _UPLINK takes."""
    uplink, neighbours, none = firewall.uplink, firewall.neighbours, ("", "", 0, "false", "false", "false", 0)
    link = uplink.link
    if neighbours.uplink is not None and link is not None:
        offloads = (told.boolean(link.sg), told.boolean(link.gso), told.boolean(link.csum))
        ours = (text4(neighbours.nat.address), text4(neighbours.upstream), neighbours.uplink.mtu)
        return ("connected", link.domid) + ours + offloads + (firewall.up_since,)
    if uplink.waiting:
        return ("waiting", uplink.waiting.domid) + none
    return (("none", -1) if link is None else ("no address", link.domid)) + none


def _memory(firewall):
    pool = firewall.pool
    total, free = xen.heap()  # gc.mem_free() would keep the rings waiting for milliseconds
    return total - free, free, pool.pages, pool.free, firewall.quarantine.size()


def _client(firewall, json, address, client):
    flows = firewall.neighbours.flows
    account = firewall.neighbours.accounts.by_slot[client.slot]
    rules, newest = client.rules[V4], client.interfaces[-1]
    domain = newest.owner.domid if newest.owner else -1
    denied = told.denied(firewall, address)
    devices = told.devices(client)
    if json:
        return _CLIENT % (
            text4(address), devices, domain, rules.count, account.loaded, told.quoted(denied), client.flows,
            flows.cap(client), newest.mtu)  # fmt: skip
    loaded = "" if account.loaded < 0 else ", loaded %s ago" % told.span(told.now_ms() - account.loaded)
    words = "%d rules%s" % (rules.count, loaded)
    if denied:
        words = "everything is refused: " + told.quoted(denied)[1:-1]
    return "client %s: vif %s of domain %d, MTU %d, %d flows of at most %d; %s" % (
        text4(address), devices, domain, newest.mtu, client.flows, flows.cap(client), words)  # fmt: skip


_began = xen.ns() // 1000000
