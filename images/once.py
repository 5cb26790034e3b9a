"""Made once, used by many: files and folders that threads and processes share, complete or absent.

    path = once.made(path, make, key="what it is made of")

make(part) makes a file or a folder under another name. Beside what was made a record is written last: its key,
and what a file's octets, or a folder's entries, were then. Whoever finds no record, another key or something else
than the record says makes it anew: what was interrupted, cut short or edited is never taken for whole. One makes
at a time, the others wait and find it; a maker that fails leaves nothing, and the next one tries again.

A folder is known by its entries' names, kinds, modes, sizes and dates, not by their octets: a tool root has 1.5 GB.
"""
import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import contextmanager

_known = {}  # path of a file: (inode, size, date in ns) that it had when its digest was found right


def made(path, make, key="", afresh=False):
    """The path of a file or folder: what is there, if it is whole and of this key, or what make(part) now makes.

    key: a line of text; another one makes it anew. afresh: make it in any case.
    """
    if not afresh and _whole(path, key):
        return path
    with exclusive(_beside(path, "lock")):
        if afresh or not _whole(path, key):
            _make(path, make, key)
    return path


def write(path, content, mode=0o644):
    """A file with this content, text or bytes, in place of what is there; nobody sees half of it."""
    folder, name = os.path.split(os.path.abspath(path))
    number, part = tempfile.mkstemp(".part", name + ".", folder)  # not by process number: containers share caches
    try:
        with open(number, "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
            os.fchmod(out.fileno(), mode)
            out.flush()
            os.fsync(out.fileno())
        os.rename(part, path)
    except BaseException:
        remove(part)
        raise


@contextmanager
def exclusive(path):
    """Hold a lock file: nobody else does, neither a process nor, as each call opens it anew, a thread."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def remove(path):
    """Remove a file or a tree, folders without write permission included, or nothing."""
    if os.path.isdir(path) and not os.path.islink(path):
        subprocess.run(["chmod", "-R", "u+rwX", path], stderr=subprocess.DEVNULL)
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def sha256(path):
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        for block in iter(lambda: data.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _beside(path, kind):
    """A hidden name beside a path, for its "lock", its "part" or its "record"."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(folder, ".%s.%s" % (name, kind))


def _make(path, make, key):
    part, record = _beside(path, "part"), _beside(path, "record")
    remove(part)  # of a maker that was killed
    remove(record)
    try:
        make(part)
        _to_disk(part)
        found = _content(part)
        remove(path)
        os.rename(part, path)
        if part in _known:
            _known[path] = _known.pop(part)
        write(record, _record(key, found))
    finally:
        remove(part)
        _known.pop(part, None)


def _to_disk(part):
    """The record must not reach the disk before the content."""
    if os.path.isdir(part):
        os.sync()
    else:
        with open(part, "rb") as data:
            os.fsync(data.fileno())


def _record(key, content):
    return "key %s\n%s\n" % (key, content)


def _whole(path, key):
    try:
        with open(_beside(path, "record")) as text:
            record = text.read()
        if record == _record(key, "file %s" % _known_digest(path)):
            return True
        content = _content(path)
    except (OSError, UnicodeDecodeError):
        return False
    return record == _record(key, content)


def _known_digest(path):
    """The digest found before for a file that has not changed since; None if there is none."""
    digest, seen = _known.get(path, (None, None))
    return digest if digest and seen == _seen(os.stat(path)) else None


def _seen(status):
    return status.st_ino, status.st_size, status.st_mtime_ns


def _content(path):
    """A line that says what a file or a folder holds."""
    if os.path.isdir(path):
        return "folder %s" % _entries(path)
    before = _seen(os.stat(path))
    digest = "%d %s" % (before[1], sha256(path))
    _known[path] = digest, before
    return "file " + digest


def _entries(top):
    """Digest over all that is below a folder: names, kinds, modes, sizes, dates of files, targets of links."""
    digest = hashlib.sha256()
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(top, folder)) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            name, status = os.path.join(folder, entry.name), entry.stat(follow_symlinks=False)
            words = [name, oct(status.st_mode)]
            if entry.is_symlink():
                words.append(os.readlink(entry.path))
            elif entry.is_dir():
                folders.append(name)
            elif stat.S_ISREG(status.st_mode):
                words += [str(status.st_size), str(status.st_mtime_ns)]
            digest.update(("\0".join(words) + "\n").encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
