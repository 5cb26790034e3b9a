"""What is counted: hits of rules, new flows, drops by reason, and the last refusals, alike ones in one row."""
import random

from packets import DF, RST, SYN, echo, tcp, udp

from firewall import reasons
from firewall.accounts import ROWS, Refusals
from firewall.flows.record import CLIENT, KIND, WORDS
from firewall.rules import matcher
from firewall.rules.names import NoNames
from firewall.wire.address import parse4, text4
from tests.network import words

A, B, SERVER, OURS = "10.137.0.21", "10.137.0.22", "192.0.2.50", "10.138.0.2"
RULES = ("action=accept proto=tcp dstports=80-81", "action=drop proto=udp", "action=accept proto=icmp icmptype=8")


def account(net, address):
    return net.neighbours.accounts.by_slot[net.neighbours.clients.by_address[parse4(address)].slot]


def rows(refusals):
    """{(client, destination, protocol, port, reason, rule or -1): count} in the order of their last time."""
    found = {}
    for row in sorted(range(refusals.used), key=lambda row: refusals.changed[row]):
        what, why = refusals.what[row], refusals.why[row]
        key = text4(why >> 24), text4(what >> 24), what >> 16 & 255, what & 0xFFFF
        key += why >> 16 & 255, (why & 0xFFFF) - 1
        assert key not in found
        found[key] = refusals.count[row]
    return found


def test_each_first_packet_is_one_hit_of_its_rule(net):
    client = net.client(A, RULES)
    for port in range(4000, 4007):
        for _ in range(3):
            client.send(tcp(A, port, SERVER, 80, SYN if _ == 0 else 0x10))
    for port in range(2):
        client.send(udp(A, 4000, SERVER, 53))
    client.send(echo(A, SERVER))
    client.send(tcp(A, 4000, SERVER, 22, SYN))
    assert list(account(net, A).hits) == [7, 2, 1, 1]
    assert account(net, A).new_flows == 8 and account(net, A).refused == 3


def test_which_rule_let_a_flow_in_and_when(net):
    client = net.client(A, RULES)
    accounts, flows = net.neighbours.accounts, net.neighbours.flows
    client.send(tcp(A, 4000, SERVER, 81, SYN))
    net.advance(5)
    client.send(echo(A, SERVER))
    found = {}
    for record in range(flows.count):
        found[flows.records[record * WORDS + KIND] & 255] = accounts.rules[record] - 1, accounts.begun[record]
    assert found == {6: (0, net.now - 5000), 1: (2, net.now)}
    net.set_rules(A, {"policy": b"accept"})
    client.send(udp(A, 4000, SERVER, 53))
    assert accounts.rules[2] - 1 == -1
    assert list(account(net, A).hits) == [1]


def test_a_record_that_is_used_again_has_the_new_flows_rule(net):
    client = net.client(A, ("action=accept proto=tcp", "action=drop dst4=192.0.2.9", "action=accept"))
    client.send(udp(A, 4000, SERVER, 53))
    net.advance(600)
    assert net.neighbours.flows.count == 0
    client.send(tcp(A, 4000, SERVER, 53, SYN))
    record = net.neighbours.flows.records
    assert record[KIND] and record[CLIENT]
    assert net.neighbours.accounts.rules[0] - 1 == 0


def test_new_rules_count_from_nothing(net):
    client = net.client(A, RULES)
    client.send(udp(A, 1, SERVER, 2))
    net.set_rules(A, RULES)
    assert list(account(net, A).hits) == [0, 0, 0, 0]
    assert account(net, A).drops[reasons.DENIED] == 1


def test_gaps_and_high_numbers():
    def sealed(*numbers):
        entries = {"%04d" % n: b"action=drop dst4=192.0.2.%d" % (n % 256) for n in numbers}
        return matcher.load(dict(entries, policy=b"accept"), A, (), NoNames())[0]

    assert sealed().count == 0 and len(sealed().hits) == 1
    assert sealed(0, 3).count == 2 and len(sealed(0, 3).hits) == 5
    assert len(sealed(0, 9999).hits) == 4096


def test_rules_with_high_numbers_are_counted_together(net):
    hosts = (("4093", 3), ("4094", 4), ("9999", 9))
    rules = {number: b"action=drop dst4=192.0.2.%d" % host for number, host in hosts}
    client = net.client(A, dict(rules, policy=b"accept"))
    for host in (3, 4, 4, 9, 50):
        client.send(udp(A, 1, "192.0.2.%d" % host, 53))
    hits = account(net, A).hits
    assert (hits[4093], hits[4094], hits[4095], sum(hits)) == (1, 3, 1, 5)
    assert {key[5]: n for key, n in rows(net.neighbours.accounts.refusals).items()} == {4093: 1, 4094: 2, 9999: 1}


def test_what_was_refused_and_why(net):
    a, b = net.client(A, RULES), net.client(B, None)
    for _ in range(4):
        a.send(udp(A, 4000 + _, SERVER, 53))
    a.send(tcp(A, 4000, SERVER, 22, SYN))
    a.send(tcp(A, 4000, B, 80, SYN))
    a.send(echo(A, SERVER, kind=13))
    a.send(udp("10.137.0.99", 1, SERVER, 7))
    a.send(udp(A, 1, OURS, 123))
    b.send(udp(B, 4000, SERVER, 53))
    assert rows(net.neighbours.accounts.refusals) == {
        (A, SERVER, 17, 53, reasons.DENIED, 1): 4,
        (A, SERVER, 6, 22, reasons.DENIED, -1): 1,
        (A, B, 6, 80, reasons.OTHER_CLIENT, -1): 1,
        (A, SERVER, 1, 13, reasons.DENIED, -1): 1,
        (A, SERVER, 17, 0, reasons.SPOOFED, -1): 1,
        (A, OURS, 17, 123, reasons.OURS, -1): 1,
        (B, SERVER, 17, 53, reasons.DENIED, -1): 1,
    }
    assert account(net, A).refused == 9 and account(net, B).refused == 1
    assert account(net, A).drops[reasons.DENIED] == 6


def test_the_rule_of_a_packet_that_was_too_large_is_not_anothers(net):
    """It was let out by a rule, and dropped; what is refused next no rule has asked about."""
    a, b = net.client(A, RULES), net.client(B)
    a.send(tcp(A, 4000, SERVER, 81, SYN, bytes(2000), fragment=DF))
    assert net.counters["larger than the path takes"] == 1 and list(account(net, A).hits) == [1, 0, 0, 0]
    net.connected(A, only=True)
    b.send(udp(B, 4000, SERVER, 53))
    assert rows(net.neighbours.accounts.refusals) == {(B, SERVER, 17, 53, reasons.DENIED, -1): 1}


def test_drops_are_told_by_reason_for_each_neighbour(net):
    a = net.client(A)
    a.send(tcp(A, 1, SERVER, 2, RST))
    a.send(udp(A, 1, SERVER, 2)[:-3])
    net.uplink.send(udp(SERVER, 1, OURS, 2))
    assert {i: n for i, n in enumerate(account(net, A).drops) if n} == {reasons.NO_FLOW: 1, reasons.IP_HEADER: 1}
    assert {i: n for i, n in enumerate(net.neighbours.accounts.by_slot[0].drops) if n} == {reasons.NO_FLOW: 1}
    assert net.neighbours.accounts.refusals.used == 0


def test_all_drops_are_in_the_accounts_of_somebody(net):
    client = net.client(A, RULES)
    draw = random.Random(3)
    frames = [udp(A, 1, SERVER, 2), tcp(A, 1, SERVER, 80, SYN), echo(A, SERVER), udp(SERVER, 2, OURS, 1)]
    for _ in range(600):
        frame = bytearray(draw.choice(frames))
        for _ in range(draw.randrange(4)):
            frame[draw.randrange(len(frame))] = draw.randrange(256)
        draw.choice((client, net.uplink)).send(bytes(frame))
    found = [account(net, A).drops[i] + net.neighbours.accounts.by_slot[0].drops[i] for i in range(reasons.COUNT)]
    assert sum(found) > 100
    assert found[4:] == net.judge.counters[4:] and not any(found[:4])


def test_who_has_a_slot_after_another_begins_at_nothing(net):
    a = net.client(A, RULES)
    a.send(udp(A, 1, SERVER, 2))
    slot = net.neighbours.clients.by_address[parse4(A)].slot
    net.detach(a)
    net.advance(1)
    b = net.client(B, RULES)
    assert net.neighbours.clients.by_address[parse4(B)].slot == slot
    assert account(net, B).refused == 0 and not any(account(net, B).hits)
    b.send(udp(B, 1, SERVER, 2))
    assert sorted(key[0] for key in rows(net.neighbours.accounts.refusals)) == [A, B]


# ---- the table of refusals by itself ----


def note(refusals, slot, number, now=0):
    refusals.note(slot, (number + (1 << 24)) << 24 | 17 << 16 | 53, (10 << 24 | slot) << 24 | reasons.DENIED << 16, now)


def held(refusals):
    found = {}
    for row in range(refusals.used):
        slot = refusals.why[row] >> 24 & 0xFFFFFF
        found[slot] = found.get(slot, 0) + 1
    return found


def test_only_the_last_ones_are_kept():
    refusals = Refusals(words)
    for n in range(3 * ROWS):
        note(refusals, 1, n, n)
    assert refusals.used == ROWS and held(refusals) == {1: ROWS}
    assert sorted(refusals.last)[-100:] == list(range(3 * ROWS - 100, 3 * ROWS))


def test_one_that_is_repeated_stays():
    refusals = Refusals(words)
    for n in range(2000):
        note(refusals, 1, n, n)
        note(refusals, 1, -5, n)
    assert max(refusals.count) == 2000


def test_a_client_that_is_refused_often_pushes_out_nobody_elses():
    refusals = Refusals(words)
    for slot in (2, 3):
        for n in range(20):
            note(refusals, slot, n)
    for n in range(2000):
        note(refusals, 1, n, n)
        note(refusals, 4, n, n)
    found = held(refusals)
    assert found[2] == found[3] == 20 and found[1] + found[4] == ROWS - 40 and min(found[1], found[4]) >= 64


def test_the_table_stays_whole_whatever_comes():
    refusals = Refusals(words)
    draw = random.Random(5)
    noted = 0
    for now in range(6000):
        slot = draw.choice((1, 1, 1, 2, 3, draw.randrange(1, 1000)))
        note(refusals, slot, draw.randrange(1 << draw.randrange(1, 20)), now)
        noted += 1
        if now % 500:
            continue
        by_slot = held(refusals)
        assert {slot: n for slot, n in enumerate(refusals._held) if n} == by_slot
        assert refusals._holders == len(by_slot)
        for slot, n in by_slot.items():
            entry, seen = refusals._firsts[slot], 0
            while entry:
                assert refusals._slot[entry - 1] == slot
                seen += 1
                entry = refusals._table[(entry - 1) * 4 + 3]
            assert seen == n
        entry, seen = refusals._first[0], 0
        while entry:
            seen += 1
            entry = refusals._table[(entry - 1) * 4 + 1]
        assert seen == refusals.used
    assert refusals.serial == noted
