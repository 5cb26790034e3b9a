"""What ours costs with what learns, tells and is asked in use (`citizen`, `watched`), beside ours without (`bare`).

bare: names are not learnt (fw-learn-names is off), dom0 names no clients (/connected-ips), nobody speaks qrexec.
citizen: clients ask for names and we learn them, a rule names a host, dom0 names the clients, refusals are told
(fw-notify), dom0's qrexec is connected.
watched: besides, two callers are being streamed: firewall.Watch and firewall.Refused.

All have as many rules. Each begins with a fresh firewall, so that none has another's flows.
"""
from tests.xen.asking import Asking
from tests.xen.errors import LabError
from tests.xen.internet import SERVED

from . import table

BARE, CITIZEN, WATCHED = VARIANTS = ("bare", "citizen", "watched")
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
            site, in_use = self.machine.site, variant != BARE
            site.ahead = [RULE % ("dsthost=" + NAME if in_use else "dst4=%s/32" % ADDRESS)]
            if in_use:
                self._serve_names()
            self._settings(site.database, in_use)
            self.machine.restart()
            for client in self.machine.clients:
                site.set_rules(client.ip, ["action=accept"])
            if in_use:
                self._ask_names()
                self.asking = Asking(self.machine.lab, site.firewall)
            if variant == WATCHED:
                self._watch()

    def off(self):
        if self.asking:
            self.asking.stop()
        if self.servers:
            self.machine.netvm.sh("kill %d" % self.servers, check=False)
        self.asking = self.servers = None

    def _settings(self, database, in_use):
        database.write("/vm-config/fw-learn-names", "on" if in_use else "off")
        database.write("/vm-config/fw-notify", "on" if in_use else "off")
        if in_use:
            database.write("/connected-ips", " ".join(self.machine.addresses))
        else:
            database.remove("/connected-ips")

    def _serve_names(self):
        internet = self.machine.netvm.internet
        self.servers = internet.start(["python3", "/steps/services.py"], SERVED)
        if not internet.await_text(SERVED, "ready", _SECONDS):
            raise LabError("the name servers did not start: " + internet.text(SERVED))

    def _ask_names(self):
        """Each client asks for a name, which is learnt."""
        machine, site = self.machine, self.machine.site
        for client in machine.clients:
            path = "/dns/%s/%s" % (client.ip, NAME)
            site.until(lambda path=path: path in site.database.state()["keys"], _SECONDS)
            client.sh("nslookup %s %s | grep -q %s" % (NAME, RESOLVER, ADDRESS), _SECONDS)

    def _watch(self):
        """dom0's callers have been told something."""
        site = self.machine.site
        for call in [self.asking.call(service) for service in STREAMED]:
            site.until(lambda call=call: self.asking.stdout(call), _SECONDS)


def lines(result):
    """Bare beside the others that were measured, as text; none without both."""
    others = [variant for variant in VARIANTS[1:] if variant in result["figures"]]
    if BARE not in result["figures"] or not others:
        return []
    body = []
    for row in table.rows_of(result["settings"]["jobs"]):
        bare = table.figure(result, BARE, row.name)
        line = [row.title, row.unit, table.number(bare)]
        for variant in others:
            figure = table.figure(result, variant, row.name)
            more = "%+.1f %%" % (100 * (figure - bare) / bare) if bare and figure is not None else table.number(None)
            line += [table.number(figure), more]
        body.append(line)
    heads = [head for variant in others for head in (variant, "more")]
    return table.aligned(["row", "unit", BARE] + heads, body) + [
        "rates share the one CPU with dom0's programs that play qrexec and callers; the firewall's CPU does not."]
