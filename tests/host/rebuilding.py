"""Builds copies of the checkout under other circumstances, for the tests of reproducibility.

    with copied(snapshot, order=7) as checkout:
        run(checkout, ["image"], {"TZ": "Asia/Tokyo"}, umask=0o077)

All copies of a session are of one snapshot, so that nobody's editing makes two builds differ.
"""
import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import tempfile

import pytest

from images import formula, here, kernel, lock, once, toolroot

CHECKOUT = kernel.CHECKOUT
USER = 1234  # an ordinary user without a name
ODD = {"TZ": "Pacific/Kiritimati", "LC_ALL": "de_DE.ISO-8859-15", "LANG": "tr_TR.UTF-8", "USER": "somebody"}


def files():
    """Paths in the checkout of all that a build needs."""
    images = [name for name in os.listdir(kernel.HERE) if name.endswith((".py", ".lock"))]
    return kernel.inputs() + ["build.py"] + ["images/" + name for name in images] + formula.files()


def digest(checkout):
    """A digest of all that a build needs in a checkout; another one when somebody has edited a file."""
    found = hashlib.sha256()
    for path in sorted(files()):
        with open(os.path.join(checkout, path), "rb") as data:
            found.update(path.encode() + hashlib.sha256(data.read()).digest())
    return found.hexdigest()


@contextlib.contextmanager
def copied(source, order=0, time=None, name="another place", user=None):
    """A copy of a checkout, removed again at the end; its path.

    order: seed of the order in which its files are made. tmpfs, where it lies, lists the newest first, so
    folders are read in another order. time: date of all files, s; user: their owner's number.
    """
    paths = sorted(files())
    random.Random(order).shuffle(paths)
    with tempfile.TemporaryDirectory(prefix="firewall-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        checkout = os.path.join(folder, name)
        for path in paths:
            target = os.path.join(checkout, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.join(source, path), target)
            if time is not None:
                os.utime(target, (time, time))
        if user is not None:
            subprocess.run(["chown", "-R", "%d:%d" % (user, user), folder], check=True)
        yield checkout


def run(checkout, words, env=None, umask=0o022, user=None):
    """Run build.py in a checkout; what it printed on both channels. AssertionError if it fails."""
    variables = {name: os.environ[name] for name in ("PATH", "XDG_CACHE_HOME", "HOME") if name in os.environ}
    variables.update(env or {})
    more = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    done = subprocess.run(["python3", os.path.join(checkout, "build.py")] + words, env=variables, umask=umask, cwd="/",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, text[-4000:]
    return text


def built(checkout):
    """The image in a checkout, as bytes."""
    with open(os.path.join(checkout, "build", "vmlinuz"), "rb") as data:
        return data.read()


def can_be_another_user():
    """Whether this process may become USER: root on a machine or in a container, not in a user namespace."""
    with open("/proc/self/uid_map") as lines:
        return os.geteuid() == 0 and any(int(line.split()[0]) <= USER < int(line.split()[0]) + int(line.split()[2])
                                         for line in lines)


def present_system(folder, changed=None, user=None):
    """Variables under which `--here` takes the lab's root for an installed system, with a cache of its own.

    The root was unpacked without dpkg, so dpkg's database is made here, of what build.lock says: the
    versions really are those. changed: {name: version} to be found instead.
    """
    database, cache = os.path.join(folder, "dpkg"), os.path.join(folder, "cache")
    os.makedirs(os.path.join(database, "info"))
    os.makedirs(os.path.join(database, "updates"))
    locked = lock.read(kernel.BUILD_LOCK)
    with open(os.path.join(database, "status"), "w") as out:
        for item in locked.packages:
            out.write("Package: %s\nStatus: install ok installed\nMaintainer: nobody\nArchitecture: amd64\n"
                      "Version: %s\nDescription: none\n\n" % (item.name, (changed or {}).get(item.name, item.version)))
    variables = {"DPKG_ADMINDIR": database, "XDG_CACHE_HOME": cache}
    _copy_micropython(locked, os.path.join(cache, "qubes-python-firewall", "sources"), variables)
    if user is not None:
        subprocess.run(["chown", "-R", "%d:%d" % (user, user), folder], check=True)
    return variables


def _copy_micropython(locked, sources, variables):
    """Spare `--here` the half minute of building mpy-cross: the compiler that built it is the same."""
    source = kernel.micropython(toolroot.ensure([kernel.BUILD_LOCK], "build.lock"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DPKG_ADMINDIR", variables["DPKG_ADMINDIR"])
        name = here.root(locked).name
    item = locked.sources[0]
    once.made(os.path.join(sources, "%s-%s-%s" % (item.name, item.sha256[:12], name)),
              lambda part: subprocess.run(["cp", "-a", source, part], check=True))
