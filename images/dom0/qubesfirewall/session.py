"""Calls to all firewalls at once, and what their answers make of a model.World. No terminal here; the time is an
argument.

Of each firewall two calls go on (what moves, what is refused) and two are made again and again (status, counters). A
call that
has ended is made anew after a pause that doubles, to a minute; a firewall whose answers are wrong is said to be so,
and asked on.
"""

from . import calls, model, qubes, streams

EVERY = {
    "firewall.Status": 10,
    "firewall.Counters": 10,
    "firewall.Flows": 3,
}  # seconds from one answer's end to the next call
PAUSE, LONGEST = 2, 60  # seconds before a call is made anew
LISTING = 15  # seconds
TURN = 4  # pieces taken of a call in a turn
WHOLE = 8 << 20  # octets of an answer that ends by itself, at most


class Asked:
    """A service that a firewall is asked for, over and over."""

    def __init__(self, source, firewall, service, argument="json"):
        self.source, self.firewall, self.service, self.argument = source, firewall, service, argument
        self.call = self.reader = None
        self.due, self.pause, self.octets, self.answers = 0, PAUSE, 0, 0
        self.whole = False  # the last answer was
        self.addresses = set()

    def step(self, now, take):
        """Read what is there; give each row to take(). True when something came."""
        if self.call is None:
            if now < self.due:
                return False
            self._begin()
        came = False
        for _ in range(TURN):
            octets = self.call.read()
            if not octets:
                break
            came = True
            self.octets += len(octets)
            for row in self.reader.feed(octets):
                if self.service == "firewall.Status" and "client" in row:
                    self.addresses.add(row["client"])
                take(self.service, row)
            if self.reader.fault or self.octets > WHOLE and self.service in EVERY:
                break
        if self.call.code is not None or self.reader.fault or self.octets > WHOLE and self.service in EVERY:
            self._finish(now)
        return came

    def _begin(self):
        self.reader, self.octets = streams.Reader(self.service), 0
        self.addresses = set()
        if self.service == "firewall.Flows":
            self.firewall.coming = {}
        self.call = self.source.call(self.firewall.name, "%s+%s" % (self.service, self.argument))

    def _finish(self, now):
        self.call.end()
        reader = self.reader
        self.firewall.strange += reader.strange
        self.answers += 1
        whole = self.whole = reader.begun and not reader.fault and (reader.ended or self.service not in EVERY)
        if reader.fault:
            self.firewall.fault = reader.fault
        elif not reader.begun:
            said = streams.clean(self.call.complaint.strip().split("\n")[-1], 60)
            self.firewall.fault = "no answer" + (": " + said if said else "")
        elif self.service == "firewall.Status" and whole:
            self.firewall.fault = ""
            self.firewall.forget(self.addresses)
        if self.service == "firewall.Refused":
            self.firewall.listening = False
        if self.service == "firewall.Flows" and reader.begun:
            self.firewall.flows = self.firewall.coming
        self.pause = PAUSE if whole else min(2 * self.pause, LONGEST)
        self.due = now + (EVERY[self.service] if whole and self.service in EVERY else self.pause)
        self.call = None
        if self.source.recorded:
            self.due = float("inf")  # there is nothing more

    def end(self):
        if self.call:
            self.call.end()
            self.call = None


class Session:
    """All that is asked, for a model.World. services: which ones. heard(firewall, row): told of new refusals."""

    def __init__(
        self,
        source,
        wanted=(),
        services=("firewall.Status", "firewall.Counters", "firewall.Watch", "firewall.Refused"),
        heard=None,
    ):
        self.source, self.wanted, self.services, self.heard = source, wanted, services, heard
        self.world = model.World()
        self.asked = {}  # (firewall's name, service): Asked
        self.due, self.listing = 0, None  # when qvm-ls is asked again; its call while it runs, and what it said
        self.looked = None  # (firewall's name, client's address) whose flows are asked for

    def step(self, now):
        """One turn; True when something came."""
        self._relist(now)
        came = False
        for asked in list(self.asked.values()):
            try:
                came |= asked.step(
                    now, lambda service, row, firewall=asked.firewall: self._take(firewall, service, row)
                )
            except calls.Unavailable as error:
                asked.firewall.fault = str(error)
                asked.due = now + LONGEST
        if came:
            self.world.name()
        return came

    def _relist(self, now):
        """The first time qvm-ls is waited for; then it runs beside us, that the screen does not stop for it."""
        try:
            if self.listing:
                call, said = self.listing
                said += call.read()
                if call.code is not None or len(said) > WHOLE:
                    self.listing = None
                    call.end()
                    self.list(now, bytes(said) if call.code == 0 else None)
            elif now >= self.due and self.world.names is None:
                self.list(now)
            elif now >= self.due:
                self.listing = self.source.list_call(), bytearray()
        except calls.Unavailable:
            self.list(now)  # which says what is wrong

    def list(self, now, said=None):
        """What dom0 says which qubes there are; asked for if it is not given."""
        self.due = now + LISTING
        try:
            names = qubes.Names(qubes.parse(self.source.listing() if said is None else said))
            self.world.fault = ""
        except calls.Unavailable as error:
            self.world.fault = streams.clean(str(error), 200)
            names = self.world.names or qubes.Names([])
        new, gone = self.world.know(names, self.wanted)
        for key in [each for each in self.asked if each[0] in gone]:
            self.asked.pop(key).end()
        for name in new:
            for service in self.services:
                self.asked[name, service] = Asked(self.source, self.world.firewalls[name], service)

    def look(self, who):
        """Ask for the flows of (firewall's name, client's address), or of nobody any more."""
        if who == self.looked:
            return
        if self.looked:
            asked = self.asked.pop((self.looked[0], "firewall.Flows"), None)
            if asked:
                asked.end()
        self.looked = who
        if who and who[0] in self.world.firewalls:
            self.asked[who[0], "firewall.Flows"] = Asked(
                self.source, self.world.firewalls[who[0]], "firewall.Flows", who[1] + "+json"
            )

    def _take(self, firewall, service, row):
        new = firewall.take(service, row)
        if new and self.heard:
            self.heard(firewall, new)

    def idle(self):
        """Nothing is running: of recorded calls, all has been read."""
        return all(asked.call is None for asked in self.asked.values())

    def waiting(self):
        """Numbers of files for select()."""
        return [asked.call.fileno() for asked in self.asked.values() if asked.call and asked.call.fileno() >= 0]

    def close(self):
        for asked in self.asked.values():
            asked.end()
        if self.listing:
            self.listing[0].end()
