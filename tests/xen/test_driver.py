"""The netvm is a driver domain, as on a Qubes machine: libxl waits for its backend's state 2 only, and the vif script, which
`xl devd` runs in it, comes when it comes, or fails; and the domain may be slow when dom0 wants the interface back.

Seconds are those of the emulated computer's clock.
"""

import pytest

from tests.xen.steps import payload

SITE = {"netvm": "driver"}
LIMIT = 600  # s of the lab's clock, for what takes seconds
DOWNLOAD = 5000000  # octets
_PING = "ping -i 0.1 192.0.2.1 > /dev/console 2>&1 & echo $! > /tmp/pid"


@pytest.fixture
def site(site):
    """With its servers running; the firewall has an uplink again when a test is over, whatever it did."""
    assert site.internet.serve(LIMIT)
    yield site
    if site.usable() and site.firewall.store_read("device/vif/0/state") != "4":
        site.netvm.delay_script(0)
        site.renew_uplink()


@pytest.fixture
def work(site):
    return site.client("work", python=True)


def attach(site, work, seconds):
    """Attach the uplink: seconds until the image told of it, and from then on until the client's first answer; or None."""
    work.sh(_PING)
    argv = site.attaching_uplink()
    came = site.lab.call("driver.attached", argv, site.firewall.log, work.log, seconds, timeout=LIMIT)
    work.sh("kill $(cat /tmp/pid)")
    told, answered = came["told"], came["answered"]
    return told, told and answered and answered - told


def nothing_is_lost(work):
    assert " 0% packet loss" in work.sh("ping -c 100 -i 0.05 192.0.2.1", LIMIT)
    said = work.sh("wget -q -O - http://192.0.2.1/driver/%d | sha256sum" % DOWNLOAD, LIMIT)
    assert payload.sha256("driver", DOWNLOAD) in said


@pytest.mark.parametrize("delay, most", [(0, 0.5), (1, 0.5), (30, 30)])
def test_the_vif_script_is_late(site, work, figure, delay, most):
    """The image says "connected" when the netvm is ready, and after 10 s in any case; from then on nothing is lost."""
    site.detach_uplink()
    site.netvm.delay_script(delay)
    told, answered = attach(site, work, delay + 60)
    figure("vif script %d s late: attached to \"connected\", from there to a client's first answer" % delay,
           "%.2f s, %s" % (told, "none" if answered is None else "%.2f s" % answered))
    assert told < min(delay, 10) + 2
    assert answered is not None and answered < most
    nothing_is_lost(work)


def test_the_vif_script_fails(site, work, figure):
    """The image connects after 10 s, says that nothing moves, tries it anew, and is well when dom0 attaches the uplink anew."""
    site.detach_uplink()
    site.netvm.let_script_fail()
    after = len(site.firewall.console())
    told, answered = attach(site, work, 45)
    said = site.firewall.console()[after:]
    figure("vif script fails: attached to \"connected\"", "%.2f s" % told)
    assert answered is None
    assert 9 < told < 13
    assert "has not answered for 5 s" in said, said
    assert said.count("uplink connected") > 1, said
    site.detach_uplink()
    site.netvm.delay_script(0)
    told, answered = attach(site, work, 60)
    assert answered is not None and answered < 0.5, said
    nothing_is_lost(work)


@pytest.mark.parametrize("slow", [8, 14])
def test_detached_from_a_slow_netvm(site, work, figure, slow):
    """`qvm-prefs firewall netvm ''` while the driver domain stands still: the image has closed at once.

    libxl waits 10 s for the backend's Closed, then takes the frontend's directory away and waits once more.
    """
    firewall = site.firewall
    backend = "%s/%d/0" % (site.netvm.backends, firewall.domid)
    argv = ["xl", "network-detach", str(firewall.domid), "0"]
    seen = site.lab.call("driver.detached", argv, firewall.store("device/vif/0"), backend, site.netvm.domain.domid, slow, timeout=LIMIT)
    figure("uplink detached, netvm stands still for %d s: closed after" % slow, "%.2f s, xl took %.1f s" % (seen["closed"], seen["took"]))
    assert seen["closed"] < 0.2
    assert seen["status"] == 0 and not seen["left"], seen
    assert attach(site, work, 30)[1] is not None


def test_detached_while_the_script_has_not_come(site, work, figure):
    """The image has not connected, and lets go at once all the same."""
    firewall = site.firewall
    site.detach_uplink()
    site.netvm.delay_script(20)
    site.attach_uplink()
    backend = "%s/%d/0" % (site.netvm.backends, firewall.domid)
    argv = ["xl", "network-detach", str(firewall.domid), "0"]
    seen = site.lab.call("driver.detached", argv, firewall.store("device/vif/0"), backend, site.netvm.domain.domid, 2, timeout=LIMIT)
    assert seen["closed"] < 0.2
    site.netvm.delay_script(0)
    assert attach(site, work, 60)[1] is not None
