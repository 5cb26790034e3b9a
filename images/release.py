"""What a release consists of, and how anyone finds out that it was built from these sources.

build/release/ is made from the image alone: no date, user or path enters a file of it, except that
the build record names the commit. images/SHA256SUMS holds the hashes of the last release; it is no
input of the image, so recording them changes nothing that they are of.
"""
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

from . import archive, compare, formula, kernel, lock, once
from .progress import Problem

NAME = "qubes-python-firewall"
RECORDED = os.path.join(kernel.HERE, "SHA256SUMS")
FOLDER = os.path.join(kernel.CHECKOUT, "build", "release")
RECORD = "build-record.txt"
_LOCKS = (kernel.BUILD_LOCK, kernel.LAB_LOCK)
_TELLING = ("gcc-14", "binutils", "libc6-dev", "libxen-dev", "make", "python3")  # packages named in the record


def make(root, sources=None, jobs=None):
    """Build the image and lay out build/release/; returns {name: SHA-256} of all files there but the sums."""
    image = kernel.build("image", sources, jobs, root)

    def lay_out(folder):
        os.makedirs(folder)
        for path in (image,) + _LOCKS:
            shutil.copyfile(path, os.path.join(folder, os.path.basename(path)))
        write_archive(os.path.join(folder, archive_name()), image)
        write_dom0_archive(os.path.join(folder, dom0_archive_name()), image)
        once.write(os.path.join(folder, RECORD), _record(root, archive.sha256(image)))
        once.write(os.path.join(folder, "SHA256SUMS"), _text(_sums(folder)))
        for name in os.listdir(folder):
            os.chmod(os.path.join(folder, name), 0o644)

    once.made(FOLDER, lay_out, afresh=True)
    return {name: value for name, value in _sums(FOLDER).items() if name != "SHA256SUMS"}


def archive_name():
    return "%s-%s.tar" % (NAME, kernel.version())


def write_archive(path, image):
    """A tar archive with the folder to be copied to dom0's /var/lib/qubes/vm-kernels/, as it is."""
    with open(image, "rb") as data:
        _write_tar(path, "%s-%s" % (NAME, kernel.version()), [("vmlinuz", 0o644, data.read())])


def dom0_archive_name():
    return "%s-dom0-%s.tar" % (NAME, kernel.version())


def write_dom0_archive(path, image):
    """A tar archive with the folder to be copied to dom0's /srv/salt/, with this image in it: see formula.py."""
    _write_tar(path, formula.FOLDER, formula.tree(image))


def _write_tar(path, folder, files):
    """Files (path, mode, octets) below one folder. Not compressed: what a compressor makes depends on its version."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        known = set()
        for name, mode, contents in files:
            above = name.split("/")[:-1]
            for each in ["/".join([folder] + above[:i]) for i in range(len(above) + 1)]:
                if each not in known:
                    known.add(each)
                    _add(tar, each, tarfile.DIRTYPE, 0o755, b"")
            _add(tar, folder + "/" + name, tarfile.REGTYPE, mode, contents)


def _add(tar, name, kind, mode, contents):
    entry = tarfile.TarInfo(name)  # time 0, owner 0, group 0
    entry.type, entry.mode, entry.size, entry.uname, entry.gname = kind, mode, len(contents), "root", "root"
    tar.addfile(entry, io.BytesIO(contents))


def record(root, sums):
    """Write images/SHA256SUMS: what others are to compare with. Maintainers only."""
    if not root.comparable:
        raise Problem("nothing recorded: the packages differ from build.lock, so nobody could get this hash")
    heading = "# version %s, inputs %s; written by `./build.py release --record`\n" % (
        kernel.version(), kernel.inputs_digest(root))
    once.write(RECORDED, heading + _text({name: sums[name] for name in ("vmlinuz", archive_name())}))


def recorded():
    """(digest of the inputs, {name: SHA-256}) as images/SHA256SUMS has them."""
    try:
        with open(RECORDED) as lines:
            text = lines.read()
    except FileNotFoundError:
        raise Problem("images/SHA256SUMS is not there: nothing was released from this checkout's history")
    digest = re.search(r"^# version \S+, inputs ([0-9a-f]{16});", text, re.MULTILINE)
    sums = {name: value for value, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)}
    if not digest or "vmlinuz" not in sums:
        raise Problem("%s is not understood: restore it with git" % RECORDED)
    return digest.group(1), sums


def check(root, other=None, sources=None, jobs=None):
    """Build from nothing and compare with the recorded hash: (is it the same, lines that say so).

    other: an image to be compared with octet for octet if the hashes differ; None: that of
    build/release/, if it is the recorded one.
    """
    digest, sums = recorded()
    kept = other or os.path.join(FOLDER, "vmlinuz")
    if other and not os.path.isfile(other):
        raise Problem("%s: no such file" % other)
    image = kernel.build("image", sources, jobs, root, afresh=True)
    ours, mine = archive.sha256(image), kernel.inputs_digest(root)
    if ours == sums["vmlinuz"]:
        lines = ["the same: SHA-256 %s, inputs %s" % (ours, mine)]
        if not other or archive.sha256(other) == ours:
            return True, lines
        lines.append("but %s is another file" % other)
    else:
        lines = ["NOT the same: SHA-256 %s built, %s recorded" % (ours, sums["vmlinuz"])] + _reasons(root, digest, mine)
    if os.path.isfile(kept) and (other or archive.sha256(kept) == sums["vmlinuz"]):
        lines += ["differs in " + line for line in _differences(root, image, kept)]
    elif not other:
        lines.append("to see where: ./build.py release --check PUBLISHED-VMLINUZ")
    return False, lines


def _reasons(root, digest, mine):
    if not root.comparable:
        return ["the packages differ from build.lock (named above), so the hashes cannot be compared"]
    if digest != mine:
        return ["the hash recorded is of other sources (inputs %s, here %s): check out the commit that recorded it, "
                "which `git log -1 images/SHA256SUMS` names" % (digest, mine)]
    return ["sources and packages are those of the recorded hash: please report this"]


def _differences(root, image, other):
    elf = os.path.join(kernel.CHECKOUT, "build", "image", "vmlinuz.elf")
    with tempfile.TemporaryDirectory(prefix="compare-", dir=os.path.join(kernel.CHECKOUT, "build")) as folder:
        ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
        shutil.copyfile(image, ours)
        shutil.copyfile(other, theirs)
        return compare.differences(compare.binutils(root, kernel.CHECKOUT), elf, ours, theirs)


def _sums(folder):
    return {name: archive.sha256(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}


def _text(sums):
    """As sha256sum writes and reads them."""
    return "".join("%s  %s\n" % (sums[name], name) for name in sorted(sums))


def _record(root, sha256):
    """The build record: what was built from which commit, with what."""
    locked = lock.read(kernel.BUILD_LOCK)
    packages = {item.name: item.version for item in root.packages}
    lines = ["%s %s" % (NAME, kernel.version()),
             "vmlinuz   SHA-256 " + sha256,
             "inputs    %s, which the image prints on its first line" % kernel.inputs_digest(root),
             "commit    " + _commit(),
             "packages  %d of Debian %s, archive of %s: %s" % (
                 len(packages), locked.suite, locked.date,
                 "those of build.lock" if root.comparable else "NOT those of build.lock, so the hash cannot be compared")]
    lines += ["          " + line for line in lock.differences(locked.packages, root.packages)]
    lines += ["with      %s %s" % (name, packages[name]) for name in _TELLING if name in packages]
    lines += ["source    %s %s SHA-256 %s" % (item.name, item.version, item.sha256) for item in locked.sources]
    lines += ["again     ./build.py release --check"]
    return "\n".join(lines) + "\n"


def _commit():
    """Words that name the newest commit that changed an input, if the checkout has its inputs unchanged.

    Not HEAD: later commits may have the very same inputs, the one that records the hash first of all.
    """
    tops = list(kernel.SOURCES) + ["images/VERSION", "images/build.lock"]
    try:
        head = _git("ls-tree", "-r", "--name-only", "HEAD", "--", *tops).splitlines()
        changed = {path for path in _git("diff", "--name-only", "HEAD", "--", *tops).splitlines()}
        commit = _git("log", "-1", "--format=%H", "--", *tops).strip()
    except (OSError, subprocess.CalledProcessError):
        return "not known: this is no git checkout"
    inputs = set(kernel.inputs()) | {"images/build.lock"}
    tracked = {path for path in head if kernel.enters(path) or path in inputs}
    changed = sorted((changed & (inputs | tracked)) | (tracked ^ inputs))
    if changed:
        return "none: changed since %s: %s" % (commit[:12], ", ".join(changed[:5]) + (" ..." if changed[5:] else ""))
    return commit


def _git(*words):
    return subprocess.run(("git", "-C", kernel.CHECKOUT) + words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          universal_newlines=True, check=True).stdout
