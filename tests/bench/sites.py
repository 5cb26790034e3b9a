"""The sites of the bench: one whose firewall is the image, and one with a Linux VM in its place, as Qubes 4.2 has it.

Both can have their firewall made afresh, paused, for jobs that look at its start.
"""
from tests.xen.site import ACCEPT, FIREWALL, Site

from .nftables import Nftables

LINUX_MEMORY = 400  # MB; what it is given does not change what it does


class _BenchSite(Site):
    """untrusted: the clients do not trust the firewall, as on a Qubes machine, and lend it no page with anything else."""

    untrusted = True

    def client_words(self, ip):
        words = super().client_words(ip)
        return words if self.untrusted else words.replace(",untrusted", "")


class OurSite(_BenchSite):
    ahead = ()  # rules of every client, before those that it is given

    def set_rules(self, ip, rules):
        super().set_rules(ip, list(self.ahead) + list(rules))

    def renew_paused(self):
        """End the firewall and create another, which has not run yet; no client may have an interface of it."""
        keys = self.database.state()["keys"]
        self.database.stop()
        self.firewall.destroy()
        self.create_firewall(keys)

    def renewed(self):
        """It has been unpaused: wait until it is ready for more."""
        self.await_firewall()

    def allow(self, sender, receiver):
        """Let the client with one address begin flows to another, by a setting."""
        self.database.write("/vm-config/fw-allow-1", "%s>%s" % (sender, receiver))


class LinuxSite(_BenchSite):
    """The same attributes as a Site; its database is a Nftables."""

    def __init__(self, lab, netvm, clients, files, memory=LINUX_MEMORY):
        super().__init__(lab, netvm, memory, clients=clients, files=files)

    def _start_firewall(self, keys):
        self._create()
        self.firewall.wait_for("FIREWALL-READY", 60)

    def _create(self, words="", paused=False):
        words = "netvm=%s gateway=%s firewall %s" % (FIREWALL, self.netvm.address, words)
        self.firewall = self.lab.linux("linux", self.memory, 'driver_domain=1\nvif=["%s"]' % self.uplink_words(), 240,
                                       words=words.strip(), files=self.files, paused=paused)
        self.database = Nftables(self.firewall)

    def renew_paused(self):
        """As OurSite's. Its first client may do everything from the start."""
        self.firewall.destroy()
        self._create("accept=" + self.known[0], paused=True)

    def renewed(self):
        self.firewall.wait_for("LINUX-READY", 60)
        self.firewall.wait_for("FIREWALL-READY", 60)
        for address in self.known:
            self.database.commit(address, ACCEPT)

    def client_words(self, ip):
        """Its vif script is run by `xl devd` in it."""
        return super().client_words(ip) + ",script=vif-site"

    def allow(self, sender, receiver):
        """As OurSite's, by a rule in the chain that Qubes leaves to its owner."""
        self.firewall.sh("nft add rule ip qubes custom-forward ip saddr %s ip daddr %s accept" % (sender, receiver))

    def flowtable(self, on):
        """Have it carry flows past its rules, or not; over the interfaces that there are now."""
        self.firewall.sh("/flowtable " + ("on" if on else "off"))
