"""A netvm or the firewall itself dies, comes back, or is exchanged, while a client pings: the traffic goes on by itself."""
import re

from tests.xen.domu_netvm import OTHER_ADDRESS, DomuNetvm

SITE = {"netvm": "driver"}
INTERVAL = 0.2  # s between two echo requests of the client
_PING = "ping -i %g 192.0.2.1 > /tmp/ping 2>&1 & echo $! > /tmp/pid" % INTERVAL


class Pings:
    """A client's echo requests, one each INTERVAL, until missing() is asked."""

    def __init__(self, client):
        self.client = client
        client.sh(_PING)
        self.wait(3)

    def wait(self, more):
        """Wait for so many more answers."""
        self.client.sh("n=$(($(grep -c seq /tmp/ping) + %d)); until [ $(grep -c seq /tmp/ping) -ge $n ]; do usleep 50000; done" % more,
                       timeout=60)

    def missing(self):
        """Seconds of the longest time without answers; ends the pings. They must have come back."""
        self.wait(3)
        numbers = [int(n) for n in re.findall(r"seq=(\d+)", self.client.sh("kill -INT $(cat /tmp/pid); cat /tmp/ping"))]
        return INTERVAL * max(after - before for before, after in zip(numbers, numbers[1:]))


def test_netvm_killed_started_and_replaced(counting_site, figure):
    """Boots: the site with a Linux netvm and one client, the netvm once more, and another."""
    site = counting_site
    work = site.client("work", python=True)
    pings = Pings(work)
    site.netvm.kill()
    site.detach_uplink()
    site.netvm.boot()
    began = site.uptime()
    site.attach_uplink()
    pings.wait(1)
    resumed = site.uptime() - began
    figure("netvm killed and started again: without answers", "%.1f s, %.1f s of them after dom0 began to attach"
           % (pings.missing(), resumed))
    assert resumed < 10

    other = DomuNetvm(site.lab, OTHER_ADDRESS, "other-netvm")
    pings = Pings(work)
    site.detach_uplink()
    old, site.netvm = site.netvm, other
    site.database.write("/qubes-gateway", other.address)
    site.attach_uplink()
    figure("netvm exchanged for another: without answers", "%.1f s" % pings.missing())
    old.kill()
    assert " 0% packet loss" in work.sh("ping -c 2 192.0.2.1")
    assert site.firewall.state() == "running"


def test_firewall_killed_and_started_again(counting_site, figure):
    """Boots: the site with a Linux netvm and one client, the firewall twice. Clients are attached anew, as qubesd does."""
    site = counting_site
    work = site.client("work", python=True)
    assert " 0% packet loss" in work.sh("ping -c 2 192.0.2.1")
    before, began = site.firewall.domid, site.uptime()
    site.restart_firewall("kill")
    # one request a call: an interface that goes ends busybox' ping
    work.sh("until ping -c 1 -W 1 192.0.2.1 > /dev/null 2>&1; do usleep 50000; done", timeout=60)
    figure("firewall killed and started again: from its end to a client's first answer", "%.1f s" % (site.uptime() - began))
    assert site.firewall.domid != before
    assert " 0% packet loss" in work.sh("ping -c 5 -i 0.2 192.0.2.1")
