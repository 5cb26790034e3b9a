"""What `xl sysrq` shows of the firewall, with traffic, without anything, and with all that 55 clients say."""
import re

from tests.sim.network import Network
from packets import echo, tcp, udp

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"


def test_without_anything(machine):
    lines = Network(uplink=False, machine=machine).firewall.status()
    assert "uplink: none" in lines
    assert "clients: 0, dropped for want of room: 0; none" in lines
    assert not [line for line in lines if line.startswith("packets")]


def test_links_flows_and_verdicts(machine):
    net = Network(machine=machine)
    a = net.client(A)
    b = net.client(B, rules=("action=accept proto=tcp",))
    for port in range(30):
        a.send(udp(A, 1000 + port, SERVER, 53))
    b.send(udp(B, 1000, SERVER, 53))
    b.send(tcp(A, 1000, SERVER, 80))
    net.settle()
    lines = net.firewall.status()
    assert "uplink: 10.138.0.2 to domain 1, dropped for want of room: 0" in lines
    assert "clients: 2, dropped for want of room: 0; " in lines[3]
    assert "vif %s %s" % (a.end.name, A) in lines[3] and "vif %s %s" % (b.end.name, B) in lines[3]
    assert re.match(r"flows: 30 of 65536; packet pages free: \d+ of 2048, in quarantine: 0", lines[4])
    copies = int(re.search(r"copy operations (\d+)", lines[-3]).group(1))
    assert 32 <= copies <= 100  # one for each frame, more where room was taken for a second slot
    packets = dict(each.rsplit(" ", 1) for line in lines if line.startswith("packets: ") for each in line[9:].split(", "))
    assert packets["forwarded"] == "30" and packets["denied by the rules"] == "1" and packets["source not the client's"] == "1"


def test_what_a_client_lost_is_told_when_it_has_gone(machine):
    net = Network(machine=machine)
    a = net.client(A, post=0)
    for seq in range(60):
        a.send(echo(A, net.gateway, seq=seq))
        net.settle()
    lines = net.firewall.status()
    assert "clients: 1, dropped for want of room: 24; " in lines[3] and lines[4].endswith("since boot: 24")
    net.detach(a)
    assert net.firewall.status()[4].endswith("since boot: 24")


def test_55_clients_find_room_on_the_console(machine):
    net = Network(machine=machine)
    for i in range(55):
        net.client("10.137.1.%d" % i, wait=i % 11 == 10)
    lines = net.firewall.status()
    told = [line for line in lines if "clients: " in line]
    assert told == lines[3 : 3 + len(told)] and lines[3].startswith("clients: 55, ") and max(map(len, told)) < 240
    assert re.findall(r"vif \S+ (\S+?)(?:,|$)", ", ".join(told)) == ["10.137.1.%d" % i for i in range(55)]
    assert "longest gap" in lines[-2] + lines[-1]
    assert not net.lines("console full")
