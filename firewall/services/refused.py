"""firewall.Refused: what was refused, to whom and why; then what is, for as long as somebody looks."""
from micropython import const

from firewall import reasons
from firewall.accounts import ROWS
from firewall.services import told
from firewall.wire import ipv4
from firewall.wire.address import text4

_LOOK_MS = const(200)
_AGAIN_MS = const(1000)  # from one line about a row to the next
_JSON = (
    '{"client": "%s", "proto": "%s", "to": "%s", "to_port": %d, "name": "%s", "rule": %d, "why": %s, "first": %d, '
    '"last": %d, "count": %d, "type": %d}'
)


async def refused(firewall, call):
    return await told.answer(firewall, call, _refused, 0)


async def _refused(firewall, lines, _):
    rows = firewall.neighbours.accounts.refusals
    seen = [0] * ROWS  # serial of what was told of each row
    first = [-1] * ROWS  # which row that was
    when = [0] * ROWS  # ms, when
    serial = await _news(firewall, lines, seen, first, when)
    await lines.put('{"now": true}' if lines.json else "until now; what follows is new")
    while True:
        await lines.flush()
        if not await lines.sleep(_LOOK_MS):
            return
        if rows.serial != serial:
            serial = await _news(firewall, lines, seen, first, when)


async def _news(firewall, lines, seen, first, when):
    """Tell of rows that are new, or were repeated long enough ago. The serial up to which all was told."""
    rows, now = firewall.neighbours.accounts.refusals, told.now_ms()
    serial = rows.serial
    due = []
    for row in range(rows.used):
        if rows.changed[row] > seen[row]:
            if first[row] != rows.first[row] or now - when[row] >= _AGAIN_MS:
                due.append(rows.changed[row] << 8 | row)
            else:
                serial = -1  # somebody has to look again
    due.sort()
    await lines.turn()
    for each in due:
        row = each & 0xFF
        seen[row], first[row], when[row] = rows.changed[row], rows.first[row], now
        await lines.put(_line(firewall, lines.json, row, now))
    return serial


def _line(firewall, json, row, now):
    rows = firewall.neighbours.accounts.refusals
    what, why = rows.what[row], rows.why[row]
    client, to, proto, port = why >> 24, what >> 24, what >> 16 & 0xFF, what & 0xFFFF
    rule, reason = (why & 0xFFFF) - 1, reasons.NAMES[why >> 16 & 0xFF]
    kind = -1
    if proto == ipv4.ICMP:
        kind, port = port, 0
    name = told.name(firewall, client, to, now)
    if json:
        return _JSON % (
            text4(client), told.protocol(proto), text4(to), port, name, rule, told.quoted(reason), rows.first[row],
            rows.last[row], rows.count[row], kind)  # fmt: skip
    far = text4(to) + (":%d" % port if port else " type %d" % kind if kind >= 0 else "")
    far += " (%s)" % name if name else ""
    return "%s %s %s: %s%s; %d times, the last one %s ago" % (
        text4(client), told.protocol(proto), far, reason, ", rule %d" % rule if rule >= 0 else "", rows.count[row],
        told.span(now - rows.last[row]))  # fmt: skip
