"""dom0's qubes-firewall-top at a firewall of the lab: it runs here, and what it calls is called in the lab's dom0.

world = gather(site, 2)                 # what --once has measured and counted: a model.World of qubesfirewall
"""

import os
import sys

from .qrexec import Qrexec

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "images", "dom0"))
from qubesfirewall import top  # noqa: E402

NAME = "firewall"


class Source:
    """The services of a site's firewall; its clients by the names that they have in the lab."""

    recorded = False

    def __init__(self, site, qrexec):
        self.site, self.qrexec = site, qrexec

    def listing(self):
        rows = [(NAME, "Running", "StandaloneVM", "", "netvm", "python-firewall")]
        rows += [(name, "Running", "AppVM", client.ip, NAME, "linux") for name, client in self.site.clients.items()]
        return "".join("|".join(row) + "\n" for row in rows).encode()

    def call(self, qube, service, said=b""):
        assert qube == NAME
        return Call(self.qrexec, service, said.decode())


class Call:
    """A call in the lab, as calls.Call is one in dom0. One that goes on ends with its daemon."""

    def __init__(self, qrexec, service, said):
        self.qrexec, self.code, self.complaint, self.taken = qrexec, None, "", 0
        self.number = qrexec.call(service, said)

    def read(self, most=65536):
        found = self.qrexec.state()["calls"][str(self.number)]
        octets = found["stdout"].encode("latin-1")[self.taken : self.taken + most]
        self.taken += len(octets)
        if found["gone"] and not octets:
            self.code, self.complaint = found["code"], str(found["stderr"])
        return octets

    def fileno(self):
        return -1

    def end(self):
        pass


class Clock:
    """Seconds that the lab was let go on: its own clock runs ahead while we ask, perhaps beyond what is waited for."""

    def __init__(self, lab):
        self.lab, self.passed = lab, 0.0

    def now(self):
        return self.passed

    def sleep(self, seconds):
        self.lab.run("sleep 0.1")
        self.passed += 0.1


def gather(site, seconds, flows=False):
    qrexec = Qrexec(site.lab, site.firewall)
    try:
        site.until(lambda: qrexec.state()["agreed"], 60)
        source = Source(site, qrexec)
        clock = Clock(site.lab)
        session = top.gather(source, [], seconds, flows, clock.now, clock.sleep)
        assert qrexec.state()["left"] == [], qrexec.state()["left"]
        return session.world
    finally:
        qrexec.stop()
