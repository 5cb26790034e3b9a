"""Names in rules on a real Xen: asked for by UDP and TCP, learnt from the client's own question, told to dom0."""
import re

from tests.xen.internet import SERVED
from tests.xen.site import CLIENTS

NAME = "200.addresses.example"


def _answered(client, *lasts):
    """Which of the addresses 198.51.100.LAST a ping reaches."""
    said = client.sh("for i in %s; do ping -c 1 -W 2 198.51.100.$i; done; true" % " ".join(map(str, lasts)), timeout=60)
    return [int(last) for last in re.findall(r"from 198\.51\.100\.(\d+):", said)]


def test_a_name_of_200_addresses_and_a_wildcard(site):
    """Boots: the site with one client that has Python. The servers are steps/services.py."""
    assert site.internet.serve(60)
    site.internet.sh("for i in 1 200 205; do ip addr add 198.51.100.$i/32 dev lo; done; ip link set lo up")
    site.netvm_sh("ip route add 198.51.100.0/24 via 192.0.2.1")
    site.database.write("/vm-config/fw-name-1", "*.addresses.example")
    work = site.client("work", CLIENTS[0], ["action=accept dsthost=%s proto=icmp" % NAME], python=True)
    assert site.internet.await_text(SERVED, "dns tcp 10.137.0.9 200", 60)
    site.until(lambda: _answered(work, 1), 60)  # the answer is read, and its addresses are in the list
    assert _answered(work, 1, 200, 205) == [1, 200]
    path = "/dns/%s/%s" % (CLIENTS[0], NAME)
    site.until(lambda: path in site.database.state()["keys"], 60)
    written = site.database.state()
    assert "198.51.100.1/32" in written["keys"][path] and not written["left"]
    # nobody can be asked for a wildcard: what the client asks for itself, by UDP, counts
    site.set_rules(CLIENTS[0], ["action=accept specialtarget=dns", "action=accept dsthost=wild-1.firewall proto=icmp"])
    assert _answered(work, 1) == []
    work.sh("python3 /steps/visits.py names 1.addresses.example", timeout=60)
    site.until(lambda: _answered(work, 1), 60)
    assert _answered(work, 1, 200) == [1]
