"""The system we run on as the tool root: for containers, inside which no namespace can be made.

Its installed packages are compared with the lock by name and version. Differences are named and make
the image's SHA-256 one that cannot be compared; the build goes on. Nothing can be bound to fixed
paths here, so the paths that a tool root has are replaced in the words of each command; whether a
path got into the image is a test's concern (tests/host/test_reproducible.py).
"""
import hashlib
import os
import shutil
import subprocess

from . import lock
from .progress import Problem, say
from .toolroot import Root

_TOOLS = ("gcc", "ld", "make", "python3")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# $1: the folder to be in; then the command. The umask is what a tool root has.
_ENTER = 'umask 022; cd "$1"; shift; exec "$@"'


def root(locked):
    """The present system as a Root, for a lock.Lock. Problem if a tool is not there."""
    absent = [name for name in _TOOLS if not shutil.which(name, path=_PATH)]
    if absent:
        raise Problem("%s: not on this system: install the packages named in images/build.lock" % ", ".join(absent))
    packages = _packages(locked.packages)
    changed = lock.differences(locked.packages, packages)
    if changed:
        say("build.lock: this system has other packages:")
        for line in changed:
            say("  " + line)
    return Here(packages, not changed)


def _packages(locked):
    """What this system has of the locked packages, as lock.Items.

    dpkg does not know the SHA-256 of the package a file came from: the lock's is taken where the
    version is the lock's, and a name for the version where it is not.
    """
    try:
        listing = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"],
                                 stdout=subprocess.PIPE, universal_newlines=True).stdout
    except FileNotFoundError:
        raise Problem("dpkg-query is not here: --here is for Debian systems")
    words = [line.split() for line in listing.splitlines()]
    installed = {name: version for status, name, version in (each for each in words if len(each) == 3)
                 if status == "installed"}
    return [item if installed[item.name] == item.version
            else lock.Item(item.name, installed[item.name], 0, "version-" + installed[item.name], "-")
            for item in locked if item.name in installed]


class Here(Root):
    """A Root whose files are the present system's."""

    def __init__(self, packages, comparable):
        super().__init__("/", packages, comparable)
        text = "".join(sorted("%s %s\n" % (item.name, item.sha256) for item in packages))
        self.name = "here-" + hashlib.sha256(text.encode()).hexdigest()[:16]

    def command(self, argv, binds=(), cwd="/", env=None, writable=False):
        """(argv, environment) as Root.command() gives them; binds become replacements in argv, env and cwd."""
        for outside, _ in binds:
            if outside.split() != [outside]:
                raise Problem("%s: make knows no folder with a space in its name: move it, or build without --here"
                              % outside)
        # the longest first: /src/build lies in /src
        pairs = sorted(((inside, os.path.abspath(outside)) for outside, inside in binds),
                       key=lambda pair: -len(pair[0]))
        words = ["/bin/sh", "-c", _ENTER, "here", _replaced(cwd, pairs), "/usr/bin/env", "-i"]
        words += [_replaced(word, pairs) for word in self.variables(env)]
        return words + [_replaced(word, pairs) for word in argv], {"PATH": _PATH}


def _replaced(word, pairs):
    """A word of a command, PATH or NAME=PATH, with the folder at the path's start replaced."""
    name, equals, value = word.rpartition("=")
    for inside, outside in pairs:
        if value == inside or value.startswith(inside + "/"):
            return name + equals + outside + value[len(inside):]
    return word
