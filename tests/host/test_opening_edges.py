"""What is the same beside the judge only in his order: a client above its limit, a remote that looks like us."""
import interpreter
from test_fast_known import WORLDS, under_micropython
from test_judge_micropython import GENERATOR

_START = WORLDS.replace("GENERATOR", GENERATOR).replace("SEED", "1") + """
a, b = ADDRESSES
def udp(src, sport, dst, dport):
    octets = bytearray(42)
    octets[0] = 0xFE
    pack_into(">HHHH", octets, 34, sport, dport, 8, 0)
    pack_into(">HBBHHHBBHII", octets, 12, 0x0800, 0x45, 0, 28, 1, 0, 64, 17, 0, src, dst)
    pack_into(">H", octets, 24, total(octets, 14, 20, 0) ^ 0xFFFF)
    return octets

def said(world, number, now, *packet):
    return world.send(number, udp(*packet), now, 0, 0, 1, 42)[0]
"""

_ABOVE = _START + """
left = []
for world in worlds:
    n = world.n
    assert said(world, 2, 1000, b, 7000, SERVERS[0], 80) == "forwarded"  # b has 7000 outside
    n.detach(2)
    n.tick(1001)
    for port in range(60):
        assert said(world, 1, 1001, a, 8000 + port, SERVERS[0], 80) == "forwarded"
    n.attach(b, 2, MAC)
    world.rules(b, ACCEPT)
    assert said(world, 2, 1002, b, 7000, SERVERS[0], 80) == "forwarded"
    client = n.clients.by_address[a]
    assert client.flows == 60 > n.flows.cap(client)
    assert said(world, 1, 1003, a, 7000, SERVERS[0], 80) == "forwarded"
    left.append(client.flows)
print(left)
"""

_GATEWAY = _START + """
seen = []
for world in worlds:
    n = world.n
    n.set_shown(a, SHOWN, SERVERS[2])
    n.set_policy(Policy({}, {17 << 16 | 5300: (a, 53, 0, 0xFFFFFFFF)}))
    seen.append([said(world, 0, 1000, SERVERS[i], 99, OURS, 5300) for i in (2, 1)])
    seen.append([said(world, 1, 1001, SHOWN, 53, SERVERS[1], 99)])
print(seen)
"""


@under_micropython
def test_a_client_above_its_limit_gives_up_one_flow_for_another():
    """Others have come since, so its limit is lower; the port that it asks for is another's: a matter for the judge."""
    assert interpreter.run(_ABOVE)[-1] == "[60, 60]"


@under_micropython
def test_from_outside_nobody_has_the_address_that_a_client_knows_as_its_gateway():
    """Nor for a port that is forwarded to it: it would take what comes for ours, and its answers would not go."""
    each = "['source of ours from the uplink', 'forwarded'], ['forwarded']"
    assert interpreter.run(_GATEWAY)[-1] == "[%s, %s]" % (each, each)
