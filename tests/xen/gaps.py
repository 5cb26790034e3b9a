"""What the image tells of the longest time that its rings waited for their services: see port/README.md."""
import re

LIMIT = 5000  # us
_LINE = "longest gap between ring services since last asked: "


def longest_gap(domain):
    """(us, what ran in it) since last asked."""
    before = len(domain.lab.read(domain.log))
    domain.lab.run(["xl", "sysrq", str(domain.domid), "s"], timeout=60)
    at = domain.wait_for(_LINE, 60, before)
    domain.wait_for("\n", 10, at)
    text = domain.lab.read(domain.log)[at:].decode().split("\n")[0].strip()
    return int(re.match(r"\d+", text)[0]), text
