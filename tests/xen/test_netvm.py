"""A netvm or the firewall itself dies, comes back, or is exchanged, while a client pings: the traffic goes on by itself."""
import json
import re

from tests.xen.domu_netvm import OTHER_ADDRESS, DomuNetvm
from tests.xen.steps import payload

SITE = {"netvm": "driver"}
LIMIT = 600  # s
HELD = 20000000  # octets of a download that takes 20 s at least, and does not end while the firewall is restarted
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


def test_netvm_killed_started_and_replaced(site, figure):
    """Boots: the site with a Linux netvm and one client, the netvm once more, and another."""
    work = site.client("work", python=True)
    pings = Pings(work)
    site.netvm.kill()
    site.detach_uplink()
    site.netvm.boot()
    work.sh("ping -i 0.1 192.0.2.1 > /dev/console 2>&1 & echo $! > /tmp/shown")
    logs = site.firewall.log, work.log
    resumed = site.lab.call("driver.attached", site.attaching_uplink(), *logs, 60, timeout=LIMIT)["answered"]
    work.sh("kill $(cat /tmp/shown)")
    figure("netvm killed and started again: without answers", "%.1f s, %.1f s of them after dom0 began to attach"
           % (pings.missing(), resumed or -1))
    assert resumed is not None and resumed < 10

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


def test_firewall_killed_and_started_again(site, figure):
    """Boots: the site with a Linux netvm and one client, the firewall twice. Clients are attached anew, as qubesd does."""
    work = site.client("work", python=True)
    assert " 0% packet loss" in work.sh("ping -c 2 192.0.2.1")
    before, began = site.firewall.domid, site.uptime()
    site.restart_firewall("kill")
    # one request a call: an interface that goes ends busybox' ping
    work.sh("until ping -c 1 -W 1 192.0.2.1 > /dev/null 2>&1; do usleep 50000; done", timeout=60)
    figure("firewall killed and started again: from its end to a client's first answer", "%.1f s" % (site.uptime() - began))
    assert site.firewall.domid != before
    assert " 0% packet loss" in work.sh("ping -c 5 -i 0.2 192.0.2.1")


def test_connections_survive_a_restart_of_the_firewall(site, figure):
    """An idle session and a running download: the new firewall picks them up from the client's next packet.

    As ssh's, the session's is what the user types. A client that only receives has nothing to send until the kernel
    probes the connection, 60 s after the last octet.
    """
    work = site.client("work", python=True)
    assert site.internet.serve(LIMIT)
    work.sh("rm -f /tmp/go /tmp/session /tmp/download")
    work.sh("python3 /steps/sessions.py session 192.0.2.1 /tmp/go > /tmp/session 2>&1 &")
    work.sh("python3 /steps/sessions.py download 192.0.2.1 /tmp/go held %d > /tmp/download 2>&1 &" % HELD)
    assert "begun" in _said(work, "session", "begun") and "begun" in _said(work, "download", "begun")
    before = site.firewall.domid
    site.restart_firewall("shutdown")
    assert site.firewall.domid != before
    assert work.sh("cat /tmp/download") == "begun\n"  # it is running, and has not failed
    work.sh("touch /tmp/go")
    answered = json.loads(_said(work, "session", "seconds").splitlines()[1])
    figure("session idle while the firewall is restarted: next answer after", "%.2f s" % answered["seconds"])
    done = json.loads(_said(work, "download", "seconds").splitlines()[1])
    figure("download of 20 s while the firewall is restarted: takes", "%.0f s" % done["seconds"])
    assert done["sha256"] == payload.sha256("held", HELD)


def _said(client, what, text):
    """What a program of steps/sessions.py has written once that is in it; all within 300 s of the client's clock."""
    return client.sh("for i in $(seq 3000); do grep -q %s /tmp/%s && break; usleep 100000; done; cat /tmp/%s" % (text, what, what), LIMIT)
