"""Rules: parsing, sealing, deciding. The rows of the case files are in test_rule_cases.py."""
import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firewall.rules import matcher, names as rule_names, text as rules_text
from firewall.wire import ipv4
from firewall.wire.address import parse, parse4
from images import explain

import rulegen
from tests.network import Network

CLIENT = rulegen.CLIENT
ELSEWHERE = parse4("192.0.2.50")
RESOLVERS = tuple(parse4(address) for address in rulegen.RESOLVERS)


class Names:
    """A table that a test fills; each change is an epoch. Counts what it is asked."""

    def __init__(self, **found):
        self.found = {host.replace("_", "."): addresses for host, addresses in found.items()}
        self.now = 0
        self.asked = 0

    def addresses(self, host):
        self.asked += 1
        return self.found.get(host)

    def epoch(self, now):
        return self.now


def entries(*texts, policy="drop"):
    found = {"%04d" % i: text.encode() for i, text in enumerate(texts)}
    found["policy"] = policy.encode()
    return found


def sealed_list(*texts, policy="drop", names=None):
    parsed = rules_text.parse(entries(*texts, policy=policy), CLIENT)
    return matcher.seal(parsed, RESOLVERS, names or rule_names.NoNames())


def accepts(rule_list, dst=ELSEWHERE, proto=ipv4.TCP, dport=443, icmp_type=-1, now=0):
    return rule_list.decide(proto, dst, dport, icmp_type, now)[0]


def error(*texts, address=CLIENT):
    try:
        rules_text.parse(entries(*texts), address)
    except rules_text.RuleError as fault:
        return fault
    return None


def test_behaviour_02_a_client_without_a_rules_entry_gets_nothing_out():
    for proto in range(256):
        assert matcher.DENY.decide(proto, ELSEWHERE, 443, 8, 0) == (False, None)
    refused, why = matcher.load({}, CLIENT, RESOLVERS, rule_names.NoNames())
    assert refused is matcher.DENY and "policy" in why


def test_behaviour_03_one_bad_rule_refuses_all_of_that_client_and_only_of_that_client():
    bad, why = matcher.load(entries("action=accept", "action=maybe"), CLIENT, RESOLVERS, rule_names.NoNames())
    good, none = matcher.load(entries("action=accept"), "10.137.7.22", RESOLVERS, rule_names.NoNames())
    assert not accepts(bad) and why == "0001: action: got 'maybe', expected accept or drop"
    assert accepts(good) and none is None


def test_behaviour_04_a_duplicated_option_is_an_error():
    full = "action=accept dst4=192.0.2.0/24 proto=tcp specialtarget=dns dstports=53-53".split(" ")
    assert error(" ".join(full)) is None
    for option in full:
        fault = error(" ".join(full + [option]))
        assert (fault.entry, fault.key, fault.expected) == ("0000", option.split("=")[0], "each option once")


def test_behaviour_05_more_than_one_destination_kind_is_an_error():
    kinds = ("dst4=192.0.2.0/24", "dst6=2001:db8::/32", "dsthost=one.example")
    for first in kinds:
        for second in kinds:
            if first != second:
                for address in (CLIENT, "fd09:24ef:4179::a89:7"):
                    assert error("action=accept %s %s" % (first, second), address=address) is not None


def test_behaviour_06_a_list_in_force_is_whole_whatever_happens_to_what_it_came_from():
    source = entries("action=accept proto=tcp", "action=accept proto=udp")
    parsed = rules_text.parse(source, CLIENT)
    rule_list = matcher.seal(parsed, RESOLVERS, rule_names.NoNames())
    source.clear()
    parsed.rules.clear()
    assert accepts(rule_list) and accepts(rule_list, proto=ipv4.UDP)
    assert not accepts(rule_list, proto=ipv4.ICMP, dport=-1, icmp_type=8)


def test_behaviour_07_a_tree_half_removed_or_half_written_widens_nothing():
    """What lacks the policy is never a list. (What has it counts only once it is committed.)"""
    whole = entries("action=accept", "action=accept proto=tcp", policy="accept")
    del whole["policy"]
    while whole:
        rule_list, why = matcher.load(whole, CLIENT, RESOLVERS, rule_names.NoNames())
        assert rule_list is matcher.DENY and "policy" in why
        whole.popitem()
    assert matcher.load(whole, CLIENT, RESOLVERS, rule_names.NoNames())[0] is matcher.DENY


def test_behaviour_11_an_expired_rule_is_a_gap_in_the_numbers():
    """dom0 leaves it out and writes the rest under their old numbers, which the verdicts keep."""
    source = entries("action=drop proto=udp", "action=accept dst4=192.0.2.50/32", "action=drop")
    before = matcher.load(source, CLIENT, RESOLVERS, rule_names.NoNames())[0]
    del source["0001"]
    after = matcher.load(source, CLIENT, RESOLVERS, rule_names.NoNames())[0]
    assert before.decide(ipv4.TCP, ELSEWHERE, 443, -1, 0) == (True, 1)
    assert after.decide(ipv4.TCP, ELSEWHERE, 443, -1, 0) == (False, 2)


def test_behaviour_90_all_64_addresses_of_one_name_are_honoured():
    many = tuple(range(0x0A000000, 0x0A000000 + 64))
    rule_list = sealed_list("action=accept dsthost=many.example", names=Names(many_example=many))
    for address in range(many[0] - 1, many[-1] + 2):
        assert accepts(rule_list, dst=address) == (address in many)


def test_errors_name_entry_key_value_and_expectation():
    fault = error("action=accept", "action=accept proto=tcp dstports=90-80")
    assert (fault.entry, fault.key, fault.value) == ("0001", "dstports", "90-80")
    assert str(fault) == "0001: dstports: got '90-80', expected FIRST-LAST, both from 0 to 65535, in order"
    assert str(error("proto=tcp")) == "0000: action: got nothing, expected accept or drop"


def test_names_are_asked_anew_only_when_the_epoch_changes():
    names = Names(one_example=(1,), two_example=(2,))
    texts = ("action=accept dsthost=one.example", "action=accept dsthost=two.example")
    rule_list = sealed_list(*texts, names=names)
    assert accepts(rule_list, dst=1) and accepts(rule_list, dst=2) and not accepts(rule_list, dst=3)
    asked = names.asked
    for dst in range(1000):
        accepts(rule_list, dst=dst)
    assert names.asked == asked
    names.found["one.example"] = (3,)
    names.now = 1
    assert accepts(rule_list, dst=3) and not accepts(rule_list, dst=1)
    del names.found["two.example"]
    names.now = 2
    assert not accepts(rule_list, dst=2)


def test_a_name_without_an_answer_is_closed_either_way():
    names = Names(dead_example=())
    accept = sealed_list("action=accept dsthost=gone.example", names=names)
    drop = sealed_list("action=drop dsthost=gone.example", "action=accept", names=names)
    assert not accepts(accept) and not accepts(drop)
    assert not accepts(sealed_list("action=accept dsthost=dead.example", names=names))
    assert accepts(sealed_list("action=drop dsthost=dead.example", "action=accept", names=names))
    names.found["gone.example"] = (ELSEWHERE,)
    names.now = 1
    assert accepts(accept) and not accepts(drop) and accepts(drop, dst=1)


def test_a_port_or_type_that_is_absent_matches_no_predicate_on_it():
    assert not accepts(sealed_list("action=accept proto=tcp dstports=0-65535"), dport=-1)
    assert not accepts(sealed_list("action=accept proto=icmp icmptype=0"), proto=ipv4.ICMP, dport=-1)
    assert accepts(sealed_list("action=accept proto=tcp"), dport=-1)


LETTERS = "action=ceptdro prostuhl0123456789./-"


@given(st.binary(max_size=60) | st.text(alphabet=LETTERS, max_size=60).map(str.encode))
@settings(max_examples=500)
def test_any_octets_are_a_rule_or_a_rule_error(value):
    try:
        assert len(rules_text.parse({"policy": b"drop", "0000": value}, CLIENT).rules) == 1
    except rules_text.RuleError as fault:
        assert fault.entry == "0000" and fault.expected and str(fault)


@given(
    st.dictionaries(
        st.text(max_size=6) | st.sampled_from(("policy", "0000", "0001")),
        st.binary(max_size=20) | st.sampled_from((b"drop", b"action=accept")),
    )
)
def test_any_entries_are_rules_or_a_rule_error(found):
    rule_list, why = matcher.load(found, CLIENT, RESOLVERS, rule_names.NoNames())
    assert (rule_list is matcher.DENY) == (why is not None)


@given(st.text(max_size=30) | st.text(alphabet="0123456789abcdefABCDEF:./", max_size=30))
def test_address_takes_what_the_standard_library_takes(text):
    try:
        expected = int(ipaddress.ip_address(text)) if "%" not in text else -1
    except ValueError:
        expected = -1
    assert parse(text) == expected


@given(st.randoms(use_true_random=False), st.integers(0, 200), st.sampled_from(("drop", "accept")))
@settings(max_examples=100, deadline=None)
def test_decisions_are_those_of_walking_down_the_list(rng, length, policy):
    texts = [rulegen.rule(rng) for _ in range(length)]
    names = explain.Names(rulegen.NAMES)
    rule_list = matcher.seal(rules_text.parse(entries(*texts, policy=policy), CLIENT), RESOLVERS, names)
    for _ in range(20):
        packet = rulegen.packet(rng)
        proto = explain.protocol(packet)
        got = rule_list.decide(
            proto, parse4(packet["dst"]), packet.get("dport", -1), packet.get("type", -1), 0
        )
        assert got == rulegen.decide(texts, policy, packet)


def test_every_length_around_a_group():
    """The last rule of n decides, for each n up to three groups; so does the policy behind it."""
    for n in range(1, 182):
        texts = ["action=drop proto=tcp dstports=%d-%d" % (i, i) for i in range(n - 1)]
        rule_list = sealed_list(*texts, "action=accept proto=tcp dstports=7777-7777")
        assert rule_list.decide(ipv4.TCP, 1, 7777, -1, 0) == (True, n - 1)
        assert rule_list.decide(ipv4.TCP, 1, 7778, -1, 0) == (False, None)


def test_a_thousand_rules_of_every_kind():
    rng = random.Random(1)
    texts = [rulegen.rule(rng) for _ in range(1000)]
    rule_list = sealed_list(*texts, names=explain.Names(rulegen.NAMES))
    for _ in range(1000):
        packet = rulegen.packet(rng)
        got = rule_list.decide(
            explain.protocol(packet),
            parse4(packet["dst"]),
            packet.get("dport", -1),
            packet.get("type", -1),
            0,
        )
        assert got == rulegen.decide(texts, "drop", packet)


def test_a_long_list_is_sealed_in_steps():
    """For each protocol one for every 32 rules and one more, three for each group; it comes to what seal() makes."""
    texts = ["action=%s dst4=192.0.2.%d/32 dstports=%d-%d" % (("accept", "drop")[i % 2], i % 200, i, i + 9) for i in range(300)]
    parsed = rules_text.parse(entries(*texts), CLIENT)
    *steps, made = matcher.sealing(parsed, (), rule_names.NoNames())
    assert steps == [None] * (4 * 10 + 3 * 5)  # TCP and UDP share their groups, the others have none
    whole = matcher.seal(parsed, (), rule_names.NoNames())
    for i in range(0, 300, 7):
        asked = (6, parse4("192.0.2.%d" % (i % 200)), i + 3, -1, 0)
        assert made.decide(*asked) == whole.decide(*asked)


def test_ports_to_65536_are_read_as_to_65535():
    """dom0 before 2026-04 lets them through; refusing the client for it would cut it off at an upgrade."""
    parsed = rules_text.parse(entries("action=accept proto=tcp dstports=1024-65536"), CLIENT)
    assert (parsed.rules[0].first, parsed.rules[0].last, parsed.rules[0].never) == (1024, 65535, False)
    assert "0000" in parsed.note and "65535" in parsed.note
    rule_list = sealed_list("action=accept proto=tcp dstports=1024-65536")
    assert accepts(rule_list, dport=65535) and accepts(rule_list, dport=1024) and not accepts(rule_list, dport=1023)
    assert rules_text.parse(entries("action=accept dstports=1024-65535"), CLIENT).note == ""
    for text in ("65536-65536", "65536", "1-65537", "65537", "65536-65535", "1-99999", "1-065536"):
        assert error("action=accept proto=tcp dstports=" + text)
    assert not accepts(sealed_list("action=accept specialtarget=dns dstports=53-65536"), dst=RESOLVERS[0], dport=53)


def test_ports_that_do_not_exist_refuse_the_list_by_name():
    """dom0 before 2026-04 lets a range of nothing but port 65536 through. Linux' agent refuses all of the client there, and
    so do we: an accept rule for it means nothing, but a drop rule may have been meant for what we would let out."""
    for value in ("65536-65536", "65536", "65535-65537", "0-65537"):
        fault = error("action=accept", "action=drop proto=tcp dstports=" + value)
        assert (fault.entry, fault.key, fault.value) == ("0001", "dstports", value)


def test_only_a_sealed_list_can_be_put_in_force():
    """What was only read decides nothing: to hand it over is a mistake of ours, not a rule that somehow applies."""
    net = Network()
    net.client(CLIENT)
    with pytest.raises(AssertionError):
        net.neighbours.set_rules(parse4(CLIENT), rules_text.parse(entries("action=accept"), CLIENT))
