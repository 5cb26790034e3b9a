"""A sample of the NAT and verdict cases on a real Xen; all of them are played in the simulation.

Each scene has servers of its own, for nobody ends the flows of the one before.
"""
import json
import os
import sys

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

from tests.xen.raw_network import Network
from tests.xen.site import ACCEPT, CLIENTS, FIREWALL

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(TESTS, "host"))
import test_nat_cases  # noqa: E402

pytestmark = pytest.mark.xdist_group("cases on a site")  # as long as all others of such a site together

SCENES = ["tcp-out", "tcp-two-clients-one-port", "tcp-stranger", "tcp-ttl-1", "tcp-unreach-embedded", "tcp-unreach-inner-mismatch",
          "udp-out", "udp-stranger-port", "udp-unasked", "udp-unreach-embedded", "udp-cksum-0-embedded", "icmp-echo",
          "icmp-err-of-echo", "igmp", "idle-udp-120", "frag-sizes-1500", "rules-change-cuts-flow"]
MACS = {"dst": "fe:ff:ff:ff:ff:ff", "src": "00:16:3e:5e:6c:00"}


@pytest.fixture(scope="module")
def net(labs):
    site = labs.get_site("xenstored", {})
    net = Network(site, [site.client(name, ip, python=True) for name, ip in zip(("work", "chat"), CLIENTS)])
    yield net
    if site.usable():
        net.close()


@pytest.mark.parametrize("case", SCENES)
def test_nat_case(case, net, site, monkeypatch):
    number = SCENES.index(case)
    names = {"A": CLIENTS[0], "B": CLIENTS[1], "OURS": FIREWALL, "SERVER": "192.0.2.%d" % (50 + number),
             "STRANGER": "198.51.100.%d" % (50 + number)}
    for name, address in names.items():
        monkeypatch.setattr(test_nat_cases, name, address)
    net.drain()
    test_nat_cases.SCENES[case](net)


def verdict_cases():
    """The rows about one packet, without the ones that need a resolver to answer."""
    with open(os.path.join(TESTS, "cases", "rule_verdict.jsonl")) as file:
        for row in map(json.loads, file):
            if not any("dsthost" in rule for rule in row["rules"]):
                yield pytest.param(row, id=row["id"])


def built(packet):
    """The row's packet, from our client."""
    frame = Ether(**MACS) / IP(src=CLIENTS[0], dst=packet["dst"])
    if packet["proto"] == "icmp":
        return frame / ICMP(type=packet["type"], code=packet["code"], id=5, seq=9) / b"data"
    if packet["proto"] == "raw":
        frame[IP].proto = packet["ipproto"]
        return frame
    layer = {"tcp": TCP, "udp": UDP}[packet["proto"]]
    return frame / layer(sport=packet["sport"], dport=packet["dport"])


def sample(rows):
    """Every third, and with --long the others: a lab of this kind takes seconds for each."""
    return [row if i % 3 == 0 else pytest.param(*row.values, id=row.id, marks=pytest.mark.long) for i, row in enumerate(rows)]


@pytest.mark.parametrize("row", sample(verdict_cases()))
def test_verdict_case(row, net, site):
    """What is accepted leaves with our address; what is dropped does not, and the sender hears that it is forbidden."""
    assert row["policy"] == "drop"
    net.drain()
    wire = net.client(CLIENTS[0], row["rules"])
    wire.send(bytes(built(row["packet"])))
    seen, told = net.uplink.recv(), wire.recv()
    net.set_rules(CLIENTS[0], ACCEPT)
    if row["expect"] == "accept":
        seen = Ether(seen)[IP]
        assert (seen.src, seen.dst, told) == (FIREWALL, row["packet"]["dst"], None)
    else:
        assert seen is None
        told = Ether(told)[ICMP]
        assert (told.type, told.code) == (3, 13)
