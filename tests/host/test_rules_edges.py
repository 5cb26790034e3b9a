"""Rules at their edges, where planted faults showed that no test looked."""
import ipaddress

import pytest

from firewall.fast import scales
from firewall.rules import matcher, names as rule_names, text as rules_text
from firewall.wire import ipv4
from firewall.wire.address import parse, parse4
from test_rules import CLIENT, ELSEWHERE, RESOLVERS, Names, accepts, entries, error, sealed_list

CLIENT6 = "fd09:24ef:4179::a89:7"
SERVER6 = parse("2001:db8::1")


@pytest.mark.parametrize("octet", range(256))
def test_printable_ascii_is_what_may_be_in_an_entry(octet):
    """What is printable is read, and found to be no host name; the rest is not even read."""
    with pytest.raises(rules_text.RuleError) as fault:
        rules_text.parse({"policy": b"drop", "0000": b"action=accept dsthost=a" + bytes((octet,)) + b"^"}, CLIENT)
    assert (fault.value.expected != "printable ASCII") == (0x20 <= octet <= 0x7E)


def test_a_number_of_any_length_is_refused_unread():
    for digits in (6, 20, 5000):
        assert error("action=accept proto=tcp dstports=" + "9" * digits).key == "dstports"
        assert error("action=accept dst4=192.0.2.0/" + "9" * digits).key == "dst4"
        assert error("action=accept proto=icmp icmptype=" + "9" * digits).key == "icmptype"


@pytest.mark.parametrize("text", [
    "::", "::1", "1::", "1:2:3:4:5:6:7:8", "2001:db8::1", "fd09:24ef:4179::a89:7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "10:20:30:40:50:60:70:80", "aBcD:0:00:000:0000:1:12:123", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "::192.0.2.51", "::ffff:192.0.2.51",
    "1:2:3:4:5:6:255.254.253.252", "64:ff9b::0.0.255.1", "::255.255.0.1", "::1.2.0.0",
])
def test_ipv6_addresses(text):
    assert parse(text) == int(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", [
    ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:g", "1:2:3:4:5:6:7:12345", "::12345", "1::2::3", ":1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "::192.0.2", "::192.0.2.256", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "::-1", "::+1",
])
def test_what_is_no_ipv6_address(text):
    assert parse(text) == -1


def test_icmp_of_an_ipv6_list_is_icmpv6():
    """Protocol 58; ICMP's own number, and those beside, mean nothing there."""
    found = rules_text.parse(entries("action=accept proto=icmp icmptype=128", "action=drop proto=icmp", policy="accept"), CLIENT6)
    rule_list = matcher.seal(found, (), rule_names.NoNames())
    assert rule_list.decide(58, SERVER6, -1, 128, 0) == (True, 0)
    assert rule_list.decide(58, SERVER6, -1, 129, 0) == (False, 1)
    for proto in (1, 57, 59):
        assert rule_list.decide(proto, SERVER6, -1, 128, 0) == (True, None)


def test_a_list_is_parsed_in_steps():
    """One for each entry, so that whoever takes them may do something else between."""
    *steps, parsed = rules_text.parsing(sorted(entries(*["action=drop proto=udp"] * 7).items()), CLIENT)
    assert steps == [None] * 8 and len(parsed.rules) == 7


def told(*texts):
    """What sealing() says it will take of the heap, once and before it takes it."""
    asked = []
    steps = list(matcher.sealing(rules_text.parse(entries(*texts), CLIENT), RESOLVERS, rule_names.NoNames(), asked.append))
    assert len(asked) == 1 and asked[0] == steps[-1].octets
    return asked[0]


HIT = 4  # octets of the counter that each rule has, and the policy


def test_the_octets_of_a_list_are_told_by_its_rules_and_its_lists_of_groups():
    """All protocols share one list of groups where they have the same rules; so much for each, and so much a rule."""
    a_list = told()
    a_rule = told("action=drop dst4=192.0.2.0/24") - a_list
    assert a_list > 0 and a_rule > 0
    for n in (2, 60, 61, 200):
        assert told(*["action=drop dst4=192.0.2.%d" % i for i in range(n)]) == a_list + n * a_rule
    assert told("action=drop proto=tcp dstports=1-2") == 2 * a_list - HIT + a_rule
    three = ["action=drop proto=" + name for name in ("tcp", "udp", "icmp")]
    assert told(*three) == 4 * a_list - 3 * HIT + 3 * a_rule


def test_what_no_packet_reaches_costs_nothing_but_its_counter():
    a_list = told()
    a_rule = told("action=accept") - a_list
    behind = ["action=drop dst4=192.0.2.%d" % i for i in range(100)]
    assert told("action=accept", *behind) == a_list + a_rule + 100 * HIT
    for some in ("dst4=192.0.2.0/24", "dsthost=one.example", "specialtarget=dns", "dstports=80-90"):  # not all is hidden behind these
        assert told("action=accept " + some, "action=drop proto=tcp") > told("action=accept " + some)


def test_nothing_is_taken_where_the_room_is_refused():
    class Full(Exception):
        pass

    def full(octets):
        raise Full
    steps = matcher.sealing(rules_text.parse(entries("action=accept"), CLIENT), RESOLVERS, rule_names.NoNames(), full)
    with pytest.raises(Full):
        for step in steps:
            assert step is None


@pytest.mark.parametrize("length, groups", [(1, [1]), (60, [60]), (61, [60, 1]), (120, [60, 60]), (121, [60, 60, 1])])
def test_a_group_has_a_bit_for_each_rule_and_a_small_int_has_room_for_them(length, groups):
    """MicroPython's small int has 62 bits: a bit above would make each decision allocate."""
    rule_list = sealed_list(*["action=accept proto=tcp dstports=%d-%d" % (i, i) for i in range(length)])
    said = [sorted(scales.told(each)[1] for each in group.verdicts if each) for group in rule_list._of[ipv4.TCP]]
    assert said == [list(range(60 * i, 60 * i + n)) for i, n in enumerate(groups)]


@pytest.mark.parametrize("first", range(parse4("10.139.0.248"), parse4("10.139.1.8")))
def test_resolvers_side_by_side(first):
    """In whichever order a set gives them: the end of the one is the beginning of the other, and nothing behind is open."""
    pairs = ((first, first + 1), (first + 1, first))
    for resolvers in pairs + ((first, first + 1, first + 2), (first + 2, first + 1, first)):
        parsed = rules_text.parse(entries("action=accept specialtarget=dns"), CLIENT)
        rule_list = matcher.seal(parsed, resolvers, rule_names.NoNames())
        for dst in (0, *range(first - 2, first + 6), 0xFFFFFFFF):
            assert accepts(rule_list, dst=dst, proto=ipv4.UDP, dport=53) == (dst in resolvers)


def test_without_a_table_of_names_none_has_an_answer():
    assert not accepts(sealed_list("action=accept dsthost=one.example"))
    assert not accepts(sealed_list("action=drop dsthost=one.example", "action=accept"))


def test_a_name_counts_from_the_first_packet_on():
    """Whatever number the table's epoch begins with."""
    for now in (0, 1, -1, 7):
        names = Names(one_example=(ELSEWHERE,))
        names.now = now
        assert accepts(sealed_list("action=accept dsthost=one.example", names=names))
