"""Random rule lists and packets: our verdict beside that of nftables in a Linux kernel.

Each list becomes a chain as Qubes' Linux agent would set it up (core-agent-linux, firewall.py), for
a client address of its own; all chains of a round are loaded at once, then the packets are sent
through. Where docs/rules.md decides otherwise than the agent, the chain says so: a name without an
answer, which would refuse the agent's whole list, is left out of an accept rule and matches
everything in a drop rule; a name that does not exist matches nothing in both.

2,000 lists; more with --long.
"""
import random
import struct

import pytest

from firewall.rules import matcher, text as rules_text
from firewall.wire import ipv4
from firewall.wire.address import parse4, text4
from images import explain

import linux_router
import rulegen

LISTS = 2000
LONG = 20000
ROUND = 500  # lists loaded at once
PACKETS = 12  # a list

_SET_UP = """
table ip qubes-firewall {
  set dns-addr {
    type ipv4_addr
    elements = { %s }
  }
  chain qubes-forward {
%s
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ip saddr 10.136.0.1 accept
    meta iifname != "vif*" accept
    jump qubes-forward
  }
%s
}
"""


def client(number):
    return 10 << 24 | 137 << 16 | number


def chain(texts, policy):
    """The nftables rules of a list."""
    lines = []
    for text in texts + ["action=" + policy]:
        options = dict(option.split("=") for option in text.split(" "))
        verdict = "accept" if options["action"] == "accept" else "reject with icmp type admin-prohibited"
        match = ""
        if "proto" in options:
            match += "ip protocol %s " % options["proto"]
        if "dst4" in options:
            match += "ip daddr %s " % options["dst4"]
        if "dsthost" in options:
            found = rulegen.NAMES[options["dsthost"]]
            if found:
                match += "ip daddr { %s } " % ", ".join(found)
            elif found is not None or options["action"] == "accept":
                continue
        ports = options.get("dstports")
        if ports and len(set(ports.split("-"))) == 1:
            ports = ports.split("-")[0]
        if "specialtarget" in options:
            if ports not in (None, "53"):
                continue
            ports = "53"
            match += "ip daddr @dns-addr "
        if "icmptype" in options:
            match += "icmp type %s " % options["icmptype"]
        if ports is None:
            lines.append(match + verdict)
        else:
            for proto in (options["proto"],) if "proto" in options else ("tcp", "udp"):
                lines.append("%s%s dport %s %s" % (match, proto, ports, verdict))
    return lines


def ruleset(lists):
    jumps = []
    chains = []
    for number, (texts, policy) in enumerate(lists):
        jumps.append("    ip saddr %s jump list%d" % (text4(client(number)), number))
        chains.append("  chain list%d {\n    %s\n  }" % (number, "\n    ".join(chain(texts, policy))))
    return _SET_UP % (", ".join(rulegen.RESOLVERS), "\n".join(jumps), "\n".join(chains))


def datagram(packet, src, sport):
    """The packet on the wire: a SYN, a UDP datagram, an ICMP message, or eight octets of another protocol."""
    if packet["proto"] == "tcp":
        data = struct.pack("!HHIIBBHHH", sport, packet["dport"], 1, 0, 0x50, 2, 8192, 0, 0)
    elif packet["proto"] == "udp":
        data = struct.pack("!HHHH", sport, packet["dport"], 8, 0)
    elif packet["proto"] == "icmp":
        data = struct.pack("!BBHI", packet["type"], 0, 0, 0) + bytes(8)
        data = data[:2] + struct.pack("!H", 0xFFFF - packet["type"] * 256) + data[4:]
    else:
        data = bytes(8)
    dst = parse4(packet["dst"])
    return bytes(ipv4.header(20 + len(data), 0, 0, 64, explain.protocol(packet), src, dst)) + data


@pytest.fixture
def router():
    try:
        with linux_router.Router() as found:
            yield found
    except linux_router.Unavailable as why:
        pytest.skip("no Linux router here: %s" % why)


def disagreements(router, rng, lists):
    """Rounds of random lists; what differs, as text."""
    found = []
    names = explain.Names(rulegen.NAMES)
    resolvers = tuple(parse4(address) for address in rulegen.RESOLVERS)
    for start in range(0, lists, ROUND):
        round_lists = []
        for _ in range(min(ROUND, lists - start)):
            texts = [rulegen.rule(rng) for _ in range(rng.choice((0, 1, 2, 3, 5, 8, 13, 21, 70)))]
            round_lists.append((texts, rng.choice(("drop", "drop", "accept"))))
        router.load(ruleset(round_lists))
        packets = [rulegen.packet(rng) for _ in range(PACKETS * len(round_lists))]
        datagrams = [datagram(p, client(i // PACKETS), 40000 + i % PACKETS) for i, p in enumerate(packets)]
        for i, passed in enumerate(router.forwarded(datagrams)):
            texts, policy = round_lists[i // PACKETS]
            entries = {"%04d" % n: text.encode() for n, text in enumerate(texts)}
            entries["policy"] = policy.encode()
            sealed = matcher.seal(rules_text.parse(entries, rulegen.CLIENT), resolvers, names)
            packet = packets[i]
            proto = explain.protocol(packet)
            dst = parse4(packet["dst"])
            ours = sealed.decide(proto, dst, packet.get("dport", -1), packet.get("type", -1), 0)
            if ours[0] != passed:
                found.append("ours %r, Linux %r: %r on %r, then %s" % (ours, passed, packet, texts, policy))
    return found


def test_verdicts_are_those_of_linux(router, request):
    lists = LONG if request.config.getoption("--long") else LISTS
    assert disagreements(router, random.Random(linux_router.seed()), lists) == []


def test_a_disagreement_would_be_seen(router, monkeypatch):
    """The comparison itself: with one of our predicates broken, Linux differs."""
    monkeypatch.setattr(rules_text, "_ports", lambda entry, value: (53, 53))
    assert disagreements(router, random.Random(1), 100) != []
