"""A quiet Linux client keeps its rate while another one, or the internet, brings all it can, where an instruction takes a ns.

The quiet one asks 20 times a second; an answer that is late by more than its patience is none.
"""
import re

import pytest

from tests.xen.site import CLIENTS, FIREWALL
from tests.xen.test_offload import NO_OFFLOADS

WORK, CHAT, _ = CLIENTS
SERVER, RESOLVER, UNKNOWN = "192.0.2.1", "10.139.1.1", "198.51.100.1"
ASKED = 60
LOW = 1023  # source ports below 1024, which stay below: a pool of their own, by the same code as the others
LIMIT = 900  # s of the lab's clock
LONGEST = 8000  # us in which rings are not served, beside a flood; that of test_gap is for what honest clients do


@pytest.fixture
def work(site):
    return site.client("work", WORK, python=True)


@pytest.fixture
def chat(site):
    return site.client("chat", CHAT, python=True)


def answered(client):
    """How many of its questions the quiet client got answered, each within a second."""
    said = client.sh("ping -c %d -i 0.05 -W 1 %s || true" % (ASKED, SERVER), LIMIT)
    return int(re.search(r"(\d+) (?:packets )?received", said)[1])


class Flood:
    """A command of a client's that goes on."""

    def __init__(self, client, command):
        self.client = client
        client.sh("%s > /tmp/flood 2>&1 & echo $! > /tmp/pid" % command, 60)
        client.sh("sleep 1", LIMIT)

    def end(self):
        """What it said at last."""
        return self.client.sh("kill $(cat /tmp/pid); sleep 1; tail -n 1 /tmp/flood", LIMIT, check=False).strip()


def serve_bulk(site):
    site.internet.start(["iperf3", "-s"])
    site.internet.await_port(5201)


def _judge(site, work, what, flood, figure, seen):
    came = answered(work)
    said = flood.end() if flood else ""
    figure("quiet client on Xen beside %s" % what, "%d of %d%s" % (came, ASKED, ", %s brought" % said if said.isdigit() else ""), "90 %")
    longest = seen(site.firewall, "beside %s" % what)
    assert came >= 0.9 * ASKED
    assert longest < LONGEST


@pytest.mark.parametrize("form, to, rules", [
    ("pings", FIREWALL, ("action=accept",)), ("large", SERVER, ("action=accept",)), ("small", SERVER, ("action=accept",)),
    ("flows", UNKNOWN, ("action=accept",)), ("syns", SERVER, ("action=accept",)), ("small", SERVER, ()),
], ids=["pings of 65,000 octets to us", "datagrams in pieces", "small packets of one flow", "new flows", "SYN flood", "denied packets"])
def test_beside_a_client(site, work, chat, form, to, rules, figure, seen, request):
    site.set_rules(CHAT, rules)
    seen(site.firewall, "before a client's flood: %s" % form)
    flood = Flood(chat, "python3 /steps/flood.py %s %s" % (form, to))
    _judge(site, work, "a client's %s" % request.node.callspec.id, flood, figure, seen)


def test_new_flows_beside_one_that_holds_every_port(site, work, chat, figure):
    """Another client took all ports, and DNS was refused. It took them while alone, has all in use, and goes on.

    The small pool of ports below 1024 is what a lab can fill. The large one, and identifiers of ICMP, which have no
    small one, go through the same code: tests/host/test_port_shares.py fills them.
    """
    others = [client for client in site.clients.values() if client is not chat]
    assert site.internet.serve(LIMIT)
    for client in others:  # beside one other that is attached, even at rest, its limit is half the pool
        site.detach(client)
    chat.sh("python3 /steps/ports.py hold %s %d > /tmp/held 2>&1 & echo $! > /tmp/pid" % (RESOLVER, LOW), 60)
    held = chat.sh("until grep : /tmp/held; do sleep 1; done", LIMIT).strip()
    for client in others:
        site.attach(client)
    came = int(work.sh("python3 /steps/ports.py ask %s %d" % (RESOLVER, ASKED), LIMIT))
    chat.sh("kill $(cat /tmp/pid)", 60)
    what = "quiet client's new flows on Xen beside one that held all %d ports of a pool" % LOW
    figure(what, "%d of %d" % (came, ASKED), "90 %")
    assert held == "held: %d" % LOW
    assert came >= 0.9 * ASKED


def test_beside_bulk_of_both_ways(site, work, chat, figure, seen):
    """Super-frames as they are."""
    serve_bulk(site)
    for way, words in ("the uplink's", "-R"), ("a client's", ""):
        flood = Flood(chat, "iperf3 -c %s -t 1000 %s" % (SERVER, words))
        _judge(site, work, "%s super-frames" % way, flood, figure, seen)


def test_beside_super_frames_that_are_cut(site, work, chat, figure, seen):
    """The netvm takes none."""
    site.features.update(NO_OFFLOADS)
    site.restart_firewall()
    try:
        serve_bulk(site)
        flood = Flood(chat, "iperf3 -c %s -t 1000" % SERVER)
        _judge(site, work, "a client's super-frames to be cut", flood, figure, seen)
    finally:
        site.features.clear()
        site.restart_firewall()


@pytest.mark.parametrize("form", ["small", "large"])
def test_beside_the_uplink(site, work, form, figure, seen):
    """Datagrams of no flow, whole and in pieces."""
    site.internet.start(["python3", "/steps/flood.py", form, FIREWALL])
    _judge(site, work, "the uplink's %s datagrams of no flow" % form, None, figure, seen)
