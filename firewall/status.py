"""What an administrator is told of the firewall: links, flows, packet pages, and what became of the packets."""
from firewall import reasons
from firewall.wire.address import text4

_COUNTERS = _CLIENTS = 6  # in a line
_WAITED = 5  # s; less is not worth a word


def lines(firewall):
    """A few lines of text about a main.Firewall."""
    yield _uplink(firewall)
    for line in _clients(firewall):
        yield line
    flows, pool = firewall.neighbours.flows, firewall.pool
    yield "flows: %d of %d; packet pages free: %d of %d, in quarantine: %d; frames lost for want of room since boot: %d" % (
        flows.count, flows.capacity, pool.free, pool.pages, firewall.quarantine.size(), firewall.forwarder.delivery.lost(firewall.forwarder.uplink))  # fmt: skip
    if firewall.agent:
        yield firewall.agent.text()
    counters = firewall.judge.counters
    told = ["%s %d" % (reasons.NAMES[i], counters[i]) for i in range(reasons.COUNT) if counters[i]]
    for i in range(0, len(told), _COUNTERS):
        yield "packets: " + ", ".join(told[i : i + _COUNTERS])


def _uplink(firewall):
    neighbours, link = firewall.neighbours, firewall.uplink.link
    if firewall.uplink.waiting:
        return "uplink: domain %d has not come to state 4" % firewall.uplink.domid
    if neighbours.uplink is None:
        return "uplink: none" if link is None else "uplink: no address yet"
    waited = firewall.stalls.waited // 1000
    return "uplink: %s to domain %d%s%s, dropped for want of room: %d%s" % (
        text4(neighbours.nat.address), firewall.uplink.domid,
        ", which takes nothing" if link.backlog.stalled else "",
        ", which has not answered for %d s" % waited if waited >= _WAITED else "", link.dropped,
        ", ended by an error: %d" % link.failed if link.failed else "")  # fmt: skip


def _clients(firewall):
    clients = firewall.forwarder.clients
    dropped = sum(interface.rings.dropped for interface in clients)
    failed = sum(interface.rings.failed for interface in clients)
    said = "clients: %d, dropped for want of room: %d%s; " % (
        len(clients), dropped, ", ended by an error: %d" % failed if failed else "")  # fmt: skip
    some = list(clients)
    for i in range(0, len(some) or 1, _CLIENTS):
        yield said + (", ".join([_client(interface) for interface in some[i : i + _CLIENTS]]) or "none")
        said = "more clients: "


def _client(interface):
    deaf = ", which takes nothing" if interface.rings.deaf else ""
    return "vif %s %s%s" % (interface.owner.name, text4(interface.owner.address), deaf)
