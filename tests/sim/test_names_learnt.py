"""What a client's own questions teach: answers of our resolvers that pass to it, with the whole firewall."""
import random
import struct

import pytest
from packets import ACK, SYN, Look, fragments, tcp, udp
from resolvers import FIRST, SECOND, Question, questions
from test_names import A, B, HOST, OTHER, WEB, leaving, passes
from tests.sim.network import Network

CDN = "www.shop.example"
RULES = ("action=accept specialtarget=dns", "action=accept dsthost=" + CDN)


@pytest.fixture(params=["fast", "slow"])
def net(machine, request):
    with Network(machine=machine, cmdline="" if request.param == "fast" else "fast=off") as net:
        yield net


def query(ident, host, kind=1):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def ask(net, client, host, sport=5000, ident=77, server=FIRST, message=None):
    """The client asks; the question as it came to the resolver, unchanged."""
    message = message or query(ident, host)
    client.send(udp(client.address, sport, server, 53, message))
    net.settle()
    seen = [look for look in map(Look, net.left()) if look.data == message]
    assert len(seen) == 1 and seen[0].dst == server
    return Question(seen[0], message)


def tell(net, client, question, message, source=None, sport=53):
    """A packet to the port of a question; it comes out at the client unchanged, or not at all: what came."""
    client.end.frames.clear()
    net.uplink.send(udp(source or question.server, sport, net.address, question.port, message))
    net.settle()
    came = [Look(each[0], each[1]) for each in client.end.frames]
    assert [look.data for look in came] in ([message], [])
    return bool(came)


def learn(net, client, host, *addresses, ttl=300, **more):
    question = ask(net, client, host, **more)
    assert tell(net, client, question, question.said(*addresses, ttl=ttl))


def test_the_answer_that_a_client_gets_opens_its_rule_at_once(net):
    client = net.client(A, RULES)
    assert not passes(net, client, OTHER)
    learn(net, client, CDN, OTHER, WEB)
    assert passes(net, client, OTHER, 4001) and passes(net, client, WEB, 4002)
    assert net.tell("name %s %s" % (A, OTHER)) == CDN
    assert net.tell("name %s %s" % (A, "192.0.2.99")) == "" and net.tell("name %s %s" % (B, OTHER)) == ""


def test_every_answer_of_one_flow_is_read(net):
    """A resolver in the client uses one port for all: its flow is in use, and the fast path must not have it."""
    client = net.client(A, RULES)
    for i in range(12):
        learn(net, client, CDN if i & 1 else "x%d.example" % i, "198.51.100.%d" % i, ident=i)
    for i in range(12):
        assert passes(net, client, "198.51.100.%d" % i, 4000 + i) == (i & 1)
        assert net.tell("name %s 198.51.100.%d" % (A, i)) == (CDN if i & 1 else "x%d.example" % i)


def test_questions_that_pass_each_other_in_one_flow(net):
    client = net.client(A, RULES)
    first, second = ask(net, client, "a.example", ident=1), ask(net, client, CDN, ident=2)
    tell(net, client, second, second.said(OTHER))
    tell(net, client, first, first.said("192.0.2.61"))
    assert passes(net, client, OTHER) and not passes(net, client, "192.0.2.61", 4001)


def test_behaviour_88_an_answer_for_another_clients_question_teaches_nothing(net):
    client, other = net.client(A, RULES), net.client(B, RULES)
    question, others = ask(net, client, CDN, ident=5), ask(net, other, "b.example", ident=5)
    assert tell(net, other, others, question.said(OTHER))  # it passes: the client's resolver judges it as well
    assert not passes(net, other, OTHER) and not passes(net, client, OTHER)
    assert tell(net, client, question, question.said(WEB))
    assert passes(net, client, WEB, 4001) and not passes(net, other, WEB, 4001)


@pytest.mark.parametrize(
    "how", ["unasked", "ident", "name", "kind", "truncated", "twice", "late", "broken", "checksum"])
def test_behaviour_88_what_was_not_asked_so_teaches_nothing(net, how):
    client = net.client(A, RULES)
    question = ask(net, client, CDN)
    other = Question(question.look, question.message.replace(b"shop", b"spam"))
    if how == "unasked":
        plain = Question(question.look, query(1, CDN))
        tell(net, client, question, plain.said(OTHER))
    elif how == "ident":
        tell(net, client, question, question.said(OTHER, ident=78))
    elif how == "name":
        tell(net, client, question, other.said(OTHER))
    elif how == "kind":
        asked = ask(net, client, CDN, ident=9, message=query(9, CDN, 28))
        tell(net, client, asked, asked.said(OTHER))
    elif how == "truncated":
        tell(net, client, question, question.said(OTHER, flags=0x8380))
    elif how == "twice":
        tell(net, client, question, question.said(WEB))
        tell(net, client, question, question.said(OTHER))
    elif how == "late":
        net.advance(31)
        tell(net, client, question, question.said(OTHER))
    elif how == "broken":
        tell(net, client, question, question.said(OTHER, WEB)[:-3])
    else:
        net.uplink.send(udp(FIRST, 53, net.address, question.port, question.said(OTHER), check=0x1234))
        net.settle()
    assert not passes(net, client, OTHER)
    assert passes(net, client, WEB, 4001) == (how == "twice")


def test_behaviour_88_a_server_of_the_clients_choice_teaches_nothing(net):
    client = net.client(A, RULES + ("action=accept proto=udp",))
    learn(net, client, CDN, OTHER, server="203.0.113.53", sport=5001)
    assert not passes(net, client, OTHER)
    net.set_resolvers([SECOND])
    learn(net, client, CDN, OTHER, sport=5002)
    assert not passes(net, client, OTHER, 4001)
    learn(net, client, CDN, OTHER, server=SECOND, sport=5003)
    assert passes(net, client, OTHER, 4002)


def test_behaviour_87_no_learnt_name_opens_a_client_or_us(net):
    client = net.client(A, RULES)
    net.client(B, ("action=accept",))
    bad = [B, net.address, net.upstream, "127.0.0.1", "169.254.1.1", "224.0.0.251"]
    learn(net, client, CDN, *bad, WEB)
    assert passes(net, client, WEB)
    for i, address in enumerate(bad):
        client.send(tcp(A, 5000 + i, address, 443))
        assert not leaving(net), address


def test_behaviour_86_what_was_learnt_ends_and_its_flows_go_on(net):
    client = net.client(A, RULES)
    learn(net, client, CDN, OTHER, ttl=1)
    client.send(udp(A, 4000, OTHER, 443))
    port = leaving(net)[0].sport
    net.advance(290)
    assert passes(net, client, OTHER, 4001)  # five minutes at least
    net.uplink.send(udp(OTHER, 443, net.address, port))
    client.send(udp(A, 4000, OTHER, 443))
    assert len(leaving(net)) == 1
    for _ in range(8):
        net.advance(100)
        client.send(udp(A, 4000, OTHER, 443))
        assert len(leaving(net)) == 1
    assert not passes(net, client, OTHER, 4002)
    net.client(B, ("action=drop",))  # all flows are judged again
    client.send(udp(A, 4000, OTHER, 443))
    assert len(leaving(net)) == 1
    net.advance(400)  # it has ended
    net.client("10.137.0.23", ("action=drop",))
    client.send(udp(A, 4000, OTHER, 443))
    assert not leaving(net)


@pytest.mark.parametrize("how", ["netvm", "resolvers"])
def test_what_those_before_have_taught_admits_nothing_new_and_flows_go_on(net, how):
    client = net.client(A, RULES + ("action=accept dst4=10.139.1.9",))
    learn(net, client, CDN, OTHER)
    client.send(udp(A, 4000, OTHER, 443))
    port = leaving(net)[0].sport
    net.uplink.send(udp(OTHER, 443, net.address, port))
    client.recv()
    assert passes(net, client, OTHER, 4001)
    if how == "netvm":
        net.tell("network %s 10.137.0.99" % net.address)
    else:
        net.set_resolvers(["10.139.1.9"])
    net.advance(3)
    leaving(net)
    assert not passes(net, client, OTHER, 4002)
    client.send(udp(A, 4000, OTHER, 443))
    assert [look.sport for look in leaving(net)] == [port]
    learn(net, client, CDN, WEB, server="10.139.1.9" if how == "resolvers" else FIRST)
    assert passes(net, client, WEB, 4003) and not passes(net, client, OTHER, 4004)
    if how == "netvm":
        net.tell("network %s 10.137.0.99" % net.address)  # as it is
    net.advance(3)
    assert passes(net, client, WEB, 4005)


def test_a_drop_rule_has_what_was_learnt_too(net):
    client = net.client(A, ("action=drop dsthost=" + CDN, "action=accept"))
    question = ask_ours(net)
    net.uplink.send(udp(question.server, 53, net.address, question.port, question.said(WEB)))
    assert passes(net, client, OTHER) and not passes(net, client, WEB, 4001)
    learn(net, client, CDN, OTHER)
    assert not passes(net, client, OTHER, 4002)


def ask_ours(net):
    """The firewall's own question."""
    net.settle()
    looks = [Look(octets) for octets in net.left()]
    found = [look for look in looks if look.proto == 17 and look.dport == 53]
    return Question(found[-1], found[-1].data)


def test_switched_off_it_learns_nothing_and_has_forgotten(net):
    client = net.client(A, RULES)
    learn(net, client, CDN, OTHER)
    net.tell("learning off")
    assert not passes(net, client, OTHER)
    learn(net, client, CDN, WEB, ident=78)
    assert not passes(net, client, WEB, 4001) and net.tell("name %s %s" % (A, WEB)) == ""
    net.tell("learning on")
    learn(net, client, CDN, WEB, ident=79)
    assert passes(net, client, WEB, 4002)


def test_wildcards_stand_for_what_the_client_has_learnt(net):
    client = net.client(A, ("action=accept specialtarget=dns", "action=accept dsthost=wild-1.firewall"))
    shut = net.client(B, ("action=drop dsthost=wild-2.firewall", "action=accept"))
    learn(net, client, "a.example.org", WEB)
    assert not passes(net, client, WEB)
    net.tell("wildcards 1=*.example.org 2=bad")
    assert passes(net, client, WEB, 4001) and not passes(net, shut, "192.0.2.9") is False
    for i, (host, good) in enumerate([("b.c.example.org", 1), ("example.org", 0), ("badexample.org", 0), ("x.org", 0)]):
        learn(net, client, host, "198.51.100.%d" % i, ident=i)
        assert passes(net, client, "198.51.100.%d" % i, 4100 + i) == good, host
    assert not passes(net, net.client("10.137.0.23", ("action=accept dsthost=wild-1.firewall",)), WEB, 4002)
    net.tell("wildcards")
    assert not passes(net, client, WEB, 4003) and not passes(net, shut, OTHER, 4004)
    assert not [look for look in leaving(net) if b"firewall" in look.data]  # nobody is asked for it


def test_a_flood_of_names_is_bounded_and_costs_only_its_sender(net):
    client, other = net.client(A, RULES), net.client(B, RULES)
    learn(net, other, CDN, WEB)
    for i in range(1200):
        question = ask(net, client, "n%d.example" % i, sport=5000 + i % 7, ident=i)
        addresses = ["10.%d.%d.%d" % (i >> 8 & 255, i & 255, k) for k in range(30 if i > 900 else 4)]
        net.uplink.send(udp(FIRST, 53, net.address, question.port, question.said(*addresses)))
        if i % 100 == 0:
            assert passes(net, other, WEB, 6000 + i)
    net.settle()
    figures = [int(word) for word in net.tell("learnt").split()]
    assert max(figures[::2]) <= 512 and max(figures[1::2]) <= 4096 and sum(figures) > 1000
    learn(net, client, CDN, OTHER)
    assert passes(net, client, OTHER) and passes(net, other, WEB, 7999)


def test_many_clients_share_what_is_kept(machine):
    with Network(machine=machine) as net:
        clients = [net.client("10.137.1.%d" % i, RULES) for i in range(1, 9)]
        for i in range(300):
            for client in clients:
                question = ask(net, client, "n%d.example" % i, sport=5000 + i % 5, ident=i)
                net.uplink.send(udp(FIRST, 53, net.address, question.port, question.said(
                    *["10.1.%d.%d" % (i & 255, k) for k in range(8)])))
        net.settle()
        figures = [int(word) for word in net.tell("learnt").split()]
        assert sum(figures[::2]) <= 2048 and sum(figures[1::2]) <= 8192
        assert min(figures[::2]) > 64
        for client in clients:
            net.detach(client)
        assert net.tell("learnt") == ""


def mutated(chance, octets):
    octets = bytearray(octets)
    for _ in range(chance.choice((1, 2, 8))):
        at = chance.randrange(len(octets))
        octets[at] = chance.choice((0, 1, 0xC0, 0xFF, chance.randrange(256)))
    return bytes(octets[: chance.choice((12, 60, 9999, 9999))])


def test_ten_thousand_mutated_answers_pass_and_harm_nothing(machine):
    """Through the whole firewall: 5,000 to a client's questions, 5,000 to our own, of which some are answers."""
    chance = random.Random(5)
    with Network(machine=machine) as net:
        client = net.client(A, RULES + ("action=accept dsthost=" + HOST,))
        for i in range(5000):
            if i % 50 == 0:
                client.end.frames.clear()
                question = ask(net, client, CDN, ident=i, sport=5000 + i % 1000)
                good = question.said(OTHER, WEB, *["198.51.100.%d" % k for k in range(10)])
            net.uplink.send(udp(FIRST, 53, net.address, question.port, mutated(chance, good)))
        sent, servers = 0, set()
        while sent < 5000:
            for own in questions(net):
                servers.add(own.server)
                good = own.said(OTHER, WEB)
                for _ in range(50):
                    net.uplink.send(udp(own.server, 53, net.address, own.port, mutated(chance, good)))
                    sent += 1
            net.advance(5)
        net.settle()
        assert client.pings() and servers == {FIRST, SECOND}
        assert net.figures()["failed"] == 0


def test_an_answer_in_pieces_teaches_too(net):
    client = net.client(A, RULES)
    question = ask(net, client, CDN)
    answer = udp(FIRST, 53, net.address, question.port, question.said(*["198.51.100.%d" % i for i in range(100)]))
    for piece in fragments(answer, 800):
        net.uplink.send(piece)
    net.settle()
    assert passes(net, client, "198.51.100.99")


OPT = b"\0\0\x29\x10\0\0\0\0\0\0\x0c\0\x0a\0\x08cookie--"  # of the additional section (RFC 6891): 4,096 octets may come


@pytest.mark.parametrize("n, sizes", [(1, None), (40, None), (80, None), (80, (100, 900)), (80, (42, 1))])
def test_an_answer_of_more_than_512_octets_teaches_too(net, n, sizes):
    """The client's question and the resolver's answer have EDNS records; the frame lies in one page, or in several."""
    client = net.client(A, RULES)
    message = bytearray(query(77, CDN) + OPT)
    message[11] = 1
    question = ask(net, client, CDN, message=bytes(message))
    hosts = ["198.51.100.%d" % i for i in range(n)]
    said = bytearray(question.said(*hosts, message=query(77, CDN)) + OPT)
    said[11] = 1
    frame = udp(FIRST, 53, net.address, question.port, bytes(said))
    client.end.frames.clear()
    net.uplink.end.send(frame, sizes=sizes and sizes + (len(frame) - sum(sizes),))
    net.settle()
    assert [Look(each[0], each[1]).data for each in client.end.frames] == [said]
    assert passes(net, client, hosts[-1]) and passes(net, client, hosts[0], 4001)


def test_what_a_client_asks_over_tcp_teaches_nothing(net):
    """Its rule stays shut: docs/rules.md."""
    client = net.client(A, RULES)
    client.send(tcp(A, 5000, FIRST, 53, SYN))
    port = leaving(net)[0].sport
    net.uplink.send(tcp(FIRST, 53, net.address, port, SYN | ACK))
    asked = query(77, CDN)
    client.send(tcp(A, 5000, FIRST, 53, ACK, len(asked).to_bytes(2, "big") + asked))
    question = Question(leaving(net)[0], asked)
    said = question.said(OTHER)
    net.uplink.send(tcp(FIRST, 53, net.address, port, ACK, len(said).to_bytes(2, "big") + said))
    net.settle()
    assert Look(client.end.frames[-1][0], client.end.frames[-1][1]).data[2:] == said
    assert not passes(net, client, OTHER)
