"""What a packet and a decision cost, counted in bytecodes of CPython.

It is not what the image takes, which test_price.py counts in instructions; but it sees at once, on any machine, when the
way of a packet becomes longer, or depends on how many flows or rules there are.
"""
import pytest
from packets import echo, tcp, udp
from scenes import A, SERVER

from counting import bytecodes
from firewall.rules import matcher, text
from firewall.rules.names import NoNames
from firewall.wire import ipv4
from tests.network import Network

FIRST, KNOWN = 4000, 1700  # bytecodes: the most that a packet may take; they leave about a quarter


def rule_list(count):
    return ["action=drop dst4=198.51.%d.0/24 proto=udp dstports=80-90" % i for i in range(count - 1)] + ["action=accept"]


def price(net, frame):
    """Of judging a frame from the client, which is forwarded."""
    buffer = bytearray(frame)
    count, verdict = bytecodes(net.judge.frame, 1, buffer, len(buffer), net.now)
    assert verdict == 0 and not net.judge.out
    return count


@pytest.mark.parametrize("build", [udp, tcp])
def test_what_a_packet_costs(figure, build):
    first, known = {}, {}
    for count in (10, 200):
        with Network() as net:
            net.client(A, rule_list(count))
            frames = [build(A, port, SERVER, 80) for port in range(5000, 5020)]
            first[count] = [price(net, frame) for frame in frames]
            known[count] = [price(net, frame) for frame in frames]
    name = build.__name__.upper()
    figure("first packet of a flow, %s, 10 / 200 rules" % name, "%d / %d bytecodes" % (max(first[10]), max(first[200])), str(FIRST))
    figure("packet of a known flow, %s" % name, "%d bytecodes" % max(known[10]), str(KNOWN))
    assert max(first[10]) < FIRST and max(first[200]) < FIRST + 700
    assert max(known[10]) < KNOWN
    assert max(known[200]) == max(known[10])  # rules are not asked again


def test_a_full_table_is_not_slower(figure):
    """The mean of 200 first packets: while it is empty, nearly full, and when each pushes another flow out."""
    with Network(capacity=4096) as net:
        net.client(A)

        def mean(begin):
            return sum(price(net, udp(A, 1024 + i, SERVER, 80)) for i in range(begin, begin + 200)) / 200

        def fill(begin, end):
            for i in range(begin, end):
                buffer = bytearray(udp(A, 1024 + i, SERVER, 80))
                assert net.judge.frame(1, buffer, len(buffer), net.now) == 0
        empty = mean(0)
        fill(200, 3800)
        full = mean(3800)
        fill(4000, 4300)
        over = mean(4300)
    figure("first packet, empty / full / overfull table", "%.0f / %.0f / %.0f bytecodes" % (empty, full, over))
    assert full < 1.5 * empty and over < 2.5 * empty


@pytest.mark.parametrize("kind", ["udp", "tcp", "echo"])
@pytest.mark.parametrize("one_is_left", [False, True])
def test_behaviour_79_a_search_for_a_port_ends(figure, kind, one_is_left):
    """All ports and identifiers are gone, or all but one: found or refused, at a price that has a limit."""
    with Network() as net:
        net.client(A)
        nat = net.neighbours.nat
        if kind == "tcp":
            if not one_is_left:
                nat._random = lambda octets: b"\x4a\x20"  # whatever it tries is port 20000
            for port in range(65536):
                if port != 54321 or not one_is_left:
                    nat.reserve(ipv4.TCP, port)
        else:
            ports = nat._ports[ipv4.UDP if kind == "udp" else ipv4.ICMP]
            for port in range(65536):
                if not ports.taken(port) and (port != 54321 or not one_is_left):
                    ports.take(port)
        frame = {"udp": udp(A, 5000, SERVER, 80), "tcp": tcp(A, 5000, SERVER, 80), "echo": echo(A, SERVER, ident=5000)}[kind]
        buffer = bytearray(frame)
        count, verdict = bytecodes(net.judge.frame, 1, buffer, len(buffer), net.now)
    figure("first packet where %s, %s" % ("one port is left" if one_is_left else "no port is left", kind), "%d bytecodes" % count, str(4 * FIRST))
    if kind != "tcp":  # whose search is at random: one port of so many it may miss
        assert (verdict == 0) == one_is_left
    assert count < 4 * FIRST


def nets(i):
    return b"action=accept proto=tcp dst4=10.%d.%d.0/24 dstports=%d-%d" % (i >> 8, i & 255, i, i + 9)


def hosts(i):
    return b"action=accept proto=tcp dsthost=host%d.example dstports=443-443" % i


class Names(NoNames):
    def addresses(self, host):
        return (int(host[4:-8]),)


@pytest.mark.parametrize("rule", [nets, hosts])
def test_what_a_decision_costs(figure, rule):
    """None matches: it goes down as far as it can. Ten times the rules do not cost ten times as much."""
    counts = (1, 20, 60, 200, 1000)
    costs = {}
    for count in counts:
        entries = {"%04d" % i: rule(i) for i in range(count)}
        made = matcher.seal(text.parse(dict(entries, policy=b"drop"), A), (), Names())
        made.decide(ipv4.TCP, 0xC0000232, 443, -1, 0)  # names are asked once
        costs[count], decided = bytecodes(made.decide, ipv4.TCP, 0xC0000232, 443, -1, 0)
        assert decided == (False, None)
    figure("deciding with %s %s" % (" / ".join(map(str, counts)), rule.__name__),
           " / ".join(str(costs[count]) for count in counts) + " bytecodes")
    assert costs[60] < 1.5 * costs[20]  # one group of 60
    assert costs[200] < 5 * costs[20] and costs[1000] < 25 * costs[20]


@pytest.mark.parametrize("rule", [nets, hosts])
def test_a_commit_grows_with_its_rules_and_no_faster(rule):
    costs = {}
    for count in (50, 500):
        entries = {"%04d" % i: rule(i) for i in range(count)}
        costs[count], _ = bytecodes(matcher.load, dict(entries, policy=b"drop"), A, (), Names())
    assert costs[500] < 12 * costs[50]


def test_the_count_is_the_same_every_time():
    def work(x):
        return sum(i * x for i in range(100))
    assert len({bytecodes(work, x)[0] for x in (1, 2, 3, 3, 3)}) == 1
    assert bytecodes(work, 2)[1] == 9900
