"""`./build.py equal COMMIT`: does the checkout do what COMMIT did? Random frames and events, all that comes out compared.

    BEFORE AFTER        folders of two checkouts; both are built, where a ground needs it
    --ground GROUND     host: tests.network.Network (judge, flows, NAT, fragments); sim: the whole firewall in the simulated
                        Xen; whole: the same, but the program that ships, told by QubesDB; all if none is named
    --events N          in all, of each ground
    --seed N            of everything; a difference is found again by the ground, the seed and the round
    --round N           this round only
    --all               go on with the next round after a difference, and count the rounds that differ
    --figures           no series: what both sides cost, side by side; see figures.py

Each side is a process of its own (driver.py) with its own checkout's modules; the frames are made by this folder's modules on
both sides, and depend on what came out before. So both get the same as long as they do the same. Compared are, for each
event: every frame put out, octets, wire and offloads; the verdict (host) or the lines of the log without their time (sim);
refused requests of clients, counters of verdicts, sizes of tables. Not compared are memory, time and hypercalls.

Exit status 1 if there is a difference.
"""
import argparse
import collections
import itertools
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS = {"host": (200000, 2000), "sim": (24000, 1000), "whole": (6000, 500)}  # in all, and of a round
SEED = 1
_CONTEXT = 4  # events shown before a difference


class Side:
    """A driver at work on one checkout."""

    def __init__(self, name, checkout, words):
        self.name = name
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FIREWALL_SIM")}
        environment["PYTHONHASHSEED"] = "0"
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "driver.py"), checkout] + [str(word) for word in words],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=checkout, env=environment, text=True)

    def lines(self):
        for line in self.process.stdout:
            yield json.loads(line)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Score:
    """What a comparison has seen. differences: (round, number of the event, text), the first of each round that differs."""

    def __init__(self):
        self.events = self.frames = self.out = self.rounds = 0
        self.counters = collections.Counter()
        self.names = []
        self.raised = collections.Counter()
        self.differences = []


def compare(ground, before, after, seed, rounds, events, first=0, go_on=False):
    """Run both sides and compare; a Score. It ends at the first difference, if not told to go on."""
    words = [ground, seed, rounds, events, first]
    sides = Side("before", before, words), Side("after", after, words)
    score = Score()
    try:
        _compare(sides, score, go_on)
    finally:
        for side in sides:
            side.close()
    return score


def _compare(sides, score, go_on):
    recent = collections.deque(maxlen=_CONTEXT)
    apart = None  # round that has a difference already
    streams = [itertools.groupby(side.lines(), lambda line: line[0]) for side in sides]
    for (number, one), (other_number, other) in itertools.zip_longest(*streams, fillvalue=(None, ())):
        recent.clear()
        if number == "names" and other_number == "names":
            score.names = [list(one)[0][1], list(other)[0][1]][1]
            continue
        score.rounds += 1
        for a, b in itertools.zip_longest(one, other):
            if apart == number:
                continue
            if a != b:
                apart = number
                score.differences.append((number, (a or b)[1], _told(sides, recent, a, b)))
                if not go_on:
                    return
            elif a[1] == "counters":
                score.counters.update(a[2])
            else:
                _count(score, a)
                recent.append(a)


def _count(score, line):
    _, _, event, answer = line
    score.events += 1
    score.frames += " > " in event
    score.out += answer.count(" < ")
    if event == "raised":
        score.raised[answer[:100]] += 1


def _told(sides, recent, a, b):
    """The difference in words: the events before it, what was done, and both answers."""
    out = ["  %s: %s" % (line[1], line[2]) for line in recent]
    events = [line[2] if line and line[1] != "counters" else line and "end of the round" for line in (a, b)]
    if events[0] == events[1]:
        out.append("  %s" % events[0])
    else:
        out += ["  %s did: %s" % (side.name, event or "nothing more: its process has ended") for side, event in zip(sides, events)]
    texts = [json.dumps(line[2], indent=1) if line and line[1] == "counters" else line[3] if line else "" for line in (a, b)]
    rows = [text.splitlines() for text in texts]
    for side, own, others in zip(sides, rows, reversed(rows)):
        out.append("  %s:" % side.name)
        out += ["  %s %s" % ("|" if row in others else "*", row) for row in own] or ["    nothing"]
    return "\n".join(out)


def report(ground, seed, score, events):
    """Print it; True if there was no difference."""
    for number, event, text in score.differences:
        print("DIFFERENCE: ground %s, seed %d, round %s, event %s of the round\n%s" % (ground, seed, number, event, text))
        print("again: --ground %s --seed %d --round %s --events %d" % (ground, seed, number, events))
    print("%s: %d rounds, %d events, %d frames in, %d frames out; %s" % (
        ground, score.rounds, score.events, score.frames, score.out,
        "%d rounds differ" % len(score.differences) if score.differences else "no difference"))
    for name, n in sorted(score.counters.items(), key=lambda item: -item[1]):
        print("  %8d %s" % (n, name))
    unseen = [name for name in score.names if not score.counters.get(name)]
    if score.names:
        print("  never: %s" % (", ".join(unseen) or "none"))
    for text, n in score.raised.items():
        print("  rounds that ended with an exception, on both sides: %d: %s" % (n, text))
    sys.stdout.flush()
    return not score.differences and bool(score.names)


def main(words=None):
    parser = argparse.ArgumentParser(prog="./build.py equal COMMIT --", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--ground", choices=sorted(EVENTS), action="append")
    parser.add_argument("--events", type=int)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--round", type=int)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--figures", action="store_true")
    options = parser.parse_args(words)
    if options.figures:
        from . import figures
        return figures.main(options.before, options.after)
    equal = True
    for ground in options.ground or sorted(EVENTS):
        total, of_a_round = EVENTS[ground]
        total = options.events or total
        events = min(total, of_a_round)
        rounds, first = (1, options.round) if options.round is not None else (-(-total // events), 0)
        score = compare(ground, options.before, options.after, options.seed, rounds, events, first, options.all)
        equal = report(ground, options.seed, score, events) and equal
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
