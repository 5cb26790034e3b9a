"""firewall.Flows: the live flows, of all clients or of one."""
from micropython import const

from firewall.flows import state as flowstate
from firewall.flows.record import BACK, CLIENT, DST, EGRESS, KIND, NEW_PORTS, OCTETS, PACKETS, PORTS, SEEN, WORDS
from firewall.services import told
from firewall.wire import byteorder, ipv4
from firewall.wire.address import text4

_LOOKS = const(64)  # records between two looks at the clock
_STATES = (
    "new", "replied", "assured", "new", "replied", "assured", "new", "replied", "assured",
    "syn", "opening", "open", "closing", "closing", "closed", "reset", "picked",
)  # fmt: skip
_JSON = (
    '{"client": "%s", "proto": "%s", "from_port": %d, "to": "%s", "to_port": %d, "name": "%s", "rule": %d, '
    '"state": "%s", "out_packets": %d, "out_octets": %d, "in_packets": %d, "in_octets": %d, "age": %d, "idle": %d, '
    '"outside_port": %d}'
)


async def flows(firewall, call):
    return await told.answer(firewall, call, _flows, 1)


async def _flows(firewall, lines, words):
    client = told.client(firewall, words[0]) if words else None
    table = firewall.neighbours.flows
    w = table.records
    record = 0
    while record < table.end():
        if w[record * WORDS + KIND]:
            now = told.now_ms()
            if table.live(record * 2, now):
                owner = table.clients.by_slot[w[record * WORDS + CLIENT]]
                if client is None or owner is client:
                    await lines.put(_flow(firewall, lines.json, record, now))
        record += 1
        if record % _LOOKS == 0:
            await lines.turn()


def _flow(firewall, json, record, now):
    """The line of a record that has a live flow."""
    w, accounts = firewall.neighbours.flows.records, firewall.neighbours.accounts
    at = record * WORDS
    back = at + BACK
    proto, state = w[at + KIND] & 0xFF, w[at + EGRESS] >> 16
    client, to = firewall.neighbours.clients.by_slot[w[at + CLIENT]].address, byteorder.swap(w[at + DST])
    ported = proto == ipv4.TCP or proto == ipv4.UDP
    port, to_port = byteorder.first(w[at + PORTS]), byteorder.second(w[at + PORTS]) if ported else 0
    outside = 0 if w[back + CLIENT] else byteorder.first(w[at + NEW_PORTS])
    name, rule = told.name(firewall, client, to, now), accounts.rules[record] - 1
    age = now - accounts.begun[record] & 0xFFFFFFFF
    idle = flowstate.idle(state, now, w[at + SEEN], w[back + SEEN])
    counted = w[at + PACKETS], w[at + OCTETS], w[back + PACKETS], w[back + OCTETS]
    if json:
        return _JSON % (
            (text4(client), told.protocol(proto), port, text4(to), to_port, name, rule, _STATES[state])
            + counted + (age, idle, outside))  # fmt: skip
    far = text4(to) + (":%d" % to_port if ported else "") + (" (%s)" % name if name else "")
    return "%s %s %d to %s, %s, %s: out %s; in %s; %s old, idle %s" % (
        text4(client), told.protocol(proto), port, far, _STATES[state], "policy" if rule < 0 else "rule %d" % rule,
        told.packets(*counted[:2]), told.packets(*counted[2:]), told.span(age), told.span(idle))  # fmt: skip
