"""A flow that begins beside the judge, where an index has no place or memory is refused: as if nobody had asked.

Each step of it fails in turn, of plain flows of each protocol, that begin a mapping or join one, in a record that was
never used or that is used again.
"""
from test_fast_known import WORLDS
from test_judge_micropython import GENERATOR

_SCRIPT = """
import starve
from firewall.flows.record import KIND, PREV, WORDS

now = 5000
world = worlds[0]
flows, mappings, opening = world.n.flows, world.n.flows.mappings, world.opening
interface = world.n.interfaces.by_number[1]
calls = [0, 0]  # of add(), and which of them says that there is no place
plain, plain_mapping = opening._steps[1], mappings.index.add

def add(*args):
    calls[0] += 1
    return 0 if calls[0] == calls[1] else plain(*args)

def add_mapping(*args):
    calls[0] += 1
    return False if calls[0] == calls[1] else plain_mapping(*args)

right, failing = opening._steps, (opening._steps[0], add, opening._steps[2])

def put(proto, sport, server, dport):
    # the first packet of a flow from the client, as it stands in a page
    if proto == 17:
        rest = bytes((sport >> 8, sport & 255, dport >> 8, dport & 255, 0, 12, 0, 0)) + b"data"
    elif proto == 6:
        rest = bytes((sport >> 8, sport & 255, dport >> 8, dport & 255)) + bytes(8) + bytes((0x50, 2)) + bytes(6)
    else:
        rest = bytes((8, 0, 0, 0, sport >> 8, sport & 255, 0, 0)) + b"ping"
    octets = bytearray(34) + rest
    octets[0] = 0xFE
    pack_into(">HBBHHHBBHII", octets, 12, 0x0800, 0x45, 0, 20 + len(rest), 7, 0, 64, proto, 0, ADDRESSES[0], server)
    pack_into(">H", octets, 24, total(octets, 14, 20, 0) ^ 0xFFFF)
    world.frame[: len(octets)] = octets
    packets, first, _ = world.rows
    packets[3], packets[4], packets[5], first[2] = 1, len(octets), 0, len(octets)
    world.tell()

def whole():
    # all that a flow is entered in, but for the words of the record that nobody has
    w, client = flows.records, interface.client
    free = flows._free - 1 if flows._free else flows._fresh
    at = free * WORDS
    account = world.n.accounts.by_slot[client.slot]
    return (
        bytes(w[:at]), w[at + KIND], w[at + PREV], bytes(w[at + WORDS:]), bytes(flows.index.slots),
        bytes(mappings.index.slots), bytes(mappings._entries), mappings._free, mappings._fresh,
        bytes(world.n.clients.ends), flows.count, flows._free, flows._fresh, client.flows,
        bytes(client.maps_first), bytes(client.maps_last), list(client.mapped),
        [bytes(ports.used) + bytes(ports.full) for ports in world.n.nat._ports.values()],
        world.judge.opened, list(world.judge.counters), account.new_flows, list(account.hits),
        bytes(world.n.accounts.rules),
    )

failures = 0

def begins(steps):
    # the packet's flow begins, in so many steps each of which has failed before
    global failures
    opening._steps, mappings.index.add = failing, add_mapping
    for step in range(1, steps + 1):
        before = whole()
        calls[0], calls[1] = 0, step
        assert opening.let_out(interface, 0, now) == LEFT and calls[0] == step, step
        assert whole() == before, step
        failures += 1
    opening._steps, mappings.index.add = right, plain_mapping
    n = 0
    while True:
        before = whole()
        starve.after(n)
        starve.on()
        try:
            said = opening.let_out(interface, 0, now)
        except MemoryError:
            said = None
        happened = starve.off()
        starve.after(-1)
        if said == BEGUN:
            break
        assert whole() == before, n
        failures += 1
        n += 1
        assert happened and n < 100
    assert whole() != before
    if happened:
        print("memory was refused behind the flow's entry")

for again in (0, 1):
    for proto, steps, joins in ((17, 3, 2), (6, 2, 2), (1, 3, 2)):
        for sport in (7000, 7001, 513):
            put(proto, sport, SERVERS[0], 443)
            begins(steps)
            put(proto, sport, SERVERS[1], 443)
            begins(joins)
    assert flows.count == 18 == interface.client.flows
    # they end, some before others: free records are linked in this order
    now += 10**6
    for record in list(range(0, 18, 3)) + [1, 17] + [each for each in range(2, 17) if each % 3]:
        flows.remove(record) if record != 1 or flows.records[WORDS + KIND] else None
    assert flows.count == 0 and flows._fresh == 18
print("all is well:", failures)
"""


def test_a_step_that_fails_leaves_nothing_behind(machine, run):
    script = (WORLDS + _SCRIPT).replace("GENERATOR", GENERATOR).replace("SEED", "5")
    firewall = run(machine, script)
    (line,) = firewall.lines("all is well") or [firewall.console]
    assert int(line.rpartition(":")[2]) >= 2 * (9 * 2 + 9 * 2 + 6), line
    assert not firewall.lines("refused behind"), "a flow that was entered was told of as none"
