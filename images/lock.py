"""Package locks: which Debian packages a tool root is made of, to the byte.

A lock is a text file that a person can compare with `diff`:

    archive SUITE DATE              the state of the archive from which the rest was taken
    want NAME                       asked for by us; the other packages follow from dependencies
    source NAME VERSION SIZE SHA256 PATH
    package NAME VERSION SIZE SHA256 PATH

SIZE is in octets, PATH is relative to the archive's root. No mirror is named.
"""
from collections import namedtuple

from . import once

Item = namedtuple("Item", "name version size sha256 path")
Lock = namedtuple("Lock", "suite date want sources packages")


def read(path):
    """The Lock in a file. ValueError names a line that is not understood."""
    suite = date = ""
    want, sources, packages = [], [], []
    with open(path) as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "archive" and len(words) == 3:
                suite, date = words[1:]
            elif words[0] == "want" and len(words) == 2:
                want.append(words[1])
            elif words[0] in ("source", "package") and len(words) == 6:
                item = Item(words[1], words[2], int(words[3]), words[4], words[5])
                (sources if words[0] == "source" else packages).append(item)
            else:
                raise ValueError("%s:%d: not understood: %s" % (path, number, line.strip()))
    return Lock(suite, date, want, sources, packages)


def write(path, lock, heading):
    """Write a Lock below a heading (lines of text)."""
    lines = ["# " + text for text in heading] + ["archive %s %s" % (lock.suite, lock.date)]
    lines += ["want " + name for name in sorted(lock.want)]
    for word, items in (("source", lock.sources), ("package", lock.packages)):
        lines += ["%s %s %s %d %s %s" % ((word,) + item) for item in sorted(items)]
    once.write(path, "\n".join(lines) + "\n")


def differences(locked, found):
    """Lines that name each package in which two lists differ; empty when they are the same bytes."""
    old = {item.name: item for item in locked}
    new = {item.name: item for item in found}
    lines = []
    for name in sorted(set(old) | set(new)):
        if name not in new:
            lines.append("%s %s: absent" % (name, old[name].version))
        elif name not in old:
            lines.append("%s %s: not in the lock" % (name, new[name].version))
        elif old[name].sha256 != new[name].sha256:
            lines.append("%s: %s instead of %s" % (name, new[name].version, old[name].version))
    return lines
