"""The firewall's mind stays something that an administrator can read in an evening.

Every line with something on it counts, prose included; blank lines do not. What joins the mind to
rings and daemons (forward, main, the cutting of super-frames, QubesDB ...) is not part of it.
"""
import glob
import os

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "firewall")
MIND = ("answers", "inbound", "judge", "neighbours", "policy", "reasons", "wire/*", "rules/*", "flows/*", "packets/*")
OTHERS = ("segment.py", "checksum_offload.py")
LIMIT = 3400  # lines
LONGEST = 350  # lines of one module


def test_the_mind_is_under_3400_lines(figure):
    counts = {}
    for path in [path for name in MIND for path in glob.glob(os.path.join(FOLDER, name + ".py"))]:
        if os.path.basename(path) in OTHERS:
            continue
        with open(path, encoding="utf-8") as text:
            counts[os.path.relpath(path, FOLDER)] = sum(1 for line in text if line.strip())
    figure("firewall/: the mind", "%d lines in %d modules" % (sum(counts.values()), len(counts)), LIMIT)
    assert sum(counts.values()) < LIMIT
    assert {name: count for name, count in counts.items() if count > LONGEST} == {}
