"""Who made a release: its SHA256SUMS is signed by an OpenPGP key, whose fingerprint is published elsewhere.

gpg does all of it, with the keyring of the user who calls. No key is made, fetched or trusted here: the one who
releases names his own,
the one who verifies has imported it and says by a file which fingerprint he expects.
"""

import os
import re
import subprocess

from . import archive
from .progress import Problem

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.asc"
_FINGERPRINT = re.compile(r"[0-9A-F]{40}([0-9A-F]{24})?\Z")  # of version 4; of version 5 and 6


def fingerprint(text):
    """A whole fingerprint without spaces, in capitals. A short name of a key may be another's: Problem."""
    found = "".join(text.split()).upper()
    if not _FINGERPRINT.match(found):
        raise Problem(
            "%r: expected the whole fingerprint of an OpenPGP key, 40 or 64 hexadecimal digits" % text.strip()[:80]
        )
    return found


def published(path):
    """The fingerprint that a file holds: its one line that is not empty and does not begin with #."""
    with open(path, encoding="ascii", errors="replace") as file:
        lines = [line for line in file if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        raise Problem("%s: expected one line with a fingerprint, got %d" % (path, len(lines)))
    return fingerprint(lines[0])


def sign(folder, key):
    """Sign the folder's SHA256SUMS with the key of this fingerprint; the path of the signature."""
    made = os.path.join(folder, SIGNATURE)
    if os.path.exists(made):
        os.unlink(made)
    _gpg(
        "--armor", "--local-user", fingerprint(key) + "!", "--output", made, "--detach-sign", os.path.join(folder, SUMS)
    )
    os.chmod(made, 0o644)
    return made


def verify(folder, path):
    """Lines that say that a release is whole and signed by the key whose fingerprint the file at path holds. Else
    Problem."""
    wanted = published(path)
    said = _gpg("--status-fd", "1", "--verify", os.path.join(folder, SIGNATURE), os.path.join(folder, SUMS))
    valid = [line.split()[2:] for line in said.splitlines() if line.startswith("[GNUPG:] VALIDSIG ")]
    # a signature names the key that made it, and at its end the primary one
    if len(valid) != 1 or wanted not in (valid[0][0], valid[0][-1]):
        raise Problem("signed by %s, not by %s" % (" and ".join(words[-1] for words in valid) or "nobody", wanted))
    lines = ["signed by %s" % wanted]
    for name, digest in _sums(folder):
        try:
            found = archive.sha256(os.path.join(folder, name))
        except OSError as error:
            raise Problem("%s: %s" % (name, error.strerror))
        if found != digest:
            raise Problem("%s: another SHA-256 than the signed one" % name)
        lines.append("%s  %s: as signed" % (digest[:16], name))
    return lines


def _sums(folder):
    with open(os.path.join(folder, SUMS), encoding="ascii", errors="replace") as file:
        found = [re.fullmatch(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)\n", line) for line in file]
    if not found or not all(found):
        raise Problem("%s is not understood" % SUMS)
    return [(each.group(2), each.group(1)) for each in found]


def _gpg(*words):
    """What gpg says; Problem with its last words if it fails."""
    try:
        done = subprocess.run(
            ("gpg", "--batch", "--no-tty") + words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise Problem("gpg is not here: install gnupg")
    if done.returncode:
        raise Problem("gpg: %s" % (done.stderr.strip().splitlines() or ["it failed"])[-1])
    return done.stdout
