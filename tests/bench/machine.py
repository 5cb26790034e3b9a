"""The computer of the bench: a netvm and clients in the lab, and between them one firewall at a time.

    machine = Machine(clients=1)
    machine.use("ours")            # or "linux", "flowtable"
    before, after, said = machine.watch({0: "traffic up 192.0.2.1 3 1"}, warm=0.5, seconds=2)

Netvm, clients and what they run are the same domains for all firewalls; a client changes from one to another as on a
Qubes machine, by another interface. The firewall that is not used sleeps.
"""
import re
from concurrent.futures import ThreadPoolExecutor

from tests.xen.dom0_netvm import Dom0Netvm
from tests.xen.errors import LabError
from tests.xen.lab import Lab
from tests.xen.site import ACCEPT, FIREWALL

from . import beside, tools
from .features import Features
from .sites import LinuxSite, OurSite

VARIANTS = ("ours", "linux", "flowtable")
LINUX = VARIANTS[1:]  # all others are our image, see features.py for more of it
SERVER, NOBODY = "192.0.2.1", "198.51.100.1"  # NOBODY: the netvm drops without a word what goes there
ADDRESSES = tuple("10.137.0.%d" % i for i in range(20, 28))
COUNTERS = "/run/counters"
COUNTED = ("taken", "given", "greeted", "drained", "flooded")  # as in traffic/serve.c
_LONG = 120  # s of the lab's clock
_AWAIT = "for i in $(seq 100); do ping -c 1 -W 1 %s > /dev/null && exit 0; done; exit 1"


class Machine:
    def __init__(self, clients=1, memory=32, lab=None, emulator_words=(), untrusted=True):
        """clients: how many; memory: of our image, in MB; lab: a running one, which stays; emulator_words: see
        tests/xen/emulator.py; untrusted: see sites.py."""
        self.own_lab = lab is None
        self.lab = lab or Lab(emulator_words=emulator_words)
        self.memory, self.untrusted, self.files = memory, untrusted, tools.files()
        self.addresses = ADDRESSES[:clients]
        self.netvm = Dom0Netvm(self.lab)
        self.lab.write("/serve", tools.program("serve"), 0o755)
        self.netvm.internet.start(["/serve", COUNTERS], "/var/log/serve.log")
        if not self.netvm.await_text("/var/log/serve.log", "ready", 20):
            raise LabError("the servers did not start: " + self.netvm.text("/var/log/serve.log"))
        self.netvm.sh("ip route replace blackhole %s" % NOBODY)
        self.sites, self.site, self.variant = {}, None, None
        self.features = Features(self)

    def close(self):
        """Switch the lab off, or leave it as it was."""
        if self.own_lab:
            self.lab.close()
            return
        self.netvm.sh("ip route del blackhole %s" % NOBODY, check=False)
        for site in self.sites.values():
            site.close()

    def last_words(self):
        """For an error: what the domains' consoles end with."""
        return "\n".join("%s: %s" % (domain.name, domain.last_words()) for domain in self.lab.domains)

    # ---- who is the firewall

    def use(self, variant):
        """Have this firewall between clients and netvm."""
        name = "linux" if variant in LINUX else "ours"
        if name not in self.sites:
            self.sites[name] = self.make(name)
        site = self.sites[name]
        if site is not self.site:
            self._move(site)
        if name == "linux":
            site.flowtable(variant == "flowtable")
        else:
            self.features.use(variant)
        self.variant = variant

    def make(self, name):
        """A site with a firewall of that name."""
        if name == "ours":
            site = OurSite(self.lab, self._netvm, self.memory, clients=self.addresses, files=self.files)
        else:
            site = LinuxSite(self.lab, self._netvm, self.addresses, self.files)
        site.untrusted = self.untrusted
        return site

    def _netvm(self, _):
        return self.netvm

    def _move(self, site):
        """Give the clients to a site: booted there if there are none yet."""
        old, self.site = self.site, site
        self.lead_back()
        if old is None:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda ip: site.client("client" + ip.rpartition(".")[2], ip), self.addresses))
        else:
            for client in self._detached(old):
                site.set_rules(client.ip, ACCEPT)
                site.attach(client)
                site.clients[client.name] = client
            old.clients = {}
        for client in self.clients:
            client.sh(_AWAIT % SERVER, _LONG)

    def _detached(self, site):
        """All clients of a site, without their interfaces now."""
        clients = [site.clients[name] for name in sorted(site.clients)]
        for client in clients:
            site.detach(client)
        return clients

    def renew(self, start, memory=0):
        """End the firewall and have another one in its place: start(first client) has it run, and gives that client its
        interface. memory: in MB, from now on."""
        site = self.site
        first, *others = self._detached(site)
        site.memory = memory or site.memory
        site.renew_paused()
        self.lead_back()
        result = start(first)
        site.renewed()
        for client in others:
            site.attach(client)
        return result

    def restart(self, memory=0):
        """A fresh firewall."""
        def start(client):
            self.firewall.unpause()
            self.site.renewed()
            self.site.attach(client)
        self.renew(start, memory)

    def lead_back(self):
        """Have the netvm send what is for the firewall to the one in use: both have the same address."""
        self.netvm.sh("ip route replace %s dev %s" % (FIREWALL, self.site.uplink))

    def allow(self, sender, receiver):
        """Let one client begin flows to another, from now on."""
        self.site.allow(sender.ip, receiver.ip)
        sender.sh(_AWAIT % receiver.ip, _LONG)

    @property
    def clients(self):
        return [self.site.clients[name] for name in sorted(self.site.clients)]

    @property
    def firewall(self):
        return self.site.firewall

    # ---- what passes

    def watch(self, commands, warm, seconds):
        """Run a command on each client (by number), and take two moments meanwhile: (before, after, [what they said]).

        A moment: see tests/xen/steps/accounts.py; its "cpu" by "firewall", "netvm" and "clients", its "counters" by
        name, and "all": {what the image counted (see beside.py), and packets on the uplink} outside of the two, for
        all of the commands.
        """
        whole = [self._whole()]
        typed = [(self.clients[number],) + self.clients[number].line(command) + (command,)
                 for number, command in sorted(commands.items())]
        domids = [0, self.firewall.domid] + [client.domid for client in self.clients]
        lines = [[client.domid, line] for client, line, _, _ in typed]
        moments = self.lab.call("accounts.window", lines, warm, seconds, domids, COUNTERS, [self.site.uplink],
                                timeout=warm + seconds + _LONG)
        said = [client.result(mark, command, _LONG) for client, _, mark, command in typed]
        whole.append(self._whole())
        return [dict(self._named(moment), all=all_of_it) for moment, all_of_it in zip(moments, whole)] + [said]

    def flows(self):
        """How many flows the firewall has."""
        if self.variant in LINUX:
            return int(self.firewall.sh("cat /proc/sys/net/netfilter/nf_conntrack_count"))
        self._status()
        return int(re.findall(r"flows: (\d+) of", self.firewall.console())[-1])

    def _status(self):
        """Have the image tell how it is doing, on its console."""
        before = len(self.lab.read(self.firewall.log))
        self.lab.run(["xl", "sysrq", str(self.firewall.domid), "s"], timeout=_LONG)
        self.firewall.wait_for("longest gap", _LONG, before)

    def _whole(self):
        """What the image says that it has asked of Xen, and its uplink's packets; {} for Linux, which does not say."""
        if self.variant in LINUX:
            return {}
        self._status()
        found = beside.counts(self.firewall.console())
        uplink = self.lab.call("accounts.moment", [], "", [self.site.uplink])["interfaces"][self.site.uplink]
        return dict(found, **{name: uplink[name] for name in ("rx_packets", "tx_packets")})

    def _named(self, moment):
        cpu = {int(domid): ns for domid, ns in moment["cpu"].items()}
        return {
            "ns": moment["ns"], "counters": dict(zip(COUNTED, moment["counters"])),
            "uplink": moment["interfaces"][self.site.uplink],
            "cpu": {"firewall": cpu[self.firewall.domid], "netvm": cpu[0],
                    "clients": sum(cpu[client.domid] for client in self.clients)},
        }
