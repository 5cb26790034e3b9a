"""What MicroPython's build makes of this checkout: the image, the test image, the simulation.

The image's bytes depend on its inputs alone: the sources below, the locked packages, MicroPython's
source. inputs_digest() is over these; it is frozen into the image and printed on its first line.
"""
import hashlib
import os
import shutil
import subprocess

from . import archive, here, lock, once, toolroot
from .progress import Problem, Step, say

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(HERE)
BUILD_LOCK = os.path.join(HERE, "build.lock")
LAB_LOCK = os.path.join(HERE, "lab.lock")
# variant of port/Makefile: (what it makes, its name in build/, folders beside those of the image)
VARIANTS = {
    "image": ("vmlinuz", "vmlinuz", ()),
    "test": ("vmlinuz", "vmlinuz-test", ("port/test", "tests/guest")),
    "sim": ("firewall-sim", "firewall-sim", ("port/sim", "tests/guest")),
}
SOURCES = ("port", "firewall", "netfront", "netback")
_NOT_SOURCES = ("port/test", "port/sim", "port/build")
# Python 3.11.2, Debian 12's, knows no filters yet; the archive is known by its SHA-256 in any case
_UNPACK = ("import tarfile; "
           "tarfile.open('source').extractall(**({'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}))")
_SUFFIXES = (".c", ".h", ".S", ".ld", ".py", "Makefile")


def version():
    """The version that the next release will have."""
    with open(os.path.join(HERE, "VERSION")) as text:
        return text.read().strip()


def inputs(variant="image"):
    """Paths, relative to the checkout, of all files of ours that enter a variant; sorted."""
    more = VARIANTS[variant][2]
    found = ["images/VERSION"]
    for top in SOURCES + tuple(more):
        for folder, _, names in os.walk(os.path.join(CHECKOUT, top)):
            paths = [os.path.relpath(os.path.join(folder, name), CHECKOUT) for name in names]
            found += [path for path in paths if enters(path, variant)]
    return sorted(set(found))


def enters(path, variant="image"):
    """Whether a file of ours below a folder of sources, existing or not, would enter a variant."""
    outside = [folder for folder in _NOT_SOURCES if folder not in VARIANTS[variant][2]]
    return (path.endswith(_SUFFIXES) and "__pycache__" not in path.split("/")
            and not any(path.startswith(folder + "/") for folder in outside))


def inputs_digest(root, variant="image"):
    """16 hexadecimal digits over sources and packages; without anything of time, path or user."""
    digest = hashlib.sha256()
    for path in inputs(variant):
        digest.update(("%s %s\n" % (path, archive.sha256(os.path.join(CHECKOUT, path)))).encode())
    for item in sorted(root.packages) + lock.read(BUILD_LOCK).sources:
        digest.update(("%s %s\n" % (item.name, item.sha256)).encode())
    return digest.hexdigest()[:16]


def micropython(root, sources=None):
    """Folder with MicroPython's source and mpy-cross built in it by this root's compiler."""
    cache = toolroot.cache_folder()
    item = lock.read(BUILD_LOCK).sources[0]
    path = os.path.join(cache, "sources", "%s-%s-%s" % (item.name, item.sha256[:12], root.name))
    source = archive.Archive(cache, sources)

    def make(part):
        if source.fetch([item]):
            raise Problem("the archive no longer has the source of %s %s: name a dated one with --apt-sources"
                          % (item.name, item.version))
        os.makedirs(part)
        with Step("Building MicroPython's cross compiler"):
            shutil.copy(source.file(item), os.path.join(part, "source"))
            unpack = ["python3", "-c", _UNPACK]
            _check(root.run(unpack, [(part, "/micropython")], "/micropython", stderr=subprocess.PIPE), unpack)
            os.unlink(os.path.join(part, "source"))
            (top,) = os.listdir(part)
            for name in os.listdir(os.path.join(part, top)):
                os.rename(os.path.join(part, top, name), os.path.join(part, name))
            os.rmdir(os.path.join(part, top))
            command = ["make", "-C", "/micropython/mpy-cross", "-j%d" % (os.cpu_count() or 1)]
            environment = {"MICROPY_GIT_TAG": "v1.25.0", "MICROPY_GIT_HASH": "debian", "SOURCE_DATE_EPOCH": "0"}
            _check(root.run(command, [(part, "/micropython")], "/", environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), command)
    return once.made(path, make)


def _check(done, argv):
    if done.returncode:
        last = (done.stderr or b"").decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise Problem("%s failed: %s" % (argv[0], last[0]))


def tool_root(sources=None, present_system=False):
    """The root in which images are built: one of locked packages, or the system we run on."""
    if present_system:
        return here.root(lock.read(BUILD_LOCK))
    return toolroot.ensure([BUILD_LOCK], "build.lock", sources)


def build(variant, sources=None, jobs=None, root=None, afresh=False):
    """Build a variant; returns the path of what was made, which is new only if an input is.

    jobs: how many compilers run at once; does not change a byte. root: from tool_root(); made if None.
    afresh: build even if what is there is of these inputs.
    """
    made, name, _ = VARIANTS[variant]
    folder = os.path.join(CHECKOUT, "build")
    root = root or tool_root(sources)
    digest = inputs_digest(root, variant)

    def make(part):
        mpy = micropython(root, sources)
        _discard_stale_objects(variant, root, os.path.join(folder, variant))
        generated = os.path.join(folder, variant, "generated")
        os.makedirs(generated, exist_ok=True)
        once.write(os.path.join(generated, "_build.py"), 'VERSION = "%s"\nDIGEST = "%s"\n' % (version(), digest))
        log = os.path.join(folder, variant + ".log")
        inside = "/src/build/" + variant
        argv = ["make", "-C", "/src/port", "-j%d" % (jobs or os.cpu_count() or 1), "VARIANT=" + variant,
                "TOP=/micropython", "XEN_HEADERS=/usr/include", "BUILD=" + inside, "GENERATED=" + inside + "/generated"]
        with open(log, "wb") as out, Step("Building %s" % name):
            done = root.run(argv, [(CHECKOUT, "/src"), (folder, "/src/build"), (mpy, "/micropython")],
                            stdout=out, stderr=subprocess.STDOUT)
            if done.returncode:
                with open(log, errors="replace") as text:
                    say("".join(text.readlines()[-25:]).rstrip())
                raise Problem("building %s failed: the compiler's words are above and in %s" % (name, log))
        shutil.copy(os.path.join(folder, variant, made), part)
        if inputs_digest(root, variant) != digest:
            raise Problem("sources of %s have changed while it was built: build it again" % name)

    result = once.made(os.path.join(folder, name), make, "%s %s" % (digest, root.name), afresh)
    if not root.comparable:
        say("the SHA-256 of %s cannot be compared with anyone's: the packages differ from the lock" % name)
    return result


def _read(path):
    try:
        with open(path) as text:
            return text.read()
    except FileNotFoundError:
        return None


def _discard_stale_objects(variant, root, folder):
    """Remove object files that make would wrongly keep.

    make goes by file times and knows the headers, but not that a file has gone, that the compiler is
    another, or that a flag is. What ships is compiled from nothing each time.
    """
    flags = archive.sha256(os.path.join(CHECKOUT, "port", "Makefile"))
    key = "\n".join([root.name, flags] + inputs(variant)) + "\n"
    path = os.path.join(folder, "objects-of")
    if variant == "image" or _read(path) != key:
        once.remove(folder)
        os.makedirs(folder)
        once.write(path, key)
