"""Callers that come again and again, do not read or vanish, and a capture of who floods: nobody else has less.

Over real vchans; tests/sim/test_see_load.py has the same with more of each.
"""
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.xen import gaps
from tests.xen.test_see import GAP, asking, at_once, clients, day, visit  # noqa: F401: fixtures

# those that end by themselves first: see steps/asked.py
SERVICES = ("firewall.Status+json", "firewall.Flows+json", "firewall.Counters+json", "firewall.Explain+json",
            "firewall.Watch+json", "firewall.Capture+uplink", "firewall.Refused+json", "firewall.Watch+json")
WARM = 16  # calls before anything is measured
HEAP = 16384  # octets that the heap may have more of at the end
NO_CAPTURES = [service for service in SERVICES if "Capture" not in service]  # two captures at once, and no more
ROWS = SERVICES, NO_CAPTURES, NO_CAPTURES, ("qubes.WaitForSession",)  # of calls side by side; see the agent's KEPT
ROUNDS, ASKED = 3, 40
DOWNLOADED = 3000000  # octets in a round
LEAST = 0.5  # of the rate without a capture: it was 0.45 when each burst was told in Python
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


def busy(lab):
    """s of CPU that each domain has used."""
    return {line.split()[0]: float(line.split()[-1]) for line in lab.run(["xl", "list"]).splitlines()[1:]}


def test_a_capture_of_a_flood_costs_the_other_client_little(site, asking, clients, figure, tmp_path):  # noqa: F811
    """What it asks is answered as without a capture, whether dom0 reads that or not, and its download goes on.

    Its rate is that of all rounds together: that of one megabyte alone differs by a quarter either way.
    """
    quiet, flooding = clients
    site.set_rules(flooding.ip, ("action=accept",))
    flooding.sh("python3 /steps/flood.py small %s > /tmp/flood 2>&1 & echo $! > /tmp/pid" % SERVER, 60)
    came, took = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for kind in KINDS * ROUNDS:
        call = None if kind == "none" else asking.call("firewall.Capture+" + flooding.ip)
        if call is not None:
            site.until(lambda: len(asking.stdout(call)) > 10000, 60)
            asking.ask("hold", call, kind == "held")
        before = busy(site.lab)
        came[kind] += answered(quiet)
        seconds = visit(quiet, "download", SERVER, "beside", DOWNLOADED)["seconds"]
        took[kind] += seconds
        after = busy(site.lab)
        used = ", ".join("%s %.1f" % (name, after[name] - before.get(name, 0)) for name in after)
        rate = DOWNLOADED / 1e6 / seconds
        figure("beside a flood on Xen, capture: %s" % kind, "download %.2f MB/s; s of CPU: %s" % (rate, used))
        if call is not None:
            (tmp_path / (kind + ".pcapng")).write_bytes(asking.stdout(call))  # for tshark, see tests/README.md
            asking.end(call)
    flooding.sh("kill $(cat /tmp/pid); sleep 1; tail -n 1 /tmp/flood", LIMIT, check=False)
    what = "answers beside a flood on Xen, of %d, capture: %s" % (ROUNDS * ASKED, ", ".join(KINDS))
    figure(what, list(came.values()))
    assert came["none"] >= 0.9 * ROUNDS * ASKED
    assert min(came.values()) >= 0.95 * came["none"]
    for kind in KINDS[1:]:
        part = took["none"] / took[kind]
        figure("download beside a flood on Xen, of that without a capture: %s" % kind, "%.2f" % part, "%.2f" % LEAST)
        assert part > LEAST
