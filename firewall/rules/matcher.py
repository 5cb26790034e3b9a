"""A rule list made ready to be asked: which rule is the first that matches, in a few look-ups.

For each kind of protocol the rules that can apply are taken in groups of 60, a bit for each. A group has two scales,
one of destination addresses and one of ports (or ICMP types). Each is cut wherever some rule begins or ends, and for
each piece there is the set of rules that cover it, as the bits of a small int. A packet falls into one piece of each
scale; the lowest bit that both sets share is the first rule that matches. So a decision costs two binary searches for
every 60 rules, and allocates nothing for rules below 256: their verdicts are made beforehand.

Host names hang beside the first scale: a dict from an address's key to the set of rules whose name has it.
"""
import sys
from array import array

from micropython import const
from scattered import key, keys
from steps import at_once

from firewall.fast import scales
from firewall.rules.text import ICMPV6, RuleError, parse
from firewall.wire import ipv4

_ANY = const(-1)
_LAST_COUNTED = const(4094)  # rules from this number on have their hits counted together
_GROUP = const(60)  # bits that a small int of MicroPython holds (62) with some to spare
_PLACES = const(61)  # no two of 2**0 ... 2**59 are the same modulo this
_SLICE = const(32)  # rules looked at in a step
_RULE_OCTETS = const(175)  # of heap for each rule with its part of a group, measured: at most 173
_ADDRESSES = const(8192)  # of names in a list
_LIST_OCTETS = const(1600)  # and for each list of groups, however few its rules


class RuleList:
    """Validated and sealed rules, what can be put in force. Made by seal(), complete; only what names mean changes.

    octets: of heap, about. count: rules. hits: how often each has decided, by its number, the policy at the end.
    """

    count = 0
    hits = array("I", [0])  # of a list without rules; nobody reads it

    def __init__(self, accept, icmp, names, groups, octets):
        self.icmp = icmp  # protocol number of ICMP in this family
        self.octets = octets
        self.names = names
        self._epoch = None
        self._otherwise = (accept, None)
        self._of = groups  # protocol -> groups; protocols with the same rules share them
        self._named = []  # groups that hold a rule with a host name
        for some in groups.values():
            self._named += [group for group in some if group.named and group not in self._named]

    def decide(self, proto, dst, dport, icmp_type, now):
        """(accept, number of the deciding rule or None: the policy) for the first packet of a flow.

        dst: int. dport: of TCP and UDP; icmp_type: of ICMP; -1 otherwise, which no predicate matches. now: for names.
        """
        groups = self._of.get(proto, self._of[_ANY])
        point = _ANY if proto not in self._of else icmp_type if proto == self.icmp else dport
        if self._named and self.names.epoch(now) != self._epoch:
            self._resolve(now)
        for group in groups:
            named = group.by_address.get(key(dst), 0) | group.unanswered if group.named else 0
            found = _at(group.points, point) & (_at(group.addresses, dst) | named)
            if found:
                return scales.told(group.verdicts[(found & -found) % _PLACES])
        return self._otherwise

    def still(self, proto, dst, dport, icmp_type):
        """True if a flow goes on that decide(), asked just before, would not let begin: a name had dst then.

        A drop rule's name without an answer matches what it did while it had one.
        """
        groups = self._of.get(proto, self._of[_ANY])
        point = _ANY if proto not in self._of else icmp_type if proto == self.icmp else dport
        for group in groups if self._named else ():
            named = group.by_address.get(key(dst), 0) | group.by_past.get(key(dst), 0) | group.never_answered
            found = _at(group.points, point) & (_at(group.addresses, dst) | named)
            if found:
                return scales.told(group.verdicts[(found & -found) % _PLACES])[0]
        return False

    def hosts(self):
        """All names in its rules."""
        return [host for group in self._named for _, host, _, _ in group.named]

    def waiting(self):
        """True while a name of it may get its first answer."""
        return len(self._named) > 0 and hasattr(self.names, "waiting") and self.names.waiting()

    def _resolve(self, now):
        """Ask for all names anew. Costs one look-up a rule; once per epoch, whatever the packets."""
        left = self.names.room() if hasattr(self.names, "room") else _ADDRESSES
        for group in self._named:
            left = group.resolve(self.names, left)
        self._epoch = self.names.epoch(now)


def seal(rules, resolvers, names):
    """The RuleList that decides as these Rules say. Seal again when resolvers change.

    resolvers: our upstream ones (ints of the list's family), the target of specialtarget=dns. names: see names.py.
    """
    return at_once(sealing(rules, resolvers, names))


def sealing(rules, resolvers, names, ask=None):
    """seal() in steps, see steps.py.

    ask(octets) is told how much of the heap it will take before any of it is taken; it may raise.
    """
    icmp = ICMPV6 if rules.family == 6 else ipv4.ICMP
    plan = []  # [(protocols, their rules)]
    octets = 0
    for proto in (ipv4.TCP, ipv4.UDP, icmp, _ANY):
        for chosen in _chosen(rules.rules, proto):
            yield None
        octets += _plan(plan, proto, chosen)
    last = min(rules.rules[-1].number if rules.rules else -1, _LAST_COUNTED)
    octets += 4 * (last + 2)
    if ask:
        ask(octets)
    of = {}
    for protocols, chosen in plan:
        groups = []
        for i in range(0, len(chosen), _GROUP):
            some = [rules.rules[number] for number in chosen[i : i + _GROUP]]
            yield None
            groups.append(_Group(some))
            yield None
            groups[-1].set_addresses(some, resolvers, rules.family != 6)
            yield None
        for proto in protocols:
            of[proto] = groups
    made = RuleList(rules.accept, icmp, names, of, octets)
    made.count = len(rules.rules)
    made.hits = array("I", bytes(4 * (last + 2)))
    yield made


def load(entries, address, resolvers, names):
    """(RuleList, None), or (DENY, why) for entries that parse() refuses. Never raises RuleError."""
    try:
        return seal(parse(entries, address), resolvers, names), None
    except RuleError as error:
        return DENY, str(error)


def refusal():
    """A RuleList that refuses everything."""
    return RuleList(False, ipv4.ICMP, None, {_ANY: ()}, 0)


def _plan(plan, proto, chosen):
    """Add a protocol with its rules to the plan; octets that this costs: none where another has the same rules."""
    for protocols, others in plan:
        if others == chosen:
            protocols.append(proto)
            return 0
    plan.append(([proto], chosen))
    return len(chosen) * _RULE_OCTETS + _LIST_OCTETS


def _chosen(rules, proto):
    """In steps: which rules can match packets of proto; _ANY: of none of the three that rules name."""
    chosen = []
    for i, rule in enumerate(rules):
        if i % _SLICE == _SLICE - 1:
            yield None
        if rule.never or (rule.proto != _ANY and rule.proto != proto):
            continue
        # without proto, ports and resolvers mean TCP and UDP
        if rule.proto == _ANY and rule.first != _ANY and proto not in (ipv4.TCP, ipv4.UDP):
            continue
        chosen.append(i)
        if rule.low == _ANY and rule.host is None and not rule.dns and rule.first == _ANY:
            break  # it matches all: nothing after it is ever reached
    yield chosen


class _Group:
    """Up to 60 rules, a bit each, the first rule the lowest. To be asked after set_addresses()."""

    def __init__(self, rules):
        points = _Scale()
        self.verdicts = array("H", bytes(2 * _PLACES))  # see scales.told(), by the bit modulo _PLACES
        self.named = []  # (bit, host, accept, targets); targets: None, or what the addresses must be among
        self.by_address = {}  # key of an address -> bits of rules whose host has it
        self.unanswered = 0  # bits of drop rules whose host has no answer: they match everything
        self.by_past = {}  # the same -> bits of accept rules, and of unanswered ones, whose host had it
        self.never_answered = 0  # those of unanswered whose host never had an answer
        for i, rule in scales.scattered(rules):
            self.verdicts[(1 << i) % _PLACES] = scales.verdict(rule.accept, rule.number)
            points.add(rule.first, rule.last, i)
        self.points = points.cut(True)

    def set_addresses(self, rules, resolvers, narrow):
        addresses = _Scale()
        for i, rule in scales.scattered(rules):
            if rule.dns and rule.host is None:
                for resolver in set(resolvers):
                    if rule.low == _ANY or rule.low <= resolver <= rule.high:
                        addresses.add(resolver, resolver, i)
            elif rule.host is None:
                addresses.add(rule.low, rule.high, i)
        self.addresses = addresses.cut(narrow)
        for i, rule in enumerate(rules):
            if rule.host is not None:
                self.named.append((1 << i, rule.host, rule.accept, resolvers if rule.dns else None))

    def resolve(self, names, left):
        """Take what names have now, in at most so many entries; how many are left. Beyond them there is no answer."""
        by_address, by_past = {}, {}
        unanswered = never_answered = 0
        more = hasattr(names, "past")  # else it is a table of addresses, and no more
        for bit, host, accept, targets in self.named:
            found = names.addresses(host)
            if found and len(found) > left:
                found = None
            past, learnt = (names.past(host), names.learnt(host)) if more else (None, ())
            if found is None:
                # closed either way: an accept rule matches nothing, a drop rule everything
                found = ()
                if not accept and targets is None:
                    unanswered |= bit
                    if past is None:
                        never_answered |= bit
                elif not accept:
                    found = targets
            by_address, left = _mark(by_address, found, targets, bit, left)
            by_address, left = _mark(by_address, learnt, targets, bit, left)
            if accept or unanswered & bit:
                by_past, left = _mark(by_past, past or (), targets, bit, left)
            if not accept and not left:
                unanswered |= bit
        self.by_address, self.by_past = by_address, by_past
        self.unanswered, self.never_answered = unanswered, never_answered
        return left


def _mark(table, addresses, targets, bit, left):
    """(the table with a rule's bit for these addresses, as far as entries are left; how many are then; 0: not for all).

    The smaller table goes into the larger: a client may make this happen often, and have thousands of addresses.
    """
    if targets is not None:
        addresses = [address for address in addresses if address in targets]
    more, before = dict.fromkeys(keys(addresses), bit), len(table)
    without = list(more)[left:] if len(more) > left else ()
    for each in without:
        del more[each]
    if len(more) > before:
        table, more = more, table
    for each, bits in more.items():
        table[each] = table.get(each, 0) | bits
    return table, 0 if without else left - len(table) + before


class _Scale:
    """Collects ranges with their bits, then cuts the scale at each range's ends."""

    def __init__(self):
        self.everywhere = 0
        self.ends = []  # value << 6 | number of the bit that begins or ends there

    def add(self, first, last, bit):
        """Cover first...last with the bit of this number; first _ANY: cover all, absent values (-1) too."""
        if first == _ANY:
            self.everywhere |= 1 << bit
        else:
            self.ends.append(first << 6 | bit)
            self.ends.append(last + 1 << 6 | bit)

    def cut(self, narrow):
        """The scale: where pieces begin, ascending from -1, and the bits of each. narrow: no value has over 32 bits."""
        begins, bits = [_ANY], [self.everywhere]
        self.ends.sort()
        for end in self.ends:
            if end >> 6 != begins[-1]:
                begins.append(end >> 6)
                bits.append(bits[-1])
            bits[-1] ^= 1 << (end & 63)
        return _packed(begins, bits, narrow)


def _packed(begins, bits, _narrow):
    """A scale, as _at() is given it."""
    return begins, bits


def _at(scale, value):
    """Bits of the piece that value falls into."""
    return scales.wide(scale[0], scale[1], value)


if sys.implementation.name == "micropython":
    _at, _packed = scales.at, scales.packed


DENY = refusal()  # what a client without understood rules gets
