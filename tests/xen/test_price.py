"""What the image computes for a packet, where an instruction takes a nanosecond: the same on every machine."""
import re

# price: the most that it may be, in instructions; about a quarter more than it is
LIMITS = {
    "commit of 50 rules": 28_000_000,  # docs/behaviours.md 16: in force within 100 ms
    "first packet, 10 rules": 270_000,
    "first packet, 200 rules": 300_000,
    "known flow": 105_000,
    "known flow judged again, 200 rules": 160_000,
    "first packet, nearly full table": 310_000,
    "first packet that pushes a flow out": 380_000,
}


def test_what_a_packet_costs(guest, figure):
    """Boots: tests/guest/price.py."""
    domain = guest("price")
    domain.wait_for("price: done", 120)
    prices = {name: int(ns) for name, ns in re.findall(r"price ([^:\n]+): (\d+) ns", domain.console())}
    assert set(prices) == set(LIMITS)
    for name, ns in prices.items():
        figure("price of a %s" % name, "%d instructions" % ns, str(LIMITS[name]))
    assert {name: ns for name, ns in prices.items() if ns > LIMITS[name]} == {}
    assert prices["first packet, nearly full table"] < 1.5 * prices["first packet, 10 rules"]
    assert prices["first packet that pushes a flow out"] < 2.5 * prices["first packet, 10 rules"]
