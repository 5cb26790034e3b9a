"""QubesDB for a domain of the lab.

    domain = lab.domain("fw", image, paused=True)
    database = QubesDB(lab, domain, firewall_keys("10.137.0.9", "10.137.0.8"))
    domain.unpause()
    database.commit("10.137.0.5", ["action=accept"])
"""
import json
import os

_HERE = os.path.dirname(os.path.abspath(__file__))
_SOURCES = {"qubesdb_service.py": os.path.join(_HERE, "qubesdb_service.py"),
            "vchans.py": os.path.join(_HERE, "vchans.py"),
            "qubesdb_dom0.py": os.path.join(_HERE, "..", "sim", "qubesdb_dom0.py")}


def firewall_keys(own, gateway, clients=()):
    """Keys as Qubes writes them for a firewall before it starts. clients: addresses, running or not."""
    return {
        "/name": "fw", "/type": "AppVM", "/qubes-vm-type": "ProxyVM", "/qubes-mac": "00:16:3e:5e:6c:00",
        "/qubes-ip": own, "/qubes-netmask": "255.255.255.255", "/qubes-gateway": gateway,
        "/qubes-primary-dns": "10.139.1.1", "/qubes-secondary-dns": "10.139.1.2",
        "/qubes-netvm-gateway": own, "/qubes-netvm-netmask": "255.255.255.255", "/qubes-netvm-network": own,
        "/qubes-netvm-primary-dns": "10.139.1.1", "/qubes-netvm-secondary-dns": "10.139.1.2",
        "/connected-ips": " ".join(clients), "/connected-ips6": "", "/qubes-iptables-error": "",
        "/qubes-random-seed": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==",
    }


def rule_keys(address, rules):
    """Keys of one client's rules, to be there from the start."""
    base = "/qubes-firewall/" + address
    keys = {"%s/%04d" % (base, number): rule for number, rule in enumerate(rules)}
    keys.update({base: "", base + "/policy": "drop"})
    return keys


class QubesDB:
    """The service in dom0 that serves a domain, from now on until the lab is switched off."""

    def __init__(self, lab, domain, keys):
        self.lab, self.domid = lab, domain.domid
        self.log = "/var/log/qubesdb.%d.log" % domain.domid
        for name, path in _SOURCES.items():
            with open(path, "rb") as text:
                lab.write("/steps/" + name, text.read())
        lab.write("/run/qubesdb.%d.json" % domain.domid, json.dumps(keys).encode())
        self.pid = lab.start(["python3", "/steps/qubesdb_service.py", str(domain.domid), "/run/qubesdb.%d.json" % domain.domid],
                             log=self.log)
        assert lab.await_text(self.log, "serving", 60), lab.read(self.log).decode()

    def ask(self, *request):
        return self.lab.call("qubesdb.ask", self.domid, *request)

    def write(self, path, text=""):
        self.ask("write", path, text)

    def remove(self, path):
        self.ask("remove", path)

    def commit(self, address, rules):
        """Write a client's rules as Qubes does, the commit last."""
        self.ask("commit", address, rules)

    def commit_and_wait(self, address, rules, seconds=10):
        """Seconds until the domain says that the rules are in force."""
        return self.lab.call("qubesdb.commit_and_wait", self.domid, address, rules, seconds)

    def state(self):
        """See qubesdb_service.py."""
        return self.ask("state")

    def drop(self):
        """Close the channel and offer a new one: dom0's daemon was started again."""
        self.ask("drop")

    def stop(self):
        self.lab.run(["kill", str(self.pid)], check=False)
