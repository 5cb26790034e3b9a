"""The bench's smallest row, for both firewalls: its machine, its programs, its accounts work; no figure is judged."""
import re

from tests.bench import jobs
from tests.bench.machine import NOBODY, Machine

PACE = jobs.Pace(0.1, 0.2, 0.1)


def test_pings_pass_either_firewall(lab, figure):
    machine = Machine(lab=lab)
    try:
        for variant in ("ours", "flowtable", "linux"):
            machine.use(variant)
            found = jobs.ping_idle(machine, PACE)
            figure("bench: ping by %s" % variant, "%.3f ms" % found["ping_idle"])
            # with so few pings the slowest stands above the 99th percentile, and the mean may
            assert 0 < found["ping_idle"] < 50 and 0 < found["ping_idle_p99"] < 50
            assert found["beside:lost:ping_idle"] == 0
        # lost ones take no longer than the rest: what goes on beside pings ends with them
        said = machine.clients[0].sh("traffic ping %s 1.5 100" % NOBODY, 60)
        assert re.match(r"pings 2 answered 0 ", said), said
    finally:
        machine.close()
