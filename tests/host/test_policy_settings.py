"""Settings beside the rules, through the judge: pairs, forwards, local networks, the tunnel's end, under flows."""
import pytest
from packets import ACK, RST, SYN, Look, echo, error, fragments, ip, tcp, udp
from scenes import A, B, C, OURS, SERVER, drained, nothing, opened

from firewall import reasons
from firewall.policy import ANY, CLOSED, Policy
from firewall.wire.address import parse4
from tests.network import Network

TCP, UDP = 6, 17
EVERYTHING = (0, 0xFFFFFFFF)
ALWAYS = ((ANY, ANY, ANY),)
RESOLVER, END = "10.139.1.1", "198.51.100.9"
LAN = ("10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "169.254.1.1", "100.64.0.1", "100.127.255.254")
NO_LAN = ("11.0.0.1", "172.15.255.254", "172.32.0.1", "192.167.1.1", "192.169.0.1", "169.253.1.1",
          "100.63.1.1", "100.128.0.1")


def policy(net, **settings):
    """Put a Policy in force, addresses as text."""
    settings["lan"] = [ANY if each == "all" else parse4(each) for each in settings.get("lan", ())]
    settings["shut"] = [parse4(each) for each in settings.get("shut", ())]
    settings["resolvers"] = [parse4(RESOLVER)]
    only = settings.get("only", {})
    settings["only"] = {parse4(client): (proto, parse4(ip), port) for client, (proto, ip, port) in only.items()}
    settings["pairs"] = {(parse4(a), parse4(b)): rows for (a, b), rows in settings.get("pairs", {}).items()}
    forwards = settings.get("forwards", {})
    settings["forwards"] = {proto << 16 | port: (parse4(to[0]),) + to[1:] for (proto, port), to in forwards.items()}
    net.neighbours.set_policy(Policy(**settings))


def forward(proto=TCP, port=8080, to=(A, 80), remotes=EVERYTHING):
    return {"forwards": {(proto, port): to + remotes}}


def refused(wire, frame):
    """It is told so."""
    wire.send(frame)
    look = Look(wire.recv())
    return (look.kind, look.code) == (3, 13)


def passes(net, wire, frame):
    wire.send(frame)
    return net.uplink.recv() is not None


# --- local networks ---


def test_local_networks_are_refused_before_the_rules(net):
    a, b = net.client(A), net.client(B)
    policy(net, lan=[A])
    for dst in LAN:
        for frame in (udp(A, 1, dst, 53), tcp(A, 1, dst, 80), echo(A, dst), ip(A, dst, 47, b"gre")):
            assert refused(a, frame), dst
        nothing(net.uplink)
        assert passes(net, b, udp(B, 1, dst, 53))  # others are not concerned
    a.send(udp(A, 1, "224.0.0.251", 5353))
    nothing(a, net.uplink)
    for dst in NO_LAN + (SERVER,):
        assert passes(net, a, udp(A, 1, dst, 53))
    assert net.judge.counters[reasons.LAN] == 2 * len(LAN) * 2


def test_resolvers_are_excepted_for_name_service_alone(net):
    a = net.client(A)
    policy(net, lan=["all"])
    assert passes(net, a, udp(A, 1, RESOLVER, 53)) and passes(net, a, tcp(A, 1, RESOLVER, 53))
    for frame in (udp(A, 1, RESOLVER, 54), echo(A, RESOLVER), udp(A, 1, "10.139.1.2", 53)):
        assert refused(a, frame)
    net.set_rules(A, ["action=drop"])
    assert refused(a, udp(A, 2, RESOLVER, 53))  # the rules come after it


def test_a_local_network_that_becomes_refused_cuts_its_flows(net):
    a = net.client(A)
    port = opened(net, a, server=LAN[0])
    on = opened(net, a, 4002, server=SERVER)
    policy(net, lan=["all"])
    net.uplink.send(tcp(LAN[0], 80, OURS, port, ACK, b"data"))
    nothing(a)
    a.send(tcp(A, 4001, LAN[0], 80, ACK))
    assert Look(a.recv()).flags == RST
    net.uplink.send(tcp(SERVER, 80, OURS, on, ACK, b"data"))
    assert Look(a.recv()).data == b"data"
    policy(net)
    a.send(tcp(A, 4001, LAN[0], 80, ACK))
    assert net.uplink.recv()


def test_a_pair_that_a_setting_names_is_no_local_network(net):
    a, b = net.client(A), net.client(B)
    policy(net, lan=["all"], pairs={(A, B): ALWAYS})
    a.send(udp(A, 1, B, 7))
    assert Look(b.recv()).dport == 7
    assert refused(b, udp(B, 1, A, 9))


# --- the tunnel's end ---


def test_beside_the_tunnels_end_nothing_passes(net):
    a, b = net.client(A), net.client(B)
    policy(net, only={A: (UDP, END, 51820)}, pairs={(A, B): ALWAYS, (B, A): ALWAYS}, **forward())
    assert passes(net, a, udp(A, 1, END, 51820))
    for frame in (udp(A, 1, END, 51821), tcp(A, 1, END, 51820), echo(A, END), udp(A, 1, RESOLVER, 53),
                  udp(A, 1, SERVER, 51820), udp(A, 1, B, 7), ip(A, END, 47, b"gre")):
        assert refused(a, frame)
    b.send(udp(B, 1, A, 7))
    net.uplink.send(tcp(SERVER, 5, OURS, 8080))
    drained(b)
    nothing(a, net.uplink)
    net.set_rules(A, ["action=drop"])
    assert refused(a, udp(A, 2, END, 51820))  # what the rules do not allow does not pass either


def test_a_tunnels_end_that_is_set_changed_and_removed_under_flows(net):
    a = net.client(A)
    port = opened(net, a)
    a.send(udp(A, 7, END, 51820))
    assert net.uplink.recv()
    policy(net, only={A: (UDP, END, 51820)})
    net.uplink.send(tcp(SERVER, 80, OURS, port, ACK, b"data"))
    nothing(a)
    a.send(tcp(A, 4001, SERVER, 80, ACK, b"data"))
    assert Look(a.recv()).flags == RST
    assert passes(net, a, udp(A, 7, END, 51820))
    policy(net, only={A: (UDP, END, 51821)})
    assert refused(a, udp(A, 7, END, 51820))
    policy(net)
    assert passes(net, a, udp(A, 7, END, 51820)) and passes(net, a, tcp(A, 4001, SERVER, 80))


def test_a_client_that_is_shut_reaches_nothing(net):
    a, b = net.client(A), net.client(B)
    port = opened(net, a)
    for state in (lambda: policy(net, shut=[A], pairs={(B, A): ALWAYS}, **forward()),
                  lambda: net.neighbours.set_policy(CLOSED)):
        state()
        assert refused(a, udp(A, 1, SERVER, 53)) and refused(b, udp(B, 1, A, 53))
        net.uplink.send(tcp(SERVER, 80, OURS, port, ACK, b"data"))
        net.uplink.send(tcp(SERVER, 5, OURS, 8080))
        nothing(a, net.uplink)
    assert refused(b, udp(B, 1, SERVER, 53))


# --- pairs ---


def test_a_pair_goes_one_way_by_its_ports_and_the_senders_rules(net):
    a, b, c = net.client(A), net.client(B), net.client(C)
    policy(net, pairs={(A, B): ((TCP, 80, 90), (UDP, 53, 53))})
    for frame in (tcp(A, 1, B, 80), tcp(A, 1, B, 90), udp(A, 1, B, 53)):
        a.send(frame)
        assert Look(b.recv()).src == A
    for frame in (tcp(A, 1, B, 79), tcp(A, 1, B, 91), udp(A, 1, B, 80), echo(A, B), ip(A, B, 47, b"gre"),
                  tcp(A, 1, C, 80)):
        assert refused(a, frame)
    assert refused(b, tcp(B, 5, A, 80))
    b.send(udp(B, 53, A, 1))
    assert Look(a.recv()).sport == 53  # an answer
    net.set_rules(A, ["action=drop"])
    assert refused(a, udp(A, 1, B, 53))
    nothing(b, c, net.uplink)


def test_a_pair_that_goes_cuts_its_flow(net):
    a, b = net.client(A), net.client(B)
    policy(net, pairs={(A, B): ALWAYS})
    a.send(udp(A, 1, B, 53))
    assert b.recv()
    policy(net, pairs={(A, B): ((TCP, 1, 0xFFFF),)})
    b.send(udp(B, 53, A, 1))
    assert refused(a, udp(A, 1, B, 53))
    nothing(a)


# --- forwards ---


def established(net, a, remote=SERVER, sport=5000, port=8080, inside=80):
    """An inbound TCP connection, with data both ways."""
    net.uplink.send(tcp(remote, sport, OURS, port))
    look = Look(a.recv())
    assert (look.src, look.sport, look.dst, look.dport, look.flags) == (remote, sport, a.address, inside, SYN)
    a.send(tcp(a.address, inside, remote, sport, SYN | ACK))
    look = Look(net.uplink.recv())
    assert (look.src, look.sport, look.dst, look.dport) == (OURS, port, remote, sport)
    net.uplink.send(tcp(remote, sport, OURS, port, ACK, b"question"))
    assert Look(a.recv()).data == b"question"
    a.send(tcp(a.address, inside, remote, sport, ACK, b"answer"))
    assert Look(net.uplink.recv()).data == b"answer"


def test_nothing_comes_in_without_a_forward(net):
    a = net.client(A)
    for frame in (tcp(SERVER, 1, OURS, 8080), udp(SERVER, 1, OURS, 8080), echo(SERVER, OURS)):
        net.uplink.send(frame)
    policy(net, **forward(port=8081))
    for frame in (tcp(SERVER, 1, OURS, 8080), udp(SERVER, 1, OURS, 8081), tcp(SERVER, 1, OURS, 8081, ACK),
                  tcp(SERVER, 1, OURS, 8081, RST)):
        net.uplink.send(frame)
    nothing(a, net.uplink)
    assert net.neighbours.flows.count == 0


def test_a_forward_whatever_the_clients_rules(net):
    a = net.client(A, ["action=drop"])
    policy(net, **forward())
    established(net, a)
    assert refused(a, tcp(A, 81, SERVER, 5000))
    policy(net, **forward(), lan=["all"])  # another change leaves it alone
    net.uplink.send(tcp(SERVER, 5000, OURS, 8080, ACK, b"more"))
    assert Look(a.recv()).data == b"more"
    net.set_rules(A, ["action=drop"])
    a.send(tcp(A, 80, SERVER, 5000, ACK, b"yes"))
    assert Look(net.uplink.recv()).data == b"yes"


def test_udp_and_its_errors_both_ways(net):
    a = net.client(A)
    policy(net, **forward(UDP, 51820, (A, 4000)))
    net.uplink.send(udp(SERVER, 9, OURS, 51820, b"hello"))
    first = Look(a.recv())
    assert (first.dport, first.data) == (4000, b"hello")
    a.send(error(A, SERVER, 3, 3, first.datagram))
    told = Look(net.uplink.recv())
    assert (told.src, told.quote.dst, told.quote.dport) == (OURS, OURS, 51820)
    a.send(udp(A, 4000, SERVER, 9, b"answer"))
    out = Look(net.uplink.recv())
    assert (out.sport, out.dport) == (51820, 9)
    net.uplink.send(error("203.0.113.1", OURS, 3, 1, out.datagram))
    assert Look(a.recv()).quote.sport == 4000
    a.send(udp(A, 4000, "198.51.100.77", 9))  # what it begins from there is known by the same port
    assert Look(net.uplink.recv()).sport == 51820


def test_a_first_datagram_in_pieces(net):
    a = net.client(A)
    policy(net, **forward(UDP, 51820, (A, 4000)))
    for piece in fragments(udp(SERVER, 9, OURS, 51820, b"x" * 1600), 800):
        net.uplink.send(piece)
    assert len(Look(a.recv()).payload) and a.recv()


def test_only_the_remotes_that_it_names(net):
    a = net.client(A)
    policy(net, **forward(remotes=(parse4("192.0.2.0"), parse4("192.0.2.255"))))
    net.uplink.send(tcp("192.0.3.0", 1, OURS, 8080))
    net.uplink.send(tcp("192.0.1.255", 1, OURS, 8080))
    nothing(a, net.uplink)
    established(net, a, "192.0.2.255")


@pytest.mark.parametrize("after", [{}, forward(port=8081), forward(to=(B, 80)), forward(to=(A, 81)), forward(UDP),
                                   forward(remotes=(parse4(END), parse4(END)))])
def test_a_forward_that_goes_or_changes_cuts_its_flows(net, after):
    a, b = net.client(A), net.client(B)
    policy(net, **forward())
    established(net, a)
    policy(net, **after)
    net.uplink.send(tcp(SERVER, 5000, OURS, 8080, ACK, b"more"))
    nothing(a, b, net.uplink)
    assert net.neighbours.flows.count == 0


def test_no_hairpin_and_no_client_as_a_remote(net):
    a, b = net.client(A), net.client(B)
    policy(net, **forward())
    b.send(tcp(B, 1, OURS, 8080))
    assert Look(b.recv()).code == 10
    a.send(tcp(A, 1, OURS, 8080))
    assert Look(a.recv()).code == 10
    net.uplink.send(tcp(B, 1, OURS, 8080))
    net.uplink.send(tcp("224.0.0.1", 1, OURS, 8080))
    net.uplink.send(tcp("250.0.0.1", 1, OURS, 8080))
    nothing(a, b, net.uplink)


def test_nobody_else_gets_a_forwarded_port(net):
    a, b = net.client(A), net.client(B)
    policy(net, forwards={(TCP, 8080): (A, 80) + EVERYTHING, (UDP, 8080): (A, 80) + EVERYTHING})
    for build in (tcp, udp):
        b.send(build(B, 8080, SERVER, 5000))
        assert Look(net.uplink.recv()).sport != 8080
        net.uplink.send(build(SERVER, 5000, OURS, 8080))
        assert Look(a.recv()).dport == 80
    nothing(b)


def test_a_port_that_a_mapping_has_stays_its_own(net):
    """It is nobody's again when both have gone."""
    a, b = net.client(A), net.client(B)
    b.send(udp(B, 8080, SERVER, 5000))
    assert Look(net.uplink.recv()).sport == 8080
    policy(net, **forward(UDP))
    net.uplink.send(udp(SERVER, 5000, OURS, 8080, b"for b"))
    net.uplink.send(udp(END, 5000, OURS, 8080, b"for a"))
    assert Look(b.recv()).data == b"for b" and Look(a.recv()).data == b"for a"
    net.advance(1000)
    assert net.neighbours.flows.count == 0
    b.send(udp(B, 8080, SERVER, 5000))
    assert Look(net.uplink.recv()).sport != 8080
    policy(net)
    net.advance(1000)
    b.send(udp(B, 8080, SERVER, 5000))
    assert Look(net.uplink.recv()).sport == 8080


def test_ports_of_our_own_and_forwards(net):
    nat = net.neighbours.nat
    assert nat.reserve(UDP, 8080) and nat.reserve(TCP, 8080)
    policy(net, forwards={(TCP, 8080): (A, 80) + EVERYTHING, (UDP, 8080): (A, 80) + EVERYTHING})
    assert not nat.reserve(UDP, 8080) and not nat.reserve(TCP, 8080)
    nat.release(UDP, 8080), nat.release(TCP, 8080)
    assert not nat.reserve(UDP, 8080)
    net.netvm("10.138.0.7")
    assert not nat.reserve(UDP, 8080)
    policy(net)
    assert nat.reserve(UDP, 8080) and nat.reserve(TCP, 8080)


def test_a_flow_that_the_client_has_by_another_port_is_not_taken_over(net):
    a = net.client(A)
    a.send(udp(A, 4000, SERVER, 9))
    port = Look(net.uplink.recv()).sport
    policy(net, **forward(UDP, 51820, (A, 4000)))
    net.uplink.send(udp(SERVER, 9, OURS, 51820))
    nothing(a, net.uplink)
    net.uplink.send(udp(SERVER, 9, OURS, port))
    assert a.recv()


def test_a_flood_from_outside_takes_no_flow_that_is_in_use():
    with Network(capacity=64, share=16) as net:
        a, b = net.client(A), net.client(B)
        policy(net, **forward())
        ports = [opened(net, a, 4001 + i) for i in range(8)]
        other = [opened(net, b, 4001 + i) for i in range(8)]
        for i in range(500):
            net.uplink.send(tcp("198.51.100.%d" % (i % 250), i + 1, OURS, 8080))
        drained(a)
        for wire, each in ((a, ports), (b, other)):
            for port in each:
                net.uplink.send(tcp(SERVER, 80, OURS, port, ACK, b"data"))
                assert wire.recv()
        b.send(udp(B, 9, SERVER, 53))
        assert net.uplink.recv()


def test_a_client_that_is_not_there_or_not_named(net):
    policy(net, **forward())
    net.uplink.send(tcp(SERVER, 1, OURS, 8080))
    a = net.client(A)
    established(net, a)
    net.connected(B, only=True)
    net.uplink.send(tcp(SERVER, 5000, OURS, 8080, ACK, b"more"))
    net.uplink.send(tcp(SERVER, 5001, OURS, 8080))
    nothing(a, net.uplink)


def test_limits_of_its_packets_are_those_of_any(net):
    net.client(A, mtu=1000)
    a = net._wires[1]
    policy(net, **forward())
    net.uplink.send(tcp(SERVER, 1, OURS, 8080, ttl=1))
    assert Look(net.uplink.recv()).kind == 11
    net.uplink.send(tcp(SERVER, 1, OURS, 8080, data=b"x" * 1200, fragment=0x4000))
    assert Look(net.uplink.recv()).code == 4
    nothing(a)


def test_a_policy_that_finds_no_memory_ends_what_it_refuses_even_so(net):
    a = net.client(A)
    net.neighbours.set_policy(Policy())
    assert passes(net, a, udp(A, 4001, SERVER, 80))

    def keep(forwards):
        raise MemoryError

    net.neighbours.nat.keep = keep
    with pytest.raises(MemoryError):
        net.neighbours.set_policy(CLOSED)
    assert refused(a, udp(A, 4001, SERVER, 80))
    nothing(net.uplink)
