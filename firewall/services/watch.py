"""firewall.Watch: every second what moved in it, for as long as somebody looks."""
from micropython import const

from firewall.services import told
from firewall.wire.address import text4

_EVERY_MS = const(1000)
_LOOK_MS = const(200)  # for a caller that is gone
_LINE = const(3700)  # octets, then another line
_JSON = (
    '{"client": "%s", "from_packets": %d, "from_octets": %d, "to_packets": %d, "to_octets": %d, "flows": %d, '
    '"new_flows": %d, "refused": %d}'
)


async def watch(firewall, call):
    return await told.answer(firewall, call, _watch, 0)


async def _watch(firewall, lines, _):
    before = {}
    await _moved(firewall, lines, before)
    await lines.flush()
    due = told.now_ms()
    while True:
        due += _EVERY_MS
        now = told.now_ms()
        if due < now:  # the caller reads slowly, or the machine was asleep
            due = now
        while now < due:
            if not await lines.sleep(min(_LOOK_MS, due - now)):
                return
            now = told.now_ms()
        moved = await _moved(firewall, lines, before)
        await (_json if lines.json else _text)(lines, now, moved)
        await lines.flush()


async def _moved(firewall, lines, before):
    """[(address, differences, flows)] of those whose counters are others than `before`, which becomes what they are."""
    accounts, known = firewall.neighbours.accounts, firewall.neighbours.clients.by_address
    found = []
    for address in [address for address in before if address not in known]:
        del before[address]
    for address, client in told.clients(firewall):
        if known.get(address) is not client:
            continue  # it went while others had their turn
        account = accounts.by_slot[client.slot]
        counted = told.carried(firewall, client) + [account.new_flows, account.refused]
        who, old = (client.slot, account.serial), before.get(address)
        if old is None or old[0] != who or any([a < b for a, b in zip(counted, old[1])]):
            old = (who, [0] * len(counted))  # another one with this address, or one of its interfaces is gone
        differences = [a - b for a, b in zip(counted, old[1])]
        if any(differences):
            found.append((address, differences, client.flows))
            before[address] = (who, counted)
        await lines.turn()
    return found


async def _json(lines, now, moved):
    kept, octets = [], 0
    for address, n, flows in moved:
        each = _JSON % (text4(address), n[0], n[1], n[2], n[3], flows, n[4], n[5])
        if octets + len(each) > _LINE:
            await lines.put('{"at": %d, "clients": [%s]}' % (now, ", ".join(kept)))
            kept, octets = [], 0
        kept.append(each)
        octets += len(each) + 2
    await lines.put('{"at": %d, "clients": [%s]}' % (now, ", ".join(kept)))


async def _text(lines, now, moved):
    for address, n, flows in moved:
        await lines.put("%d.%03d %s: sent %s; got %s; %d flows, %d new, %d refused" % (
            now // 1000, now % 1000, text4(address), told.packets(n[0], n[1]), told.packets(n[2], n[3]), flows, n[4],
            n[5]))  # fmt: skip
