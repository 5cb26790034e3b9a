"""Clients come and go on real daemons: all that dom0 waits for comes in its time, and nothing is left behind.

Where dom0 plays toolstack and client at once (steps/life.py) the limits are libxl's: 10 s for each answer.
"""
import re

import pytest

from tests.xen.holdings import at_rest
from tests.xen.site import CLIENTS

GATEWAY_MAC = "fe:ff:ff:ff:ff:ff"
MOST = 120  # vifs; more than the quota can hold, 1000 nodes of at least 12


@pytest.fixture
def cycled(figure):
    """cycled(lab, rounds): three vifs attached and detached that often, and the domain that served them looked at."""
    def run(lab, rounds):
        firewall = lab.domain("firewall", lab.upload("/src/build/vmlinuz"))
        firewall.wait_for("memory: ", 60)
        lab.call("life.cycles", firewall.domid, 2, timeout=100)
        before = at_rest(lab, firewall.domid)
        slowest, answers = lab.call("life.cycles", firewall.domid, rounds, timeout=600)
        assert answers == {GATEWAY_MAC: 3 * rounds}
        assert at_rest(lab, firewall.domid, before) == before
        assert firewall.state() == "running"
        assert "Z error " not in firewall.console()
        figure("%d cycles by xenstore writes, %s: slowest offer, close, removal" % (3 * rounds, lab.xenstore),
               ", ".join("%.2f s" % seconds for seconds in slowest), "10 s each")
    return run


def test_200_cycles(lab, cycled):
    """Boots: the image that ships, where an instruction takes a nanosecond."""
    cycled(lab, 67)


@pytest.mark.long
@pytest.mark.parametrize("lab", ["oxenstored"], indirect=True)
def test_200_cycles_with_oxenstored(lab, cycled):
    """Boots: the image that ships. What they show of the firewall, those with xenstored do."""
    cycled(lab, 67)


def _fill(lab, figure):
    firewall = lab.domain("firewall", lab.upload("/src/build/vmlinuz"))
    firewall.wait_for("memory: ", 60)
    lab.call("life.cycles", firewall.domid, 1, timeout=100)
    before = at_rest(lab, firewall.domid)
    offered, refused, answers, nodes = lab.call("life.fill", firewall.domid, MOST, timeout=600)
    figure("vifs of one firewall that %s's quota allows" % lab.xenstore, "%d (then %d nodes)" % (offered, nodes), "55")
    assert offered >= 55
    assert refused is not None
    assert answers == [GATEWAY_MAC] * 2
    assert at_rest(lab, firewall.domid, before) == before
    assert firewall.state() == "running"
    assert firewall.console().count("Z error ") == 1  # the one that was refused


def test_how_many_vifs_the_quota_allows(lab, figure):
    """Boots: the image that ships. The first that is refused costs nobody anything, and can be removed."""
    _fill(lab, figure)


@pytest.mark.long
@pytest.mark.parametrize("lab", ["oxenstored"], indirect=True)
def test_how_many_vifs_oxenstoreds_quota_allows(lab, figure):
    """Boots: the image that ships."""
    _fill(lab, figure)


def test_clients_come_and_go_while_another_pings(site, figure):
    """Boots: the site with three Linux clients, two of them attached and detached by xl, ten times each."""
    steady, *others = [site.client(name, ip) for name, ip in zip(("work", "chat", "mail"), CLIENTS)]
    steady.sh("ping -i 0.2 192.0.2.1 > /tmp/ping 2>&1 & echo $! > /tmp/pid")
    for n in range(20):
        client = others[n % 2]
        site.detach(client)
        site.attach(client)
        # its first packet may come before its rules are in force
        assert "bytes from" in client.sh("ping -c 5 -i 0.2 192.0.2.1", check=False)
    said = steady.sh("kill -INT $(cat /tmp/pid); sleep 1; tail -3 /tmp/ping")
    figure("pings of a client beside 20 cycles of xl", re.search(".*packet loss", said)[0])
    assert " 0% packet loss" in said
    assert "Z error " not in site.firewall.console()
