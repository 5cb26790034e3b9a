"""Linux domains as netvms of a site, which can be killed, started again and exchanged.

Such a netvm has xen-netback and init-netvm, and is the internet itself: 192.0.2.1 and .2 and the resolvers are addresses
of its own. It has a way back to what it backs alone, 10.137.0.9. What a netvm has to offer a site: see dom0_netvm.py.

dom0's part is done as qubesd does it: the interface of a netvm that died is detached, and once it runs again a new one is
attached; QubesDB hears of neither. Another netvm with another address is written to QubesDB in between.
"""
ADDRESS, OTHER_ADDRESS = "10.137.0.8", "10.137.0.7"


class DomuNetvm:
    internet = None

    def __init__(self, lab, address=ADDRESS, name="netvm"):
        self.lab, self.address, self.name = lab, address, name
        self.domain = None
        self.start()

    def start(self):
        """Boot it, afresh if it has run before."""
        self.domain = self.lab.linux(self.name, timeout=240, words="netvm=" + self.address)
        self.domain.wait_for("NETVM-READY", 60)

    def kill(self):
        self.domain.destroy()

    @property
    def interface_words(self):
        return "backend=%d" % self.domain.domid

    @property
    def backends(self):
        return self.domain.store("backend/vif")

    def sh(self, command, timeout=30.0, check=True):
        """Output of a shell command in it."""
        return self.domain.sh(command, timeout, check)

    def reset(self):
        """Nothing runs here but what was there from the start."""

    def close(self):
        self.kill()
