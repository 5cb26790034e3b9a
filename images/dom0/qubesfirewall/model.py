"""What is known of firewalls and of the qubes behind them: rows that came in, sums, and the rates of the last minute.

No clock and no terminal here: time is what the firewalls say, in ms since each started. All is bounded.
"""

from . import streams

SECONDS = 60  # of rates that are kept
CLIENTS, FLOWS, REFUSALS = 256, 4096, 512  # kept of a firewall, of a client, of a firewall
EARLIER = 5  # seconds: a firewall whose clock is that much behind has started anew
DENIED = ("denied by the rules", "from client to client")


class Client:
    """A qube behind a firewall. down, up: octets that it got and sent in each second (at // 1000) of the last
    minute."""

    def __init__(self, firewall, address):
        self.firewall, self.address, self.name = firewall, address, ""
        self.down, self.up = {}, {}
        self.status, self.counted, self.since = None, None, [0, 0, 0]  # since: down, up, refused after `counted`
        self.flows = 0

    def moved(self, second, row):
        """A row of firewall.Watch."""
        self.down[second] = self.down.get(second, 0) + row["to_octets"]
        self.up[second] = self.up.get(second, 0) + row["from_octets"]
        for kept in (self.down, self.up):
            for old in [each for each in kept if not second - SECONDS < each <= second]:
                del kept[old]
        self.flows = row["flows"]
        self.since = [
            self.since[0] + row["to_octets"],
            self.since[1] + row["from_octets"],
            self.since[2] + row["refused"],
        ]

    def count(self, row):
        """The first line of this client in an answer of firewall.Counters."""
        self.counted, self.since = row, [0, 0, 0]

    def total(self):
        """(octets it got, octets it sent) since it was attached, or since we look if nothing was counted."""
        counted = self.counted or {"to_octets": 0, "from_octets": 0}
        return counted["to_octets"] + self.since[0], counted["from_octets"] + self.since[1]

    def refused(self):
        return (self.counted["refused"] if self.counted else 0) + self.since[2]

    def rates(self, now):
        """(down, up) in octets a second, the mean of the last two whole seconds told."""
        seconds = (now, now - 1)
        return tuple(sum(kept.get(each, 0) for each in seconds) // len(seconds) for kept in (self.down, self.up))

    def minute(self, now, parts):
        """Octets of both ways in each of `parts` equal parts of the minute that ends with second `now`."""
        made = [0] * parts
        for kept in (self.down, self.up):
            for second, octets in kept.items():
                if now - SECONDS < second <= now:
                    made[(second - now + SECONDS - 1) * parts // SECONDS] += octets
        return made

    def title(self):
        return self.name or self.address


class Firewall:
    """A firewall qube. fault: why nothing is known of it, "" else. now: its last second, by its own clock."""

    def __init__(self, name):
        self.name, self.fault, self.now = name, "", 0
        self.clients = {}
        self.status, self.uplink, self.strange = None, None, 0
        self.refusals = {}  # (client, proto, to, to_port, rule, why): row, the newest last
        self.flows, self.coming = {}, {}  # client's address: [row]; of the last whole answer, and of the one that comes
        self.seconds = set()  # of the last minute, those that firewall.Watch has told
        self.listening = False  # {"now": true} has come: refusals that come are new
        self._more = set()  # clients whose counters go on in the next line

    def client(self, address):
        """The Client of an address; a new one if there is room, else None."""
        known = self.clients.get(address)
        if known is None and len(self.clients) < CLIENTS:
            known = self.clients[address] = Client(self.name, address)
        return known

    def take(self, service, row):
        """A row of an answer. Gives the row of a refusal that is new, else None."""
        return getattr(self, "_" + service.split(".")[1].lower())(row)

    def _status(self, row):
        if "uptime" in row:
            self.status = row
            self._clock(row["uptime"] // 1000)
            return
        client = self.client(row["client"])
        if client:
            client.status, client.flows = row, row["flows"]

    def _clock(self, second):
        """The firewall's clock as it was told; one that is behind: it has started anew, and what it counted began at
        0."""
        if second < self.now - EARLIER:
            self.now, self.seconds = second, set()
            self.refusals.clear()
            for client in self.clients.values():
                client.down, client.up, client.counted, client.since = {}, {}, None, [0, 0, 0]
        self.now = max(self.now, second)

    def _counters(self, row):
        address = row["client"]
        first = address not in self._more
        (self._more.add if row["more"] else self._more.discard)(address)
        if not first:
            return
        if address == "uplink":
            self.uplink = row
            return
        client = self.client(address)
        if client:
            client.count(row)

    def _watch(self, row):
        second = row["at"] // 1000
        self._clock(second)
        self.seconds = {each for each in self.seconds if each > second - SECONDS} | {second}
        for each in row["clients"]:
            client = self.client(each["client"])
            if client:
                client.moved(second, each)

    def _refused(self, row):
        if "now" in row:
            self.listening = True
            return None
        key = tuple(row[each] for each in ("client", "proto", "to", "to_port", "rule", "why"))
        self.refusals.pop(key, None)
        self.refusals[key] = row
        while len(self.refusals) > REFUSALS:
            del self.refusals[next(iter(self.refusals))]
        self.client(row["client"])
        return row if self.listening else None

    def _flows(self, row):
        known = self.coming
        kept = known.setdefault(row["client"], []) if len(known) < CLIENTS else known.get(row["client"])
        if kept is not None and len(kept) < FLOWS:
            kept.append(row)

    def forget(self, addresses):
        """Clients that an answer of firewall.Status, which is whole, has not: they are detached."""
        for address in [each for each in self.clients if each not in addresses]:
            client = self.clients[address]
            if not client.minute(self.now, 1)[0] and not self.refused_of(address):
                del self.clients[address]

    def refused_of(self, address):
        """Rows of this client's refusals, the newest first."""
        return [row for row in reversed(list(self.refusals.values())) if row["client"] == address]

    def flows_of(self, address):
        """Rows of this client's flows, those that carried most first."""
        return sorted(
            self.flows.get(address, []),
            key=lambda row: (-row["in_octets"] - row["out_octets"], row["to"], row["from_port"]),
        )


class World:
    """All firewalls, in the order of their names."""

    def __init__(self):
        self.firewalls, self.names, self.fault = {}, None, ""

    def know(self, names, wanted=()):
        """What qvm-ls says now. Gives (names of firewalls that are new, names of those that are gone)."""
        self.names = names
        there = names.firewalls(wanted)
        new = [each for each in there if each not in self.firewalls]
        gone = [each for each in self.firewalls if each not in there]
        for each in gone:
            del self.firewalls[each]
        for each in new:
            self.firewalls[each] = Firewall(each)
        self.name()
        return new, gone

    def name(self):
        """Give the clients their names."""
        for firewall in self.firewalls.values():
            for client in firewall.clients.values():
                client.name = self.names.name(firewall.name, client.address)

    def rows(self, text="", by_use=False):
        """[(Firewall, [its Clients with text in name or address])], by name or by what they carried in a minute."""
        made = []
        for name in sorted(self.firewalls):
            firewall = self.firewalls[name]
            clients = [
                each for each in firewall.clients.values() if text in each.title().lower() or text in each.address
            ]
            clients.sort(key=lambda each: (each.name == "", each.name, each.address))
            if by_use:
                clients.sort(key=lambda each: -each.minute(firewall.now, 1)[0])
            made.append((firewall, clients))
        return made


def reason(row):
    """Why a flow was refused, in a person's words."""
    if row["rule"] >= 0:
        return "rule %d" % row["rule"]
    if row["why"] in ("", DENIED[0]):
        return "no rule allows it"
    return row["why"]


def target(row):
    """`name (address)` or the address of a flow or a refusal."""
    return "%s (%s)" % (row["name"], row["to"]) if row["name"] else row["to"]


def words(row):
    """A refusal as a sentence without its subject: `tcp 140.82.121.4:22 (github.com) refused by rule 3`."""
    port = ":%d" % row["to_port"] if row["to_port"] else ""
    name = " (%s)" % row["name"] if row["name"] else ""
    by = "refused by rule %d" % row["rule"] if row["rule"] >= 0 else "refused: %s" % reason(row)
    return streams.clean("%s %s%s%s %s" % (row["proto"], row["to"], port, name, by), streams.WIDE)
