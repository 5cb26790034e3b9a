"""The program that ships in the simulated Xen, with settings that a test writes into QubesDB as dom0 does.

    net = Dom0Network(machine, fast=False, {"fw-lan-all": b"block"})
    net.set("fw-lan-all", "block"), net.unset("fw-lan-all")
"""
from qubesdb_dom0 import rule_keys
from qubesdb_server import Dom0
from tests.sim.network import Network

OWN, NETVM = "10.137.0.9", "10.137.0.8"
KEYS = {
    "/qubes-ip": OWN.encode(), "/qubes-gateway": NETVM.encode(), "/qubes-netvm-gateway": OWN.encode(),
    "/qubes-primary-dns": b"10.139.1.1", "/qubes-secondary-dns": b"10.139.1.2", "/qubes-random-seed": b"c2VlZA==",
}


class Dom0Network(Network):
    """settings: {name below /vm-config/: octets} at the start; more: other keys."""

    def __init__(self, machine, fast=True, settings=(), more=()):
        self.address = self.gateway = OWN
        self.upstream = NETVM
        self.machine, self.sender, self.wires, self._domid, self._own = machine, None, [], 5, False
        keys = dict(KEYS, **dict(more), **{"/vm-config/" + name: value for name, value in dict(settings).items()})
        self.dom0 = Dom0(machine, keys)
        self.firewall = machine.firewall("" if fast else "fast=off")
        self.uplink = None
        self.netvm(OWN)

    def client(self, ip, rules=(b"action=accept",), **options):
        for path, value in rule_keys(ip, rules).items():
            self.dom0.daemon.write(path, value)
        return super().client(ip, None, **options)

    def set(self, name, value):
        self.dom0.daemon.write("/vm-config/" + name, value.encode("latin-1") if isinstance(value, str) else value)
        self.settle()

    def unset(self, name):
        self.dom0.daemon.remove("/vm-config/" + name)
        self.settle()

    def told(self, *words):
        """True if a line of the log has all these words."""
        return any(all(word in line for word in words) for line in self.firewall.lines())

    def tell(self, command):
        raise NotImplementedError("the program that ships takes no commands")

    def forget(self):
        """What has come so far."""
        self.settle()
        for wire in self.wires:
            wire.end.frames.clear()
