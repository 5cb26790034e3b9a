#!/usr/bin/env python3
"""Build the image in every way that needs more than the tool root, and compare the SHA-256.

    sudo tests/reproduce.py [WAY ...]        all ways: a quarter of an hour, 3 GB below $TMPDIR or /tmp

Needs root and `apt-get install buildah debootstrap disorderfs`. What a checkout's own tests can vary
(path, time, locale ...) is in tests/host/test_reproducible.py. Exit status 1 if a hash differs.
"""
import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, CHECKOUT)
sys.dont_write_bytecode = True
from images import archive, formula, kernel, lock, toolroot  # noqa: E402

USER = 1234


class Place:
    """A scratch folder with one snapshot of the checkout, from which every way takes its copy."""

    def __init__(self, folder):
        self.folder = folder
        self.snapshot = os.path.join(folder, "snapshot")
        names = kernel.inputs() + ["build.py", "Dockerfile", ".dockerignore"]
        images = [name for name in os.listdir(kernel.HERE) if name.endswith((".py", ".lock"))]
        names += ["images/" + name for name in images] + formula.files()
        for name in names:
            target = os.path.join(self.snapshot, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.join(CHECKOUT, name), target)
        self._base = None

    def copy(self, name):
        return shutil.copytree(self.snapshot, os.path.join(self.folder, name))

    def base(self):
        """Folder with a minimal Debian 13 made by debootstrap, as its own maintainers' scripts set it up."""
        if self._base is None:
            self._base = os.path.join(self.folder, "debian13")
            run(["debootstrap", "--variant=minbase", archive.SUITE, self._base, mirror()])
        return self._base


def mirror():
    return archive.Archive(toolroot.cache_folder()).base()


def run(words, **more):
    """Run a program; its output. An error shows the output's end."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, errors="replace", **more)
    if done.returncode:
        sys.exit("%s failed:\n%s" % (words[0], done.stdout[-3000:]))
    return done.stdout


def build(checkout, *words, **more):
    return run(["python3", os.path.join(checkout, "build.py")] + list(words) + ["image"], **more)


def plain(place):
    """As it is: the hash that all others must have."""
    checkout = place.copy("plain")
    return build(checkout)


def user(place):
    """An ordinary user with a user namespace and an empty cache: his tool root is made anew."""
    checkout, cache = place.copy("user"), os.path.join(place.folder, "user-cache")
    files = os.path.join(cache, "qubes-python-firewall", "files")
    os.makedirs(files)
    locked = lock.read(kernel.BUILD_LOCK)
    for item in locked.packages + locked.sources:  # spare the mirror a second download
        shutil.copy(os.path.join(toolroot.cache_folder(), "files", item.sha256), files)
    run(["chown", "-R", "%d:%d" % (USER, USER), checkout, cache])
    return build(checkout, user=USER, group=USER, extra_groups=[], cwd="/", umask=0o077,
                 env={"PATH": os.environ["PATH"], "HOME": cache, "XDG_CACHE_HOME": cache})


def disorder(place):
    """A file system that lists every folder in another order each time."""
    checkout, mounted = place.copy("ordered"), os.path.join(place.folder, "disordered")
    os.mkdir(mounted)
    run(["disorderfs", "--shuffle-dirents=yes", "--multi-user=yes", checkout, mounted])
    try:
        return build(mounted)
    finally:
        run(["umount", mounted])


def debian13(place):
    """On a Debian 13 as host: its Python, apt and kernel tools instead of ours."""
    checkout = place.copy("debian13-checkout")
    host = toolroot.Root(place.base(), [], True)
    os.makedirs(os.path.join(place.base(), "src"), exist_ok=True)
    os.makedirs(os.path.join(place.base(), "cache", "qubes-python-firewall"), exist_ok=True)
    binds = [(checkout, "/src"), (toolroot.cache_folder(), "/cache/qubes-python-firewall")]
    script = "apt-get update && apt-get install -y --no-install-recommends python3 && python3 build.py image"
    words, outer = host.command(["sh", "-ec", script], binds, "/src", writable=True)
    return run(words, env=outer)


def container(place):
    """The Dockerfile by buildah, chroot isolation, every file of the context with an SELinux label."""
    context, result = place.copy("context"), os.path.join(place.folder, "from-container")
    with contextlib.suppress(OSError):  # a file system without such labels
        for folder, _, names in os.walk(context):
            for name in names:
                os.setxattr(os.path.join(folder, name), "security.selinux", b"unconfined_u:object_r:user_home_t:s0")
    packed = os.path.join(place.folder, "base.tar")
    run(["tar", "-C", place.base(), "-cf", packed, "."])
    buildah = ["buildah", "--root", os.path.join(place.folder, "containers"),
               "--runroot", os.path.join(place.folder, "containers-run"), "--storage-driver", "vfs"]
    name = run(buildah + ["from", "scratch"]).strip()
    run(buildah + ["add", "--quiet", name, packed, "/"])
    run(buildah + ["commit", "--quiet", "--rm", name, "debian13"])
    said = run(buildah + ["bud", "--isolation", "chroot", "--build-arg", "BASE=localhost/debian13",
                          "--build-arg", "APT_SOURCES=deb %s %s main" % (mirror(), archive.SUITE),
                          "--output", result, context])
    built = archive.sha256(os.path.join(result, "vmlinuz"))
    return said + "\nSHA-256 %s\n" % built


def compiler(place):
    """A lock with a compiler that the archive does not have: another is taken, named, and the build goes on."""
    checkout = place.copy("compiler")
    path = os.path.join(checkout, "images", "build.lock")
    locked = lock.read(path)
    gone = [item._replace(version="14.2.0-18", sha256="0" * 64, path=item.path.replace("-19_", "-18_"))
            if item.name == "gcc-14-x86-64-linux-gnu" else item for item in locked.packages]
    lock.write(path, locked._replace(packages=gone), ["edited by tests/reproduce.py"])
    said = build(checkout)
    for words in ("gcc-14-x86-64-linux-gnu: 14.2.0-19 instead of 14.2.0-18", "cannot be compared"):
        if words not in said:
            sys.exit("compiler: did not say %r:\n%s" % (words, said))
    return said


WAYS = (plain, user, disorder, debian13, container, compiler)
_ANOTHER = (compiler,)  # ways whose hash is not to be compared


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", nargs="*", metavar="WAY",
                        help="; ".join("%s: %s" % (way.__name__, way.__doc__.split(":")[0].lower()) for way in WAYS))
    wanted = parser.parse_args().way
    unknown = set(wanted) - {way.__name__ for way in WAYS}
    if unknown:
        parser.error("no such way: %s" % ", ".join(unknown))
    found = {}
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        os.chmod(folder, 0o755)
        place = Place(folder)
        for way in WAYS:
            if not wanted or way is plain or way.__name__ in wanted:
                said = way(place)
                sha256 = re.findall(r"SHA-256 ([0-9a-f]{64})", said)[-1]
                print("%-10s %s%s" % (way.__name__, sha256, "  (not comparable, and said so)" if way in _ANOTHER else ""),
                      flush=True)
                if way not in _ANOTHER:
                    found[way.__name__] = sha256
    sys.exit(0 if len(set(found.values())) == 1 else "NOT all the same")


if __name__ == "__main__":
    main()
