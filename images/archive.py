"""The Debian archive, through the host's apt with a configuration of our own.

Nothing of the host's packages is looked at or changed: apt gets its own state folder and an empty
list of installed packages. The archive's address is the one the host's apt already uses, or the one
in the file given by --apt-sources. A locked file is trusted by its SHA-256, a newer one by the
archive's signature.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from email.utils import parsedate_to_datetime

from . import lock
from .progress import Problem, Step

SUITE = "trixie"
_HELPER = "/usr/lib/apt/apt-helper"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# suites by which an entry of the host's sources is known to be a whole Debian archive
_DEBIAN = "bookworm trixie forky duke stable oldstable testing unstable sid".split()
_BATCH = 12  # files in one call of apt-helper: few enough to show progress, enough to share a connection


def sha256(path):
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        for block in iter(lambda: data.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class Archive:
    """One archive, with the files taken from it kept in cache/files under their SHA-256."""

    def __init__(self, cache, sources=None):
        """cache: our folder; sources: a file in apt's format (one-line or deb822), or None."""
        self.cache, self.sources = cache, sources
        self.files = os.path.join(cache, "files")
        self._base = None

    def file(self, item):
        """Where fetch() puts an item."""
        return os.path.join(self.files, item.sha256)

    def fetch(self, items):
        """Make sure of all items' files; the list of those that the archive does not give.

        A file appears under its name only after its SHA-256 was found right, so whatever
        interrupts this leaves nothing that a later run would take for good.
        """
        os.makedirs(self.files, exist_ok=True)
        todo = [item for item in items if not os.path.exists(self.file(item))]
        if not todo:
            return []
        room = shutil.disk_usage(self.files).free
        need = sum(item.size for item in todo)
        if need > room:
            raise Problem("%s: %d MB of room needed, %d MB there: free some or set XDG_CACHE_HOME"
                          % (self.files, need >> 20, room >> 20))
        missing = []
        with Step("Downloading Debian packages", need >> 10, "KiB") as step:
            for at in range(0, len(todo), _BATCH):
                batch = todo[at:at + _BATCH]
                missing += self._fetch_batch(batch)
                step.done(sum(item.size for item in batch) >> 10)
        return missing

    def _fetch_batch(self, batch):
        base = self.base()
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=self.files) as folder:
            words, missing = [], []
            for item in batch:
                words += ["%s/%s" % (base, item.path.replace("+", "%2b").replace("~", "%7e")),
                          os.path.join(folder, item.sha256), "SHA256:" + item.sha256]
            self._apt([_HELPER, "download-file"] + words, check=False)
            for item in batch:
                part = os.path.join(folder, item.sha256)
                if os.path.exists(part) and sha256(part) == item.sha256:
                    os.chmod(part, 0o644)
                    os.rename(part, self.file(item))
                else:
                    missing.append(item)
            return missing

    def resolve(self, want):
        """What apt would install for these names on an empty Debian today: (date, list of Item).

        Recommended packages stay out. Needs the network; Problem says when it is not there.
        """
        self.update()
        listing = self._apt(["apt-get", "install", "--simulate", "--no-install-recommends"] + sorted(want))
        names = re.findall(r"^Inst (\S+) \((\S+) ", listing, re.MULTILINE)
        records = self._apt(["apt-cache", "show", "--no-all-versions"] + ["%s=%s" % pair for pair in names])
        items = []
        for record in records.split("\n\n"):
            fields = dict(re.findall(r"^([\w-]+): (.*)$", record, re.MULTILINE))
            if fields:
                items.append(lock.Item(fields["Package"], fields["Version"], int(fields["Size"]),
                                       fields["SHA256"], fields["Filename"]))
        if {item.name for item in items} != {name.split(":")[0] for name, _ in names}:
            raise Problem("apt resolved packages that its index does not describe: delete %s and try again"
                          % self._state())
        return self._date(), sorted(items)

    def source(self, name, version):
        """Item of the upstream archive of a source package. Needs update() before."""
        uris = self._apt(["apt-get", "source", "--print-uris", "--tar-only", "%s=%s" % (name, version)])
        found = re.search(r"^'(\S+)' \S+ (\d+) SHA256:(\w+)$", uris, re.MULTILINE)
        if not found:
            raise Problem("the archive has no source %s %s" % (name, version))
        path = found.group(1).replace("%2b", "+").replace("%7e", "~")
        return lock.Item(name, version, int(found.group(2)), found.group(3), path[path.index("/pool/") + 1:])

    def update(self):
        """Read the archive's indexes anew, signatures checked by apt."""
        with Step("Reading the Debian archive's index"):
            self._apt(["apt-get", "update"])

    def base(self):
        """The archive's address, without a slash at its end."""
        if self._base is None:
            command = ["apt-get", "update", "--print-uris"]
            text = self._apt(command) if self.sources else subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True).stdout
            places = re.findall(r"^'(\S+?)/*/dists/([^/']+)/", text, re.MULTILINE)
            bases = [base for base, suite in places if self.sources or suite in _DEBIAN]
            if not bases:
                raise Problem("apt knows no Debian archive here: name one with --apt-sources FILE")
            self._base = bases[0]
        return self._base

    def _state(self):
        # one state for each archive: what another archive said must not be mixed in
        name = hashlib.sha256((open(self.sources).read() if self.sources else self.base()).encode()).hexdigest()[:12]
        return os.path.join(self.cache, "apt", name)

    def _configuration(self):
        state = self._state()
        for name in ("lists/partial", "archives/partial", "parts", "none"):
            os.makedirs(os.path.join(state, name), exist_ok=True)
        open(os.path.join(state, "status"), "a").close()
        if self.sources:
            text = open(self.sources).read()
            name = "ours.sources" if re.search(r"^Types:", text, re.MULTILINE) else "ours.list"
        else:
            signed = "[signed-by=%s] " % _KEYRING if os.path.exists(_KEYRING) else ""
            text = "".join("%s %s%s %s main\n" % (kind, signed, self.base(), SUITE) for kind in ("deb", "deb-src"))
            name = "ours.list"
        with open(os.path.join(state, "parts", name), "w") as out:
            out.write(text)
        settings = {
            "Dir::State": state, "Dir::State::Lists": state + "/lists", "Dir::State::status": state + "/status",
            "Dir::Cache": state, "Dir::Cache::Archives": state + "/archives",
            "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": state + "/parts",
            "Dir::Etc::PreferencesParts": state + "/none", "Dir::Etc::Preferences": "/dev/null",
            "APT::Architecture": "amd64", "APT::Architectures": "amd64", "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false", "Acquire::Languages": "none", "Acquire::Retries": "3",
            "Acquire::http::Timeout": "60", "Debug::NoLocking": "true",
        }
        path = os.path.join(state, "apt.conf")
        with open(path + ".new", "w") as out:
            out.write("#clear APT::Architectures;\n")
            out.writelines('%s "%s";\n' % pair for pair in settings.items())
        os.rename(path + ".new", path)
        return path

    def _date(self):
        """Date of the archive's state, as its signed Release file gives it."""
        lists = os.path.join(self._state(), "lists")
        for name in sorted(os.listdir(lists)):
            if name.endswith("Release"):
                with open(os.path.join(lists, name)) as release:
                    found = re.search(r"^Date: (.*)$", release.read(), re.MULTILINE)
                if found:
                    return parsedate_to_datetime(found.group(1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return "unknown"

    def _apt(self, command, check=True):
        environment = dict(os.environ, APT_CONFIG=self._configuration(), LC_ALL="C.UTF-8")
        try:
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, universal_newlines=True)
        except FileNotFoundError:
            raise Problem("%s is not here: the tool root needs apt on a Debian host" % command[0])
        if check and done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["failed"]
            raise Problem("%s: %s" % (command[0], " ".join(reasons)))
        return done.stdout

