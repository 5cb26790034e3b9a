"""The programs that make the traffic: two small ones in C, compiled in the tool root, the same for both firewalls."""
import os
import subprocess

from images import once

_HERE = os.path.dirname(os.path.abspath(__file__))
_FOLDER = "/src/build/bench"
_LINUX = ("start", "vif-hook", "flowtable", "rules.nft")
_FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s"]


def program(name):
    """Octets of traffic/NAME.c, compiled."""
    source = os.path.join(_HERE, "traffic", name + ".c")

    def make(part):
        subprocess.run(["gcc"] + _FLAGS + ["-o", part, source], check=True)
    os.makedirs(_FOLDER, exist_ok=True)
    path = os.path.join(_FOLDER, name)
    if os.path.exists(path) and os.path.getmtime(path) < os.path.getmtime(source):
        os.unlink(path)
    with open(once.made(path, make), "rb") as octets:
        return octets.read()


def files():
    """What every Linux domU of the bench has beside what any has: {name: octets}."""
    found = {"usr/bin/" + name: program(name) for name in ("traffic", "serve")}
    for name in _LINUX:
        with open(os.path.join(_HERE, "linux", name), "rb") as octets:
            found[name] = octets.read()
    return found
