"""The Network of tests/network.py on a real Xen, so that its scenes can be played there: frames by scapy at both ends.

The clients' ends are interfaces of Linux clients that have lost their address, so that Linux answers nothing by itself; the
uplink's end is that of dom0, which does not forward meanwhile. steps/wire.py sends and listens on each.
"""
from tests.xen.site import ACCEPT, FIREWALL

PIPES = "/run/wire"
LIMIT = 400  # s of the lab's clock
_OPEN = "mkdir -p /run; rm -f %s.*; python3 /steps/wire.py %s %s > %s.log 2>&1 &"
_ASK = "echo %s > %s.in; cat %s.out"
_MOMENT = 0.2  # s in which a frame has crossed the firewall; a hundred times what it takes


class Wire:
    """sh: runs a shell command where the interface is."""

    def __init__(self, sh, interface, address):
        self._sh, self.address = sh, address
        self._sh(_OPEN % (PIPES, interface, PIPES, PIPES), LIMIT)
        self._sh("for i in $(seq 600); do [ -p %s.out ] && exit; usleep 100000; done; cat %s.log; exit 1" % (PIPES, PIPES), LIMIT)

    def _ask(self, *words):
        return self._sh(_ASK % (" ".join(words), PIPES, PIPES), LIMIT).strip()

    def send(self, frame):
        assert self._ask("send", bytes(frame).hex()) == "sent"

    def recv(self, timeout=1):
        said = self._ask("recv", str(max(timeout, _MOMENT)))
        assert not said.startswith("wrong"), said
        return None if said == "none" else bytes.fromhex(said)

    def drain(self):
        """Forget what is there."""
        while self.recv(0):
            pass


class Network:
    """What scenes use of it; clients are those of the site's that were given."""

    def __init__(self, site, clients):
        self.site = site
        site.held = True  # its wires are programs in the clients
        self.address = self.gateway = FIREWALL
        self._forward(0)
        self.uplink = Wire(site.netvm_sh, site.uplink, site.netvm.address)
        self._clients = clients
        self._wires = {client.ip: self._wire(client) for client in clients}

    def _wire(self, client):
        # larger than ours: some scenes send what a client with such an MTU would
        client.sh("/usr/sbin/ip addr flush dev eth0; /usr/sbin/ip link set eth0 mtu 2000")
        return Wire(client.sh, "eth0", client.ip)

    def _forward(self, on):
        self.site.netvm_sh("echo %d > /proc/sys/net/ipv4/conf/%s/forwarding" % (on, self.site.uplink))

    def close(self):
        """Everything is a network again, as the site had made it."""
        for wire in [self.uplink, *self._wires.values()]:
            wire._ask("close")
        for client in self._clients:
            client.sh("/usr/sbin/ip link set eth0 mtu 1500")
            self.site.set_up(client)
        self._forward(1)
        self.site.held = False

    def client(self, ip, rules=ACCEPT):
        self.set_rules(ip, rules)
        return self._wires[ip]

    def set_rules(self, ip, rules):
        self.site.set_rules(ip, rules)

    def advance(self, seconds):
        """Of the deterministic computer's clock, which runs ahead while nothing happens."""
        self.site.lab.run(["sleep", str(seconds)], LIMIT)

    def drain(self):
        for wire in [self.uplink, *self._wires.values()]:
            wire.drain()
