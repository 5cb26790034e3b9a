"""Small things of the judge that planted faults showed to be seen by nobody."""
import pytest
from packets import ACK, SYN, Look, echo, error, ip, looks, tcp, udp
from scenes import A, OURS, SERVER

from firewall import reasons
from firewall.flows.record import BACK, KIND, OCTETS, PACKETS, WORDS
from firewall.rules.matcher import RuleList


def test_packets_and_octets_of_each_half_are_counted(net):
    client = net.client(A)
    for octets in (1, 20, 300):
        client.send(udp(A, 4001, SERVER, 80, bytes(octets)))
    net.uplink.send(udp(SERVER, 80, OURS, 4001, bytes(50)))
    w = net.neighbours.flows.records
    there, = [r * WORDS for r in range(len(w) // WORDS) if w[r * WORDS + KIND]]
    assert (w[there + PACKETS], w[there + OCTETS]) == (3, 3 * 28 + 321)
    assert (w[there + BACK + PACKETS], w[there + BACK + OCTETS]) == (1, 28 + 50)


@pytest.mark.parametrize("total, verdict", [(8999, reasons.FORWARDED), (9000, reasons.FORWARDED), (9001, reasons.GATHER)])
def test_only_what_is_cut_is_asked_for_whole(net, total, verdict):
    """A frame of exactly the MTU, of which only the head is there."""
    net.client(A)
    net.netvm(OURS, mtu=9000)
    frame = udp(A, 4001, SERVER, 80, bytes(total - 28))
    assert net.judge.frame(1, bytearray(frame[:4096]), len(frame), net.now, False, 0) == verdict


@pytest.mark.parametrize("proto", [47, 50, 132, 136])
@pytest.mark.parametrize("rules, goes_on", [
    (["action=accept dst4=192.0.2.0/24"], True),
    (["action=drop proto=tcp", "action=drop proto=udp", "action=drop proto=icmp", "action=accept"], True),
    (["action=drop dst4=192.0.2.50", "action=accept"], False),
    (["action=accept proto=udp", "action=accept proto=tcp", "action=accept proto=icmp"], False),
    ([], False),
])
def test_flows_of_other_protocols_are_judged_again(net, proto, rules, goes_on):
    client = net.client(A)
    frame, answer = (ip(*ends, proto, bytes(20)) for ends in ((A, SERVER), (SERVER, OURS)))
    client.send(frame)
    assert Look(net.uplink.recv()).proto == proto
    net.set_rules(A, rules)
    net.uplink.send(answer)
    assert (client.recv(0) is not None) == goes_on
    client.send(frame)
    assert (net.uplink.recv(0) is not None) == goes_on


@pytest.mark.parametrize("destination, leaves", [
    ("0.255.255.255", False), ("1.0.0.0", True), ("126.255.255.255", True), ("127.0.0.0", False), ("127.255.255.255", False),
    ("128.0.0.0", True), ("223.255.255.255", True), ("224.0.0.0", False), ("239.255.255.255", False), ("240.0.0.0", True),
    ("255.255.255.254", True), ("255.255.255.255", False),
])
def test_where_destinations_begin_and_end(net, destination, leaves):
    net.client(A).send(udp(A, 4001, destination, 80))
    assert (net.uplink.recv(0) is not None) == leaves


@pytest.mark.parametrize("source, passes", [
    ("0.255.255.255", False), ("1.0.0.0", True), ("126.255.255.255", True), ("127.0.0.0", False), ("128.0.0.0", True),
    ("223.255.255.255", True), ("224.0.0.0", False), ("239.255.255.255", False), ("240.0.0.0", True), ("255.255.255.254", True),
    ("255.255.255.255", False),
])
def test_where_sources_begin_and_end(net, source, passes):
    """By an error that a router with this address sends about a flow."""
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    net.uplink.send(error(source, OURS, 3, 1, net.uplink.recv()[14:]))
    assert (client.recv(0) is not None) == passes


@pytest.mark.parametrize("allowed", [False, True])
def test_behaviour_18_outward_no_address_of_a_client_is_seen_at_the_uplink(net, allowed):
    """Neither as source nor as destination: whether the other one is attached, exists only, or goes while a flow lives."""
    other, gone = "10.137.0.22", "10.137.0.99"
    client, second = net.client(A), net.client(other)
    net.connected(A, other, gone)
    if allowed:
        net.allow((A, other), (A, gone))

    def send():
        for to in (other, gone, OURS, SERVER):
            for frame in (udp(A, 4001, to, 80), udp(A, 4002, to, 80, bytes(3000)), tcp(A, 4003, to, 80), echo(A, to), ip(A, to, 47, bytes(20))):
                client.send(frame)
        seen = [(each.src, each.dst) for each in looks(net.uplink.frames)]
        net.uplink.frames.clear()
        assert seen and set(seen) == {(OURS, SERVER)}
    send()
    assert bool([frame for frame, _, _ in second.frames if Look(frame).src == A]) == allowed
    net.detach(second)
    send()


@pytest.mark.parametrize("first", [0, 1])
def test_each_flow_is_judged_again_by_where_it_goes_itself(net, first):
    """To the uplink or to another client: not by where the flow of the record beside it goes."""
    other = "10.137.0.22"
    client, second = net.client(A), net.client(other)
    net.allow((A, other))
    ways = [(SERVER, net.uplink), (other, second)]
    flows = [(udp(A, 4001 + i, to, 80), wire) for i, (to, wire) in enumerate((ways[first:] + ways[:first]) * 3)]
    for _ in range(3):
        for frame, wire in flows:
            client.send(frame)
            assert net.verdict == reasons.FORWARDED and wire.recv(0)
        net.set_rules(A, ["action=accept"])


@pytest.mark.parametrize("rule, goes_on", [
    ("action=accept proto=icmp icmptype=8", True), ("action=accept proto=icmp icmptype=13", False), ("action=accept proto=icmp", True),
])
def test_a_query_is_judged_again_by_its_type(net, rule, goes_on):
    client = net.client(A)
    client.send(echo(A, SERVER))
    ident = Look(net.uplink.recv()).echo_id
    net.set_rules(A, [rule])
    net.uplink.send(echo(SERVER, OURS, ident=ident, kind=0))
    assert (client.recv(0) is not None) == goes_on
    client.send(echo(A, SERVER))
    assert (net.uplink.recv(0) is not None) == goes_on


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("ms", [1000000, 1000001, 0xFFFFFFFF, 0x100000000, 0x100000001])
def test_a_flow_lives_to_the_millisecond(net, ms, late):
    client = net.client(A)
    net.now = ms
    client.send(udp(A, 4001, SERVER, 80))
    net.now += 120000 + late
    net.uplink.send(udp(SERVER, 80, OURS, 4001))
    assert (client.recv(0) is None) == bool(late)
    if not late:  # its own time counts from now on
        net.now += 300000
        client.send(udp(A, 4001, SERVER, 80))
        assert net.neighbours.flows.count == 1
        net.now += 300000
        net.uplink.send(udp(SERVER, 80, OURS, 4001))
        assert client.recv(0)


@pytest.mark.parametrize("octets, kind, verdict", [
    (13, 0x0800, reasons.ETHERNET), (14, 0x0800, reasons.IP_HEADER), (33, 0x0800, reasons.IP_HEADER), (14, 0x0806, reasons.ARP),
    (14, 0x86DD, reasons.ETHERNET), (0, 0, reasons.ETHERNET),
])
def test_what_short_frames_are_called(net, octets, kind, verdict):
    net.client(A).send((bytes(12) + kind.to_bytes(2, "big") + bytes(40))[:octets])
    assert net.verdict == verdict


def test_nothing_from_the_uplink_has_the_address_that_clients_know_us_by(net):
    """Not even an error about a flow, which any router may send."""
    net.neighbours.gateway = int.from_bytes(bytes((10, 137, 0, 1)), "big")
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    quote = net.uplink.recv()[14:]
    net.uplink.send(error("10.137.0.1", OURS, 3, 1, quote))
    assert net.verdict == reasons.SPOOFED_UPLINK and not client.frames
    net.uplink.send(error("10.137.0.2", OURS, 3, 1, quote))
    assert client.recv(0)


@pytest.mark.parametrize("rules, goes_on", [
    (["action=accept proto={} dstports=80-80"], True), (["action=accept proto={} dstports=81-90"], False),
    (["action=drop proto={} dstports=80-80", "action=accept"], False), (["action=drop proto={} dstports=81-81", "action=accept"], True),
])
@pytest.mark.parametrize("build, proto", [(udp, "udp"), (tcp, "tcp")])
def test_a_flow_is_judged_again_by_its_port(net, build, proto, rules, goes_on):
    client = net.client(A)
    client.send(build(A, 4001, SERVER, 80))
    assert net.uplink.recv()
    net.set_rules(A, [rule.format(proto) for rule in rules])
    net.uplink.send(build(SERVER, 80, OURS, 4001, **({"flags": SYN | ACK} if build is tcp else {})))
    assert (client.recv(0) is not None) == goes_on


def test_answers_go_to_the_interface_used_last(net):
    """Of several with one address, whatever their numbers."""
    wires = [net.client(A) for _ in range(6)]
    for i in (0, 1, 2, 3, 2, 1, 4, 3, 0, 5, 0):
        wires[i].send(udp(A, 4001, SERVER, 80))
        net.uplink.send(udp(SERVER, 80, OURS, 4001))
        assert [wire.recv(0) is not None for wire in wires] == [wire is wires[i] for wire in wires]


@pytest.mark.parametrize("ttl", [1, 2, 3])
def test_an_error_passes_if_its_time_lasts(net, ttl):
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    net.uplink.send(error(SERVER, OURS, 3, 3, net.uplink.recv()[14:], ttl=ttl))
    seen = client.recv(0)
    assert Look(seen).ttl == ttl - 1 if ttl > 1 else seen is None


def test_a_known_flow_is_asked_about_once(net):
    """Its rules once when it begins, and once more after each commit; no packet between."""
    asked = []

    class Rules(RuleList):
        def __init__(self):
            pass

        def decide(self, *packet):
            asked.append(packet)
            return True, None

    client = net.client(A)
    (address,) = net.neighbours.interfaces.by_number[client.number].client.addresses
    for commits in range(1, 4):
        net.neighbours.set_rules(address, Rules())
        for port in (4001, 4002):
            for _ in range(3):
                client.send(udp(A, port, SERVER, 80))
                net.uplink.send(udp(SERVER, 80, OURS, port))
                assert net.uplink.recv(0) and client.recv(0)
        assert len(asked) == 2 * commits


@pytest.mark.parametrize("total, passes", [(599, True), (600, True), (601, False)])
def test_an_error_is_not_cut(net, total, passes):
    client = net.client(A, mtu=600)
    client.send(udp(A, 4001, SERVER, 80, bytes(total - 56)))
    frame = error(SERVER, OURS, 3, 3, net.uplink.recv()[14:])
    assert len(frame) == 14 + total
    net.uplink.send(frame)
    assert (client.recv(0) is not None) == passes and not client.frames


@pytest.mark.parametrize("late", [0, 1])
def test_an_error_about_a_flow_that_is_over_goes_nowhere(net, late):
    """Swept or not."""
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    quote = net.uplink.recv()[14:]
    net.now += 120000 + late
    net.uplink.send(error(SERVER, OURS, 3, 3, quote))
    assert (client.recv(0) is None) == bool(late) and net.neighbours.flows.count == 1
