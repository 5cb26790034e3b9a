"""qrexec for a domain of the lab: dom0 asks its services.

    asking = Asking(lab, domain)
    asking.objects("firewall.Counters")           # of an answer in JSON; what the form promises is asserted
    call = asking.call("firewall.Capture+uplink") # goes on until asking.end(call)
    asking.stdout(call)                           # octets so far
"""
import json
import os

from .channel import LabError

_HERE = os.path.dirname(os.path.abspath(__file__))
_SOURCES = {"qrexec_service.py": os.path.join(_HERE, "qrexec_service.py"),
            "vchans.py": os.path.join(_HERE, "vchans.py"),
            "qrexec_dom0.py": os.path.join(_HERE, "..", "sim", "qrexec_dom0.py")}


class Asking:
    def __init__(self, lab, domain):
        self.lab, self.domid = lab, domain.domid
        self.log = "/var/log/qrexec.%d.log" % domain.domid
        for name, path in _SOURCES.items():
            with open(path, "rb") as text:
                lab.write("/steps/" + name, text.read())
        before = len(lab.read(self.log, missing=b""))  # of another one, which was stopped
        self.pid = lab.start(["python3", "/steps/qrexec_service.py", str(domain.domid)], log=self.log)
        assert lab.await_text(self.log, "serving", 60, before), lab.read(self.log).decode()
        end = lab.clock() + 30
        while not self.ask("state")["agreed"]:
            if lab.clock() > end:
                raise LabError("no qrexec of %s: %s" % (domain.name, self.ask("state")))
            lab.run(["sleep", "0.5"])

    def ask(self, *request):
        return self.lab.call("asked.ask", self.domid, *request)

    def call(self, service, stdin=None):
        return self.ask("call", service, stdin)

    def stdout(self, number):
        return self.lab.read("/run/qrexec.call.%d" % number, missing=b"")

    def end(self, number):
        self.ask("end", number)

    def done(self, service, stdin="", seconds=60):
        """Octets of a call that ends by itself, with exit code 0."""
        number, found = self.lab.call("asked.done", self.domid, service, stdin, seconds, timeout=seconds + 30)
        if found is None or found["code"] != 0:
            raise LabError("%s: %s" % (service, found))
        return self.stdout(number)

    def objects(self, service, stdin=""):
        lines = self.done(service + "+json", stdin).splitlines()
        found = [json.loads(line) for line in lines]
        name = service.partition("+")[0].lower()
        assert found.pop(0) == {"format": name, "version": 1} and found.pop() == {"end": True}
        assert all(len(line) < 4096 for line in lines)
        return found

    def stop(self):
        self.lab.run(["kill", str(self.pid)], check=False)
