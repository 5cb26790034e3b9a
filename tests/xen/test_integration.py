"""Qubes' own network cases with the image as the firewall: what must work on every machine before anything else counts.

The numbers are those of Qubes' integration tests; cases.py has all of them, and where those are that are not here.

Source: qubes-core-admin, qubes/tests/integ/network.py (what each case asserts).
"""
from tests.xen.site import CLIENTS, FIREWALL, IMAGE, MAC
from tests.xen.qubesdb import QubesDB, firewall_keys

ALLOWED, OTHER = 1234, 1235  # TCP ports


def pings(client, address="192.0.2.1", more=""):
    """Whether one echo request of at most three is answered."""
    return "bytes from" in client.sh("for i in 1 2 3; do ping -c 1 -W 1 %s %s && break; done" % (more, address), check=False)


def connects(client, port):
    return client.sh("nc -w 3 192.0.2.1 %d < /dev/null" % port, check=False).startswith("served")


def serve(site):
    for port in (ALLOWED, OTHER):
        site.internet.start(["busybox", "nc", "-ll", "-p", str(port), "-e", "/bin/echo", "served"])
        site.internet.await_port(port)


def test_000_a_client_pings_through_the_firewall(site):
    """Three clients at once; what each is told about its name servers is there too."""
    clients = [site.client(name, ip, python=True) for name, ip in zip(("work", "chat", "mail"), CLIENTS)]
    for client in clients:
        assert pings(client) and pings(client, site.internet.other) and pings(client, "10.139.1.1")


def test_030_five_rule_lists_on_a_running_client(site):
    """Each is in force at the next packet, whatever flows the one before had let in."""
    work = site.client("work", python=True)
    serve(site)
    assert pings(work) and connects(work, ALLOWED) and connects(work, OTHER)
    site.set_rules(work.ip, ["action=drop"])
    assert not pings(work) and not connects(work, ALLOWED)
    site.set_rules(work.ip, ["action=accept proto=icmp", "action=drop"])
    assert pings(work) and not connects(work, ALLOWED)
    site.set_rules(work.ip, ["action=accept proto=tcp dst4=192.0.2.1/32 dstports=%d-%d" % (ALLOWED, ALLOWED), "action=drop"])
    assert connects(work, ALLOWED) and not connects(work, OTHER) and not pings(work)
    site.set_rules(work.ip, ["action=drop proto=tcp dst4=192.0.2.1/32 dstports=%d-%d" % (ALLOWED, ALLOWED), "action=accept"])
    assert not connects(work, ALLOWED) and connects(work, OTHER) and pings(work)


def test_a_refusal_is_told_at_once(site):
    """A dropped packet is answered: the program in the client fails now, not after its time-out."""
    work = site.client("work", rules=["action=drop"], python=True)
    said = work.sh("time -p nc -w 30 192.0.2.1 %d < /dev/null" % ALLOWED, timeout=60, check=False)
    assert "No route to host" in said, "what Linux makes of ICMP's administratively prohibited"
    assert float(said.split("real")[1].split()[0]) < 15


def test_040_clients_do_not_reach_each_other(site):
    work, chat = site.client("work", python=True), site.client("chat", CLIENTS[1], python=True)
    assert pings(work) and pings(chat)
    assert not pings(work, chat.ip) and not pings(chat, work.ip)


def test_050_a_client_with_another_address_reaches_nothing(site):
    """Nothing of it comes out at the netvm; the client's own address still works."""
    work = site.client("work", python=True)
    assert pings(work)
    work.sh("/usr/sbin/ip address add 10.137.0.99/32 dev eth0")
    def leaves():
        """What leaves the firewall meanwhile."""
        before = site.uplink_counters()["rx_packets"]
        assert not pings(work, more="-I 10.137.0.99")
        return site.uplink_counters()["rx_packets"] - before

    assert 0 in [leaves() for _ in range(4)], "at times there is ARP, or the end of another connection"
    work.sh("/usr/sbin/ip address del 10.137.0.99/32 dev eth0")
    assert pings(work)


def test_110_111_attach_and_detach_at_run_time(site):
    """Works within Qubes' 10 s, again and again."""
    work = site.client("work", python=True)
    for _ in range(2):
        site.detach(work)
        assert site.lab.store_read("%s/0/state" % backend(site, work)) is None
        assert site.attach_and_ping(work, 60) < 10
        assert pings(work)


def backend(site, client):
    return "/local/domain/%d/backend/vif/%d" % (site.firewall.domid, client.domid)


def test_001_detached_and_attached_while_paused(site):
    """A client that does not run cannot follow: dom0 gets its answers all the same, the client its network afterwards."""
    work = site.client("work", python=True)
    work.pause()
    site.lab.run(["xl", "network-detach", str(work.domid), "0"], timeout=60)
    assert site.lab.store_read("%s/0/state" % backend(site, work)) is None
    work.unpause()
    assert not pings(work)
    work.pause()
    site.lab.run(site.attaching(work), timeout=60)
    work.unpause()
    site.set_up(work)
    assert pings(work)


def test_001_the_firewall_is_started_anew_while_the_client_is_paused(site):
    """Shut down: a client that wakes without a firewall does not hang. Started again: its network is back."""
    work = site.client("work", python=True)
    others = [client for client in site.clients.values() if client is not work]
    site.firewall.shutdown()
    site.firewall.wait_for_end(30)
    site.firewall.destroy()
    keys = site.database.state()["keys"]
    site.database.stop()
    work.pause()
    for client in others:
        site.detach(client)
    site.lab.run(["xl", "network-detach", str(work.domid), "0"], timeout=60)
    work.unpause()
    assert not pings(work), "and the shell has answered"
    work.pause()
    keys["/qubes-iptables-error"] = ""
    site._start_firewall(keys)
    site.lab.run(site.attaching(work), timeout=60)
    work.unpause()
    site.set_up(work)
    for client in others:
        site.attach(client)
    assert pings(work)


def test_100_a_client_attached_before_the_firewall_is_ready(site):
    """dom0 waits up to 10 s for the backend; the firewall comes to life in that time."""
    work = site.client("work", python=True)
    site.detach(work)
    # in one go: a firewall that is paused for 30 s of the lab's clock, which runs ahead meanwhile, is ended as hung
    late = "xl pause %d; (sleep 4; xl unpause %d) & %s; status=$?; wait; exit $status"
    words = site.firewall.domid, site.firewall.domid, " ".join(site.attaching(work))
    site.lab.run(["sh", "-c", late % words], timeout=120)
    site.set_up(work)
    assert pings(work)


def test_210_a_custom_address(site):
    """Rules are found by it, wherever it lies."""
    chat = site.client("chat", CLIENTS[1], python=True)
    site.detach(chat)
    site.set_rules("192.168.77.5", ["action=accept proto=icmp", "action=drop"])
    site.attach(chat, "192.168.77.5")
    serve(site)
    assert pings(chat) and not connects(chat, ALLOWED)
    site.detach(chat)
    site.attach(chat, CLIENTS[1])


def test_010_one_firewall_behind_another(site):
    """The image as a client of itself, netfront to netback: a client's packets are translated twice."""
    lab = site.lab
    site.announce("10.137.0.40")
    site.set_rules("10.137.0.40", ["action=accept"])
    second = lab.domain("second", lab.upload(IMAGE), paused=True,
                        config='vif=["mac=%s,ip=10.137.0.40,backend=%d,untrusted"]' % (MAC, site.firewall.domid))
    database = QubesDB(lab, second, firewall_keys("10.137.0.40", FIREWALL, ["10.137.0.50"]))
    try:
        database.commit("10.137.0.50", ["action=accept"])
        second.unpause()
        second.wait_for("uplink connected", 30)
        inner = lab.linux("inner", config='vif=["mac=%s,ip=10.137.0.50,backend=%d,untrusted"]' % (MAC, second.domid), timeout=240)
        inner.ip = "10.137.0.50"
        site.set_up(inner, gateway="10.137.0.40")
        serve(site)
        assert pings(inner) and connects(inner, OTHER)
        inner.destroy()
    finally:
        database.stop()
        second.destroy()
