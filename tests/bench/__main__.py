"""`./build.py bench`: the firewall beside Linux on the same simulated machine; see docs/performance.md."""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import time

from tests.xen.errors import LabError
from tests.xen.site import IMAGE

from . import beside, curves, earlier, features, jobs, table, tools
from .machine import VARIANTS, Machine
from .profile import run

CHECKOUT = "/src"
FOLDER = CHECKOUT + "/build/bench"
LAB_LOCK = CHECKOUT + "/images/lab.lock"
MENDED = CHECKOUT + "/tests/xen/qemu.py"
MEMORY = 32  # MB, of our image


class Progress:
    """One line that says what is being done: written over on a terminal."""

    def __init__(self, steps):
        self.began, self.steps, self.step = time.monotonic(), steps, 0

    def seconds(self):
        return time.monotonic() - self.began

    def say(self, what):
        text = "%3d of %d, %4.0f s: %s" % (self.step, self.steps, self.seconds(), what)
        self.step += 1
        print("\r\x1b[K" + text if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True)

    def end(self):
        if sys.stdout.isatty():
            print("\r\x1b[K", end="")


def digest(path):
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def ground():
    """{what: digest} of what figures depend on beside the firewalls: the lab's packages (Xen, kernels, emulator), what is
    mended in the emulator, and the programs that make the traffic and the Linux firewall."""
    found = {"lab": digest(LAB_LOCK), "emulator": digest(MENDED)}
    for name, octets in sorted(tools.files().items()):
        found[name] = hashlib.sha256(octets).hexdigest()
    return found


def pace_of(options):
    return jobs.QUICK if options.quick else jobs.FULL


def settings_of(options):
    """What a run's figures depend on."""
    names = [name for name in table.JOBS if name in options.jobs]
    clients = 4 if {"up8", "down8"} & set(names) or names == ["idle"] else 2 if "pair" in names else 1
    return {"jobs": names, "firewalls": list(options.firewalls), "clients": clients, "memory": MEMORY,
            "untrusted": not options.trusted, "pace": pace_of(options)._asdict(), "image": digest(IMAGE), "ground": ground()}


def measure(options, note=lambda figures: None):
    """The result: see table.py. note(figures): called with what there is, behind each job."""
    settings, pace = settings_of(options), pace_of(options)
    names = settings["jobs"]
    progress = Progress(1 + len(options.firewalls) * (len(names) + 1))
    figures, failed = {}, []  # a job that failed leaves its figures out, and the others go on
    progress.say("boot Xen and dom0")
    machine = Machine(settings["clients"], MEMORY, untrusted=settings["untrusted"])
    try:
        for variant in options.firewalls:
            progress.say("%s: start it, give it the clients" % variant)
            machine.use(variant)
            found = figures[variant] = {}
            for name in names:
                progress.say("%s: %s" % (variant, name))
                try:
                    found.update(getattr(jobs, name)(machine, pace))
                except LabError as error:
                    failed.append("%s: %s: %s" % (variant, name, error))
                note(figures)
    except LabError as error:
        failed.append("%s\n%s" % (error, machine.last_words()))
    finally:
        machine.close()
        progress.end()
    return {"settings": settings, "figures": figures, "failed": failed, "seconds": round(progress.seconds())}


def draw(result, picture):
    """Make the picture of a result; whether that went well.

    What draws finds its libraries by Debian's alternatives, which a tool root does not have.
    """
    folder = "/usr/lib/x86_64-linux-gnu/"
    environment = dict(os.environ, LD_LIBRARY_PATH="%sblas:%slapack" % (folder, folder), MPLCONFIGDIR="/tmp")
    command = [sys.executable, "-m", "tests.bench.picture", result, picture]
    return subprocess.run(command, env=environment, cwd=CHECKOUT).returncode == 0


def _parser():
    parser = argparse.ArgumentParser(prog="./build.py bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the headline only, and shorter: less than 4 minutes")
    parser.add_argument("--compare", metavar="EARLIER.json", help="show ours beside what an earlier run found")
    parser.add_argument("--beside", metavar="LINUX.json",
                        help="Linux's columns of an earlier run, if lab, programs, clients and times were the same; only ours runs")
    parser.add_argument("--features", action="store_true",
                        help="ours with what tells, learns and is asked in use, beside ours without")
    parser.add_argument("--curves", action="store_true",
                        help="how the cost of a packet grows with flows, rules, clients and load")
    parser.add_argument("--profile", metavar="NAME,...",
                        help="where our instructions go, by function, in these: " + ", ".join(run.JOBS))
    parser.add_argument("--jobs", metavar="NAME,...", help="only these: " + ", ".join(table.JOBS))
    parser.add_argument("--firewalls", metavar="NAME,...",
                        help="only these: " + ", ".join(VARIANTS + features.VARIANTS))
    parser.add_argument("--trusted", action="store_true",
                        help="clients that trust the firewall, unlike those of a Qubes machine")
    parser.add_argument("--out", metavar="NAME", default="bench",
                        help="build/bench/NAME.txt, .json, .png (default: bench)")
    return parser


def _chosen(parser, text, known):
    names = text.split(",")
    for name in names:
        if name not in known:
            parser.error("got %r, expected one of %s" % (name, ", ".join(known)))
    return names


def main():
    parser = _parser()
    options = parser.parse_args()
    usual = table.QUICK if options.quick else features.JOBS if options.features else table.JOBS
    known = VARIANTS + features.VARIANTS
    names = features.VARIANTS if options.features else ("ours",) if options.beside else VARIANTS
    options.firewalls = _chosen(parser, options.firewalls, known) if options.firewalls else list(names)
    options.jobs = _chosen(parser, options.jobs, table.JOBS) if options.jobs else list(usual)
    path = os.path.join(FOLDER, options.out)
    os.makedirs(FOLDER, exist_ok=True)
    try:
        if options.profile:
            return profiled(_chosen(parser, options.profile, run.JOBS), path)
        if options.curves:
            return curved(options, path)
        return compared(options, path)
    except LabError as error:
        print("bench: %s" % error)
        return 1


def read(path):
    """An earlier result; None without a path."""
    if not path:
        return None
    with open(path) as text:
        return json.load(text)


def compared(options, path):
    """The table."""
    before, linux = read(options.compare), read(options.beside)
    if linux:
        try:
            earlier.check(settings_of(options), linux)  # before minutes of measuring
        except earlier.Differs as why:
            print("bench: beside %s: %s" % (options.beside, why))
            return 1

    def note(figures):
        with open(path + ".part.json", "w") as out:  # for whoever ends the bench before its time
            json.dump(figures, out, indent=1, sort_keys=True)
    result = measure(options, note)
    os.unlink(path + ".part.json")
    if linux:
        result = earlier.put_beside(result, linux, os.path.basename(options.beside))
    tables = [] if set(options.firewalls) <= set(features.VARIANTS) else table.lines(result, before) + [""] + beside.lines(result)
    keep(path, result, tables + earlier.note(result) + features.lines(result) + ["", "%d s" % result["seconds"]]
         + ["failed: " + text for text in result["failed"]])
    drawn = draw(path + ".json", path + ".png")
    print("%s.txt, .json%s" % (path[len(CHECKOUT) + 1:], ", .png" if drawn else ""))
    return 0 if drawn and not result["failed"] else 1


def curved(options, path):
    """The curves."""
    progress = Progress(1 + len(options.firewalls) * (1 + len(curves.POINTS)))
    progress.say("boot Xen and dom0")
    machine, figures, notes = Machine(curves.CLIENTS), {}, []
    try:
        for variant in options.firewalls:
            progress.say("%s: start it, give it the clients" % variant)
            machine.use(variant)
            figures[variant] = []
            for point in curves.POINTS:
                progress.say("%s: %s %d" % (variant, point.axis, point.value))
                each, why = curves.measure(machine, point)
                figures[variant].append(each)
                if why:
                    notes.append("%s, %s %d: %s" % (variant, point.axis, point.value, why))
    finally:
        machine.close()
        progress.end()
    path += "-curves"
    points = [point._asdict() for point in curves.POINTS]
    keep(path, {"curves": figures, "points": points, "notes": notes}, curves.lines(figures, notes))
    return 0 if draw(path + ".json", path + ".png") else 1


def profiled(names, path):
    """Where the image's instructions go, in each of these jobs."""
    progress = Progress(2 * len(names))
    for name in names:
        text = run.profile(name, progress.say)
        with open("%s-profile-%s.txt" % (path, name), "w") as out:
            out.write("\n".join(text) + "\n")
        print("\n".join(["", name] + text))
    return 0


def keep(path, result, text):
    """As JSON and as text, which is printed too."""
    print("\n".join(text))
    with open(path + ".json", "w") as out:
        json.dump(result, out, indent=1, sort_keys=True)
    with open(path + ".txt", "w") as out:
        out.write("\n".join(text) + "\n")


if __name__ == "__main__":
    sys.exit(main())
