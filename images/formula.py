"""What dom0 gets beside the kernel: the Salt formula with its files, and dom0's programs, as one folder.

The folder is /srv/salt/python-firewall/ in dom0. In it are the kernel, and its hash, so that Salt puts no other one
in its place.
"""

import os

from . import archive, kernel

FOLDER = "python-firewall"
SALT = os.path.join(kernel.HERE, "salt", FOLDER)
DOM0 = os.path.join(kernel.HERE, "dom0")
_UNKNOWN = "0" * 64  # what stands in defaults.yaml for the hash


def _files(top):
    """(path below top, path) of all files of a folder, in order."""
    for path, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            whole = os.path.join(path, name)
            yield os.path.relpath(whole, top).replace(os.sep, "/"), whole


def files():
    """Paths, relative to the checkout, of all of its files of which the folder is made."""
    return ["images/salt/%s/%s" % (FOLDER, path) for path, _ in _files(SALT)] + [
        "images/dom0/" + path for path, _ in _files(DOM0)
    ]


def tree(image):
    """[(path, mode, octets)] of the folder's files, with this image as the kernel; in order, modes as in the
    checkout."""
    made = []
    for path, whole in _files(SALT):
        made.append((path, 0o644, _read(whole)))
    for path, whole in _files(DOM0):
        made.append(("files/dom0/" + path, 0o755 if os.access(whole, os.X_OK) else 0o644, _read(whole)))
    made.append(("files/vmlinuz", 0o644, _read(image)))
    hashed = archive.sha256(image).encode()
    return sorted(
        (path, mode, octets.replace(_UNKNOWN.encode(), hashed) if path == "defaults.yaml" else octets)
        for path, mode, octets in made
    )


def write(folder, image):
    """The folder in the file system."""
    for path, mode, octets in tree(image):
        whole = os.path.join(folder, FOLDER, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(octets)
        os.chmod(whole, mode)


def _read(path):
    with open(path, "rb") as file:
        return file.read()
