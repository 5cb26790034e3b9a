"""firewall.Counters: what each client and the uplink sent and got, what was dropped and why, and which rules decide."""
from micropython import const

from firewall import reasons
from firewall.flows.clients import V4
from firewall.interfaces import UPLINK
from firewall.rules.matcher import DENY
from firewall.services import told
from firewall.wire.address import text4

_HITS = const(100)  # in a line
_JSON = (
    '{"client": "%s", "device": "%s", "from_packets": %d, "from_octets": %d, "to_packets": %d, "to_octets": %d, '
    '"drops": {%s}, "hits": [%s], "first_rule": %d, "more": %s, "new_flows": %d, "refused": %d, "lost": %d, '
    '"failed": %d}'
)


async def counters(firewall, call):
    return await told.answer(firewall, call, _counters, 0)


async def _counters(firewall, lines, _):
    await _neighbour(firewall, lines, "uplink", "uplink", None)
    known = firewall.neighbours.clients.by_address
    for address, client in told.clients(firewall):
        if known.get(address) is client:
            await _neighbour(firewall, lines, text4(address), told.devices(client), client)


async def _neighbour(firewall, lines, name, devices, client):
    account = firewall.neighbours.accounts.by_slot[client.slot if client else 0]
    counted = told.carried(firewall, client)
    drops = [(reasons.NAMES[i], n) for i, n in enumerate(account.drops) if n]
    # a refusal's hits are everybody's who has none
    hits = account.hits if client and client.rules[V4].count or account.loaded >= 0 and not _denied(client) else ()
    lost, failed = _lost(firewall, client)
    more = (account.new_flows, account.refused, lost, failed)
    await (_json if lines.json else _text)(lines, name, devices, counted, drops, hits, more)


def _denied(client):
    return client is None or client.rules[V4] is DENY


def _lost(firewall, client):
    """Frames for a neighbour that found no room, and those that an error has ended."""
    interfaces = client.interfaces if client else [firewall.neighbours.interfaces.by_number[UPLINK]]
    lost = failed = 0
    for interface in interfaces:
        if interface and interface.rings:
            lost += interface.rings.dropped
            failed += interface.rings.failed + interface.guard.failed
    return lost, failed


async def _json(lines, name, devices, counted, drops, hits, more):
    told_drops = ", ".join(["%s: %d" % (told.quoted(reason), n) for reason, n in drops])
    first = 0
    while True:
        some = hits[first : first + _HITS]
        end = first + len(some)
        words = ", ".join([str(n) for n in some])
        goes_on = told.boolean(end < len(hits))
        await lines.put(_JSON % ((name, devices) + tuple(counted) + (told_drops, words, first, goes_on) + more))
        if end >= len(hits):
            return
        first, told_drops, counted, more = end, "", (0, 0, 0, 0), (0, 0, 0, 0)


async def _text(lines, name, devices, counted, drops, hits, more):
    sent, got = told.packets(counted[0], counted[1]), told.packets(counted[2], counted[3])
    vif = "" if name == devices else " (vif %s)" % devices
    words = "%s%s: from it %s; to it %s; %d new flows, %d refused, %d lost, %d failed"
    await lines.put(words % ((name, vif, sent, got) + more))
    for reason, n in drops:
        await lines.put("  dropped, %s: %d" % (reason, n))
    for number, n in enumerate(hits):
        if n:
            await lines.put("  decided by %s: %d" % ("rule %d" % number if number < len(hits) - 1 else "the policy", n))
        else:
            await lines.turn()
