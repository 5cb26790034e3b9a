"""Screens as a grid of characters with a style each: no terminal here, so that a test reads them as text.

A screen is a list of lines, a line a list of (text, style); styles are names that screen.py knows. Every text that
came from
a qube went through streams.py before.
"""

import textwrap

from . import model, qubes as dom0
from .texts import amount, bar, count, cut, end, fit, middle, right, span, spark

QUIET = 10000  # octets a second: the columns of who stays below do not fill their height
KEYS = {
    "qubes": "↑↓: choose  Enter: flows  r: refusals  s: sort  /: filter  q: leave",
    "flows": "Esc: back  ↑↓: move  r: refusals  /: filter  q: leave",
    "refused": "Esc: back  ↑↓: move  Enter: flows  /: filter  q: leave",
}


def text_of(lines):
    """The grid as text: what golden texts hold."""
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def frame(title, fixed, body, foot, width, height, place):
    """A whole screen: a line of title, lines that stay, as much of the body as there is room for, and what keys do."""
    room = max(height - 2 - len(fixed), 0)
    top = place.scrolled(len(body), room)
    shown = body[top : top + room]
    below = len(body) - top - len(shown)
    shown = shown + [[]] * (room - len(shown))
    more = "%s %d more" % ("▲▼" if top and below else "▼" if below else "▲", below or top) if top or below else ""
    foot = cut(foot, max(width - len(more) - 2, 0)) + " " + more if more else cut(foot, width)
    lines = [[(cut(title, width), "title")]] + fixed + shown + [[(foot, "keys")]]
    return [fit(line, width) for line in lines[: height - 1] + lines[-1:]][:height]


class Columns:
    """Columns of the first screen: what fits into a width, numbers before pictures. Wide ones have both directions."""

    def __init__(self, width):
        self.wide = width >= 94
        spare = min(max(width - (94 if self.wide else 80), 0), 60)
        self.bar = 6 + spare // 5 if width >= 67 else 0  # what a narrow one leaves out first
        self.spark = 12 + spare // 3 if width >= 80 else 0
        self.name = (16 if self.wide else 12) + spare - spare // 5 - spare // 3

    def head(self):
        rates = "%9s %9s" % ("DOWN/s", "UP/s") if self.wide else "%9s" % "NOW/s"
        pictures = [" " * self.bar] if self.bar else []
        pictures += [cut("LAST MINUTE", self.spark)] if self.spark else []
        return " ".join(
            ["%s %-14s %s" % (cut("QUBE", self.name), "ADDRESS", rates)]
            + pictures
            + ["%8s %5s %7s" % ("TOTAL", "FLOWS", "REFUSED")]
        )

    def line(self, client, now, most, chosen):
        """A qube's line. now: its firewall's second; None if it does not answer: then no rate is known."""
        down, up = (0, 0) if now is None else client.rates(now)
        told = (amount(down), amount(up)) if self.wide else (amount(down + up),)
        rates = " ".join("%9s" % ("-" if now is None else each) for each in told)
        plain = "chosen" if chosen else ""
        name = middle(client.name or "?", self.name - max(len(client.address) - 14, 0))
        refused = client.refused()
        denied = client.status and client.status["denied"]
        return [
            ("%s %s %s" % (name, client.address.ljust(14), rates), plain),
            *self._pictures(client, now, down + up, most, plain),
            (" %8s %5s " % (amount(sum(client.total())), count(client.flows)), plain),
            (right("ALL" if denied else count(refused) if refused else "-", 7), "bad" if refused or denied else plain),
        ]

    def _pictures(self, client, now, rate, most, plain):
        made = [(" ", plain), (bar(rate, most, self.bar), "bar")] if self.bar else []
        if self.spark:
            minute = [0] * self.spark if now is None else client.minute(now, self.spark)
            made += [(" ", plain), (spark(minute, QUIET * model.SECONDS // self.spark), "spark")]
        return made


def qubes(world, place, width, height, clock):
    """The first screen. place: a Place; clock: text for the title's right side."""
    columns = Columns(width)
    rows = world.rows(place.filter, place.by_use)
    place.follow(place.listed(world))
    answer = [(firewall, clients) for firewall, clients in rows if not firewall.fault]
    most = max([1] + [sum(client.rates(firewall.now)) for firewall, clients in answer for client in clients])
    body, number = [], 0
    for firewall, clients in rows:
        body.append([(_heading(firewall), "bad" if firewall.fault else "heading")])
        if firewall.strange:
            body.append([("    lines of its answers that were not understood: %d" % firewall.strange, "bad")])
        for client in clients:
            chosen = number == place.row
            if chosen:
                place.line = len(body)
            body.append(columns.line(client, None if firewall.fault else firewall.now, most, chosen))
            if client.status and client.status["denied"]:
                body += _denied(client.status["denied"], width)
            number += 1
        if not clients and not firewall.fault:
            body.append(
                [("    no qube" + (" with “%s”" % place.filter if place.filter else " is attached yet"), "dim")]
            )
        body.append([])
    fixed = [[(columns.head(), "head")]] if number else []
    if world.fault:
        body.insert(0, [(world.fault, "bad")])
    elif not rows:
        body.append([("No firewall qube of this kind is running.", "bad")])
        text = "It is known by its kernel, %s. Others: qubes-firewall-top QUBE" % dom0.KERNEL
        body.append([(text, "dim")])
    return frame(_title(clock, width, place), fixed, body[:-1] if body[-1:] == [[]] else body, _foot("qubes", place),
                 width, height, place)


def _denied(why, width):
    """Lines that say why everything of a qube is refused."""
    rule, _, rest = why.partition(":")
    text = "all of it is refused: " + ("rule %d:%s" % (int(rule), rest) if rule.isdecimal() else why)
    return [[("    " + line, "bad")] for line in textwrap.wrap(text, max(width - 4, 20))]


def flows(world, place, width, height, clock):
    """The flows of one qube, those that carried most first."""
    firewall, client = place.of(world)
    if client is None:
        return qubes(world, place, width, height, clock)
    form = "%%-5s %%-%ds %%5s %%-7s %%-7s %%8s %%8s %%6s" % max(width - 53, 10)
    rows = place.listed(world)
    title = "%s: %d flow%s through %s" % (_who(client), len(rows), "" if len(rows) == 1 else "s", firewall.name)
    return _list(world, place, width, height, clock, title, form, FLOWS, map(_flow, rows), "no flow")


def refused(world, place, width, height, clock):
    """What was refused to one qube and by what, the newest first."""
    firewall, client = place.of(world)
    if client is None:
        return qubes(world, place, width, height, clock)
    form = "%%-5s %%-%ds %%5s %%-22s %%5s %%10s" % max(width - 52, 10)
    title = "%s: refused by %s" % (_who(client), firewall.name)
    lines = [_refusal(row, firewall.now) for row in place.listed(world)]
    return _list(world, place, width, height, clock, title, form, REFUSED, lines, "nothing was refused")


FLOWS = "PROTO", "TO", "PORT", "ALLOWED", "STATE", "DOWN", "UP", "IDLE"
REFUSED = "PROTO", "TO", "PORT", "REFUSED BY", "TIMES", "LAST"


def _flow(row):
    by = "rule %d" % row["rule"] if row["rule"] >= 0 else "policy"
    carried = amount(row["in_octets"]), amount(row["out_octets"])
    return (row["proto"], row, row["to_port"] or "-", by, row["state"]) + carried + (span(row["idle"]),)


def _refusal(row, now):
    ago = span(max(now * 1000 - row["last"], 0)) + " ago"
    return row["proto"], row, row["to_port"] or "-", model.reason(row), count(row["count"]), ago


def _list(world, place, width, height, clock, title, form, names, lines, nothing):
    """A screen with a line for each of `lines`: values for a form, whose widths cut them; a row stands for its other
    end."""
    widths = [int(each.lstrip("%-").rstrip("s")) for each in form.split()]
    fixed, body = [[(title, "heading")], [(form % names, "head")]], []
    firewall, client = place.of(world)
    if firewall.fault:
        fixed.insert(1, [("    of before: now %s: %s" % (firewall.name, firewall.fault), "bad")])
    for number, values in enumerate(lines):
        texts = [
            _target(each, wide) if isinstance(each, dict) else cut(str(each), wide)
            for each, wide in zip(values, widths)
        ]
        body.append([(form % tuple(text.strip() for text in texts), "chosen" if number == place.row else "")])
    if not body:
        body.append([("    " + nothing, "dim")])
    elif client.name:
        body += [[], [("Rules have the numbers that `qvm-firewall %s` in dom0 lists." % client.name, "dim")]]
    place.line = place.row
    return frame(_title(clock, width, place), fixed, body, _foot(place.screen, place), width, height, place)


def _target(row, width):
    """Name and address of the other end; the name alone if both do not fit."""
    both = model.target(row)
    return end(both if len(both) <= width else row["name"] or row["to"], width)


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
    carried = used.get("used", 0), used.get("capacity", 0)
    return "%s: %s, %d of %d flows, running for %s" % ((firewall.name, link) + carried + (span(status["uptime"]),))


def _title(clock, width, place):
    left = "Qubes firewall: who uses the line" + (", only “%s”" % place.filter if place.filter else "")
    left += ", busiest first" if place.by_use and place.screen == "qubes" else ""
    return left + clock.rjust(width - len(left)) if len(left) + len(clock) < width else left


def _foot(screen, place):
    if place.asking:
        return "filter: %s▏  Enter: keep it  Esc: show all" % place.filter
    return KEYS[screen].replace("/: filter", "Esc: show all") if place.filter and screen == "qubes" else KEYS[screen]


class Place:
    """Where the person is: which screen, which row, what filter."""

    def __init__(self):
        self.screen, self.row, self.line, self.top = "qubes", 0, 0, 0
        self.filter, self.asking, self.by_use = "", False, False
        self.chosen = None  # (firewall's name, client's address) of the row
        self.room = 1  # lines of the body that are shown at once
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
            rows = world.rows(self.filter, self.by_use)
            return [(each.name, client.address) for each, clients in rows for client in clients]
        rows = (firewall.flows_of if self.screen == "flows" else firewall.refused_of)(client.address)
        return [row for row in rows if self._matches(row)]

    def _matches(self, row):
        texts = (row["name"], row["to"], row["proto"], row["to_port"])
        return not self.filter or any(self.filter in str(each).lower() for each in texts)

    def follow(self, listed):
        """Stay at the qube that was chosen: rows come, go and change places by themselves."""
        if self.chosen in listed and self.row >= 0:
            self.row = listed.index(self.chosen)

    def scrolled(self, lines, room):
        """The first line shown, so that the chosen one is; rows may have gone since it was chosen."""
        self.line = 0 if self.row <= 0 else min(self.line, max(lines - 1, 0))
        self.room = max(room, 1)
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
