"""Large frames and blank checksums cross the firewall whole, and are cut and completed where the netvm takes neither.

All of it where an instruction takes a nanosecond: in real time, TCP paces itself to the emulator and makes small frames.
"""
import json
import re

import pytest

from tests.xen import gaps
from tests.xen.site import FIREWALL
from tests.xen.steps import payload

BULK = 20000000  # octets
FEW = 2000000  # octets, where each frame is looked at by Python
LARGEST_PLAIN = 1514  # octets of an Ethernet frame
LIMIT = 400  # s of the lab's clock
NO_OFFLOADS = {"feature-sg": "0", "feature-gso-tcpv4": "0", "feature-no-csum-offload": "1"}
BEHIND = "/usr/sbin/ip netns exec behind"
# The client's address moves into a namespace, behind interfaces that leave no checksum blank and no frame whole.
GO_BEHIND = """
ip() { /usr/sbin/ip "$@"; }
/load network; mkdir -p /var/run; ip netns add behind
ip link add inside type veth peer name eth0 netns behind
python3 /steps/offloads.py inside off tx; ip link set inside up
ip addr flush dev eth0; ip neigh replace %(gateway)s lladdr fe:ff:ff:ff:ff:ff dev eth0
ip route replace default via %(gateway)s dev eth0 onlink; ip route add %(ip)s dev inside
echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/conf/inside/proxy_arp
%(enter)s /usr/sbin/ip link set eth0 up
%(enter)s /usr/sbin/ip addr add %(ip)s/32 dev eth0
%(enter)s /usr/sbin/ip route add default dev eth0
"""


@pytest.fixture
def site(site):
    """With its servers running."""
    assert site.internet.serve(LIMIT)
    return site


@pytest.fixture
def client(site):
    return site.client("work", python=True)


def transfer(client, way, octets, prefix=""):
    """An HTTP transfer that arrives as it was sent."""
    said = client.sh("%s python3 /steps/visits.py %s 192.0.2.1 %s %d" % (prefix, way, way, octets), LIMIT)
    assert json.loads(said.strip().splitlines()[-1])["sha256"] == payload.sha256(way, octets)


def mean_frames(site, client, octets):
    """{way: mean octets of the frames that cross the uplink's ring in that way, in a transfer of so many octets}"""
    means = {}
    for way, sent in ("upload", "rx"), ("download", "tx"):
        before = site.uplink_counters()
        transfer(client, way, octets)
        after = site.uplink_counters()
        count, size = (after[sent + name] - before[sent + name] for name in ("_packets", "_bytes"))
        assert size > octets
        means[way] = size / count
    return means


class Capture:
    """steps/capture.py: on an interface of a client's, or of dom0's, or (prefix) of a namespace there."""

    def __init__(self, site, interface, client=None, prefix=()):
        self.lab, self.client = site.lab, client
        self.log = "/tmp/capture.%s" % ("far" if prefix else interface)
        command = [*prefix, "python3", "/steps/capture.py", interface, "80"]
        if client:
            client.sh("%s > %s 2>&1 &" % (" ".join(command), self.log))
            self._await("capturing")
        else:
            self.lab.run(["rm", "-f", self.log])
            self.lab.start(command, self.log)
            assert self.lab.await_text(self.log, "capturing", LIMIT), self.lab.read(self.log)

    def result(self):
        if self.client:
            text = self._await("}").splitlines()[-1]
        else:
            assert self.lab.await_text(self.log, "}", LIMIT), self.lab.read(self.log)
            text = self.lab.read(self.log).decode().splitlines()[-1]
        return json.loads(text)

    def _await(self, text):
        """What a client's capture has said once that is in it; all within 60 s of the client's clock."""
        said = self.client.sh("for i in $(seq 600); do grep -q '%s' %s && break; usleep 100000; done; cat %s"
                              % (text, self.log, self.log), LIMIT)
        assert text in said, said
        return said


def checksum_errors(text):
    """Datagrams and segments that a Linux found wrong; text: its /proc/net/snmp."""
    names, values = re.findall(r"^Tcp: (.*)", text, re.MULTILINE)
    return int(dict(zip(names.split(), values.split()))["InCsumErrors"])


def test_bulk_frames_stay_whole(site, client, figure):
    means = mean_frames(site, client, BULK)
    for way, mean in means.items():
        figure("mean frame on the uplink's ring, %s" % way, "%.0f octets" % mean, "10000")
    assert min(means.values()) > 10000


def test_blank_checksums_out(site, client):
    """Blank on the ring; right on the far side of an interface that completes them, for Linux and by our own sum."""
    inside = ("ip", "netns", "exec", "internet")
    site.lab.call("offloads.switch", "wan", 0, ["tx"])
    ring, far = Capture(site, site.uplink), Capture(site, "eth0", prefix=inside)
    before = checksum_errors(site.internet.sh("cat /proc/net/snmp"))
    transfer(client, "upload", FEW)
    ring, far = ring.result(), far.result()
    assert ring["blank"] > 10 and ring["largest"] > 10000 and ring["wrong"] == 0
    assert far["frames"] > FEW / 1500 and far["blank"] == 0 and far["largest"] <= LARGEST_PLAIN and far["wrong"] == 0
    assert checksum_errors(site.internet.sh("cat /proc/net/snmp")) == before
    site.lab.call("offloads.switch", "wan", 1, ["tx", "sg", "tso"])


def test_blank_checksums_in(site, client):
    """The same towards a client that is a router itself, with an interface that completes them."""
    client.sh("; ".join((GO_BEHIND % {"gateway": FIREWALL, "ip": client.ip, "enter": BEHIND}).strip().splitlines()), LIMIT)
    ring = Capture(site, "eth0", client)
    far = Capture(site, "eth0", client, BEHIND.split())
    transfer(client, "download", FEW, BEHIND)
    ring, far = ring.result(), far.result()
    assert ring["blank"] > 10 and ring["largest"] > 10000 and ring["wrong"] == 0
    assert far["frames"] > FEW / 1500 and far["blank"] == 0 and far["largest"] <= LARGEST_PLAIN and far["wrong"] == 0
    assert checksum_errors(client.sh(BEHIND + " cat /proc/net/snmp")) == 0
    client.sh("/usr/sbin/ip netns del behind")
    site.set_up(client)


@pytest.fixture
def plain_site(site, client):
    """Its netvm's offloads are off, both ways: what its backend offers, and what it makes of our frontend's offer."""
    site.features.update(NO_OFFLOADS)
    site.restart_firewall()
    site.lab.call("offloads.switch", site.uplink, 0, ["tso", "gso", "sg", "tx"])
    yield site
    site.features.clear()
    site.restart_firewall()


def test_without_the_netvms_offloads(plain_site, client, seen):
    """The same transfers pass; all frames on the uplink's ring are plain ones, complete, and right; nobody waits long."""
    ring = Capture(plain_site, plain_site.uplink)
    transfer(client, "upload", FEW)
    ring = ring.result()
    assert ring["frames"] > FEW / 1500 and ring["blank"] == 0 and ring["largest"] <= LARGEST_PLAIN and ring["wrong"] == 0
    means = mean_frames(plain_site, client, BULK // 4)
    assert max(means.values()) <= LARGEST_PLAIN
    assert seen(plain_site.firewall, "bulk, netvm without offloads") < gaps.LIMIT
