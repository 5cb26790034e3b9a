"""Every verdict of the rule case files through real rings: what the rules let out leaves, nothing else does.

One firewall for all rows; the client of each row has its list, the names and resolvers are the row's.
"""
import json
import os

import pytest
from machine import Machine
from tests.sim.network import Network
from packets import icmp_message, ip, looks, tcp, udp

CASES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cases")
BUSY, SERVER = "10.137.9.99", "198.51.100.200"
QUERIES = 8, 13
NOWHERE = "0.0.0.0", "127.255.255.255", "255.255.255.255"


def rows():
    for name in "rule_verdict.jsonl", "rule_more.jsonl":
        with open(os.path.join(CASES, name)) as file:
            for row in map(json.loads, file):
                if "packet" in row and ":" not in row["packet"]["src"]:
                    yield pytest.param(row, id=row["id"])


def carried(packet):
    """Whether the firewall forwards packets like this one at all. What it does not never leaves, whatever a rule says."""
    if packet["dst"] in NOWHERE:
        return False
    if packet["proto"] == "icmp":
        return packet["type"] in QUERIES
    if packet["proto"] == "raw":
        return packet["ipproto"] not in (1, 6, 17)  # here without the header that these must have
    return packet.get("dport") is not None


def built(packet):
    src, dst = packet["src"], packet["dst"]
    if packet["proto"] == "icmp":
        return ip(src, dst, 1, icmp_message(packet["type"], packet.get("code", 0), 0x00050009, b"data"))
    if packet["proto"] == "raw":
        return ip(src, dst, packet["ipproto"], b"")
    build = tcp if packet["proto"] == "tcp" else udp
    return build(src, packet.get("sport", 40001), dst, packet.get("dport") or 0)


@pytest.fixture(scope="module")
def net():
    with Machine() as machine:
        net = Network(machine=machine)
        net.client_of_rows = net.client("10.137.7.21")
        net.busy = net.client(BUSY)
        yield net


@pytest.mark.parametrize("row", list(rows()))
def test_case(net, row):
    wire = net.client_of_rows
    net.set_names({host.rstrip("."): found for host, found in row["names"].items()})
    net.set_resolvers(row["dns"])
    entries = {"%04d" % i: text.encode() for i, text in enumerate(row["rules"])}
    if row.get("policy"):
        entries["policy"] = row["policy"].encode()
    net.set_rules(wire.address, {})  # ends the flows of the row before
    net.machine.advance(0.1)
    net.set_rules(wire.address, entries)
    net.busy.end.send(udp(BUSY, 4001, SERVER, 53, b"busy"))
    wire.end.send(built(row["packet"]))
    net.settle()
    left = [seen.dst for seen in looks(net.left())]
    assert left.count(SERVER) == 1
    left.remove(SERVER)
    if not carried(row["packet"]):
        assert left == []
    else:
        assert ("accept" if left else "drop") in row["expect"].split("|")
        assert left in ([], [row["packet"]["dst"]])
    wire.end.frames.clear()
