"""Callers that come again and again, do not read or vanish, and a capture of who floods: nobody else has less.

Over real vchans; tests/sim/test_see_load.py has the same with more of each.
"""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.xen import gaps
from tests.xen.test_see import ECHO, GAP, asking, at_once, clients, day  # noqa: F401: fixtures

# those that end by themselves first: see steps/asked.py
SERVICES = ("firewall.Status+json", "firewall.Flows+json", "firewall.Counters+json", "firewall.Explain+json",
            "firewall.Watch+json", "firewall.Capture+uplink", "firewall.Refused+json", "firewall.Watch+json")
WARM = 16  # calls before anything is measured
HEAP = 16384  # octets that the heap may have more of at the end
NO_CAPTURES = [service for service in SERVICES if "Capture" not in service]  # two captures at once, and no more
ROWS = SERVICES, NO_CAPTURES, NO_CAPTURES, ("qubes.WaitForSession",)  # of calls side by side; see the agent's KEPT
ASKED = 40  # by a quiet client, at a time
ROUNDS = 2
SECONDS = 2  # of the quiet client's clock, after those in which what dom0 did before still shows
WARM_SECONDS = 1
LEAST = 0.95  # of the answers without a capture
KINDS = "none", "read", "held"
LIMIT = 3600
DAYS = 3  # of all that clients do, then they ask what is to be answered within a second
SERVER = "192.0.2.1"

pytestmark = pytest.mark.long  # seven minutes


def losses(asking):
    """{neighbour: frames for it that found no room, and that an error ended}"""
    return {each["client"]: (each["lost"], each["failed"]) for each in asking.objects("firewall.Counters")}


def row(asking, services, count):
    """What Status told in a row of calls."""
    return asking.lab.call("asked.row", asking.domid, services, count, timeout=LIMIT)


def test_many_callers_beside_traffic(site, asking, clients, in_ci, figure):  # noqa: F811
    """Two never read, two more wait, others come and vanish: eight channels. The clients lose nothing.

    Both work through their day some times, and are then answered until the last call has ended.
    """
    calls = 64 if in_ci else 1000
    row(asking, SERVICES, WARM)
    before = losses(asking)
    held = [asking.call(service) for service in ("firewall.Watch+json", "firewall.Capture+" + clients[0].ip)]
    for call in held:
        site.until(lambda: asking.stdout(call), 30)
        asking.ask("hold", call, True)
    lasting = [asking.call(service) for service in ("firewall.Refused", "firewall.Explain")]
    gaps.longest_gap(site.firewall)  # what was before counts no more
    days = 0
    answers = []
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(row, asking, services, calls // len(ROWS)) for services in ROWS]
        while days < DAYS or not all(each.done() for each in asked):
            if days < DAYS:
                at_once(day, clients)
                days += 1
            else:
                answers += at_once(answered, clients)
    told = [each.result() for each in asked]
    us, gap = gaps.longest_gap(site.firewall)
    what = "longest gap beside eight channels and %d calls on Xen, in %d days of two clients" % (calls, days)
    figure(what, gap, "%d us" % GAP)
    figure("answers beside them, of %d" % (ASKED * len(answers)), sum(answers))
    for call in held + lasting:
        asking.end(call)
    used = [each["heap_used"] for each in told[0]]
    third = len(used) // 3
    level = min(used[:third]), min(used[-third:])
    figure("heap on Xen within %d calls, least of the first and of the last third" % calls, "%d, %d" % level)
    figure("heap on Xen at each Status", used)
    last = row(asking, SERVICES, 2 * WARM)[-2:]
    assert level[1] - level[0] < HEAP, used
    assert losses(asking) == before
    site.until(lambda: asking.ask("state")["ports"] == 0, 60)  # those who vanished last may still be on their way out
    assert asking.ask("state")["most"] == 8
    assert {(each["pages_free"], each["quarantine"]) for each in last} == {(last[0]["pages"] - 256, 0)}
    assert us < GAP, gap
    assert answers == [ASKED] * len(answers)


def answered(client):
    said = client.sh("ping -c %d -i 0.05 -W 1 %s || true" % (ASKED, SERVER), LIMIT)
    return int(re.search(r"(\d+) (?:packets )?received", said)[1])


class Beside:
    """A quiet client that asks all the time, beside a flood of another's, in windows of some seconds."""

    def __init__(self, site, asking, quiet, flooding):
        self.site, self.asking, self.quiet, self.flooding = site, asking, quiet, flooding
        for client in quiet, flooding:
            site.set_rules(client.ip, ("action=accept",))
        site.internet.start(["python3", "-c", ECHO % SERVER])
        site.internet.await_port(7777, "udp")
        flooding.sh("python3 /steps/flood.py small %s > /tmp/flood 2>&1 & echo $! > /tmp/pid" % SERVER, 60)
        self.window()  # all is as it goes on then

    def window(self):
        """Answers a second of the client's clock."""
        words = "python3 /steps/window.py %s 7777 %g %g" % (SERVER, WARM_SECONDS, SECONDS)
        found = json.loads(self.quiet.sh(words, LIMIT))
        return found["answers"] * 1e9 / found["ns"], found["late"]

    def measured(self, kind, path):
        """(answers a second, how many came late or never, s of CPU of each domain and of who reads) beside it."""
        asking, call = self.asking, None
        if kind != "none":
            call = asking.call("firewall.Capture+" + self.flooding.ip)
            self.site.until(lambda: len(asking.stdout(call)) > 70000, 60)  # more than a buffer: it is read
            asking.ask("hold", call, kind == "held")
        before = self.cpu()
        rate, late = self.window()
        after = self.cpu()
        if call is not None:
            path.write_bytes(asking.stdout(call))
            asking.end(call)
            self.site.until(lambda: asking.ask("state")["ports"] == 0, 60)
        return rate, late, {who: after[who] - before[who] for who in after}

    def cpu(self):
        """s of CPU that each domain has used, and dom0's program that reads the captures."""
        lab = self.site.lab
        domids = {domain.name: domain.domid for domain in (self.site.firewall, self.quiet, self.flooding)}
        domids["dom0"] = 0
        used = lab.call("accounts.moment", list(domids.values()))["cpu"]
        reader = int(lab.read("/proc/%d/schedstat" % self.asking.pid).split()[0])
        found = {name: used[str(domid)] / 1e9 for name, domid in domids.items()}
        return {**found, "of that who reads": reader / 1e9, "all": sum(found.values())}


def test_a_capture_of_a_flood_costs_the_other_client_little(site, asking, clients, figure, tmp_path):  # noqa: F811
    """It gets as many answers as without a capture, whether dom0 reads that or not.

    Windows of each kind alternate, forth and back, while the flood goes on: what drifts hits all alike. A stream of TCP
    tells less: the flood makes dom0 lose some of its packets, and its rate changes fourfold by luck.
    """
    beside = Beside(site, asking, *clients)
    rates, lost = {kind: [] for kind in KINDS}, dict.fromkeys(KINDS, 0)
    for kind in (KINDS + KINDS[::-1]) * ROUNDS:
        rate, late, used = beside.measured(kind, tmp_path / (kind + ".pcapng"))  # for tshark, see tests/README.md
        rates[kind].append(rate)
        lost[kind] += late
        figure("beside a flood on Xen, capture: %s" % kind, "%d answers a second; CPU: %s" % (
            rate, ", ".join("%s %.1f %%" % (who, 100 * s / used["all"]) for who, s in used.items())))
    flooded = clients[1].sh("kill $(cat /tmp/pid); sleep 1; tail -n 1 /tmp/flood", LIMIT, check=False).strip()
    what = "answers late or never beside a flood on Xen of %s, capture: %s" % (flooded, ", ".join(KINDS))
    figure(what, list(lost.values()))
    parts = {kind: sum(rates[kind]) / sum(rates["none"]) for kind in KINDS[1:]}
    for kind, part in parts.items():
        figure("answers beside a flood on Xen, of those without a capture: %s" % kind, "%.3f" % part, "%.2f" % LEAST)
    assert min(rates["none"]) > 100
    assert min(parts.values()) >= LEAST
