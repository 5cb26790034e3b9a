"""Tool roots: folders with a small Debian 13 in which compiler, Xen and tests run.

A root is made of locked packages, unpacked by us: no maintainer script runs, so nothing of the
machine gets in. It lies in the user's cache folder under a name that is a digest of its packages and
of this recipe, is shared between checkouts, and never changes once it has that name (see once.py).

Programs in it see fixed paths whatever the checkout is called: /src (the checkout), /src/build,
/micropython, /cache. They get a cleared environment, one locale, one time zone, one umask.
"""
import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from . import archive, lock, once
from .progress import Problem, Step, say

_RECIPE = 2  # part of a root's name; raise it when unpacking below changes what is in a root
_PLACES = "dev proc sys tmp run src cache/qubes-python-firewall micropython root etc".split()
_OMIT = ["./usr/share/" + name for name in ("doc", "man", "locale", "info", "lintian", "bug")]

# Runs as root of a mount namespace of its own. $1: the root; then "FROM TO" pairs of folders to bind,
# "--", and the command for chroot. The root itself becomes read-only: it is shared, and a folder more in it would make
# it another one (see once.py), so that whoever comes next would make it anew under the feet of all who use it.
_ENTER = """
set -e
umask 022
root=$1; shift
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
[ -n "$WRITABLE_ROOT" ] || mount -o remount,bind,ro "$root" 2>/dev/null || :
while [ "$1" != -- ]; do mkdir -p "$root$2"; mount --bind "$1" "$root$2"; shift 2; done
shift
# no exec: as process 1 of its namespace, make would spin on children that are not its own
chroot "$root" "$@"
exit $?
"""

_NO_NAMESPACES = ("cannot make a mount namespace: run as root, or as a user on a machine that allows "
                  "user namespaces (sysctl kernel.unprivileged_userns_clone=1); `image --here` needs none")


def cache_folder():
    """Our folder in the user's cache; made if need be."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.path.join(os.path.abspath(home), "qubes-python-firewall")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise Problem("%s: %s: set XDG_CACHE_HOME to a folder that can be written" % (path, error.strerror))
    return path


class Root:
    """A complete root. run() runs a program in it."""

    def __init__(self, path, packages, comparable):
        """packages: list of lock.Item it consists of; comparable: they are the locked ones."""
        self.path, self.packages, self.comparable = path, packages, comparable
        self.name = os.path.basename(path)

    def command(self, argv, binds=(), cwd="/", env=None, writable=False):
        """(argv, environment) with which subprocess runs argv inside.

        binds: pairs (folder outside, folder inside), in this order; env: variables beside the fixed ones.
        """
        words = _namespace() + ["/bin/sh", "-c", _ENTER, "toolroot", self.path]
        for outside, inside in binds:
            words += [os.path.abspath(outside), inside]
        words += ["--", "/usr/bin/env", "-i", "--chdir=" + cwd] + self.variables(env) + list(argv)
        outer = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "WRITABLE_ROOT": "1" if writable else ""}
        return words, outer

    def variables(self, env=None):
        """NAME=value words: all that a program inside has of an environment."""
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
            "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": "/cache", "TOOLROOT": self.name,
        }
        variables.update(env or {})
        return ["%s=%s" % pair for pair in sorted(variables.items())]

    def run(self, argv, binds=(), cwd="/", env=None, writable=False, **keywords):
        """subprocess.run() of argv inside."""
        words, outer = self.command(argv, binds, cwd, env, writable)
        return subprocess.run(words, env=outer, **keywords)


_namespace_words = None


def _namespace():
    """How this user enters a mount namespace here. A pid namespace makes what we start die with us."""
    global _namespace_words
    if _namespace_words is None:
        base = ["unshare", "--mount", "--propagation", "slave"]
        if os.geteuid():
            base += ["--user", "--map-root-user"]
        pid = ["--pid", "--fork", "--kill-child"]
        probe = ["/bin/sh", "-c", "mkdir -p /tmp && mount -t tmpfs tmpfs /tmp"]
        probe_proc = ["/bin/sh", "-c", "mount -t proc proc /proc && mount -t tmpfs tmpfs /tmp"]
        for words, test in ((base + pid, probe_proc), (base, probe)):
            try:
                if subprocess.run(words + test, stderr=subprocess.DEVNULL).returncode == 0:
                    _namespace_words = words
                    break
            except FileNotFoundError:
                break
        else:
            raise Problem(_NO_NAMESPACES)
        if _namespace_words is None:
            raise Problem("unshare is not here: install util-linux")
    return _namespace_words


def ensure(lockfiles, title, sources=None):
    """The Root with the packages of these lock files; made if it is not there yet.

    sources: file that names another archive, or None. When the archive has dropped a locked package,
    all are resolved anew, the differences are printed, and the root is marked as not comparable.
    """
    cache = cache_folder()
    locks = [lock.read(path) for path in lockfiles]
    locked = packages = [item for each in locks for item in each.packages]
    path = _path(cache, locked)
    instead = path + ".instead"  # a lock file: what we took when the archive had dropped a package
    if not os.path.isdir(path) and os.path.exists(instead):
        packages = lock.read(instead).packages

    def make(part):
        _namespace()  # better to learn that this does not work before an hour of downloading
        if source.fetch(packages):
            raise _Dropped()
        os.makedirs(part)
        _unpack(source, packages, part)
        _finish(Root(part, packages, True))

    source = archive.Archive(cache, sources)
    try:
        once.made(_path(cache, packages), make)
    except _Dropped:
        packages = _nearest(source, locks)
        once.made(_path(cache, packages), make)
        lock.write(instead, locks[0]._replace(want=[], sources=[], packages=packages), ["used in place of the lock"])
    changed = lock.differences(locked, packages)
    if changed:
        say("%s: the archive no longer has all locked packages; others are used:" % title)
        for line in changed:
            say("  " + line)
    return Root(_path(cache, packages), packages, not changed)


class _Dropped(Exception):
    """The archive does not give all packages."""


def _nearest(source, locks):
    """The packages that the archive has today in place of these locks'."""
    locked = [item for each in locks for item in each.packages]
    _, found = source.resolve([name for each in locks for name in each.want])
    missing = source.fetch(found)
    if missing or not lock.differences(locked, found):
        raise Problem("%s: the download failed: try again" % (missing or locked)[0].path)
    return found


def _path(cache, packages):
    text = "%d\n" % _RECIPE + "".join(sorted("%s %s\n" % (item.name, item.sha256) for item in packages))
    return os.path.join(cache, "roots", hashlib.sha256(text.encode()).hexdigest()[:16])


def _unpack(source, packages, folder):
    """Unpack all packages into a folder. base-files first: it brings the links bin -> usr/bin and so on."""
    def unpack(item):
        data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", source.file(item)], stdout=subprocess.PIPE)
        tar = subprocess.run(["tar", "-x", "-C", folder, "--no-same-owner", "--keep-directory-symlink"]
                             + ["--exclude=" + path for path in _OMIT], stdin=data.stdout,
                             stderr=subprocess.PIPE, universal_newlines=True)
        data.stdout.close()
        if data.wait() or tar.returncode:
            raise Problem("unpacking %s failed: %s" % (item.name, (tar.stderr or "dpkg-deb").splitlines()[0]))
        step.done()

    first = [item for item in packages if item.name == "base-files"]
    others = [item for item in packages if item.name != "base-files"]
    with Step("Unpacking the tool root", len(packages), "packages") as step:
        for item in first:
            unpack(item)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for _ in pool.map(unpack, others):
                pass


def _finish(root):
    """Do what maintainer scripts would have done, as far as it matters to us."""
    for place in _PLACES:
        os.makedirs(os.path.join(root.path, place), exist_ok=True)
    for name, text in (("passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
                       ("group", "root:x:0:\nnogroup:x:65534:\n"), ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
                       ("resolv.conf", ""), ("hostname", "toolroot\n")):
        path = os.path.join(root.path, "etc", name)
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "w") as out:
            out.write(text)
    for link, target in (("awk", "gawk"), ("awk", "mawk"), ("cc", "gcc")):  # Debian's alternatives
        path = os.path.join(root.path, "usr/bin", link)
        if not os.path.lexists(path) and os.path.exists(os.path.join(root.path, "usr/bin", target)):
            os.symlink(target, path)
    steps = []
    modules = os.path.join(root.path, "usr/lib/modules")
    if os.path.isdir(modules):
        steps += [["depmod", version] for version in sorted(os.listdir(modules))]
    if os.path.isdir(os.path.join(root.path, "usr/lib/python3/dist-packages/pytest")):
        steps.append(["python3", "-m", "compileall", "-q", "-j0", "/usr/lib/python3", "/usr/lib/python3.13"])
    with Step("Finishing the tool root"):
        for argv in steps:
            done = root.run(argv, writable=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            universal_newlines=True)
            if done.returncode and argv[0] != "python3":  # a file for an older Python may not compile
                raise Problem("%s in the new root failed: %s" % (argv[0], done.stdout.strip()[-200:]))
