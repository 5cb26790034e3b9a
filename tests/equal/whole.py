"""A ground more: the program that ships, in the simulated Xen, told by a QubesDB daemon instead of the test's own commands."""
import random
import re

import rulegen
from grounds import Sim

OWN, UPSTREAM = "10.138.0.2", "10.138.0.1"
KEYS = {
    "/qubes-ip": OWN.encode(), "/qubes-gateway": UPSTREAM.encode(), "/qubes-netvm-gateway": OWN.encode(),
    "/qubes-primary-dns": b"10.139.1.1", "/qubes-secondary-dns": b"10.139.1.2", "/qubes-random-seed": b"c2VlZA==",
}
VALUES = b"10.139.1.1", b"10.139.1.2", b"192.0.2.20", b"", b"x", b"10.0.0.256", b"fe80::1", b"\xff"
_STATUS = re.compile(r"^(?:uplink|clients|flows|packets): ")
_PAGES = re.compile(r"packet pages free: \d+ of \d+, ")
_COUNT = re.compile(r"([a-zA-Z][^,]*?) (\d+)(?:, |$)")


def network(machine, **features):
    """tests.sim.network.Network around that program; what it tells goes through QubesDB."""
    from network import Network
    from qubesdb_server import Dom0

    class Whole(Network):
        complaint = None

        def __init__(self):
            self.address = self.gateway = OWN
            self.upstream, self.machine, self.sender, self.wires, self._domid = UPSTREAM, machine, None, [], 5
            self.uplink, self._own = None, False
            self.dom0 = Dom0(machine, KEYS)
            self.firewall = machine.firewall("")
            self.netvm(OWN, **features)

        def tell(self, command):
            """Only of Network.netvm(), which gives us another address."""
            self.dom0.daemon.write("/qubes-ip", command.split()[1].encode())
            self.settle()

        def set_rules(self, ip, entries):
            if not isinstance(entries, dict):
                entries = dict({"%04d" % i: text.encode() for i, text in enumerate(entries)}, policy=b"drop")
            texts = [entries[key] for key in sorted(entries) if key != "policy"]
            self.dom0.commit(ip, texts, policy=entries.get("policy"))

        def connected(self, *addresses, only=False):
            self.dom0.daemon.write("/connected-ips", " ".join(addresses).encode())
            self.settle()

        def allow(self, *pairs):
            """Not by its key: the number of pairs chooses something else that dom0 does."""
            daemon, dice = self.dom0.daemon, random.Random(len(pairs))
            what = dice.randrange(6)
            if what == 0:
                daemon.write(dice.choice(("/qubes-primary-dns", "/qubes-secondary-dns", "/qubes-netvm-gateway")), dice.choice(VALUES))
            elif what == 1:
                self.dom0.restart()
            elif what == 2:
                daemon.write("/qubes-firewall/10.137.0.%d/%04d" % (dice.randrange(21, 28), dice.randrange(20)), rulegen.rule(dice).encode())
            elif what == 3:
                daemon.commit("fd09:24ef:4179::a89:%x" % dice.randrange(21, 28), [b"action=accept dst6=2001:db8::/32"])
            elif what == 4:
                daemon.write("/connected-ips", dice.choice(VALUES))
            else:
                daemon.write("/qubes-service/%d" % dice.randrange(9), b"1")
            self.settle()

        def status(self):
            """What sysrq shows, but for what is of memory and time."""
            return [_PAGES.sub("", line) for line in self.firewall.status() if _STATUS.match(line)]

        @property
        def counters(self):
            lines = [line.partition(": ")[2] for line in self.status() if line.startswith("packets: ")]
            return {name: int(n) for line in lines for name, n in _COUNT.findall(line)}

    return Whole()


class WholeSim(Sim):
    def make(self, **features):
        return network(self.machine, **features)

    def more(self):
        said = [line for line in super().more() if " status: " not in line]
        dom0 = self.net.dom0
        left, dom0.left = dom0.left, []
        sent, dom0.daemon.from_vm = dom0.daemon.from_vm, []
        return said + ["QubesDB has gone: %s" % why for why in left] + ["QubesDB: %d %s %r" % each for each in sent]

    def figures(self):
        return "\n".join(self.net.status())
