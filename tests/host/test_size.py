"""The firewall's mind stays something that an administrator can read in an evening.

Every line with something on it counts, prose included; blank lines do not. What joins the mind to
rings and daemons (forward, main, QubesDB ...) is not part of it.
"""
import os

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "firewall")
MIND = (
    "__init__ answers arp checksum clients ethernet flows flowstate fragments icmp index ipv4 judge mappings nat neighbours "
    "packet ports quoted reasons record replies rewrite rules sealed tcp udp words"
).split()
LIMIT = 3000  # lines
LONGEST = 350  # lines of one module


def test_the_mind_is_under_3000_lines(figure):
    counts = {}
    for name in MIND:
        with open(os.path.join(FOLDER, name + ".py"), encoding="utf-8") as text:
            counts[name] = sum(1 for line in text if line.strip())
    figure("firewall/: the mind", "%d lines in %d modules" % (sum(counts.values()), len(MIND)), LIMIT)
    assert sum(counts.values()) < LIMIT
    assert {name: count for name, count in counts.items() if count > LONGEST} == {}
