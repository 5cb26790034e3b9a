"""Runs a series in one checkout, and writes what came of it: for __main__.py, which runs this file once for each side.

    driver.py CHECKOUT GROUND SEED ROUNDS EVENTS FIRST

Lines of JSON: [round, number, event, answer]; at each round's end [round, "counters", {reason: n}]; at last
["names", [reason, ...]]. Frames are built by the modules beside this file, whichever checkout is looked at.
"""
import json
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def paths(checkout):
    """This checkout's modules first, then ours, of which only those that build frames have such names."""
    sys.dont_write_bytecode = True
    host = os.path.join(os.path.dirname(HERE), "host")
    sys.path[:0] = [HERE]
    sys.path.insert(0, host)
    import packets  # noqa: F401: of ours, for both sides
    import rulegen  # noqa: F401
    sys.path.remove(host)
    sys.path[:0] = [checkout] + [os.path.join(checkout, folder) for folder in ("port/modules", "tests/stubs")]


def round_of(checkout, ground, seed, number, events, write):
    from grounds import Host, Sim
    from scenes import Scenes
    from whole import WholeSim

    count = [0]

    def record(event, answer):
        write([number, count[0], event, answer])
        count[0] += 1

    place = {"host": Host, "sim": Sim, "whole": WholeSim}[ground](checkout, seed * 1000003 + number)
    try:
        Scenes(place, random.Random("%d %d" % (seed, number)), events, record).run()
    except Exception as error:  # of both sides alike, or it is a difference
        record("raised", "%s: %s" % (type(error).__name__, str(error).splitlines()[:1]))
    try:
        write([number, "counters", dict(place.net.counters)])
    except Exception as error:
        write([number, "counters", {}])
        record("raised", type(error).__name__)
    place.close()


def main(checkout, ground, *numbers):
    seed, rounds, events, first = map(int, numbers)
    paths(checkout)

    def write(line):
        sys.stdout.write(json.dumps(line) + "\n")

    for number in range(first, first + rounds):
        round_of(checkout, ground, seed, number, events, write)
        sys.stdout.flush()
    from firewall import reasons

    write(["names", list(reasons.NAMES)])


if __name__ == "__main__":
    main(*sys.argv[1:])
