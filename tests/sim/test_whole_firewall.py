"""The program that ships, with everything around it at once: QubesDB full of old rules, 55 clients, a netvm, real quotas.

Nothing of tests/guest runs here: figures are those that `xl sysrq` shows, and what Xen and xenstored count.
"""
import re

import pytest
from attacks import all_work
from machine import Machine
from tests.sim.network import Network
from packets import Look, echo, udp
from passing import address, ended
from qubesdb_dom0 import rule_keys, stale
from qubesdb_server import Dom0
from store import NODES_MAX, OXENSTORED, XENSTORED

OWN, NETVM, SERVER, DENIED = "10.137.0.9", "10.137.0.8", "192.0.2.50", "192.0.2.51"
KEYS = {
    "/qubes-ip": OWN.encode(), "/qubes-gateway": NETVM.encode(), "/qubes-netvm-gateway": OWN.encode(),
    "/qubes-primary-dns": b"10.139.1.1", "/qubes-secondary-dns": b"10.139.1.2", "/qubes-random-seed": b"c2VlZA==",
}
CLIENTS = 55
WINDOW = 60  # looks at the heap, one a cycle; in as many cycles it is collected some times, and soon after is seen once
HEAP_SLACK = 200  # KiB: how long ago the last collection was at the best of these looks


def rules(ip):
    """Ten rules as dom0 writes them; of the two servers only one is reached."""
    others = [b"action=drop dst4=203.0.113.%d/32 proto=tcp dstports=1-1024" % i for i in range(9)]
    return rule_keys(ip, others + [b"action=accept dst4=192.0.2.50/32"])


class Whole(Network):
    """Network's wires around the shipping program; what dom0 says goes through QubesDB."""

    def __init__(self, machine, keys, uplink=True):
        self.address = self.gateway = OWN
        self.upstream = NETVM
        self.machine, self.sender, self.wires, self._domid = machine, None, [], 5
        self.dom0 = Dom0(machine, keys)
        self.firewall = machine.firewall("")
        self.uplink = None
        if uplink:
            self.netvm(OWN)

    def tell(self, command):
        raise NotImplementedError("the program that ships takes no commands")

    def status(self):
        """Numbers of the lines that sysrq makes: {name: int}."""
        text = " ".join(self.firewall.status())
        found = re.search(r"(\d+) KiB of heap.*?flows: (\d+) of .*?packet pages free: (\d+)", text)
        return dict(zip(("heap", "flows", "pages"), map(int, found.groups())))

    def level(self):
        """All that must be as before, in a moment of rest."""
        self.machine.advance(2)
        return {"packet pages": self.status()["pages"], **self.firewall.holdings()}


def forwards(net, wires):
    """Every client's allowed packet leaves and is answered; its denied one does not leave."""
    for wire in wires:
        wire.send(udp(wire.address, 1000, DENIED, 53))
    all_work(net, wires)


def again(net, wire, way):
    """One client goes and comes back, in one of the ways there are; its rules are in force again at once."""
    end = wire.end
    ended(net, end, way)
    end.attach()
    net.machine.until(end.connected, 30)
    end.frames.clear()
    end.responses.clear()


@pytest.mark.parametrize("personality", [XENSTORED, pytest.param(OXENSTORED, marks=pytest.mark.long)],
                         ids=lambda personality: personality.name)
def test_all_at_once_levels_out(personality, figure, request, in_ci):
    """20,000 stale rule trees, 55 clients with ten rules each; 150 attach and detach cycles, 60 in CI, 3,000 with --long."""
    cycles = 3000 if request.config.getoption("--long") else 60 if in_ci else 150
    addresses = [address(i) for i in range(CLIENTS)]
    keys = {**KEYS, **stale(20000), "/connected-ips": " ".join(addresses).encode()}
    for ip in addresses:
        keys.update(rules(ip))
    with Machine(personality=personality) as machine:
        net = Whole(machine, keys)
        net.machine.until(lambda: "/qubes-iptables-error" in net.dom0.daemon.keys, 30, "the end of reading")
        empty = net.level()
        wires = [net.client(ip, rules=None) for ip in addresses]
        forwards(net, wires)
        full = net.level()
        assert full["nodes"] < NODES_MAX and full["watches"] < personality.watches - 10
        heap = []  # KiB free, after every cycle: of some in a row the most is what there is after a collection
        for i in range(cycles):
            wire = wires[i * 7 % CLIENTS]
            again(net, wire, i % 3)
            wire.end.send(udp(wire.address, 2000 + i % 100, SERVER, 53))
            net.settle()
            assert len(net.left()) == 1, "cycle %d" % i
            heap.append(net.status()["heap"])
        assert net.level() == full
        first, last = max(heap[:WINDOW]), max(heap[-WINDOW:])
        figure("all at once: heap free at first, after %d cycles (%s)" % (cycles, personality.name),
               "%d, %d KiB" % (first, last))
        figure("all at once: nodes, watches, grants, ports (%s)" % personality.name,
               ", ".join(str(full[name]) for name in ("nodes", "watches", "grants", "ports")))
        assert last > first - HEAP_SLACK
        forwards(net, wires)
        for wire in wires:
            net.detach(wire)
        assert net.level() == empty
        assert net.dom0.left == [] and not net.lines(" error ")


def test_without_a_netvm_clients_are_answered(machine):
    """dom0 writes our own address and gateway only when there is a netvm; what clients know us by it always writes."""
    keys = {name: value for name, value in KEYS.items() if name not in ("/qubes-ip", "/qubes-gateway")}
    net = Whole(machine, {**keys, **rules(address(0))}, uplink=False)
    wire = net.client(address(0), rules=None)
    net.settle()
    wire.send(echo(wire.address, OWN, seq=7))
    assert Look(wire.recv()).seq == 7
    wire.send(udp(wire.address, 1000, SERVER, 53))
    told = Look(wire.recv())
    assert (told.src, told.kind, told.code) == (OWN, 3, 0)
