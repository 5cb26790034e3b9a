"""Random rule lists and packets, and what they mean read off the text: a model for the rules' tests.

The values are drawn from few, so that rules and packets meet, and from the edges of each range.
matches() is written for being read next to Qubes' documents, one predicate after the other; the
firewall's own way, sets of rules by ranges, shares nothing with it.
"""
import ipaddress

RESOLVERS = ("10.139.1.1", "10.139.1.2")
NAMES = {
    "one.example": ("192.0.2.10",),
    "two.example": ("192.0.2.20", "198.51.100.21"),
    "dns.example": ("10.139.1.2",),
    "dead.example": (),
    "gone.example": None,
}
CLIENT = "10.137.7.21"
HOSTS = ("192.0.2.10", "192.0.2.11", "192.0.2.20", "198.51.100.21", "198.51.100.255", "203.0.113.1")
PORTS = (0, 1, 22, 52, 53, 54, 80, 443, 1023, 1024, 8080, 65534, 65535)
ICMP_TYPES = (0, 3, 8, 11, 13, 255)
OTHER_PROTOCOLS = (2, 47, 50, 255)


def rule(random):
    """Text of a rule that is no error; seldom one that matches all and so hides what follows."""
    text = _rule(random)
    return _rule(random) if " " not in text else text


def _rule(random):
    options = ["action=" + random.choice(("accept", "drop"))]
    kind = random.random()
    if kind < 0.45:
        address = random.choice(HOSTS + RESOLVERS)
        prefix = random.choice(("", "/0", "/1", "/8", "/16", "/23", "/24", "/25", "/31", "/32", "/32"))
        options.append("dst4=" + address + prefix)
    elif kind < 0.6:
        options.append("dsthost=" + random.choice(sorted(NAMES)))
    proto = random.choice(("", "tcp", "tcp", "udp", "icmp"))
    if proto:
        options.append("proto=" + proto)
    if proto != "icmp":
        if random.random() < 0.2:
            options.append("specialtarget=dns")
        if random.random() < 0.5:
            first, last = sorted((random.choice(PORTS), random.choice(PORTS)))
            forms = ("%d-%d" % (first, last), "%d-%d" % (first, first), "%d" % first, "53-53", "53")
            options.append("dstports=" + random.choice(forms))
    elif random.random() < 0.5:
        options.append("icmptype=%d" % random.choice(ICMP_TYPES))
    return " ".join(options)


def packet(random, protocols=("tcp", "tcp", "udp", "udp", "icmp", "raw")):
    """One packet as in rule_verdict.jsonl."""
    proto = random.choice(protocols)
    found = {"proto": proto, "src": CLIENT, "dst": random.choice(HOSTS + RESOLVERS)}
    if proto in ("tcp", "udp"):
        found["dport"] = random.choice(PORTS)
    elif proto == "icmp":
        found["type"] = random.choice(ICMP_TYPES)
    else:
        found["ipproto"] = random.choice(OTHER_PROTOCOLS)
    return found


def matches(text, packet):
    """Whether one rule matches one packet."""
    options = dict(option.split("=") for option in text.split(" "))
    dst = ipaddress.ip_address(packet["dst"])
    if "dst4" in options and dst not in ipaddress.ip_network(options["dst4"], strict=False):
        return False
    if "dsthost" in options:
        found = NAMES[options["dsthost"]]
        if found is None:
            if options["action"] == "accept":
                return False
        elif packet["dst"] not in found:
            return False
    if options.get("proto", packet["proto"]) != packet["proto"]:
        return False
    if "specialtarget" in options:
        if options.get("dstports", "53") not in ("53", "53-53"):
            return False
        if packet["dst"] not in RESOLVERS or packet.get("dport") != 53:
            return False
    if "dstports" in options:
        ports = [int(port) for port in options["dstports"].split("-")]
        if not ports[0] <= packet.get("dport", -1) <= ports[-1]:
            return False
    return "icmptype" not in options or int(options["icmptype"]) == packet.get("type")


def decide(rules, policy, packet):
    """(accept, number or None) by walking down the list."""
    for number, text in enumerate(rules):
        if matches(text, packet):
            return text.startswith("action=accept"), number
    return policy == "accept", None
