"""How what a packet costs grows: firewall CPU of a packet of a known flow, against flows, rules, clients and load.

A point is one measurement: packets of 64 octets by so many clients, each in so many flows that exist already, at that rate.

Eight clients are attached, so that one may have 65,536 - 7 * 512 = 61,952 flows: of one that sends in more by turns each packet
takes the place of the flow whose turn comes next, and none is a hit. So the most flows are those of four clients.
"""
import re
from collections import namedtuple

from . import jobs
from .machine import LINUX, NOBODY

Point = namedtuple("Point", "axis value flows rules clients rate")
_AT_ONCE, _SECONDS = 0, 0.6  # rate of a flood; s between the two moments
_TRIES, _SLOWLY = 3, 700  # a second
POINTS = (
    [Point("flows", n, n, 1, 1, _AT_ONCE) for n in (1, 1000, 16000)]
    + [Point("flows", 64000, 16000, 1, 4, _AT_ONCE)]
    + [Point("rules", n, 100, n, 1, _AT_ONCE) for n in (1, 100, 1000, 4000)]
    + [Point("clients", n, 100, 1, n, _AT_ONCE) for n in (1, 4, 8)]
    + [Point("packets a second", n, 100, 1, 1, n) for n in (500, 2000, 4000)]
)
CLIENTS = max(point.clients for point in POINTS)


def measure(machine, point):
    """(ns of firewall CPU for a packet that came out at the netvm, ""); or None, and why there is no such figure."""
    for client in machine.clients[:point.clients]:
        seen = 0 if machine.variant in LINUX else len(machine.firewall.console())
        machine.site.set_rules(client.ip, rules(point.rules))
        why = "" if machine.variant in LINUX else refused(machine.firewall.console()[seen:], client.ip)
        if why:
            return None, why
    if point.flows > 1:
        command = "traffic flows %s %d" % (NOBODY, point.flows)
        slowly = "traffic send %s %d %d %d %d" % (NOBODY, point.flows // _SLOWLY + 1, _SLOWLY, jobs.OCTETS, point.flows)
        for attempt in range(_TRIES):  # a client's queue drops what comes faster than flows begin
            machine.watch(dict.fromkeys(range(point.clients), slowly if attempt else command), 0.0, 0.0)
            begun = machine.flows()
            if begun >= point.flows * point.clients:
                break
        else:
            return None, "only %d flows began" % begun
    command = "traffic send %s %g %d %d %d" % (NOBODY, 0.3 + _SECONDS + 0.2, point.rate, jobs.OCTETS, point.flows)
    before, after, _ = machine.watch(dict.fromkeys(range(point.clients), command), 0.3, _SECONDS)
    window = jobs.Window(before, after)
    each = window.each("firewall", window.uplink["rx_packets"])
    return each, "" if each else "nothing came out"


def refused(console, address):
    """Why the image has put no list of a client's in force, by its console since then; "": it has."""
    found = re.findall(r"settings: %s: denied: (.*)" % re.escape(address), console)
    return found[-1].strip() if found else ""


def rules(count):
    """That many, of which the last accepts."""
    return ["action=drop proto=tcp dst4=203.%d.%d.0/24 dstports=%d-%d" % (i // 250, i % 250, 1000 + i, 1010 + i)
            for i in range(count - 1)] + ["action=accept"]


def lines(figures, notes=()):
    """A table as text, of {variant: [ns of each point]}. notes: behind it."""
    from .table import aligned, number
    variants = sorted(figures)
    body = [["%s %s" % (point.axis, "{:,}".format(point.value)), "ns"] + [number(figures[name][i]) for name in variants]
            for i, point in enumerate(POINTS)]
    return aligned(["CPU of a packet, against", "unit"] + variants, body) + list(notes)
