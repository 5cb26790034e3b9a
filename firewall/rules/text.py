"""Rules of one client, as QubesDB holds them below /qubes-firewall/<ip>/ (Qubes VM interface, "Firewall Rules").

    parse(entries, address) -> Rules, or RuleError   the text becomes meaning, or nothing does

Rules say what was read. Only what matcher.seal() makes of them, a RuleList, can be put in force.

Whatever is not understood is an error, never skipped, and the caller then refuses everything from that client alone
(matcher.DENY): fail closed. Where the two Qubes sources differ (the document, the Linux agent), the comments say which
one is followed.
"""
from micropython import const
from steps import at_once

from firewall.fast.rows import Rows
from firewall.wire import ipv4
from firewall.wire.address import parse4, parse6

ANY = const(-1)  # protocol of a rule without proto
ICMPV6 = const(58)

_KEYS = ("action", "dst4", "dst6", "dsthost", "proto", "specialtarget", "dstports", "icmptype")
_DESTINATIONS = ("dst4", "dst6", "dsthost")
_PROTOCOLS = {"tcp": ipv4.TCP, "udp": ipv4.UDP, "icmp": ipv4.ICMP}
_HOST = "abcdefghijklmnopqrstuvwxyz0123456789-_"  # of a label; dom0 lets nothing else through
_NO_PORT = const(65536)
_MAX_LABEL = const(63)  # octets (RFC 1035 2.3.4)
_MAX_NAME = const(253)  # octets in text form


class RuleError(Exception):
    """Some entry is not a rule. entry: its key; key, value: the option at fault; expected: in words."""

    def __init__(self, entry, key, value, expected):
        super().__init__(entry, key, value, expected)
        self.entry = entry
        self.key = key
        self.value = value
        self.expected = expected

    def __str__(self):
        at = self.entry if self.key == self.entry else "%s: %s" % (self.entry, self.key)
        got = "nothing" if self.value is None else repr(self.value)
        return "%s: got %s, expected %s" % (at, got, self.expected)


class Rule:
    """One rule. All predicates that are there must match.

    number: of its key. accept: what it does. proto: IP protocol or ANY. low, high: destinations,
    both ends included, or low ANY. host: a name instead, or None. dns: only our resolvers, port 53.
    first, last: destination ports or ICMP types, or first ANY. never: can match nothing.
    beyond: its ports were said to end at 65536.
    """

    # in the class: what a rule has so needs no memory
    accept = dns = never = beyond = False
    proto = low = high = first = last = ANY
    host = None

    def __init__(self, number):
        self.number = number


class Rules:
    """A whole list that was read and understood: rules in order, and whether what none matches is accepted.

    It decides nothing: see matcher.seal(). note: what was not taken by the letter, for the log; "" if nothing was.
    """

    def __init__(self, rules, accept, family, note):
        self.rules = rules
        self.accept = accept
        self.family = family  # 4 or 6
        self.note = note


def parse(entries, address):
    """Rules out of entries: {key below /qubes-firewall/<ip>/: value as bytes}. RuleError at the first fault.

    address: the <ip>, text; a colon in it makes it the IPv6 list. Keys are "policy" and four
    decimal digits; gaps are normal, for dom0 leaves out expired rules and the other family's.
    """
    if "policy" not in entries:
        raise RuleError("policy", "policy", None, "accept or drop")
    return at_once(parsing([(entry, entries[entry]) for entry in sorted(entries)], address))


def parsing(entries, address):
    """parse() of pairs in the order of their keys, in steps (see steps.py), one for each. RuleError as parse()."""
    family = 6 if ":" in address else 4
    rules = Rows(Rule)
    accept = None
    note = ""
    for entry, value in entries:
        text = _text(entry, value)
        if entry == "policy":
            accept = _choice(entry, "policy", text, ("accept", "drop")) == "accept"
        elif len(entry) == 4 and _number(entry.lstrip("0") or "0", 9999) >= 0:
            rule = _rule(entry, text, family)
            rules.append(rule)
            if rule.beyond and not note:
                note = "%s: dstports to 65536: there is no such port, the rule ends at 65535" % entry
        else:
            raise RuleError(entry, entry, text, "a key of four digits, or policy")
        yield None
    if accept is None:
        raise RuleError("policy", "policy", None, "accept or drop")
    yield Rules(rules, accept, family, note)


def _text(entry, value):
    """value as str, if it is printable ASCII: dom0 writes nothing else, and we log what we got."""
    for c in value:
        if not 0x20 <= c <= 0x7E:
            raise RuleError(entry, entry, value, "printable ASCII")
    return value.decode()


def _rule(entry, text, family):
    """The rule in text, key=value pairs with one space between them, in any order as for the agent."""
    options = {}
    for pair in text.split(" "):
        parts = pair.split("=")
        if len(parts) != 2:
            raise RuleError(entry, entry, text, "key=value pairs with single spaces between")
        key, value = parts
        if key not in _KEYS:
            raise RuleError(entry, key, value, "one of the options " + " ".join(_KEYS))
        if key in options:
            raise RuleError(entry, key, value, "each option once")
        options[key] = value
    rule = Rule(int(entry))
    if "action" not in options:
        raise RuleError(entry, "action", None, "accept or drop")
    rule.accept = _choice(entry, "action", options["action"], ("accept", "drop")) == "accept"
    _destination(rule, entry, options, family)
    if "proto" in options:
        rule.proto = _PROTOCOLS[_choice(entry, "proto", options["proto"], ("tcp", "udp", "icmp"))]
        if family == 6 and rule.proto == ipv4.ICMP:
            rule.proto = ICMPV6
    _service(rule, entry, options)
    return rule


def _destination(rule, entry, options, family):
    """Fill in low and high, or host, from at most one of dst4, dst6, dsthost."""
    given = [key for key in _DESTINATIONS if key in options]
    if not given:
        return
    if len(given) > 1:
        raise RuleError(entry, given[1], options[given[1]], "only one of dst4, dst6, dsthost")
    key = given[0]
    value = options[key]
    if key == "dsthost":
        rule.host = _host(entry, value)
        rule.low = rule.high = parse4(rule.host) if family == 4 else ANY
        if rule.low != ANY:
            rule.host = None  # a literal address needs no resolver
    elif key == "dst%d" % family:
        rule.low, rule.high = _network(entry, key, value, family)
    else:
        raise RuleError(entry, key, value, "dst%d in the IPv%d list" % (family, family))


def _service(rule, entry, options):
    """Fill in dns, first and last from specialtarget, dstports and icmptype."""
    icmp = rule.proto == ipv4.ICMP or rule.proto == ICMPV6
    if "dstports" in options:
        # without proto: TCP and UDP, as the agent; the document wants proto=tcp or udp
        if icmp:
            raise RuleError(entry, "dstports", options["dstports"], "proto=tcp or proto=udp beside it")
        rule.first, rule.last = _ports(entry, options["dstports"])
        if rule.last == _NO_PORT:  # dom0 before 2026-04 lets it through; no packet has that port
            rule.beyond = True
            rule.last = 0xFFFF
    if "specialtarget" in options:
        _choice(entry, "specialtarget", options["specialtarget"], ("dns",))
        if icmp:
            raise RuleError(entry, "specialtarget", "dns", "no proto, proto=tcp or proto=udp beside it")
        # The agent skips a rule for other ports, a range around 53 too; we may not guess better.
        rule.never = rule.first != ANY and not rule.first == rule.last == 53
        rule.first = rule.last = 53
        rule.dns = True
    if "icmptype" in options:
        kind = _number(options["icmptype"], 255)
        if kind < 0:
            raise RuleError(entry, "icmptype", options["icmptype"], "a number from 0 to 255")
        if not icmp:
            raise RuleError(entry, "icmptype", options["icmptype"], "proto=icmp beside it")
        rule.first = rule.last = kind


def _choice(entry, key, value, words):
    """value, which is one of words. Exactly so: no other case, nothing around it."""
    if value not in words:
        raise RuleError(entry, key, value, " or ".join(words))
    return value


def _number(text, most):
    """The decimal number in text, or -1: no digits, other characters, leading zeros, above most.

    Leading zeros are refused because nft reads them as octal.
    """
    if not text or len(text) > 5 or (text[0] == "0" and text != "0"):
        return -1
    for c in text:
        if not "0" <= c <= "9":
            return -1
    value = int(text)
    return value if value <= most else -1


def _ports(entry, value):
    """(first, last) of "80-90"; last may be 65536. A single "80", which the agent takes, is 80-80."""
    first, dash, last = value.partition("-")
    low = _number(first, 0xFFFF)
    high = _number(last, _NO_PORT) if dash else low
    if low < 0 or high < low:
        raise RuleError(entry, "dstports", value, "FIRST-LAST, both from 0 to 65535, in order")
    return low, high


def _network(entry, key, value, family):
    """(lowest, highest) address of "a.b.c.d/n". Host bits may be set; a bare address is a network of one."""
    bits = 32 if family == 4 else 128
    text, slash, prefix = value.partition("/")
    address = parse4(text) if family == 4 else parse6(text)
    length = _number(prefix, bits) if slash else bits
    if address < 0 or length < 0:
        raise RuleError(entry, key, value, "an IPv%d address, / and 0 to %d" % (family, bits))
    span = (1 << bits - length) - 1
    low = address & ~span
    return low, low | span


def _host(entry, value):
    """The name without a final dot. dom0 lets "." and "a..b" through; no resolver could be asked for them."""
    name = value[:-1] if value.endswith(".") else value
    good = 0 < len(name) <= _MAX_NAME
    for label in name.split("."):
        good = good and 0 < len(label) <= _MAX_LABEL and all(c in _HOST for c in label)
    if not good:
        raise RuleError(entry, "dsthost", value, "a host name in lower case, labels of 1 to 63")
    return name
