"""What the rule list of one client is sealed with: our own answers, and what this client has learnt."""
from firewall.names.wildcards import number
from firewall.rules.names import NoNames


class View(NoNames):
    """names: the Names. client: its address."""

    def __init__(self, names, client):
        self.names = names
        self.client = client

    def addresses(self, host):
        names = self.names
        if number(host):  # nobody can be asked for it: shut, until the client learns
            return () if names.learning and names.wildcards.get(number(host)) else None
        name = names.table.names.get(host)
        return name.admits(names.now) if name else None

    def learnt(self, host):
        return self.names.learnt_by(self.client, host, False)

    def past(self, host):
        name = self.names.table.names.get(host)
        if number(host) or not name:
            return None if self.addresses(host) is None else self.learnt_past(host)
        if name.answered is None and not name.found:
            return self.learnt_past(host) or None
        now = self.names.now
        return tuple([address for address, until in name.found.items() if until <= now]) + self.learnt_past(host)

    def learnt_past(self, host):
        return self.names.learnt_by(self.client, host, True)

    def room(self):
        return self.names.room()

    def epoch(self, now):
        known = self.names.clients.get(self.client)
        return self.names.table.epoch + known.epoch if known else self.names.table.epoch

    def waiting(self):
        return self.names.waiting(self.client)
