"""qubes-firewall-top: which qube uses the line, with whom it talks, what was refused, and why."""

import argparse
import json
import os
import sys
import time

from . import calls, draw, session as sessions, streams

DESCRIPTION = "Shows which qube uses the line, with whom it talks, and what was refused, by asking the firewall qubes."
WAIT = 30.0  # seconds that --once waits for answers, at most
EVERY = 15  # seconds from one look of --collect to the next


def parser():
    made = argparse.ArgumentParser(prog="qubes-firewall-top", description=DESCRIPTION)
    made.add_argument(
        "firewalls",
        nargs="*",
        metavar="FIREWALL",
        help="firewall qubes; all that run with this kernel, if none is named",
    )
    made.add_argument("--once", action="store_true", help="print once and end, after --seconds")
    made.add_argument(
        "--seconds", type=int, default=2, metavar="N", help="with --once: how long rates are measured (2)"
    )
    made.add_argument("--json", action="store_true", help="with --once: as one JSON object, for programs")
    made.add_argument("--flows", action="store_true", help="with --once --json: with all live flows")
    made.add_argument("--refused", metavar="QUBE", help="begin with what was refused to this qube")
    made.add_argument("--width", type=int, metavar="N", help="with --once: columns (those of the terminal, or 80)")
    made.add_argument(
        "--collect",
        action="store_true",
        help="keep sums of each minute of the last hour in a file, until ended; for --svg",
    )
    made.add_argument("--svg", metavar="FILE", help="draw the last hour that --collect has kept: who talked to whom")
    made.add_argument("--minutes", metavar="FILE", help="the file of --collect, if another")
    source(made)
    return made


def source(made):
    """Arguments that say where answers come from, of all programs here."""
    made.add_argument("--stream", metavar="DIR", help="recorded answers in place of dom0's qubes")
    made.add_argument("--caller", metavar="PROGRAM", help="start `PROGRAM QUBE SERVICE` in place of qvm-run")


def source_of(options):
    return calls.Recorded(options.stream) if options.stream else calls.Qubes(options.caller)


def gather(source, wanted, seconds, with_flows=False, clock=time.monotonic, sleep=time.sleep):
    """A Session that has measured for some seconds and then counted. The counters are the last to be asked."""
    made = sessions.Session(source, wanted, services=("firewall.Status", "firewall.Refused", "firewall.Watch"))
    try:
        began = clock()
        while clock() - began < WAIT:
            came = made.step(clock())
            if _measured(made, seconds):
                break
            if not came:
                sleep(0.05)
        for firewall in made.world.firewalls.values():
            for service, argument in [("firewall.Counters", "json")] + (
                [("firewall.Flows", "json")] if with_flows else []
            ):
                asked = sessions.Asked(source, firewall, service, argument)
                whole(asked, clock, sleep, firewall.take)
        made.world.name()
    finally:
        made.close()
    return made


def _measured(session, seconds):
    """All have answered: of a firewall that fails, that it does."""
    for asked in session.asked.values():
        told = asked.answers or (
            len(asked.firewall.seconds) > seconds
            if asked.service == "firewall.Watch"
            else asked.firewall.listening
            if asked.service == "firewall.Refused"
            else False
        )
        if not told:
            return False
    return bool(session.asked) or session.world.names is not None


def whole(asked, clock, sleep, take):
    """One answer, to its end. True if it came whole."""
    began = clock()
    try:
        while not asked.answers and clock() - began < WAIT:
            if not asked.step(clock(), take):
                sleep(0.01)
    except calls.Unavailable as error:
        asked.firewall.fault = str(error)
    asked.end()
    return asked.whole


def told(world, with_flows=False):
    """All that is known, as an object for programs."""
    made = {"format": "qubes-firewall-top", "version": 1, "fault": world.fault, "firewalls": []}
    for firewall, clients in world.rows():
        status = firewall.status or {}
        counted = firewall.uplink or {}
        made["firewalls"].append(
            {
                "name": firewall.name,
                "fault": firewall.fault,
                "uptime": status.get("uptime"),
                "uplink": dict(status.get("uplink", {}), **_counters(counted)),
                "not_understood": firewall.strange,
                "qubes": [_client(firewall, each, with_flows) for each in clients],
            }
        )
    return made


def _counters(row):
    return {key: row[key] for key in ("from_packets", "from_octets", "to_packets", "to_octets", "drops") if key in row}


def _client(firewall, client, with_flows):
    down, up = client.rates(firewall.now)
    status = client.status or {}
    made = {
        "name": client.name,
        "address": client.address,
        "down_per_second": down,
        "up_per_second": up,
        "flows": client.flows,
        "refused": client.refused(),
        "rules": status.get("rules"),
        "denied": status.get("denied", ""),
    }
    made.update(_counters(client.counted or {}))
    made["refusals"] = firewall.refused_of(client.address)
    if with_flows:
        made["live"] = firewall.flows_of(client.address)
    return made


def once(options, out):
    """What --once prints. Exit status: 1 if no firewall answered."""
    session = gather(source_of(options), options.firewalls, max(options.seconds, 1), options.flows)
    world = session.world
    if options.json:
        out.write(json.dumps(told(world, options.flows), sort_keys=True) + "\n")
    else:
        width = options.width or (os.get_terminal_size().columns if out.isatty() else 80)
        place = draw.Place()
        place.row = -1  # nothing is chosen
        lines = draw.qubes(world, place, width, 10000, "")
        text = draw.text_of(lines[:-1]).rstrip("\n") + "\n"
        out.write(text)
    return 0 if any(not each.fault for each in world.firewalls.values()) else 1


def main(words=None):
    options = parser().parse_args(words)
    if options.svg or options.collect:
        from . import collector

        return collector.main(options)
    if options.once or options.json:
        return once(options, sys.stdout)
    if not sys.stdout.isatty():
        sys.stderr.write("qubes-firewall-top: this is no terminal: use --once\n")
        return 2
    from . import screen

    session = sessions.Session(source_of(options), options.firewalls)
    place = draw.Place()
    try:
        session.step(time.monotonic())
        wrong = _begin_at(session.world, place, options.refused)
        if wrong:
            sys.stderr.write("qubes-firewall-top: %s\n" % wrong)
            return 2
        screen.run(session, place)
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
    return 0


def _begin_at(world, place, name):
    """At the refusals of a qube, if one is named. A sentence if there can be none."""
    if not name:
        return ""
    qube = world.names.find(name)
    if world.fault or qube is None:
        return world.fault or "there is no qube %s" % streams.clean(name)
    if qube.netvm not in world.firewalls or not qube.address:
        return "the netvm of %s is %s, which is no firewall of this kind, or does not run" % (
            qube.name,
            qube.netvm or "none",
        )
    world.firewalls[qube.netvm].client(qube.address)
    world.name()
    place.screen, place.who = "refused", (qube.netvm, qube.address)
    return ""
