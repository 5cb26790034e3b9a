"""What a rule list does, for an administrator who wonders: `./build.py explain FILE [--text]`.

Reads JSON objects, one a line, and answers each with one line. An object with a packet
    {"id", "rules": [text, ...], "policy", "dns": [...], "names": {host: [...]}, "packet": {...}}
gets {"id", "verdict": "accept" or "drop", "rule": number, or null when the policy or a fault
decided}; in names, null is "no answer" and [] "does not exist". An object without one
    {"id", "entries": {"policy": ..., "0000": ...}}
gets {"id", "rules": how many, "then": policy} or {"id", "deny_all": why}. Rules in a list are
numbered from 0, as dom0 numbers them.

It runs under CPython on the administrator's machine, but the rules are read and decided by the very
code that is in the image, firewall/rules/.
"""
import json
import sys

from firewall.rules import matcher, text as rules_text
from firewall.wire import address

_PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmpv6": 58, "sctp": 132}
_VERDICT = {True: "accept", False: "drop"}


class Names:
    """The names of one question, as a table for matcher.seal()."""

    def __init__(self, names):
        self._found = {host.rstrip("."): found for host, found in names.items()}

    def addresses(self, host):
        found = self._found.get(host)
        return None if found is None else addresses(found)

    def epoch(self, now):
        return 0


def explain(row, text=False):
    """The answer to one object, as an object, or as a sentence if text."""
    held = entries(row)
    packet = row.get("packet")
    client = row.get("address") or (packet or {}).get("src") or ""
    if packet is None:
        return _what_a_list_is(row.get("id"), held, client, text)
    names = Names(row.get("names") or {})
    rule_list, why = matcher.load(held, client, addresses(row.get("dns", ())), names)
    dst = address.parse(packet["dst"])
    accept, number = rule_list.decide(protocol(packet), dst, packet.get("dport", -1), packet.get("type", -1), 0)
    if text:
        return "%s: the packet is %s." % (row.get("id"), _because(held, accept, number, why))
    return {"id": row.get("id"), "verdict": _VERDICT[accept], "rule": number}


def _what_a_list_is(name, held, client, text):
    try:
        parsed = rules_text.parse(held, client)
    except rules_text.RuleError as error:
        if text:
            return "%s: everything from this client is refused: %s." % (name, error)
        return {"id": name, "deny_all": str(error)}
    count = len(parsed.rules)
    if text:
        said = "%s: %d rule%s, then %s." % (name, count, "" if count == 1 else "s", _VERDICT[parsed.accept])
        return "%s Note: %s." % (said, parsed.note) if parsed.note else said
    return {"id": name, "rules": count, "then": _VERDICT[parsed.accept]}


def run(lines, out, text=False):
    """Answer each of lines on out. Gives how many are no question; these get {"id", "error"} as answer."""
    faults = 0
    for count, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = None
        try:
            row = json.loads(line)
            answer = explain(row, text)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            faults += 1
            name = row.get("id") if isinstance(row, dict) else None
            answer = {"id": name, "error": "line %d is no question: %r" % (count, error)}
        out.write((answer if isinstance(answer, str) else json.dumps(answer)) + "\n")
    return faults


def main(path, text=False):
    """Answer the file at path ("-": standard input) on standard output. Exit status: 1 if some line
    was no question, 2 if there is no such file."""
    try:
        lines = open(0 if path == "-" else path, encoding="utf-8", errors="replace")
    except OSError as error:
        sys.stderr.write("explain: %s: %s\n" % (path, error.strerror))
        return 2
    with lines:
        return 1 if run(lines, sys.stdout, text) else 0


def entries(row):
    """The row's rules as QubesDB would hold them: key -> bytes."""
    if "entries" in row:
        given = row["entries"]
    else:
        given = {"%04d" % i: rule for i, rule in enumerate(row["rules"])}
        if row.get("policy") is not None:
            given["policy"] = row["policy"]
    return {key: value.encode("utf-8", "surrogatepass") for key, value in given.items()}


def addresses(texts):
    return tuple(address.parse(text) for text in texts)


def protocol(packet):
    """IP protocol number of a packet: its ipproto, or by the name of its proto."""
    if "ipproto" in packet:
        return packet["ipproto"]
    proto = packet["proto"]
    if proto == "icmp" and ":" in packet["dst"]:
        return rules_text.ICMPV6
    return _PROTOCOLS[proto]


def _because(held, accept, number, why):
    verdict = {True: "accepted", False: "dropped"}[accept]
    if why is not None:
        return "%s, as is everything from this client: %s" % (verdict, why)
    if number is None:
        return "%s: no rule matches, and the policy is %s" % (verdict, _VERDICT[accept])
    return "%s by rule %04d: %s" % (verdict, number, held["%04d" % number].decode())
