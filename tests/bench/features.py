"""What watching costs: ours with what tells, learns and is asked in use (`watched`) beside ours without (`bare`).

bare: names are not learnt (fw-learn-names is off), dom0 names no clients (/connected-ips), nobody speaks qrexec.
watched: clients ask for names and we learn them, a rule names a host, dom0 names the clients, refusals are told
(fw-notify), dom0's qrexec is connected, and two callers are being streamed: firewall.Watch and firewall.Refused.

Both have as many rules. Each begins with a fresh firewall, so that neither has the other's flows.
"""
from tests.xen.asking import Asking
from tests.xen.errors import LabError
from tests.xen.internet import SERVED

from . import table

BARE, WATCHED = VARIANTS = ("bare", "watched")
JOBS = ("idle", "up", "down", "slow", "flood_up", "connect10")
STREAMED = ("firewall.Watch+json", "firewall.Refused+json")
NAME, ADDRESS, RESOLVER = "1.addresses.example", "198.51.100.1", "10.139.1.1"  # see tests/xen/steps/services.py
RULE = "action=drop proto=tcp %s dstports=9-9"
_SECONDS = 60


class Features:
    """Of the site whose firewall is ours. What is on is ended by off()."""

    def __init__(self, machine):
        self.machine, self.asking, self.servers = machine, None, None

    def use(self, variant):
        """Have them in use, or not, or (for another variant) as the firewall starts; the firewall is a fresh one."""
        self.off()
        if variant in VARIANTS:
            site, watched = self.machine.site, variant == WATCHED
            site.ahead = [RULE % ("dsthost=" + NAME if watched else "dst4=%s/32" % ADDRESS)]
            if watched:
                self._serve_names()
            self._settings(site.database, watched)
            self.machine.restart()
            for client in self.machine.clients:
                site.set_rules(client.ip, ["action=accept"])
            if watched:
                self._watch()

    def off(self):
        if self.asking:
            self.asking.stop()
        if self.servers:
            self.machine.netvm.sh("kill %d" % self.servers, check=False)
        self.asking = self.servers = None

    def _settings(self, database, watched):
        database.write("/vm-config/fw-learn-names", "on" if watched else "off")
        database.write("/vm-config/fw-notify", "on" if watched else "off")
        if watched:
            database.write("/connected-ips", " ".join(self.machine.addresses))
        else:
            database.remove("/connected-ips")

    def _serve_names(self):
        internet = self.machine.netvm.internet
        self.servers = internet.start(["python3", "/steps/services.py"], SERVED)
        if not internet.await_text(SERVED, "ready", _SECONDS):
            raise LabError("the name servers did not start: " + internet.text(SERVED))

    def _watch(self):
        """Names are learnt, dom0 is connected and its callers have been told something."""
        machine, site = self.machine, self.machine.site
        for client in machine.clients:
            path = "/dns/%s/%s" % (client.ip, NAME)
            site.until(lambda path=path: path in site.database.state()["keys"], _SECONDS)
            client.sh("nslookup %s %s | grep -q %s" % (NAME, RESOLVER, ADDRESS), _SECONDS)
        self.asking = Asking(machine.lab, site.firewall)
        for call in [self.asking.call(service) for service in STREAMED]:
            site.until(lambda call=call: self.asking.stdout(call), _SECONDS)


def lines(result):
    """Bare beside watched, as text; none if they were not both measured."""
    if not set(VARIANTS) <= set(result["figures"]):
        return []
    body = []
    for row in table.rows_of(result["settings"]["jobs"]):
        bare, watched = [table.figure(result, variant, row.name) for variant in VARIANTS]
        more = "%+.1f %%" % (100 * (watched - bare) / bare) if bare and watched is not None else table.number(None)
        body.append([row.title, row.unit, table.number(bare), table.number(watched), more])
    return table.aligned(["row", "unit", "bare", "watched", "more"], body) + [
        "rates share the one CPU with dom0's programs that play qrexec and callers; the firewall's CPU does not."]
