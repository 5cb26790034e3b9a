"""Sums of each minute of the last hour: who talked to whom, how much. Off unless somebody starts it (--collect).

What is kept is one file of the user's own, of 60 minutes at most: qube, name or address of the other end, octets each
way.
No port, no time within a minute, nothing of what was said. Minutes are those of dom0's clock.
"""

import json
import os
import sys
import tempfile
import time

from . import picture, session as sessions, streams, top

HOUR = 60  # minutes
LIVE = 4096  # flows remembered of a firewall
ENDS = 24  # other ends kept of a qube and minute; the rest is summed up
REST = ""  # the name of that rest, and of what no flow could be asked about in time
LARGEST = 8 << 20  # octets of a file that is read
WRAP = 1 << 32  # where a flow's octets begin anew
FORMAT = {"format": "qubes-firewall-minutes", "version": 1}


class Sums:
    """Octets by (minute, firewall, qube, other end). Fed with whole answers; no clock here."""

    def __init__(self):
        self.minutes = {}  # minute since 1970: {(firewall, qube): {end: [down, up]}}
        self.seen = {}  # firewall: {flow's key: (down, up)}; as firewalls' counters below
        self.counted = {}  # firewall: {client: (down, up)}

    def add(self, minute, firewall, qube, end, down, up):
        if not down + up:
            return
        if minute not in self.minutes:
            self.minutes[minute] = {}
            for old in [each for each in self.minutes if each <= max(self.minutes) - HOUR]:
                del self.minutes[old]
        if minute not in self.minutes:
            return  # of a clock that went back by more than an hour
        ends = self.minutes[minute].setdefault((firewall, qube), {})
        if end not in ends and len(ends) >= ENDS:
            end = self._room(ends, down + up) or end
        sums = ends.setdefault(end, [0, 0])
        sums[0] += down
        sums[1] += up

    @staticmethod
    def _room(ends, octets):
        """Put the least of a full table to the rest, or say that the new one goes there."""
        least = min((each for each in ends if each != REST), key=lambda each: sum(ends[each]))
        if sum(ends[least]) >= octets and REST in ends:
            return REST
        rest = ends.setdefault(REST, [0, 0])
        down, up = ends.pop(least)
        rest[0] += down
        rest[1] += up
        return None

    def take(self, minute, firewall, flows, counters, name_of):
        """What came since the last time, of all flows and of the counters that were asked for after them."""
        before, now, spent = self.seen.get(firewall), {}, {}
        for row in flows[:LIVE]:
            key = tuple(row[each] for each in ("client", "proto", "from_port", "to", "to_port"))
            octets = now[key] = row["in_octets"], row["out_octets"]
            if before is None:
                continue  # of the time before we looked
            earlier = before.get(key, (0, 0))
            down, up = ((new - old) % WRAP for new, old in zip(octets, earlier))
            if max(down, up) > WRAP // 2:
                down, up = octets  # another flow with the same ends
            self.add(minute, firewall, name_of(row["client"]), row["name"] or row["to"], down, up)
            told = spent.setdefault(row["client"], [0, 0])
            told[0] += down
            told[1] += up
        self.seen[firewall] = now
        self._rest(minute, firewall, counters, spent, name_of)

    def _rest(self, minute, firewall, counters, spent, name_of):
        """What the counters have and no flow: short ones that ended in between, and the headers of Ethernet."""
        before, self.counted[firewall] = self.counted.get(firewall), {}
        for row in counters:
            if row["client"] == "uplink" or row["client"] in self.counted[firewall]:
                continue
            octets = self.counted[firewall][row["client"]] = row["to_octets"], row["from_octets"]
            earlier = (before or {}).get(row["client"])
            if earlier is None or octets[0] < earlier[0] or octets[1] < earlier[1]:
                continue
            told = spent.get(row["client"], (0, 0))
            down, up = (max(new - old - flow, 0) for new, old, flow in zip(octets, earlier, told))
            self.add(minute, firewall, name_of(row["client"]), REST, down, up)

    def text(self):
        """The file's text: a line of form, then one a minute."""
        lines = [FORMAT]
        for minute in sorted(self.minutes):
            rows = [
                [firewall, qube, end, down, up]
                for (firewall, qube), ends in sorted(self.minutes[minute].items())
                for end, (down, up) in sorted(ends.items())
            ]
            lines.append({"minute": minute, "rows": rows})
        return "".join(json.dumps(line) + "\n" for line in lines)

    @classmethod
    def read(cls, octets):
        """The Sums of a file's octets. ValueError if it is none."""
        made = cls()
        lines = octets[:LARGEST].decode("ascii", "replace").splitlines()
        if not lines or json.loads(lines[0]) != FORMAT:
            raise ValueError("it is no file of this program's minutes")
        for line in lines[1 : HOUR + 1]:
            found = json.loads(line)
            for firewall, qube, end, down, up in found["rows"]:
                made.add(
                    streams.number(found["minute"]),
                    streams.text(firewall),
                    streams.text(qube),
                    streams.text(end),
                    streams.number(down),
                    streams.number(up),
                )
        return made


def path_of(options):
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return options.minutes or os.path.join(home, "qubes-python-firewall", "minutes.json")


def load(path):
    """The Sums of a file; ValueError or OSError with what is wrong."""
    with open(path, "rb") as file:
        try:
            return Sums.read(file.read(LARGEST))
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError("it is not understood: %s" % error)


def save(path, sums):
    """In place of what is there, readable by its owner alone."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, mode=0o700, exist_ok=True)
    number, part = tempfile.mkstemp(".part", "minutes.", folder)
    try:
        with open(number, "w", encoding="ascii") as file:
            file.write(sums.text())
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


class Collector:
    """Asks all firewalls for flows, then for counters, every `every` seconds."""

    def __init__(self, source, wanted, sums):
        self.sums, self.flows, self.counters = sums, {}, {}
        self.session = sessions.Session(source, wanted, services=())
        self.source, self.asked = source, {}

    def round(self, minute, clock=time.monotonic, sleep=time.sleep):
        """Ask all once and add what came. Gives how many answered wholly."""
        self.session.list(clock())
        world, answered = self.session.world, 0
        for firewall in world.firewalls.values():
            rows = {"firewall.Flows": [], "firewall.Counters": []}
            whole = True
            for service in ("firewall.Flows", "firewall.Counters"):
                asked = sessions.Asked(self.source, firewall, service)
                whole &= top.whole(
                    asked,
                    clock,
                    sleep,
                    lambda service, row: rows[service].append(row) if len(rows[service]) < LIVE else None,
                )
            if whole:
                answered += 1
                self.sums.take(
                    minute,
                    firewall.name,
                    rows["firewall.Flows"],
                    rows["firewall.Counters"],
                    lambda address, firewall=firewall.name: world.names.name(firewall, address) or address,
                )
        return answered


def main(options):
    """--collect or --svg. Exit status: 2 when there is nothing to draw."""
    path = path_of(options)
    if options.svg:
        try:
            sums = load(path)
        except (OSError, ValueError) as error:
            sys.stderr.write(
                "qubes-firewall-top: %s: %s. `qubes-firewall-top --collect` must run first, for what is drawn here\n"
                % (path, getattr(error, "strerror", None) or error)
            )
            return 2
        with open(options.svg, "w", encoding="utf-8") as file:
            file.write(picture.draw(sums.minutes, time.localtime))
        return 0
    try:
        sums = load(path)
    except (OSError, ValueError):
        sums = Sums()
    collector = Collector(top.source_of(options), options.firewalls, sums)
    try:
        while True:
            began = time.monotonic()
            collector.round(int(time.time()) // 60)
            save(path, sums)
            if options.stream:
                return 0
            time.sleep(max(top.EVERY - (time.monotonic() - began), 1))
    except KeyboardInterrupt:
        return 0
