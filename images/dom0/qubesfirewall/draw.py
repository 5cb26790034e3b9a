"""Screens as a grid of characters with a style each: no terminal here, so that a test reads them as text.

A screen is a list of lines, a line a list of (text, style); styles are names that screen.py knows. Every text that
came from
a qube went through streams.py before.
"""

from . import model

BLOCKS = " ▁▂▃▄▅▆▇█"
PARTS = " ▏▎▍▌▋▊▉█"
QUIET = 10000  # octets a second: the columns of who stays below do not fill their height
KEYS = {
    "qubes": "Enter: its flows   r: its refusals   /: filter   q: leave",
    "flows": "Esc: back   r: refusals   /: filter   q: leave",
    "refused": "Esc: back   Enter: flows   /: filter   q: leave",
}


def amount(octets):
    """Octets in at most 7 characters: 999 B, 12.4 kB, 1.2 GB."""
    if octets < 1000:
        return "%d B" % octets
    value = float(octets)
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):
        value /= 1000
        if value < 99.95:
            return "%.1f %s" % (value, unit)
        if value < 999.5:
            return "%.0f %s" % (value, unit)
    return "much"


def span(ms):
    """A time in at most 6 characters: 4 s, 12 min, 3 h, 9 d."""
    seconds = ms // 1000
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % seconds


def count(value):
    """A count in at most 5 characters."""
    return str(value) if value < 100000 else "%dk" % (value // 1000) if value < 10000000 else "%dM" % (value // 1000000)


def bar(value, most, width):
    """A bar of a value; the least that is more than nothing shows."""
    eighths = 0 if most <= 0 else min(width * 8, -(-value * width * 8 // most))
    made = PARTS[8] * (eighths // 8) + (PARTS[eighths % 8] if eighths % 8 else "")
    return made.ljust(width)


def spark(values, least=1):
    """A column for each value, against the largest of them or `least`; the least that is more than nothing shows."""
    most = max(values + [least, 1])
    return "".join(BLOCKS[-(-value * 8 // most)] for value in values)


def cut(text, width):
    """Exactly width characters: filled up, or cut with a mark."""
    return text.ljust(width) if len(text) <= width else text[: max(width - 1, 0)] + ("…" if width else "")


def right(text, width):
    return text.rjust(width) if len(text) <= width else cut(text, width)


def fit(line, width):
    """A line's pieces, cut to a width."""
    made, left = [], width
    for text, style in line:
        if left <= 0:
            break
        made.append((text if len(text) <= left else cut(text, left), style))
        left -= len(text)
    return made


def text_of(lines):
    """The grid as text: what golden texts hold."""
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def frame(title, body, foot, width, height, top=0):
    """A whole screen: a line of title, body from line `top` on, and what keys do."""
    room = max(height - 2, 0)
    shown = body[top : top + room]
    shown = shown + [[]] * (room - len(shown))
    lines = [[(cut(title, width), "title")]] + shown + [[(cut(foot, width), "keys")]]
    return [fit(line, width) for line in lines[:height]]


class Columns:
    """Columns of the first screen: what fits into a width. Wide screens show both directions and a finer minute."""

    def __init__(self, width):
        self.wide = width >= 94
        spare = min(max(width - (94 if self.wide else 80), 0), 60)
        self.bar = 6 + spare // 5
        self.spark = 12 + spare // 3
        self.name = (16 if self.wide else 12) + spare - spare // 5 - spare // 3

    def head(self):
        rates = "%9s %9s" % ("DOWN/s", "UP/s") if self.wide else "%9s" % "NOW/s"
        return "%s %-14s %s %s %s %8s %5s %7s" % (
            cut("QUBE", self.name),
            "ADDRESS",
            rates,
            " " * self.bar,
            cut("LAST MINUTE", self.spark),
            "TOTAL",
            "FLOWS",
            "REFUSED",
        )

    def line(self, client, now, most, chosen):
        """A qube's line."""
        down, up = client.rates(now)
        rates = "%9s %9s" % (amount(down), amount(up)) if self.wide else "%9s" % amount(down + up)
        plain = "chosen" if chosen else ""
        refused = client.refused()
        denied = client.status and client.status["denied"]
        return [
            (
                "%s %s %s " % (cut(client.title() if client.name else "?", self.name), cut(client.address, 14), rates),
                plain,
            ),
            (bar(down + up, most, self.bar), "bar"),
            (" ", plain),
            (spark(client.minute(now, self.spark), QUIET * model.SECONDS // self.spark), "spark"),
            (" %8s %5s " % (amount(sum(client.total())), count(client.flows)), plain),
            (right("ALL" if denied else count(refused) if refused else "-", 7), "bad" if refused or denied else plain),
        ]


def qubes(world, place, width, height, clock):
    """The first screen. place: a Place; clock: text for the title's right side."""
    columns = Columns(width)
    rows = world.rows(place.filter)
    most = max([1] + [sum(client.rates(firewall.now)) for firewall, clients in rows for client in clients])
    body, number = [], 0
    for firewall, clients in rows:
        body.append([(_heading(firewall), "bad" if firewall.fault else "heading")])
        if clients:
            body.append([(columns.head(), "head")])
        for client in clients:
            chosen = number == place.row
            if chosen:
                place.line = len(body)
            body.append(columns.line(client, firewall.now, most, chosen))
            if client.status and client.status["denied"]:
                body.append([("    everything is refused: " + client.status["denied"], "bad")])
            number += 1
        if not clients and not firewall.fault:
            body.append(
                [("    no qube" + (" with “%s”" % place.filter if place.filter else " is attached yet"), "dim")]
            )
        body.append([])
    if world.fault:
        body.insert(0, [(world.fault, "bad")])
    elif not rows:
        body.append([("No firewall qube of this kind is running.", "bad")])
    return frame(
        _title(clock, width, place), body, _foot("qubes", place), width, height, place.scrolled(len(body), height - 2)
    )


def flows(world, place, width, height, clock):
    """The flows of one qube, those that carried most first."""
    firewall, client = place.of(world)
    if client is None:
        return qubes(world, place, width, height, clock)
    form = "%%-5s %%-%ds %%5s %%-7s %%-7s %%8s %%8s %%6s" % max(width - 53, 10)
    rows = place.listed(world)
    title = "%s: %d flow%s through %s" % (_who(client), len(rows), "" if len(rows) == 1 else "s", firewall.name)
    return _list(place, width, height, clock, title, form, FLOWS, map(_flow, rows), "no flow")


def refused(world, place, width, height, clock):
    """What was refused to one qube and by what, the newest first."""
    firewall, client = place.of(world)
    if client is None:
        return qubes(world, place, width, height, clock)
    form = "%%-5s %%-%ds %%5s %%-22s %%5s %%10s" % max(width - 52, 10)
    title = "%s: refused by %s" % (_who(client), firewall.name)
    lines = [_refusal(row, firewall.now) for row in place.listed(world)]
    return _list(place, width, height, clock, title, form, REFUSED, lines, "nothing was refused")


FLOWS = "PROTO", "TO", "PORT", "ALLOWED", "STATE", "DOWN", "UP", "IDLE"
REFUSED = "PROTO", "TO", "PORT", "REFUSED BY", "TIMES", "LAST"


def _flow(row):
    by = "rule %d" % row["rule"] if row["rule"] >= 0 else "policy"
    carried = amount(row["in_octets"]), amount(row["out_octets"])
    return (row["proto"], row, row["to_port"] or "-", by, row["state"]) + carried + (span(row["idle"]),)


def _refusal(row, now):
    ago = span(max(now * 1000 - row["last"], 0)) + " ago"
    return row["proto"], row, row["to_port"] or "-", model.reason(row), count(row["count"]), ago


def _list(place, width, height, clock, title, form, names, lines, nothing):
    """A screen with a line for each of `lines`: values for a form, whose widths cut them; a row stands for its other
    end."""
    widths = [int(each.lstrip("%-").rstrip("s")) for each in form.split()]
    body = [[(title, "heading")], [(form % names, "head")]]
    for number, values in enumerate(lines):
        texts = [
            _target(each, wide) if isinstance(each, dict) else cut(str(each), wide)
            for each, wide in zip(values, widths)
        ]
        body.append([(form % tuple(text.strip() for text in texts), "chosen" if number == place.row else "")])
    if len(body) == 2:
        body.append([("    " + nothing, "dim")])
    place.line = place.row + 2
    top = place.scrolled(len(body), height - 2)
    return frame(_title(clock, width, place), body, _foot(place.screen, place), width, height, top)


def _target(row, width):
    """Name and address of the other end; the name alone if both do not fit."""
    both = model.target(row)
    return cut(both if len(both) <= width else row["name"] or row["to"], width)


def _who(client):
    return "%s (%s)" % (client.name, client.address) if client.name else client.address


def _heading(firewall):
    """A firewall's own line: what it hangs on, and how it is."""
    if firewall.fault:
        return "%s: %s" % (firewall.name, firewall.fault)
    status = firewall.status
    if not status:
        return "%s: waiting for its answer" % firewall.name
    uplink, used = status["uplink"], status["flows"]
    state = uplink.get("state", "")
    link = (
        "uplink %s" % uplink.get("address", "") if state == "connected" else "NO UPLINK (%s)" % (state or "not known")
    )
    strange = ", %d lines not understood" % firewall.strange if firewall.strange else ""
    return "%s: up %s, %s, %d of %d flows%s" % (
        firewall.name,
        span(status["uptime"]),
        link,
        used.get("used", 0),
        used.get("capacity", 0),
        strange,
    )


def _title(clock, width, place):
    left = "Qubes firewall: who uses the line" + (", only “%s”" % place.filter if place.filter else "")
    return left + clock.rjust(width - len(left)) if len(left) + len(clock) < width else left


def _foot(screen, place):
    return "filter: %s▏  Enter: done   Esc: none" % place.filter if place.asking else KEYS[screen]


class Place:
    """Where the person is: which screen, which row, what filter."""

    def __init__(self):
        self.screen, self.row, self.line, self.top = "qubes", 0, 0, 0
        self.filter, self.asking = "", False
        self.who = None  # (firewall's name, client's address) on the other screens

    def of(self, world):
        """(Firewall, Client) that is looked at; (…, None) when it has gone."""
        firewall = world.firewalls.get(self.who[0]) if self.who else None
        client = firewall.clients.get(self.who[1]) if firewall else None
        return firewall, client

    def listed(self, world):
        """The rows of the screen that can be chosen: of flows, of refusals, or (firewall's name, client's address)."""
        firewall, client = self.of(world)
        if self.screen == "qubes" or client is None:
            return [(each.name, client.address) for each, clients in world.rows(self.filter) for client in clients]
        rows = (firewall.flows_of if self.screen == "flows" else firewall.refused_of)(client.address)
        return [row for row in rows if self._matches(row)]

    def _matches(self, row):
        texts = (row["name"], row["to"], row["proto"], row["to_port"])
        return not self.filter or any(self.filter in str(each).lower() for each in texts)

    def scrolled(self, lines, room):
        """The first line shown, so that the chosen one is; rows may have gone since it was chosen."""
        self.line = min(self.line, max(lines - 1, 0))
        if room <= 0:
            return 0
        self.top = min(self.top, max(lines - room, 0), self.line)
        if self.line >= self.top + room:
            self.top = self.line - room + 1
        return self.top


SCREENS = {"qubes": qubes, "flows": flows, "refused": refused}


def draw(world, place, width, height, clock=""):
    """The screen that the person is at."""
    return SCREENS[place.screen](world, place, width, height, clock)
