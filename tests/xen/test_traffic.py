"""Linux clients reach the internet through the image that ships, on a real Xen; a driver domain is the netvm, or dom0.

Both clients run each test, most of them at the same time; all of it where an instruction takes a nanosecond, so that the
figures mean something and no clock but the host's goes on while the host is busy.
"""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.xen.dom0_netvm import Dom0Netvm
from tests.xen.internet import SERVED
from tests.xen.site import CLIENTS
from tests.xen.steps import payload

FORMS = [{}, {"netvm": "driver"}]  # arguments of the site
pytestmark = pytest.mark.parametrize("site", FORMS, indirect=True, ids=["dom0", "driver"])
LIMIT = 600  # s of the lab's clock, for what takes seconds


@pytest.fixture
def internet(site):
    """The site's internet with its servers running."""
    assert site.internet.serve(60)
    return site.internet


@pytest.fixture
def clients(site):
    return [site.client(name, ip, python=True) for name, ip in zip(("work", "chat"), CLIENTS)]


def visit(client, *words):
    """Result of steps/visits.py in a client."""
    said = client.sh("python3 /steps/visits.py " + " ".join(map(str, words)), LIMIT)
    return json.loads(said.strip().splitlines()[-1])


def at_once(action, *lists):
    """action(...) in a thread for each; the results in order."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(action, *lists))


def test_ping(clients, figure):
    for client, said in zip(clients, at_once(lambda client: client.sh("ping -c 5 -i 0.2 -s 1400 192.0.2.1"), clients)):
        figure("ping of 1400 octets, %s" % client.name, said.strip().splitlines()[-1])
        assert " 0% packet loss" in said


@pytest.mark.parametrize("kind", ["", "-I"])
def test_traceroute(site, clients, kind):
    """By UDP and by ICMP: the firewall, the netvm and the server are seen as hops, in that order."""
    for client in clients:
        said = client.sh("traceroute -n -q 1 -w 5 -m 6 %s 192.0.2.1" % kind, LIMIT)
        assert re.findall(r"^ *\d+ +([\d.]+|\*)", said, re.MULTILINE) == ["10.137.0.9", site.netvm.address, "192.0.2.1"], said


def test_dns(clients, internet):
    """A short answer comes by UDP; a long one is cut there, and asked for again by TCP."""
    for client in clients:
        assert visit(client, "names", "3.addresses.example") == ["198.51.100.%d" % i for i in (1, 2, 3)]
        assert len(visit(client, "names", "200.addresses.example")) == 200
    served = [line for line in internet.text(SERVED).splitlines() if line.startswith("dns")]
    assert set(served) == {"dns udp 10.137.0.9 3", "dns udp 10.137.0.9 0", "dns tcp 10.137.0.9 200"}, served


@pytest.mark.parametrize("way", ["download", "upload"])
def test_http(site, clients, internet, way, in_ci, figure):
    """From both clients at once, streams of their own."""
    octets = (200 if isinstance(site.netvm, Dom0Netvm) and not in_ci else 40) * 1000000
    for client, result in zip(clients, at_once(lambda client: visit(client, way, "192.0.2.1", client.name, octets), clients)):
        figure("HTTP, %s of %d MB beside another" % (way, octets / 1e6), "%.1f MB/s" % (octets / 1e6 / result["seconds"]))
        assert result["sha256"] == payload.sha256(client.name, octets)


def test_200_parallel_connections(clients, internet):
    """Each client has them, all open at once, and hears the right answer on each."""
    assert at_once(lambda client: visit(client, "parallel", "192.0.2.1", 200), clients) == [200, 200]


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
@pytest.mark.parametrize("way", ["out", "in"])
def test_iperf3(site, clients, protocol, way, figure):
    """Both clients at once, to a server each. UDP is sent at 8 Mbit/s, in datagrams of 1400 octets."""
    ports = [5201, 5202]
    for port in ports:
        log = "/var/log/iperf3.%d.log" % port
        site.internet.start(["iperf3", "--forceflush", "-s", "-p", str(port)], log)
        assert site.internet.await_text(log, "listening", LIMIT)
    words = {"TCP": [], "UDP": ["-u", "-b", "8M", "-l", "1400"]}[protocol] + {"out": [], "in": ["-R"]}[way]
    # towards the clients the netvm drops what its queue has no room for, and a stream that began later takes a while to recover
    seconds = 3 if (protocol, way) == ("TCP", "in") else 1
    results = at_once(lambda client, port: visit(client, "iperf", "192.0.2.1", port, seconds, *words), clients, ports)
    for client, result in zip(clients, results):
        megabits = result["octets"] * 8e-6 / result["seconds"]
        figure("iperf3 beside another, %s %s" % (protocol, way), "%.1f Mbit/s, %.1f %% lost" % (megabits, result["lost"]))
        assert megabits > 7.2  # how two TCP streams share the one CPU is not ours alone: a floor for both protocols
        assert result["lost"] < 5
