"""The Debian archive, through the host's apt with a configuration of our own.

Nothing of the host's packages is looked at or changed: apt gets its own state folder, an empty list of
installed packages and settings of our own, beside which only the host's way to the network (proxies)
counts. The archive's address is the one the host's apt already uses, or the one in the file given by
--apt-sources. A locked file is trusted by its SHA-256, a newer one by the archive's signature.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from email.utils import parsedate_to_datetime

from . import lock, once
from .once import sha256
from .progress import Problem, Step

SUITE = "trixie"
_HELPER = "/usr/lib/apt/apt-helper"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# suites by which an entry of the host's sources is known to be a whole Debian archive
_DEBIAN = "bookworm trixie forky duke stable oldstable testing unstable sid".split()
# what is taken from the host's settings: the way to the network; what is trusted is ours to say
_WAY_OUT = re.compile(r"Acquire::(https?::Proxy(::[\w.-]+)?|https(::[\w.-]+)?::CaInfo|ForceIPv[46])$")
_TRUTH = {"false": "0", "true": "1"}  # as apt may spell them
_BATCH = 12  # files in one call of apt-helper: few enough to show progress, enough to share a connection


class Archive:
    """One archive, with the files taken from it kept in cache/files under their SHA-256."""

    def __init__(self, cache, sources=None):
        """cache: our folder; sources: a file in apt's format (one-line or deb822), or None."""
        self.cache, self.sources = cache, sources
        self.files = os.path.join(cache, "files")
        self._base = None
        self._looked = False  # at what apt makes of our settings

    def file(self, item):
        """Where fetch() puts an item."""
        return os.path.join(self.files, item.sha256)

    def fetch(self, items):
        """Make sure of all items' files; the list of those that the archive does not give.

        A file appears under its name only after its SHA-256 was found right, and is looked at again here: what
        was interrupted, cut short or changed since is fetched anew.
        """
        os.makedirs(self.files, exist_ok=True)
        with once.exclusive(os.path.join(self.cache, "locks", "files")):
            todo = [item for item in items if not self._has(item)]
            return self._fetch(todo) if todo else []

    def _fetch(self, todo):
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

    def _has(self, item):
        path = self.file(item)
        return os.path.exists(path) and os.path.getsize(path) == item.size and sha256(path) == item.sha256

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
        """Path of apt's configuration, written with all that it names if need be. The caller holds the state's lock."""
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
        once.write(os.path.join(state, "parts", name), text)
        path = os.path.join(state, "apt.conf")
        settings = list(_settings(state).items()) + _ways_out()
        once.write(path, "#clear APT::Architectures;\n" + "".join('%s "%s";\n' % pair for pair in settings))
        if not self._looked:
            _look(path, settings)
            self._looked = True
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
        with once.exclusive(self._state() + ".lock"):  # apt's own lock is of no use where two have one state folder
            done = _run(command, dict(os.environ, APT_CONFIG=self._configuration()))
        if check and done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["failed"]
            raise Problem("%s: %s" % (command[0], " ".join(reasons)))
        return done.stdout


def _settings(state):
    """All that apt is to know; what it reads beside them are its own defaults.

    apt reads the file in APT_CONFIG first, then the folder Dir::Etc::Parts, then Dir::Etc::Main, and what is read
    later counts: so these two are nowhere.
    """
    return {
        "Dir::Etc::Parts": "/dev/null", "Dir::Etc::Main": "/dev/null",
        "Dir::State": state, "Dir::State::Lists": state + "/lists", "Dir::State::status": state + "/status",
        "Dir::Cache": state, "Dir::Cache::Archives": state + "/archives",
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": state + "/parts",
        "Dir::Etc::PreferencesParts": state + "/none", "Dir::Etc::Preferences": "/dev/null",
        "APT::Architecture": "amd64", "APT::Architectures": "amd64", "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false", "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false", "Acquire::AllowWeakRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::Languages": "none", "Acquire::Retries": "3", "Acquire::http::Timeout": "60", "Debug::NoLocking": "true",
    }


def _ways_out():
    """[(key, value)]: what the host's own apt says of the way to the network. Nothing else of it counts here.

    Not Proxy-Auto-Detect, which names a program to run: set Acquire::http::Proxy instead.
    """
    return [(key, value) for key, value in _dump(dict(os.environ)) if _WAY_OUT.match(key) and '"' not in value]


def _look(path, settings):
    """Problem if apt, with the configuration at this path, has another value of a setting, or a program to run."""
    found = _dump(dict(os.environ, APT_CONFIG=path))
    values = {}
    for key, value in found:
        if value:  # case does not count; a list is told as an empty value and "KEY::" for each of its own
            values.setdefault((key[:-2] if key.endswith("::") else key).lower(), set()).add(_TRUTH.get(value, value))
    wrong = ["%s is %s" % (key, ", ".join(sorted(values.get(key.lower(), ["not set"]))))
             for key, value in settings if values.get(key.lower()) != {_TRUTH.get(value, value)}]
    wrong += ["%s is %r" % (key, value) for key, value in found if "Invoke" in key and value]
    if wrong:
        raise Problem("apt does not go by our settings alone: " + "; ".join(wrong))


def _dump(environment):
    """[(key, value)] of apt's configuration, as apt tells it."""
    said = _run(["apt-config", "dump"], environment).stdout
    return re.findall(r'^(\S+) "(.*)";$', said, re.MULTILINE)


def _run(command, environment):
    try:
        return subprocess.run(command, env=dict(environment, LC_ALL="C.UTF-8"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    except FileNotFoundError:
        raise Problem("%s is not here: the tool root needs apt on a Debian host" % command[0])
