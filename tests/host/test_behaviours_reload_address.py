"""Rows 1 to 11, 14 and 17 to 30 of docs/behaviours.md: failing closed, reloads, addresses; through the whole firewall."""
import pytest
from packets import ACK, FIN, RST, SYN, Look, arp, echo, error, icmp_message, ip, tcp, udp
from scenes import A, B, OURS, SERVER, nothing, opened

from firewall.rules import text as rules_text
from tests.network import CLIENT_MAC, Network

OTHER = "192.0.2.60"


def stream(net, client, server, sport=4001):
    """A TCP connection with data both ways; the port it has outside."""
    port = opened(net, client, sport, server)
    client.send(tcp(client.address, sport, server, 80, ACK, b"data"))
    assert Look(net.uplink.recv()).data == b"data"
    return port


def flows_both_ways(net, client, server, port, sport=4001):
    client.send(tcp(client.address, sport, server, 80, ACK, b"more"))
    net.uplink.send(tcp(server, 80, OURS, port, ACK, b"back"))
    out, back = net.uplink.recv(0), client.recv(0)
    while back and Look(back).proto == 1:  # the client may be told that it is prohibited
        back = client.recv(0)
    return bool(out), bool(back)


# --- failing closed and reload ---


def test_behaviour_01_02_without_rules_nothing_gets_out(net):
    client = net.client(A, None)
    for frame in (tcp(A, 4001, SERVER, 80), udp(A, 4001, SERVER, 53), echo(A, SERVER), ip(A, SERVER, 47, b"gre")):
        client.send(frame)
    nothing(net.uplink)
    net.set_rules(A, ["action=accept"])
    client.send(tcp(A, 4001, SERVER, 80))
    assert net.uplink.recv()


def test_behaviour_02_03_no_entries_and_bad_rules_deny_that_client_alone(net):
    a, b = net.client(A), net.client(B)
    for entries in ({}, ["action=accept", "action=accept bogus=1"], {"policy": b"drop", "x": b"action=accept"}):
        net.set_rules(A, entries)
        assert net.complaint
        a.send(udp(A, 4001, SERVER, 80))
        b.send(udp(B, 4001, SERVER, 80))
        assert Look(net.uplink.recv()).sport == 4001
        nothing(net.uplink)


@pytest.mark.parametrize(
    "text", ["action=accept action=accept", "action=accept dst4=192.0.2.0/24 dst4=192.0.2.0/24"]
)
def test_behaviour_04_duplicated_option_lets_nothing_out(net, text):
    client = net.client(A, [text])
    client.send(udp(A, 1, SERVER, 80))
    nothing(net.uplink)


def test_behaviour_05_two_kinds_of_destination_let_nothing_out(net):
    client = net.client(A, ["action=accept dst4=192.0.2.0/24 dsthost=example.org"])
    client.send(udp(A, 1, SERVER, 80))
    nothing(net.uplink)


def test_behaviour_06_a_list_is_in_force_whole_or_not_at_all(net):
    client = net.client(A, ["action=accept dst4=%s/32" % SERVER])
    with pytest.raises(rules_text.RuleError):
        rules_text.parse({"policy": b"drop", "0000": b"action=accept", "0001": b"action=maybe"}, A)
    client.send(udp(A, 1, OTHER, 80))  # the half that was understood is not in force
    nothing(net.uplink)
    client.send(udp(A, 1, SERVER, 80))
    assert net.uplink.recv()


def test_behaviour_07_tree_removed_without_commit_widens_nothing(net):
    """Removal alone calls nothing here; removal and commit leave no policy, which denies all."""
    client = net.client(A, ["action=accept dst4=%s/32" % SERVER])
    net.set_rules(A, {})
    for server in (SERVER, OTHER):
        client.send(udp(A, 1, server, 80))
    nothing(net.uplink)


def test_behaviour_08_09_denied_flow_stops_both_ways_the_other_goes_on(net):
    client = net.client(A)
    stopped, on = stream(net, client, SERVER), stream(net, client, OTHER)
    net.set_rules(A, ["action=drop dst4=%s/32" % SERVER, "action=accept"])
    assert flows_both_ways(net, client, SERVER, stopped) == (False, False)
    assert flows_both_ways(net, client, OTHER, on) == (True, True)
    assert net.neighbours.flows.count == 1


def test_behaviour_08_inbound_alone_is_stopped_too(net):
    client = net.client(A)
    port = stream(net, client, SERVER)
    net.set_rules(A, ["action=drop"])
    net.uplink.send(tcp(SERVER, 80, OURS, port, ACK, b"back"))
    nothing(client, net.uplink)


def test_behaviour_10_unchanged_list_cuts_no_flow(net):
    client = net.client(A)
    ports = [(server, stream(net, client, server)) for server in (SERVER, OTHER)]
    for _ in range(5):
        net.set_rules(A, ["action=accept"])
        for server, port in ports:
            assert flows_both_ways(net, client, server, port) == (True, True)


def test_behaviour_11_a_rule_that_expired_is_a_reload(net):
    """dom0 leaves the rule out and commits."""
    client = net.client(A, {"policy": b"drop", "0000": b"action=accept dst4=192.0.2.50/32", "0002": b"action=accept dst4=192.0.2.60/32"})
    gone, on = stream(net, client, SERVER), stream(net, client, OTHER)
    net.set_rules(A, {"policy": b"drop", "0002": b"action=accept dst4=192.0.2.60/32"})
    assert flows_both_ways(net, client, SERVER, gone) == (False, False)
    assert flows_both_ways(net, client, OTHER, on) == (True, True)


def test_behaviour_14_a_full_table_refuses_new_flows_and_keeps_judging():
    with Network(capacity=16) as net:
        client = net.client(A)
        ports = [stream(net, client, SERVER, 5000 + i) for i in range(16)]
        client.send(tcp(A, 6000, SERVER, 80))
        nothing(net.uplink)
        assert (Look(client.recv()).kind, net.counters["flow limit"]) == (3, 1)
        for i, port in enumerate(ports):
            assert flows_both_ways(net, client, SERVER, port, 5000 + i) == (True, True)


# --- address truth ---


@pytest.mark.parametrize("source", [B, "10.137.0.20", OURS, SERVER, "0.0.0.0"])
def test_behaviour_17_other_source_than_the_clients_is_dropped(net, source):
    client, other = net.client(A), net.client(B)
    for frame in (tcp(source, 1, SERVER, 80), udp(source, 1, SERVER, 80), echo(source, SERVER), echo(source, OURS)):
        client.send(frame)
    nothing(client, other, net.uplink)
    assert net.neighbours.flows.count == 0


def test_behaviour_18_a_clients_address_from_the_uplink_is_dropped(net):
    client, other = net.client(A), net.client(B)
    net.connected("10.137.0.99")
    net.allow((A, B))
    client.send(udp(A, 7, B, 7))  # a flow that the uplink may want to inject into
    assert other.recv()
    for source in (A, B, "10.137.0.99", OURS):
        for destination in (OURS, A, B):
            net.uplink.send(udp(source, 7, destination, 7))
            net.uplink.send(echo(source, destination))
    nothing(client, other, net.uplink)


def test_behaviour_18_even_in_answer_to_a_flow_from_before_it_was_a_client(net):
    client = net.client(A)
    client.send(udp(A, 7, "10.137.0.99", 7))
    answer = udp("10.137.0.99", 7, OURS, Look(net.uplink.recv()).sport)
    net.uplink.send(answer)
    assert client.recv()
    net.connected("10.137.0.99")
    net.uplink.send(answer)
    nothing(client)
    assert net.counters["source of ours from the uplink"] == 1


def test_behaviour_19_ethernet_source_means_nothing(net):
    client, other = net.client(A), net.client(B)
    frame = udp(A, 7, SERVER, 7)
    client.send(frame[:6] + b"\x02\x11\x22\x33\x44\x55" + frame[12:])
    seen = Look(net.uplink.recv())
    net.uplink.send(udp(SERVER, 7, OURS, seen.sport))
    assert client.recv()[:6] == CLIENT_MAC  # from xenstore, nothing was learnt
    nothing(other)


def test_behaviour_20_arp_moves_nobodys_packets(net):
    client, other = net.client(A), net.client(B)
    evil = b"\x02\x11\x22\x33\x44\x55"
    for oper in (1, 2):
        for sender, asked in ((B, B), (B, A), (A, A), (OURS, OURS), (B, OURS), ("10.138.0.1", A)):
            client.send(arp(oper, evil, sender, asked))
            nothing(client, other, net.uplink)
    other.send(udp(B, 7, SERVER, 7))
    seen = net.uplink.recv()
    assert seen[:6] == b"\xfe\xff\xff\xff\xff\xff"
    net.uplink.send(udp(SERVER, 7, OURS, Look(seen).sport))
    assert other.recv()[:6] == CLIENT_MAC
    nothing(client)


def test_behaviour_21_arp_of_wrong_length_or_type_is_ignored(net):
    client = net.client(A)
    good = arp(1, CLIENT_MAC, A, OURS)
    for cut in range(14, len(good)):
        client.send(good[:cut])
    for at, value in ((14, 9), (15, 6), (16, 0x86), (18, 8), (19, 16), (21, 9), (21, 0)):
        client.send(good[:at] + bytes([value]) + good[at + 1 :])
    nothing(client, net.uplink)
    client.send(good + bytes(18))  # padding is no fault
    assert client.recv()[20:22] == b"\x00\x02"


@pytest.mark.parametrize("source", ["0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"])
def test_behaviour_22_sources_nobody_has_are_dropped(net, source):
    client = net.client(A)
    client.send(udp(source, 1, SERVER, 80))
    client.send(echo(source, OURS))
    net.uplink.send(udp(source, 1, OURS, 80))
    net.uplink.send(echo(source, OURS))
    nothing(client, net.uplink)
    assert net.counters["source address nobody has"] == 4


@pytest.mark.parametrize("destination", ["127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3"])
def test_behaviour_23_loopback_and_zero_are_no_destinations(net, destination):
    client = net.client(A)
    for frame in (udp(A, 1, destination, 80), tcp(A, 1, destination, 80), echo(A, destination)):
        client.send(frame)
    nothing(client, net.uplink)


@pytest.mark.parametrize("destination", ["240.0.0.1", "255.255.255.254", "250.1.2.3"])
def test_reserved_destinations_are_forwarded(net, destination):
    """240/4 but for the broadcast, as Linux does: networks inside use them. The rules decide."""
    client = net.client(A, ["action=accept dst4=240.0.0.0/4"])
    for frame, answer in (
        (udp(A, 1, destination, 80), udp(destination, 80, OURS, 1)),
        (tcp(A, 1, destination, 80), tcp(destination, 80, OURS, 1, flags=0x12)),
        (echo(A, destination, 7), echo(destination, OURS, 7, kind=0)),
    ):
        net.uplink.send(answer)  # of nothing yet
        nothing(client, net.uplink)
        client.send(frame)
        assert Look(net.uplink.recv()).dst == destination
        net.uplink.send(answer)
        assert Look(client.recv()).src == destination
    assert net.counters["source address nobody has"] == 3
    net.set_rules(A, ["action=accept dst4=192.0.2.0/24"])
    client.send(udp(A, 2, destination, 80))
    assert Look(client.recv()).code == 13
    net.uplink.send(udp(SERVER, 80, destination, 1))
    nothing(client, net.uplink)


def test_behaviour_24_land_is_dropped(net):
    client = net.client(A)
    client.send(tcp(A, 80, A, 80))
    net.uplink.send(tcp(OURS, 80, OURS, 80))
    nothing(client, net.uplink)
    assert net.counters["source equal to destination"] == 2


def test_behaviour_25_to_the_firewall_ping_is_answered_and_the_rest_refused(net):
    """With host prohibited (3/10), as Linux' sys-firewall does, for silence makes programs wait."""
    client = net.client(A)
    refused = [tcp(A, 1, OURS, 22), tcp(A, 1, OURS, 8082, ACK, b"data"), udp(A, 1, OURS, 53), udp(A, 1, OURS, 5351),
               udp(A, 68, OURS, 67), ip(A, OURS, 47, b"gre"), ip(A, OURS, 6, tcp(A, 1, OURS, 22)[34:], options=bytes(4))]
    for frame in refused:
        client.send(frame)
        told = Look(client.recv())
        assert (told.src, told.dst, told.kind, told.code, told.data) == (OURS, A, 3, 10, frame[14:])
    assert net.counters == {"to the firewall itself": len(refused)}
    silent = [udp(A, 67, OURS, 68), echo(A, OURS, kind=13), echo(A, OURS, kind=0), ip(A, OURS, 1, icmp_message(17, 0, 0, bytes(4)))]
    silent += [tcp(A, 1, OURS, 22, flags) for flags in (SYN | ACK, RST, RST | ACK, FIN | ACK)]
    silent += [error(A, OURS, 3, 3, udp(OURS, 1, A, 1)[14:])]
    for frame in silent:
        client.send(frame)
    nothing(client, net.uplink)
    assert net.counters == {"to the firewall itself": len(refused) + len(silent)}
    net.advance(1)
    for port in range(1, 200):
        client.send(udp(A, port, OURS, 53))
    assert sum(client.recv(0) is not None for _ in range(200)) == 50
    net.advance(1)
    client.send(echo(A, OURS, ident=7, seq=3, data=b"anyone?"))
    pong = Look(client.recv())
    assert (pong.src, pong.dst, pong.kind, pong.echo_id, pong.seq, pong.data) == (OURS, A, 0, 7, 3, b"anyone?")
    client.send(echo(A, OURS, data=bytes(3000)))  # cut again on the way back
    assert [Look(client.recv()).total for _ in range(3)] == [1500, 1500, 68]
    for frame in (echo(SERVER, OURS), tcp(SERVER, 1, OURS, 22), udp(SERVER, 1, OURS, 53), ip(SERVER, OURS, 47, b"gre")):
        net.uplink.send(frame)  # from outside we are silent, as Linux' sys-firewall
    nothing(client, net.uplink)


def test_behaviour_26_client_to_client_is_refused(net):
    a, b = net.client(A), net.client(B)
    a.send(tcp(A, 4001, B, 80))
    told = Look(a.recv())
    assert (told.kind, told.code, told.src) == (3, 13, OURS)
    nothing(b, net.uplink)


def test_behaviour_27_an_allowed_pair_goes_one_way_and_by_the_senders_rules(net):
    a, b = net.client(A, ["action=accept dst4=%s/32 proto=tcp dstports=80-80" % B]), net.client(B)
    net.allow((A, B))
    b.send(tcp(B, 80, A, 4001))  # the pair is not allowed this way round
    assert Look(b.recv()).code == 13
    nothing(a)
    a.send(tcp(A, 4001, B, 81))  # nor this by the rules
    assert Look(a.recv()).code == 13
    a.send(tcp(A, 4001, B, 80))
    seen = Look(b.recv())
    assert (seen.src, seen.sport, seen.dst, seen.dport, seen.ttl) == (A, 4001, B, 80, 63)
    b.send(tcp(B, 80, A, 4001, SYN | ACK))
    assert Look(a.recv()).src == B
    net.allow()
    a.send(tcp(A, 4001, B, 80, ACK))
    nothing(b, net.uplink)


def test_behaviour_28_identity_is_the_links(net):
    a, b = net.client(A, ["action=drop"]), net.client(B)
    a.send(udp(B, 1, SERVER, 80))
    nothing(a, b, net.uplink)
    b.send(udp(B, 1, SERVER, 80))
    assert net.uplink.recv()


@pytest.mark.parametrize("address", ["192.168.5.7", "172.16.0.9", "100.64.0.1", "1.2.3.4"])
def test_behaviour_29_any_client_address_is_served(net, address):
    client = net.client(address, ["action=accept dst4=%s/32" % SERVER])
    port = stream(net, client, SERVER)
    assert flows_both_ways(net, client, SERVER, port) == (True, True)
    client.send(udp(address, 1, OTHER, 80))
    assert Look(client.recv()).code == 13
    nothing(net.uplink)


def test_behaviour_30_an_address_used_again_has_nothing_of_the_old_one(net):
    old = net.client(A)
    port = stream(net, old, SERVER)
    old.send(udp(A, 9, SERVER, 9))
    assert net.uplink.recv()
    net.detach(old)
    new = net.client(A, None)
    net.uplink.send(tcp(SERVER, 80, OURS, port, ACK, b"secret"))
    net.uplink.send(udp(SERVER, 9, OURS, 9))
    new.send(tcp(A, 4001, SERVER, 80, ACK, b"data"))
    new.send(udp(A, 9, SERVER, 9))
    assert Look(new.recv()).code == 13  # no rules yet
    nothing(new, net.uplink)
    net.advance(1)
    assert net.neighbours.flows.count == 0


def test_behaviour_30_a_pair_ends_with_either_of_its_clients(net):
    a, b = net.client(A), net.client(B)
    net.allow((A, B))
    a.send(udp(A, 7, B, 7))
    assert b.recv()
    net.detach(b)
    net.connected(B)
    a.send(udp(A, 7, B, 7))
    nothing(net.uplink)  # an address of a client that is away is none of the uplink's business
    assert Look(a.recv()).code == 13
    b = net.client(B)
    b.send(udp(B, 7, A, 7))
    assert Look(b.recv()).code == 13
    nothing(a)
    a.send(udp(A, 7, B, 7, data=b"new"))
    assert Look(b.recv()).data == b"new"
