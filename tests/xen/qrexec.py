"""qrexec for a domain of the lab: dom0's daemon, callers and services in dom0.

    qrexec = Qrexec(lab, domain)
    number = qrexec.call("qubes.WaitForSession")
    qrexec.state()["calls"][str(number)]       # {"code", "stdout", "stderr", "gone"}
"""
import os

_HERE = os.path.dirname(os.path.abspath(__file__))
_SOURCES = {"qrexec_daemon.py": os.path.join(_HERE, "qrexec_daemon.py"),
            "vchans.py": os.path.join(_HERE, "vchans.py"),
            "qrexec_dom0.py": os.path.join(_HERE, "..", "sim", "qrexec_dom0.py")}


class Qrexec:
    """The service in dom0 for a domain that exists, from now on until the lab is switched off."""

    def __init__(self, lab, domain, version=4):
        self.lab, self.domid = lab, domain.domid
        self.log = "/var/log/qrexec.%d.log" % domain.domid
        for name, path in _SOURCES.items():
            with open(path, "rb") as text:
                lab.write("/steps/" + name, text.read())
        before = len(lab.read(self.log, missing=b""))  # of another one, which was stopped
        self.pid = lab.start(["python3", "/steps/qrexec_daemon.py", str(domain.domid), str(version)], log=self.log)
        assert lab.await_text(self.log, "serving", 60, before), lab.read(self.log).decode()

    def ask(self, *request):
        return self.lab.call("qrexec.ask", self.domid, *request)

    def call(self, service, stdin="", just=False):
        """The number of a call by dom0 that has begun. stdin: None: it does not end."""
        return self.ask("execute", "user:QUBESRPC %s dom0" % service, stdin, just)

    def crowd(self, services, more):
        """Numbers of calls that begin at once, in two lists; each says its own when all of the first are connected."""
        return self.ask("crowd", *[["user:QUBESRPC %s dom0" % each for each in part] for part in (services, more)])

    def answer(self, service, stdout, code):
        """What a service of dom0's says when the domain calls it; others are refused."""
        self.ask("answer", service, stdout, code)

    def state(self):
        """See qrexec_daemon.py."""
        return self.ask("state")

    def drop(self):
        """The daemon was started again."""
        self.ask("drop")

    def stop(self):
        self.lab.run(["kill", str(self.pid)], check=False)
