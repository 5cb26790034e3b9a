"""What services tell over real qrexec channels is what Linux saw: at the clients, at the netvm, on both wires.

DNS, HTTP, UDP and a conversation like ssh's from two clients at once, and rules that refuse some of it.
"""
import json
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import dpkt
import pytest

from tests.sim.pcapng import Capture
from tests.xen import gaps
from tests.xen.asking import Asking
from tests.xen.site import CLIENTS
from tests.xen.steps import payload

RULES = ["action=drop proto=tcp dstports=22-22", "action=drop dst4=192.0.2.2/32", "action=accept"]
OCTETS = 1000000
NAMES = "rx_packets", "rx_bytes", "tx_packets", "tx_bytes"
MOVED = "from_packets", "from_octets", "to_packets", "to_octets"
LIMIT = 600
OTHER = "192.0.2.2"  # nobody else speaks to it: what earlier tests have left does not show
GAP = 2000  # us
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("%s", 7777))
while True:
    data, who = s.recvfrom(2000)
    s.sendto(data, who)
"""


@pytest.fixture
def asking(site):
    asking = Asking(site.lab, site.firewall)
    yield asking
    assert asking.ask("state")["left"] == []
    asking.stop()


@pytest.fixture
def clients(site):
    assert site.internet.serve(60)
    return [site.client(name, ip, RULES, python=True) for name, ip in zip(("work", "chat"), CLIENTS)]


def at_once(action, *lists):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(action, *lists))


def visit(client, *words):
    said = client.sh("python3 /steps/visits.py " + " ".join(map(str, words)), LIMIT)
    return json.loads(said.strip().splitlines()[-1])


def day(client):
    """What a client does: all kinds of traffic, and some that is refused."""
    assert len(visit(client, "names", "20.addresses.example")) == 20
    assert visit(client, "download", "192.0.2.1", client.name, OCTETS)["sha256"] == payload.sha256(client.name, OCTETS)
    visit(client, "upload", "192.0.2.1", client.name, OCTETS)
    assert visit(client, "parallel", "192.0.2.1", 20) == 20
    client.sh("for i in 1 2 3; do nc -w 2 192.0.2.1 22 < /dev/null; done", 60, check=False)
    client.sh("ping -c 3 -i 0.2 -W 1 192.0.2.2", 60, check=False)
    assert " 0% packet loss" in client.sh("ping -c 5 -i 0.2 -s 1200 192.0.2.1", 60)


def of_client(client):
    text = client.sh("cd /sys/class/net/eth0/statistics; cat " + " ".join(NAMES))
    return dict(zip(NAMES, map(int, text.split())))


def quiet(site, asking, clients):
    """({neighbour: counters}, {neighbour: counters of Linux at its end}) of one moment, in which nothing passed."""
    for _ in range(20):
        before = {each["client"]: each for each in asking.objects("firewall.Counters")}
        linux = {client.ip: of_client(client) for client in clients}
        linux["uplink"] = site.uplink_counters()
        after = {each["client"]: each for each in asking.objects("firewall.Counters")}
        if before == after:
            return after, linux
    raise AssertionError("it never rests: %s" % after)


def test_counters_are_those_of_linux_at_every_end(site, asking, clients, figure):
    """Octet for octet. Linux leaves the Ethernet header, 14 octets, out of what an interface received."""
    first, linux_first = quiet(site, asking, clients)
    at_once(day, clients)
    site.until(lambda: True)
    last, linux_last = quiet(site, asking, clients)
    for who in [client.ip for client in clients] + ["uplink"]:
        ours = {key: last[who][key] - first[who][key] for key in MOVED}
        linux = {key: linux_last[who][key] - linux_first[who][key] for key in NAMES}
        sent = linux["tx_packets"], linux["tx_bytes"]
        got = linux["rx_packets"], linux["rx_bytes"] + 14 * linux["rx_packets"]
        figure("carried for %s" % who, "%d and %d octets" % (ours["from_octets"], ours["to_octets"]))
        assert tuple(ours[key] for key in MOVED) == sent + got, who
        assert ours["from_octets"] + ours["to_octets"] > 2 * OCTETS
    for client in clients:
        hits = [b - a for a, b in zip(first[client.ip]["hits"], last[client.ip]["hits"])]
        assert hits[0] >= 3 and hits[1] == 3 and hits[2] > 20 and hits[3] == 0


def test_what_was_refused_and_why(site, asking, clients):
    day(clients[0])
    call = asking.call("firewall.Refused+json")
    site.until(lambda: b'"now"' in asking.stdout(call))
    rows = [json.loads(line) for line in asking.stdout(call).partition(b'{"now"')[0].splitlines()[1:]]
    own = {(row["proto"], row["to"], row["to_port"]): row for row in rows if row.get("client") == clients[0].ip}
    ssh, ping = own["tcp", "192.0.2.1", 22], own["icmp", "192.0.2.2", 0]
    assert (ssh["rule"], ssh["why"]) == (0, "denied by the rules") and ssh["count"] >= 3
    assert (ping["rule"], ping["type"]) == (1, 8) and ping["count"] >= 3
    answers = asking.objects("firewall.Explain", "%s tcp 192.0.2.1 22\n%s tcp 192.0.2.1 80\n" % ((clients[0].ip,) * 2))
    assert answers[0]["why"] == "dropped by rule 0: action=drop proto=tcp dstports=22-22"
    assert answers[1]["why"] == "accepted by rule 2: action=accept"
    before = len(asking.stdout(call))
    clients[0].sh("nc -w 2 192.0.2.1 22 < /dev/null", check=False)
    site.until(lambda: len(asking.stdout(call)) > before)
    asking.end(call)


def sniffed(site, work, marked):
    """Sniffers at both wires; what waits for their ends: {interface of a capture: [(octets kept, length)]}."""
    words = "/tmp/frames.hex %s 'seen at' %d 100000" % (OTHER, marked)  # s: of a clock that runs ahead
    site.lab.start("python3 /steps/sniff.py %s %s" % (site.uplink, words), "/tmp/sniff.log")
    work.sh("python3 /steps/sniff.py eth0 %s > /tmp/sniff.log 2>&1 &" % words)
    assert site.lab.await_text("/tmp/sniff.log", "sniffing", 30)
    work.sh("until grep -q sniffing /tmp/sniff.log; do usleep 50000; done", 30)

    def ended():
        work.sh("until grep -q sniffed /tmp/sniff.log; do usleep 50000; done", 90)
        assert site.lab.await_text("/tmp/sniff.log", "sniffed", 90)
        texts = work.sh("cat /tmp/frames.hex", 60), site.lab.read("/tmp/frames.hex").decode()
        lines = [[line.split() for line in text.splitlines()] for text in texts]
        return {side: [(bytes.fromhex(octets), int(size)) for octets, size in lines[side]] for side in (0, 1)}

    return ended


def towards(frames):
    """(those to OTHER, those from there), each in order: how both ways mix, two who look need not agree on."""
    other = socket.inet_aton(OTHER)
    return [[frame for frame in frames if frame[0][at : at + 4] == other] for at in (30, 26)]


def test_a_capture_has_what_both_wires_saw(site, asking, clients, tmp_path, figure):
    """Datagrams, pings and a stream, both ways: octet for octet what Linux saw at both interfaces.

    All of it is less than the buffer of a capture holds, however fast it comes. tcpdump, dpkt and our own reader agree.
    """
    work, count = clients[0], 40
    work.sh("python3 /steps/offloads.py eth0 off gro")  # or frames are joined before anybody sees them
    site.set_rules(work.ip, ("action=accept",))
    ended = sniffed(site, work, 2 * count)
    site.internet.start(["python3", "-c", ECHO % OTHER])
    site.internet.await_port(7777, "udp")
    call = asking.call("firewall.Capture+" + work.ip)
    site.until(lambda: len(asking.stdout(call)) > 80)
    work.sh("ping -c 3 -i 0.05 -s 900 %s" % OTHER, 60)
    assert visit(work, "download", OTHER, work.name, 200000)["sha256"] == payload.sha256(work.name, 200000)
    work.sh("while grep -E ' %s:0050 0[^6A]' /proc/net/tcp; do usleep 50000; done" % _hexadecimal(OTHER), 60)
    assert visit(work, "echoes", OTHER, 7777, count) == count
    wires = ended()
    work.sh("python3 /steps/offloads.py eth0 on gro")
    total = len(wires[0]) + len(wires[1])
    path = tmp_path / "capture.pcapng"

    def captured():
        path.write_bytes(asking.stdout(call))
        return Capture(path.read_bytes())

    def ours(capture, side):
        return sum(towards(capture.at(side)), [])

    site.until(lambda: len(ours(captured(), 0) + ours(captured(), 1)) >= total, 30)
    asking.end(call)
    capture = captured()
    figure("frames at both wires that a capture has", "%d and %d" % (len(wires[0]), len(wires[1])))
    assert max(size for _, size in wires[0]) > 3000  # a super-frame is one
    for side in (0, 1):
        for seen, told in zip(towards(wires[side]), towards(ours(capture, side))):
            assert told == seen and len(seen) > count
    with open(path, "rb") as stream:
        assert [octets for _, octets in dpkt.pcapng.Reader(stream)] == [packet[2] for packet in capture.packets]
    said = subprocess.run(["tcpdump", "-Z", "root", "-nr", str(path)], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert len(said.stdout.splitlines()) == len(capture.packets) and "%s" % work.ip in said.stdout


def _hexadecimal(address):
    """As in /proc/net/tcp."""
    return "%08X" % struct.unpack("<I", socket.inet_aton(address))


def test_asking_much_keeps_no_ring_waiting(site, asking, clients, figure):
    """Eight at once while both clients are busy: what they download is whole. The longest gap is a figure."""
    gaps.longest_gap(site.firewall)  # what was before counts no more
    lasting = [asking.call(service) for service in (
        "firewall.Watch+json", "firewall.Watch", "firewall.Refused+json", "firewall.Capture+" + clients[0].ip,
        "firewall.Capture+uplink", "firewall.Explain")]

    def ask(_):
        for _ in range(5):
            asking.objects("firewall.Flows")
            asking.objects("firewall.Counters")

    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, None)
        at_once(day, clients)
        asked.result()
    status = asking.objects("firewall.Status")
    figure("longest gap with eight services asked", gaps.longest_gap(site.firewall)[1], "%d us" % GAP)

    def watched():
        """Octets to clients that were told of so far: it goes on, and the last line may be half there."""
        lines = asking.stdout(lasting[0]).rpartition(b"\n")[0].splitlines()[1:]
        return sum(client["to_octets"] for line in lines for client in json.loads(line)["clients"])

    site.until(lambda: watched() > 2 * OCTETS)
    for call in lasting:
        asking.end(call)
    told = {each["client"]: each for each in status[1:]}  # others may be attached, from tests before
    assert [(told[client.ip]["denied"], told[client.ip]["rules"]) for client in clients] == [("", 3), ("", 3)]
