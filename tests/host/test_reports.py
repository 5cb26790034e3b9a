"""Every row of cases/reports.jsonl that the judge alone can show: faults of similar products that users reported.

The rows say in words what is sent and expected, so each has a function here, named by the row's id; a row without one fails.
"""
import json
import os

import pytest
from packets import ACK, DF, ETHER, FIN, PSH, SYN, Look, arp, ip, pseudo, tcp, tcp_segment, total, udp
from scenes import A, OURS, nothing

import test_transports
from tests.network import CLIENT_MAC, OUR_MAC, Network

CASES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "cases", "reports.jsonl")
SERVER = "192.0.2.9"
SCENES = {}


def scene(function):
    SCENES[function.__name__.replace("_", "-")] = function
    return function


@scene
def gso_whole_checksum_up(net):
    client = net.client(A)
    client.send(tcp(A, 40000, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, OURS, port, SYN | ACK))
    client.recv()
    client.send(ip(A, SERVER, 6, tcp_segment(A, 40000, SERVER, 80, ACK | PSH, bytes(5000)), fragment=DF), blank=False, gso=1448)
    frame, blank, gso = net.uplink.recv_offloaded()
    assert blank and gso == 1448
    assert frame[50:52] == total(pseudo(OURS, SERVER, 6, len(frame) - 34)).to_bytes(2, "big")


@scene
def arp_probe_foreign(net):
    client = net.client(A)
    for asked in ("169.254.7.7", "192.168.1.5"):
        client.send(arp(1, CLIENT_MAC, "0.0.0.0", asked))
        nothing(client, net.uplink)
    client.send(arp(1, CLIENT_MAC, "0.0.0.0", OURS))
    assert client.recv() == CLIENT_MAC + arp(2, OUR_MAC, OURS, "0.0.0.0", CLIENT_MAC)[6:]


def storm(net, source_ports):
    """1024 single exchanges in 102 s, at a capacity of 1024; then one more flow opens."""
    client = net.client(A)
    for i in range(1024):
        remote = "198.51.%d.%d" % (100 + i // 250, 1 + i % 250)
        client.send(udp(A, source_ports(i), remote, 53))
        net.uplink.send(udp(remote, 53, OURS, Look(net.uplink.recv()).sport))
        assert client.recv()
        net.advance(0.1)
    for build in (udp, tcp):
        client.send(build(A, 60000, SERVER, 443))
        assert Look(net.uplink.recv()).dport == 443
    nothing(client)


@scene
def udp_answered_once_storm(net):
    storm(net, lambda i: 2000 + i)


@scene
def dht_one_port_storm(net):
    storm(net, lambda i: 6881)


@scene
def tcp_half_closed_storm(net):
    client = net.client(A)
    for sport in range(2000, 3024):
        client.send(tcp(A, sport, SERVER, 80))
        port = Look(net.uplink.recv()).sport
        for sender, frame in (
            (net.uplink, tcp(SERVER, 80, OURS, port, SYN | ACK)),
            (client, tcp(A, sport, SERVER, 80, ACK)),
            (net.uplink, tcp(SERVER, 80, OURS, port, FIN | ACK)),
            (client, tcp(A, sport, SERVER, 80, ACK)),
        ):
            sender.send(frame)
            assert (client if sender is net.uplink else net.uplink).recv()
        net.advance(1)
    client.send(tcp(A, 60000, SERVER, 443))
    assert Look(net.uplink.recv()).dport == 443


@scene
def rtp_receive_only(net):
    client = net.client(A)
    client.send(udp(A, 5004, SERVER, 6970))
    port = Look(net.uplink.recv()).sport
    for _ in range(120):
        net.advance(10)
        net.uplink.send(udp(SERVER, 6970, OURS, port))
        assert Look(client.recv()).dport == 5004


@scene
def privileged_port(net):
    client = net.client(A)
    client.send(tcp(A, 700, SERVER, 2049))
    assert Look(net.uplink.recv()).sport < 1024


@scene
def to_the_gateway(net):
    client = net.client(A)
    for frame in (udp(A, 40000, OURS, 5351), udp(A, 40000, OURS, 53), tcp(A, 40000, OURS, 8082)):
        client.send(frame)
        told = Look(client.recv())
        assert (told.src, told.kind, told.code, told.data) == (OURS, 3, 10, frame[14:])
    nothing(client, net.uplink)


@scene
def udplite(net):
    client = net.client(A)
    client.send(ip(A, SERVER, 136, test_transports.lite(A, SERVER, b"video", coverage=8)))
    assert Look(net.uplink.recv()).payload == test_transports.lite(OURS, SERVER, b"video", coverage=8)


@scene
def dccp(net):
    client = net.client(A)
    client.send(ip(A, SERVER, 33, test_transports.dccp(A, SERVER)))
    assert Look(net.uplink.recv()).payload == test_transports.dccp(OURS, SERVER)


@scene
def arp_other_sender(net):
    client = net.client(A)
    mac = b"\x02\x00\x00\x00\x00\x07"
    client.send(arp(1, mac, "10.8.0.2", OURS))
    assert client.recv() == mac + arp(2, OUR_MAC, OURS, "10.8.0.2", mac)[6:]
    client.send(udp(A, 1, SERVER, 80))
    net.uplink.send(udp(SERVER, 80, OURS, Look(net.uplink.recv()).sport))
    assert client.recv()[:6] == CLIENT_MAC


@scene
def vlan_0(net):
    client = net.client(A)
    client.send(ETHER + b"\x81\x00\xa0\x00" + udp(A, 4001, SERVER, 80)[12:])
    assert Look(net.uplink.recv()).data == b"data"


@scene
def tcp_without_flow(net):
    client = net.client(A, ["action=accept dstports=22-22 proto=tcp"])
    client.send(tcp(A, 40000, SERVER, 22, ACK | PSH, b"data"))
    seen = Look(net.uplink.recv())
    assert (seen.dport, seen.data) == (22, b"data")
    net.uplink.send(tcp(SERVER, 22, OURS, seen.sport, ACK | PSH, b"answer"))
    assert Look(client.recv()).data == b"answer"
    client.send(tcp(A, 40000, SERVER, 23, ACK | PSH, b"data"))
    assert Look(client.recv()).flags & 4  # RST
    nothing(client, net.uplink)


with open(CASES) as lines:
    IDS = [row["id"] for row in map(json.loads, lines) if "judge" in row["where"]]


@pytest.mark.parametrize("case", IDS)
def test_report(case):
    with Network() as net:
        SCENES[case](net)
