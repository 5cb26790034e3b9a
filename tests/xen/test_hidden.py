"""Qubes' own network cases with more than one firewall, or with an address that is hidden from its owner (net.fake-ip).

dom0 tells the netvm what a qube believes, /mapped-ip; /connected-ips has what it believes, xenstore's `ip` what it has.

Source: qubes-core-admin, qubes/tests/integ/network.py (what each case asserts), qubes/vm/mix/net.py (what dom0 does).
"""
import contextlib

from tests.xen.qubesdb import QubesDB, firewall_keys
from tests.xen.site import CLIENTS, FIREWALL, IMAGE, MAC
from tests.xen.test_integration import ALLOWED, connects, pings, serve

HIDDEN, GATEWAY = "192.168.1.128", "192.168.1.1"
SECOND = "10.137.0.40"
_SETUP = ("until [ -e /sys/class/net/eth0 ]; do usleep 20000; done; /usr/sbin/ip link set eth0 up; "
          "/usr/sbin/ip addr flush dev eth0; /usr/sbin/ip addr replace %s dev eth0; "
          "/usr/sbin/ip route replace default via %s dev eth0 onlink")


def hide(site, ip, gateway=GATEWAY):
    """What dom0 writes before it attaches a qube whose features say so."""
    site.database.write("/mapped-ip/%s/visible-ip" % ip, HIDDEN)
    site.database.write("/mapped-ip/%s/visible-gateway" % ip, gateway)
    site.database.write("/connected-ips", " ".join(HIDDEN if each == ip else each for each in site.known))


def show(site, ip):
    for key in ("visible-ip", "visible-gateway"):
        site.database.remove("/mapped-ip/%s/%s" % (ip, key))
    site.database.write("/connected-ips", " ".join(site.known))


@contextlib.contextmanager
def hidden(site, client, mask, gateway):
    """A client that is shown HIDDEN, and that gateway."""
    site.detach(client)
    hide(site, client.ip, gateway)
    try:
        site.lab.run(["xl", "network-attach", str(client.domid)] + site.client_words(client.ip).split(","), timeout=60)
        client.sh(_SETUP % ("%s/%d" % (HIDDEN, mask), gateway), timeout=60)
        yield
        site.detach(client)
    finally:
        show(site, client.ip)
    site.attach(client)
    assert pings(client)


def resolves(client):
    """Whether the first of the resolvers answers a question."""
    return "NAMES" in client.sh("python3 /steps/visits.py names 1.addresses.example && echo NAMES", 60, check=False)


def test_200_202_a_hidden_address(site):
    """Client and gateway are shown others; rules are still those of the client's own address."""
    work = site.client("work", python=True)
    assert site.internet.serve(60)
    serve(site)
    with hidden(site, work, 24, GATEWAY):
        assert pings(work) and pings(work, GATEWAY) and resolves(work) and connects(work, ALLOWED)
        assert not pings(work, more="-I %s" % work.ip)
        site.set_rules(work.ip, ["action=accept proto=icmp", "action=accept specialtarget=dns", "action=drop"])
        assert pings(work) and resolves(work) and not connects(work, ALLOWED)
        site.set_rules(work.ip, ["action=accept"])


def test_201_a_hidden_address_without_a_gateway(site):
    work = site.client("work", python=True)
    assert site.internet.serve(60)
    with hidden(site, work, 32, FIREWALL):
        assert pings(work) and resolves(work)


def test_203_a_hidden_address_that_another_client_may_reach(site):
    """By fw-allow, which names addresses as dom0 does; the other client knows the real one."""
    work, chat = site.client("work", python=True), site.client("chat", CLIENTS[1], python=True)
    with hidden(site, work, 24, GATEWAY):
        assert not pings(chat, work.ip)
        site.database.write("/vm-config/fw-allow-7", "%s>%s" % (chat.ip, work.ip))
        site.until(lambda: pings(chat, work.ip))
        assert not pings(work, chat.ip)
        site.database.remove("/vm-config/fw-allow-7")


@contextlib.contextmanager
def second(site, ip=SECOND, gateway=FIREWALL, clients=("10.137.0.50",)):
    """Another firewall behind the first: (its domain, its QubesDB). ip, gateway: what it is told."""
    lab = site.lab
    site.announce(SECOND)
    site.set_rules(SECOND, ["action=accept"])
    if ip != SECOND:
        hide(site, SECOND)
    firewall = lab.domain("second", lab.upload(IMAGE), paused=True,
                          config='vif=["mac=%s,ip=%s,backend=%d,untrusted"]' % (MAC, SECOND, site.firewall.domid))
    database = QubesDB(lab, firewall, firewall_keys(ip, gateway, clients))
    try:
        for each in clients:
            database.commit(each, ["action=accept"])
        firewall.unpause()
        firewall.wait_for("uplink connected", 30)
        site.until(lambda: database.state()["asked"], 60)
        yield firewall, database
    finally:
        database.stop()
        firewall.destroy()
        if ip != SECOND:
            show(site, SECOND)


def move(site, client, firewall, ip):
    """Attach a client that is attached to nobody to that firewall, whose address is ip."""
    words = "mac=%s,ip=%s,backend=%d,untrusted" % (MAC, client.ip, firewall.domid)
    site.lab.run(["xl", "network-attach", str(client.domid)] + words.split(","), timeout=60)
    site.set_up(client, ip)


def test_204_a_hidden_address_of_a_firewall(site):
    """A firewall of ours behind another, which is told an address that is not its own; so is its client."""
    work = site.client("work", python=True)
    with second(site, HIDDEN, GATEWAY, (work.ip,)) as (firewall, _):
        assert pings(work)
        site.detach(work)
        move(site, work, firewall, HIDDEN)
        assert pings(work) and pings(work, HIDDEN)
        site.detach(work)
    site.attach(work)
    assert pings(work)


def _another_netvm_while_paused(site, ends, why):
    """As qubesd does: a paused client is left alone; its old link goes and its new one comes when it runs again.

    Were both done while it is paused, Linux would find device/vif/0 where it was and keep its old device, whose other
    end is gone: it looks for new devices by path alone. So qubesd defers it (deferred-netvm-original).
    """
    work = site.client("work", python=True)
    with second(site, clients=(work.ip,)) as (old, _):
        site.detach(work)
        move(site, work, old, SECOND)
        assert pings(work)
        work.pause()
        ends(old)
        assert old.state() == why
        old.destroy()
        work.unpause()
        assert not pings(work), "and the shell has answered"
        site.detach(work)
        site.attach(work)
        assert pings(work)


def test_001_another_firewall_while_the_client_is_paused_the_old_one_shut_down(site):
    """It cannot be waited for: the old one ends in its time all the same."""
    def ends(old):
        old.shutdown()
        assert old.wait_for_end(10) == "poweroff"
    _another_netvm_while_paused(site, ends, "poweroff")


def test_001_another_firewall_while_the_client_is_paused_the_old_one_removed(site):
    _another_netvm_while_paused(site, lambda old: old.destroy(), "gone")
