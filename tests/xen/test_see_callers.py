"""Callers that come again and again, do not read or vanish, and a capture of who floods: nobody else has less.

Over real vchans; tests/sim/test_see_load.py has the same with more of each.
"""
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.xen.test_see import asking, at_once, clients, day, visit  # noqa: F401: fixtures

# those that end by themselves first: see steps/asked.py
SERVICES = ("firewall.Status+json", "firewall.Flows+json", "firewall.Counters+json", "firewall.Explain+json",
            "firewall.Watch+json", "firewall.Capture+uplink", "firewall.Refused+json", "firewall.Watch+json")
WARM = 16  # calls before anything is measured
HEAP = 16384  # octets that the heap may have more of at the end
ROUNDS, ASKED = 3, 40
DOWNLOADED = 3000000  # octets in a round
LEAST = 0.5  # of the rate without a capture: it was 0.45 when each burst was told in Python
KINDS = "none", "read", "held"
LIMIT = 900
SERVER = "192.0.2.1"

pytestmark = pytest.mark.long  # seven minutes


def losses(asking):
    """{neighbour: frames for it that found no room, and that an error ended}"""
    return {each["client"]: (each["lost"], each["failed"]) for each in asking.objects("firewall.Counters")}


def test_many_callers_beside_traffic(site, asking, clients, in_ci, figure):  # noqa: F811
    """Two never read, two more wait, others come and vanish; both clients do all that clients do, and lose nothing."""
    asking.lab.call("asked.row", asking.domid, SERVICES, WARM, timeout=LIMIT)
    before = losses(asking)
    held = [asking.call(service) for service in ("firewall.Watch+json", "firewall.Capture+" + clients[0].ip)]
    for call in held:
        site.until(lambda: asking.stdout(call), 30)
        asking.ask("hold", call, True)
    lasting = [asking.call(service) for service in ("firewall.Refused", "firewall.Explain")]
    count = 64 if in_ci else 1000
    with ThreadPoolExecutor() as pool:
        rows = pool.submit(asking.lab.call, "asked.row", asking.domid, SERVICES, count, timeout=LIMIT)
        at_once(day, clients)
        told = rows.result()
    for call in held + lasting:
        asking.end(call)
    told += asking.lab.call("asked.row", asking.domid, SERVICES, 2 * WARM, timeout=LIMIT)
    used = [each["heap_used"] for each in told]
    third = len(used) // 3
    level = min(used[:third]), min(used[-third:])
    figure("heap on Xen within %d calls in a row, least of the first and of the last third" % count, "%d, %d" % level)
    figure("heap on Xen at each Status", used)
    assert level[1] - level[0] < HEAP, used
    assert losses(asking) == before
    assert asking.ask("state")["ports"] == 0
    assert {(each["pages_free"], each["quarantine"]) for each in told[-2:]} == {(told[-1]["pages"] - 256, 0)}


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
