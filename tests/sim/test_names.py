"""Names in rules, with the whole firewall: what it asks by the uplink, and what it makes of the answers."""
import struct

import pytest
from packets import ACK, FIN, RST, SYN, Look, echo, tcp, udp
from resolvers import FIRST, SECOND, Connection, Question, Zone, questions, reply, segments
from tests.sim.network import Network

A, B = "10.137.0.21", "10.137.0.22"
WEB, OTHER = "192.0.2.50", "192.0.2.60"
HOST = "www.example.org"
BY_NAME = ("action=accept dsthost=%s" % HOST, "action=accept specialtarget=dns")


@pytest.fixture(params=["fast", "slow"])
def net(machine, request):
    with Network(machine=machine, cmdline="" if request.param == "fast" else "fast=off") as net:
        yield net


def leaving(net):
    """What has left by the uplink since last asked, our own questions left out."""
    net.settle()
    found = [Look(octets) for octets in net.left()]
    return [look for look in found if look.proto != 17 or b"example" not in look.data]


def passes(net, client, dst, sport=4000, dport=443):
    """Whether the first packet of a new flow leaves."""
    net.settle()
    client.end.frames.clear()
    client.send(tcp(client.address, sport, dst, dport))
    net.settle()
    left = [look for look in leaving(net) if look.dst == dst]
    assert len(left) < 2
    if not left:
        assert Look(client.recv()).kind == 3  # and it is told so
    return len(left) == 1


def test_a_name_is_asked_for_and_its_addresses_are_let_through(net):
    client = net.client(A, BY_NAME)
    asked = questions(net)
    assert [(each.host, each.kind, each.server) for each in asked] == [(HOST, 1, FIRST)]
    assert not passes(net, client, WEB)
    reply(net, asked[0], asked[0].said(WEB, "192.0.2.51"))
    assert passes(net, client, WEB, 4001) and passes(net, client, "192.0.2.51", 4002)
    assert not passes(net, client, OTHER, 4003)
    assert not questions(net)
    assert net.counters["denied by the rules"] == 2


def test_nothing_is_asked_that_no_attached_clients_rule_has(net):
    client = net.client(A, BY_NAME)
    assert [each.host for each in questions(net)] == [HOST]
    net.detach(client)
    net.advance(60)
    assert not questions(net)
    other = net.client(B, ("action=accept",))
    net.advance(10)
    assert not questions(net)
    net.set_rules(B, ("action=accept dsthost=b.example.org",))
    assert [each.host for each in questions(net)] == ["b.example.org"]
    net.set_rules(B, ("action=drop",))
    net.advance(30)
    assert not questions(net)
    assert other.pings()


def test_behaviour_81_answers_count_only_from_the_asked_server_port_id_and_question(net):
    client = net.client(A, BY_NAME)
    question = questions(net)[0]
    other = Question(question.look, question.message.replace(b"example", b"exemple"))
    reply(net, question, question.said(OTHER), source=SECOND)
    reply(net, question, question.said(OTHER), source="192.0.2.1")
    reply(net, question, question.said(OTHER), sport=54)
    reply(net, question, question.said(OTHER), port=question.port ^ 1)
    reply(net, question, question.said(OTHER, ident=question.ident ^ 1))
    reply(net, question, other.said(OTHER))
    reply(net, question, question.said(OTHER, flags=0x0180))
    reply(net, question, question.said(OTHER), check=0x1234)
    assert not passes(net, client, OTHER)
    reply(net, question, question.said(WEB))
    assert passes(net, client, WEB, 4001) and not passes(net, client, OTHER, 4002)
    reply(net, question, question.said(OTHER))  # late, and to a port that is nobody's
    assert not passes(net, client, OTHER, 4003)


def test_behaviour_82_ports_and_ids_are_random_and_no_flows_own_them(net):
    client = net.client(A, ["action=accept dsthost=h%d.example.org" % i for i in range(60)] + ["action=accept"])
    seen = []
    for _ in range(40):
        net.advance(0.1)
        for question in questions(net):
            seen.append((question.port, question.ident, question.host))
            # a client cannot have the port while the question is open, nor is its answer the client's
            client.send(udp(A, question.port, question.server, 53))
            assert leaving(net)[0].sport != question.port
            reply(net, question, question.said(WEB))
    assert len({host for _, _, host in seen}) == len(seen) == 60
    ports, idents = {port for port, _, _ in seen}, {ident for _, ident, _ in seen}
    assert len(ports) > 55 and len(idents) > 55 and min(ports) >= 1024
    assert max(ports) - min(ports) > 20000 and max(idents) - min(idents) > 20000
    assert not [frame for frame in client.end.frames if b"example" in frame[0]]
    net.advance(1)
    other = net.client(B)
    other.send(udp(B, seen[0][0], SECOND, 5353))
    assert leaving(net)[0].sport == seen[0][0]  # it is free again


def test_behaviour_83_84_nonsense_is_survived_and_the_other_server_asked(net):
    client = net.client(A, BY_NAME)
    loop = b"\xc0\x0c\0\5\0\1\0\0\0\5\0\2\xc0\x0c"
    for records, count in ((b"\xc0" + bytes([60]) + bytes(14), 1), (loop, 1), (b"\xc0\x0c\0\1\0\1\0\0", 1)):
        question = questions(net)[0]
        reply(net, question, question.said(records=records, count=count))
    question = questions(net)[0]
    assert question.server == SECOND
    far = b"\7example\3net\0" + struct.pack(">HHIH", 1, 1, 300, 4) + bytes([192, 0, 2, 60])
    reply(net, question, question.said(records=far + question.said(WEB)[len(question.message):], count=2))
    assert passes(net, client, WEB) and not passes(net, client, OTHER, 4001)


def truncated(net, question):
    """Say that there is more; the SYN that follows."""
    reply(net, question, question.said(OTHER, flags=0x8380))
    found = segments(net)
    assert [look.flags for look in found] == [SYN]
    return found[0]


MANY = ["192.0.2.%d" % i for i in range(1, 65)] + ["198.51.100.%d" % i for i in range(1, 193)]


def test_behaviour_85_a_truncated_answer_is_asked_for_again_over_tcp(net):
    client = net.client(A, BY_NAME)
    syn = truncated(net, questions(net)[0])
    assert syn.dst == FIRST and not passes(net, client, OTHER)
    connection = Connection(net, syn)
    question = connection.question(syn)
    assert question.host == HOST
    connection.answer(question.said(*MANY), pieces=(1, 1, 1000, 1400))
    assert connection.closed
    connection.send(ACK | FIN)
    for i, address in enumerate(MANY):
        assert passes(net, client, address, 5000 + i)
    assert not passes(net, client, "203.0.113.1", 4001)
    net.advance(5)
    assert not segments(net)
    assert net.counters.get("of no flow", 0) == 0


@pytest.mark.parametrize("how", ["silent", "reset", "short", "other", "huge", "again"])
def test_behaviour_85_over_tcp_too_nothing_is_half_used(net, how):
    client = net.client(A, BY_NAME)
    syn = truncated(net, questions(net)[0])
    connection = Connection(net, syn)
    if how == "silent":
        net.advance(4)
        again = segments(net)
        assert len(again) > 1 and {(look.sport, look.flags) for look in again} == {(syn.sport, SYN)}
        net.advance(4)
    elif how == "reset":
        connection.send(RST | ACK)
    else:
        question = connection.question(syn)
        octets = question.said(*MANY)
        if how == "short":
            connection.send(ACK | FIN, struct.pack(">H", len(octets)) + octets[:900])
        elif how == "other":
            connection.answer(question.said(OTHER, ident=question.ident ^ 1))
        elif how == "huge":
            connection.send(ACK, struct.pack(">H", 0xFFFF) + octets)
        else:
            connection.answer(question.said(OTHER, flags=0x8380))
    assert not passes(net, client, OTHER) and not passes(net, client, MANY[0], 4001)
    net.advance(30)
    assert questions(net)  # it is asked for again


def test_a_tcp_answer_out_of_order_and_twice_is_put_together(net):
    client = net.client(A, BY_NAME)
    syn = truncated(net, questions(net)[0])
    connection = Connection(net, syn)
    question = connection.question(syn)
    octets = question.said(*MANY[:100])
    octets = struct.pack(">H", len(octets)) + octets
    start = connection.ours
    connection.send(ACK, octets[1000:], ours=start + 1000)  # comes too early
    connection.send(ACK, octets[:500])
    connection.send(ACK, octets[:700], ours=start)
    connection.ours = start + 700
    connection.send(ACK, octets[600:1000], ours=start + 600)
    connection.ours = start + 1000
    assert not passes(net, client, MANY[0])
    connection.send(ACK | FIN, octets[1000:])
    assert passes(net, client, MANY[99], 4001) and connection.closed


def test_behaviour_86_ttls_are_bounded_and_an_expired_address_admits_nothing_new(net):
    client = net.client(A, BY_NAME)
    zone = Zone(net, {HOST: [WEB]}, ttl=1)
    client.send(tcp(A, 4000, WEB, 443))
    port = leaving(net)[0].sport
    net.uplink.send(tcp(WEB, 443, net.address, port, SYN | ACK))
    client.send(tcp(A, 4000, WEB, 443, ACK))
    net.advance(120)
    assert 3 <= len(zone.asked) <= 7  # every 30 s, a little before: not every second
    zone.names[HOST] = [OTHER]
    net.advance(300)
    assert passes(net, client, OTHER, 4001) and passes(net, client, WEB, 4002)  # the old one for ten minutes
    net.advance(420)
    assert not passes(net, client, WEB, 4003) and passes(net, client, OTHER, 4004)
    # what it admitted goes on, also when it is judged again
    leaving(net)
    net.uplink.send(tcp(WEB, 443, net.address, port, ACK))
    net.client(B, ("action=drop",))
    client.send(tcp(A, 4000, WEB, 443, ACK))
    assert leaving(net)[0].dst == WEB
    net.set_rules(A, BY_NAME)
    client.send(tcp(A, 4000, WEB, 443, ACK))
    assert leaving(net)[0].dst == WEB
    net.set_rules(A, ("action=accept dsthost=other.example.org",))
    net.advance(10)
    leaving(net)
    client.send(tcp(A, 4000, WEB, 443, ACK))
    assert not leaving(net)


def test_behaviour_86_a_long_ttl_is_an_hour(net):
    net.client(A, BY_NAME)
    zone = Zone(net, {HOST: [WEB]}, ttl=1000000)
    net.advance(2400)
    assert len(zone.asked) == 1
    net.advance(1200)
    assert len(zone.asked) == 2


def test_behaviour_87_no_name_opens_a_client_or_us_or_loopback(net):
    client = net.client(A, BY_NAME)
    net.client(B, ("action=accept",))
    net.connected(A, B, "10.137.0.77")
    question = questions(net)[0]
    bad = [B, A, "10.137.0.77", net.address, net.upstream, "127.0.0.1", "0.0.0.0", "0.1.2.3", "169.254.1.1"]
    bad += ["224.0.0.251", "255.255.255.255", "240.0.0.1"]
    reply(net, question, question.said(*bad, WEB))
    assert passes(net, client, WEB)
    for i, address in enumerate(bad):
        client.end.frames.clear()
        client.send(tcp(A, 5000 + i, address, 443))
        net.settle()
        assert not leaving(net), address
    net.detach(net.wires[-1])
    net.connected(A)
    assert not passes(net, client, B, 6000)


def test_behaviour_88_packets_make_no_questions(net):
    client = net.client(A, BY_NAME)
    question = questions(net)[0]
    for i in range(200):
        client.send(tcp(A, 3000 + i, OTHER, 443))
    net.settle()
    assert not questions(net)
    reply(net, question, question.said(WEB))
    for i in range(200):
        client.send(tcp(A, 5000 + i, WEB if i & 1 else OTHER, 443))
    assert len(leaving(net)) == 100
    assert not questions(net)
    # a client is not our resolver, whatever it says it is
    client.send(udp(FIRST, 53, net.address, question.port, question.said(OTHER)))
    client.send(udp(A, 53, net.address, question.port, question.said(OTHER)))
    leaving(net)
    net.advance(1)
    assert not passes(net, client, OTHER, 4002)


def test_behaviour_89_without_an_answer_one_rule_is_dead_and_told_once(net):
    dead = net.client(A, ("action=accept dsthost=dead.example.org", "action=accept dst4=192.0.2.50/32"))
    shut = net.client(B, ("action=drop dsthost=dead.example.org", "action=accept"))
    zone = Zone(net, {"dead.example.org": None})
    net.advance(3600)
    assert 20 < len(zone.asked) < 120  # with longer and longer pauses
    assert not passes(net, dead, OTHER) and passes(net, dead, WEB, 4001)
    assert not passes(net, shut, WEB)
    assert len(net.lines("dead.example.org")) == 1
    zone.names["dead.example.org"] = [OTHER]
    net.advance(330)
    assert passes(net, dead, OTHER, 4002) and passes(net, dead, WEB, 4003)
    assert passes(net, shut, WEB, 4004) and not passes(net, shut, OTHER, 4005)
    assert len(net.lines("dead.example.org")) == 2
    assert dead.pings() and shut.pings()


def test_a_name_that_does_not_exist_matches_nothing_and_harms_no_other_rule(net):
    client = net.client(A, ("action=drop dsthost=gone.example.org", "action=accept dst4=192.0.2.50/32"))
    assert not passes(net, client, WEB)  # not before it is known
    net.settle()
    net.advance(1)
    Zone(net, {"gone.example.org": []})
    net.advance(1)
    assert passes(net, client, WEB, 4001)
    assert net.lines("gone.example.org does not exist")


def test_a_name_with_64_addresses_by_udp(net):
    client = net.client(A, BY_NAME)
    Zone(net, {HOST: MANY[:64]})
    assert all(passes(net, client, address, 5000 + i) for i, address in enumerate(MANY[:64]))


def test_a_dead_server_is_passed_by(net):
    client = net.client(A, BY_NAME)
    first = questions(net)
    net.advance(1.1)
    second = questions(net)
    assert [each.server for each in first + second] == [FIRST, SECOND]
    assert (first[0].port, first[0].ident) != (second[0].port, second[0].ident)
    reply(net, second[0], second[0].said(WEB))
    assert passes(net, client, WEB)


def test_resolvers_change_without_a_restart(net):
    client = net.client(A, BY_NAME)
    question = questions(net)[0]
    net.set_resolvers(["10.139.1.9"])
    net.advance(0.5)
    again = questions(net)
    assert [each.server for each in again] == ["10.139.1.9"]
    reply(net, question, question.said(OTHER))
    reply(net, again[0], again[0].said(WEB))
    assert passes(net, client, WEB) and not passes(net, client, OTHER, 4001)


def test_without_an_uplink_nothing_is_asked_and_then_at_once(machine):
    with Network(machine=machine, uplink=False) as net:
        client = net.client(A, BY_NAME)
        net.advance(100)
        net.netvm(net.address)
        Zone(net, {HOST: [WEB]})
        net.advance(1)
        assert passes(net, client, WEB)


def test_many_names_are_asked_for_in_time_and_level_out(net):
    hosts = ["n%d.example.org" % i for i in range(300)]
    client = net.client(A, ["action=accept proto=tcp dsthost=" + host for host in hosts])
    zone = Zone(net, {host: ["198.51.%d.%d" % (i >> 7, i & 127)] for i, host in enumerate(hosts)}, ttl=86400)
    assert len(zone.asked) <= 8
    net.advance(8)
    assert sorted(zone.asked) == sorted(hosts)
    for i in (0, 150, 299):
        assert passes(net, client, "198.51.%d.%d" % (i >> 7, i & 127), 5000 + i)
    net.detach(client)
    net.advance(30)
    held = net.holdings()
    for _ in range(3):
        client = net.client(A, ["action=accept dsthost=" + host for host in hosts[:50]])
        net.advance(3)
        net.detach(client)
    net.advance(30)
    assert net.holdings() == held


def test_a_dropping_name_is_not_known_yet_and_old_flows_go_on(net):
    """A list whose names are new cuts no connection before they had their time to be answered."""
    client = net.client(A, ("action=accept",))
    client.send(tcp(A, 4000, WEB, 443))
    port = leaving(net)[0].sport
    net.uplink.send(tcp(WEB, 443, net.address, port, SYN | ACK))
    client.send(tcp(A, 4000, WEB, 443, ACK))
    assert len(leaving(net)) == 1
    net.set_rules(A, ("action=drop dsthost=bad.example.org", "action=accept"))
    found = questions(net)
    client.send(tcp(A, 4000, WEB, 443, ACK))
    client.send(tcp(A, 4444, WEB, 443, ACK))  # one that began before we did
    assert not leaving(net)  # shut until it is known
    client.end.frames.clear()
    reply(net, found[0], found[0].said(OTHER))
    for sport in (4000, 4444):
        client.send(tcp(A, sport, WEB, 443, ACK))
        assert len(leaving(net)) == 1
    assert not [each for each in client.end.frames if Look(each[0]).proto == 6]  # no RST
    assert not passes(net, client, OTHER, 4001)
    assert echo and client.pings()
