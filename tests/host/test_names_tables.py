"""What is known of names, without any network: bounds, times, what rules make of it. Time is in ms."""
import random
import sys

import pytest

from firewall.names import dns
from firewall.names.learnt import Learnt
from firewall.names.names import Names
from firewall.names.table import FOR_EVER, Table
from firewall.rules import matcher, text as rules_text
from firewall.rules.names import NoNames
from steps import at_once

S = 1000
CLIENT, OTHER = 0x0A890015, 0x0A890016


def octets(seed=1):
    return random.Random(seed).randbytes


@pytest.fixture
def table():
    made = Table(octets(), lambda text: made.lines.append(text))
    made.lines = []
    return made


def addresses(n, first=0x0B000000, ttl=60):
    return [(first + i, ttl) for i in range(n)]


def test_a_name_has_at_most_256_addresses_the_latest(table):
    table.use("a", 0)
    table.settle("a", addresses(200, ttl=3000), 0)
    table.settle("a", addresses(100, 0x0C000000, ttl=3600), 1)
    found = table.names["a"].admits(2)
    assert len(found) == 256 == table.addresses and set(range(0x0C000000, 0x0C000064)) < set(found)


def test_all_names_share_8192_addresses_and_1024_places(table):
    for i in range(1030):
        assert table.use("n%d" % i, 0) == (i < 1024)
    assert len(table.lines) == 1
    for i in range(60):
        table.settle("n%d" % i, addresses(250, i << 16 | 0x0B000000), 0)
    assert table.addresses == 8192 == sum(len(name.found) for name in table.names.values())
    for i in range(1024):
        table.leave("n%d" % i)
    assert table.addresses == 0 and not table.names


def test_a_name_is_asked_again_before_its_ttl_ends_and_failures_ever_later(table):
    table.use("a", 0)
    for ttl, least, most in ((1, 22, 27), (400, 299, 351), (99999, 2699, 3151)):
        table.settle("a", addresses(1, ttl=ttl), 0)
        assert least * S <= table.names["a"].due <= most * S
    pauses = []
    for _ in range(10):
        table.settle("a", dns.FAILED, 0)
        pauses.append(table.names["a"].due // S)
    assert pauses[0] in (5, 6) and pauses == sorted(pauses) and 300 <= pauses[-1] <= 301
    assert table.names["a"].admits(599 * S) and table.names["a"].admits(3600 * S) is None
    assert len(table.lines) == 1
    table.soon()
    assert at_once(table.due(0, 9)) == [table.names["a"]]


def test_it_does_not_exist_is_believed_for_a_while(table):
    table.use("a", 0)
    assert table.names["a"].admits(0) is None
    table.settle("a", dns.NONE, 0)
    assert table.names["a"].admits(0) == ()
    for _ in range(2):
        table.settle("a", dns.FAILED, 0)
    assert table.names["a"].admits(0) == ()
    epoch = table.epoch
    table.settle("a", dns.FAILED, 0)
    assert table.names["a"].admits(0) is None and table.epoch != epoch


def test_the_epoch_changes_when_an_address_comes_or_becomes_past_and_not_else(table):
    table.use("a", 0)
    table.settle("a", addresses(1), 0)
    before = table.epoch
    table.settle("a", addresses(1), 100 * S)
    assert at_once(table.tick(600 * S, False)) == 700 * S and table.epoch == before
    assert at_once(table.tick(700 * S, False)) == FOR_EVER and table.epoch != before
    past = set()
    list(table.past(700 * S, past))
    list(table.prune(past, past, 700 * S))
    assert table.addresses == 1
    list(table.prune(past, set(), 700 * S))
    assert table.addresses == 0


def counted(learnt):
    found = sum(len(known.found) for known in learnt.hosts.values())
    assert learnt.addresses == found <= 4096 and len(learnt.hosts) <= 512
    assert set(learnt.by_address.values()) <= set(learnt.hosts)
    return len(learnt.hosts), found


def test_what_one_client_learns_is_bounded_whatever_comes():
    chance = random.Random(3)
    learnt = Learnt()
    for i in range(6000):
        host = "n%d" % (chance.randrange(2000) if i & 1 else chance.randrange(20))
        learnt.learn(host, addresses(chance.choice((1, 3, 40, 300)), chance.randrange(1 << 20) << 8), i * S)
        if i % 100 == 0:
            counted(learnt)
            learnt.forget_oldest()
    assert counted(learnt)[1] > 2000


def test_a_single_name_can_fill_no_more_than_its_part():
    learnt = Learnt()
    for i in range(100):
        learnt.learn("a", addresses(256, i << 8), i)
    assert counted(learnt) == (1, 256)
    learnt.forget_oldest("a")
    assert counted(learnt) == (1, 256)
    learnt.forget_oldest()
    assert counted(learnt) == (0, 0)


def test_names_in_use_outlive_a_flood():
    learnt = Learnt()
    for i in range(2000):
        learnt.learn("n%d" % i, addresses(2, i << 4), i)
        learnt.learn("used", addresses(1, 5), i)
    assert "used" in learnt.hosts and counted(learnt)[0] == 512 and "n1999" in learnt.hosts and "n0" not in learnt.hosts


class Ways:
    def port(self, proto, server):
        return 4000

    def release(self, proto, port):
        pass

    def datagram(self, port, server, message):
        Ways.message = message

    def segment(self, *what):
        pass


def rule_list(view, *texts):
    entries = {"%04d" % i: text.encode() for i, text in enumerate(texts)}
    entries["policy"] = b"drop"
    return matcher.seal(rules_text.parse(entries, "10.137.0.21"), (1, 2), view)


@pytest.fixture
def names():
    made = Names(Ways(), octets(), lambda text: None)
    made.attached(CLIENT)
    return made


def in_force(names, *texts, now=0):
    rules = rule_list(names.of(CLIENT), *texts)
    names.in_force(CLIENT, rules, now)
    return rules


def test_flows_that_a_name_admitted_go_on_and_no_others(names):
    rules = in_force(
        names, "action=accept dsthost=a.example proto=tcp", "action=drop dsthost=b.example",
        "action=accept dst4=7.0.0.0/8")
    names.table.settle("a.example", [(5, 60)], 0)
    assert rules.decide(6, 5, 443, -1, 0) == (True, 0)
    names.tick(700 * S)
    assert rules.decide(6, 5, 443, -1, 700 * S)[0] is False
    assert rules.still(6, 5, 443, -1) and not rules.still(17, 5, 443, -1) and not rules.still(6, 6, 443, -1)
    # b.example never had an answer: it is as if it had every address, for flows that there are as well
    assert not rules.decide(6, 0x07000001, 1, -1, 700 * S)[0] and not rules.still(6, 0x07000001, 1, -1)
    names.table.settle("b.example", [(9, 60)], 700 * S)
    assert rules.decide(6, 0x07000001, 1, -1, 700 * S) == (True, 2)
    names.tick(1400 * S)
    assert not rules.decide(6, 0x07000001, 1, -1, 1400 * S)[0] and rules.still(6, 0x07000001, 1, -1)


def test_a_list_waits_for_first_answers_for_five_seconds(names):
    rules = in_force(names, "action=drop dsthost=b.example", "action=accept", now=S)
    assert rules.waiting()
    names.tick(5 * S)
    assert rules.waiting()
    names.tick(6 * S)
    assert not rules.waiting()
    other = in_force(names, "action=drop dsthost=c.example", now=7 * S)
    names.table.settle("c.example", dns.NONE, 7 * S)
    assert not other.waiting() and not rule_list(NoNames(), "action=accept dsthost=x.example").waiting()


def test_what_tables_of_lists_hold_is_bounded_and_shut_beyond(names):
    hosts = ["h%d.example" % i for i in range(40)]
    rules = in_force(names, *["action=accept dsthost=" + host for host in hosts])
    shut = rule_list(names.of(CLIENT), *["action=drop dsthost=" + host for host in hosts], "action=accept")
    names.room = lambda: 1000
    for i, host in enumerate(hosts):
        names.table.settle(host, addresses(100, i << 16), 0)
    allowed = sum(rules.decide(6, i << 16 | k, 1, -1, 0)[0] for i in range(40) for k in range(100))
    assert allowed == 1000
    assert not shut.decide(6, 0x7F000001, 1, -1, 0)[0]
    assert len(rules._named[0].by_address) == 1000


def test_room_is_shared_by_clients_whose_rules_have_names(names):
    assert names.room() == 8192
    for i in range(8):
        names.attached(i)
        names.in_force(i, rule_list(names.of(i), "action=accept dsthost=a.example"), 0)
    names.attached(99)
    assert names.room() == 4096 and names.table.names["a.example"].users == 8
    for i in range(8):
        names.detached(i)
    assert not names.table.names


@pytest.mark.parametrize("pattern, good", [
    ("*.example.org", True), ("example.org", True), ("*", False), ("*.", False), ("", False), ("*.*.org", False),
    ("a.*", False), ("*.Example.org", False), (".example.org", False), ("*.example.org.", False), ("*..org", False),
])
def test_wildcards_that_are_none_stand_for_nothing(names, pattern, good):
    in_force(names, "action=accept dsthost=wild-7.firewall")
    names.set_wildcards({7: pattern})
    assert (names.of(CLIENT).addresses("wild-7.firewall") == ()) == good
    assert (names.of(CLIENT).addresses("wild-7.firewall") is None) == (not good)
    assert names.of(CLIENT).addresses("wild-8.firewall") is None


def learn(names, host, address, now):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
    asked = b"\0\7\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
    names.asked(CLIENT, 3, asked, now)
    answer = asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"
    assert names.heard(CLIENT, 3, answer + address.to_bytes(4, "big"), now)


def test_what_was_learnt_before_its_wildcard_becomes_past_too(names):
    rules = in_force(names, "action=accept dsthost=wild-7.firewall")
    learn(names, "a.example.org", 0x07000001, S)
    assert not rules.decide(6, 0x07000001, 1, -1, S)[0]
    names.set_wildcards({7: "*.example.org"})
    assert rules.decide(6, 0x07000001, 1, -1, S)[0]
    assert names.tick(2 * S) <= 301 * S
    names.tick(302 * S)
    assert not rules.decide(6, 0x07000001, 1, -1, 302 * S)[0] and rules.still(6, 0x07000001, 1, -1)


@pytest.mark.parametrize("resolvers, netvm, ends", [
    ((7,), 8, True), ((1, 3), 8, True), ((1, 2), 9, True),
    ((1, 2), 8, False), ((1, 2, 3), 8, False), ((2, 1), 8, False),
])
@pytest.mark.parametrize("pause", [0, 99])
def test_what_others_have_taught_admits_nothing_new_when_they_answer_no_longer(names, resolvers, netvm, ends, pause):
    names.set_resolvers((1, 2))
    names.set_up(True, 8)
    rules = in_force(names, "action=accept dsthost=a.example proto=tcp", "action=accept dsthost=wild-7.firewall")
    names.set_wildcards({7: "*.example.org"})
    names.tick(S)
    names.table.settle("a.example", [(0x07000001, 3600)], S)
    learn(names, "b.example.org", 0x07000002, S)
    assert rules.decide(6, 0x07000001, 1, -1, S)[0] and rules.decide(6, 0x07000002, 1, -1, S)[0]
    names.set_up(False)
    names.tick((1 + pause) * S)
    names.set_resolvers(resolvers)
    names.set_up(True, netvm)
    names.tick(101 * S)
    admits = [rules.decide(6, address, 1, -1, 101 * S)[0] for address in (0x07000001, 0x07000002)]
    assert admits == [not ends] * 2
    # what they admitted lives on
    assert rules.still(6, 0x07000001, 1, -1) and rules.still(6, 0x07000002, 1, -1)
    assert [question.host for question in names.questions.open] == ["a.example"] * ends
    names.table.settle("a.example", [(0x07000003, 3600)], 101 * S)
    learn(names, "b.example.org", 0x07000004, 101 * S)
    admits = [rules.decide(6, 0x07000000 + n, 1, -1, 101 * S)[0] for n in (1, 2, 3, 4)]
    assert admits == [not ends, not ends, True, True]
    past = list(names.past(102 * S))[-1]
    assert [address in past for address in (0x07000001, 0x07000002)] == [ends] * 2 and len(past) == 2 * ends
    list(names.prune(past, set(), 102 * S))
    assert names.table.addresses == len(names.table.names["a.example"].found) == 2 - ends


def test_a_list_whose_names_others_knew_waits_again(names):
    names.set_resolvers((1,))
    rules = in_force(names, "action=drop dsthost=b.example", "action=accept")
    names.table.settle("b.example", [(9, 60)], 0)
    assert not rules.waiting() and rules.decide(6, 8, 1, -1, 0)[0]
    names.set_resolvers((2,))
    names.tick(100 * S)
    assert rules.waiting() and not rules.decide(6, 8, 1, -1, 100 * S)[0]
    names.tick(106 * S)
    assert not rules.waiting()


def test_a_flow_to_what_a_dropped_name_had_ends_also_while_it_has_no_answer(names):
    in_force(names, "action=drop dsthost=b.example")
    names.table.settle("b.example", [(9, 60)], 0)
    names.tick(700 * S)
    rules = in_force(names, "action=drop dsthost=b.example", "action=accept", now=700 * S)
    assert not rules.decide(6, 9, 1, -1, 700 * S)[0] and not rules.still(6, 9, 1, -1)
    assert not rules.decide(6, 8, 1, -1, 700 * S)[0] and rules.still(6, 8, 1, -1)


def test_a_name_whose_answer_found_no_memory_is_asked_for_again(names):
    in_force(names, "action=accept dsthost=a.example")
    names.set_resolvers([1])
    names.set_up(True)
    names.tick(0)
    assert names.table.names["a.example"].asking

    def ignored(_):
        raise MemoryError

    names.ignored, before = ignored, names.ignored
    question = names.questions.open[0]
    answer = question.ident.to_bytes(2, "big") + b"\x81\x80\0\1\0\1\0\0\0\0" + Ways.message[12:]
    answer += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\7\0\0\1"
    with pytest.raises(MemoryError):
        names.questions.datagram(4000, 1, answer, S)
    names.ignored = before
    names.tick(2 * S)
    assert [each.host for each in names.questions.open] == ["a.example"]


def test_a_drop_rule_that_finds_no_room_for_what_was_learnt_is_shut(names):
    """Also where a part of that stands in the table already."""
    names.room = lambda: 12
    names.set_wildcards({7: "*.example.org"})
    rules = in_force(names, "action=accept dsthost=a.example.org dstports=1", "action=drop dsthost=wild-7.firewall",
                     "action=accept")
    names.table.settle("a.example.org", addresses(10, 0x07000000), 0)
    for i in range(20):
        learn(names, "a%d.example.org" % i, 0x07000000 + i, S)
    names.tick(S)
    assert rules.decide(6, 0x07000003, 1, -1, S) == (True, 0)
    for address in (0x07000003, 0x07000013, 0x0B000000):
        assert rules.decide(6, address, 2, -1, S) == (False, 1)
    assert len(rules._named[0].by_address) <= 12


def test_what_a_clients_own_answer_costs_its_next_packet_is_bounded(names):
    """In lines run: with 4,096 addresses learnt, one more name makes the table of the list anew."""
    names.set_wildcards({7: "*.example.org"})
    rules = in_force(names, "action=accept dsthost=a.example", "action=accept dsthost=wild-7.firewall")
    names.table.settle("a.example", addresses(4), 0)
    for i in range(500):
        names.clients[CLIENT].learnt.learn("n%d.example.org" % i, addresses(8, 0x07000000 + 8 * i), 0)
    learn(names, "new.example.org", 0x08000000, S)
    lines = [0]

    def trace(frame, event, _):
        lines[0] += event == "line"
        return trace

    sys.settrace(trace)
    try:
        assert rules.decide(6, 0x08000000, 1, -1, S)[0]
    finally:
        sys.settrace(None)
    assert lines[0] < 20000


def test_what_all_have_learnt_is_counted_right_also_where_memory_is_refused(names):
    learn(names, "a.example", 7, S)
    learnt = names.clients[CLIENT].learnt

    def forget_oldest():
        raise MemoryError

    learnt.forget_oldest = forget_oldest
    with pytest.raises(MemoryError):
        names._forget(learnt)
    names.detached(CLIENT)
    assert (names._hosts, names._addresses) == (0, 0)


def test_pruned_addresses_are_counted_right_also_where_memory_is_refused(names, monkeypatch):
    """Were they not, the rest of what all may learn would shrink, until who makes room finds nothing to forget."""
    in_force(names, "action=accept dsthost=a.example", "action=accept dsthost=b.example")
    learn(names, "a.example", 7, 0)
    learn(names, "b.example", 8, 0)
    learnt = names.clients[CLIENT].learnt
    prune = learnt.prune

    def refused(host, *rest):
        if host == "b.example":
            raise MemoryError
        prune(host, *rest)

    learnt.prune = refused
    with pytest.raises(MemoryError):
        for _ in names.prune({7, 8}, (), 3601 * S):
            pass
    assert names._addresses == learnt.addresses == 1


class Refusing(dict):
    """A dict that gets no memory for another key, so often."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def __setitem__(self, key, value):
        if key not in self and self.times:
            self.times -= 1
            raise MemoryError
        super().__setitem__(key, value)


@pytest.mark.parametrize("known", [0, 511, 512, 600])
def test_a_name_whose_memory_was_refused_has_one_place_afterwards(known):
    """Two places of one name would be two less for others: in the end there would be none for one more."""
    learnt = Learnt()
    for i in range(known):
        learnt.learn("n%d" % i, addresses(1, i), 0)
    hosts, learnt.hosts = learnt.hosts, Refusing(8)
    dict.update(learnt.hosts, hosts)
    for i in range(8):
        with pytest.raises(MemoryError):
            learnt.learn("late", addresses(1), 0)
    for i in range(3000):
        learnt.learn(("late", "m%d" % i)[i % 3 > 0], addresses(1, i), 0)
        assert len(learnt.hosts) <= 512 and learnt._order.count("late") <= 1
    assert len(learnt.hosts) == 512 and learnt.addresses == sum(len(each.found) for each in learnt.hosts.values())
