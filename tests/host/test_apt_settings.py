"""What the host's apt is told counts for the host alone: the build takes nothing of it but the way to the network."""
import os
import subprocess

import pytest

from images import archive, progress

HOSTILE = """
Acquire::AllowInsecureRepositories "true";
Acquire::AllowWeakRepositories "true";
Acquire::AllowDowngradeToInsecureRepositories "true";
APT::Get::AllowUnauthenticated "true";
APT::Get::Download-Only "true";
APT::Architecture "arm64";
Acquire::Check-Valid-Until "false";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::http::Proxy::mirror.example "DIRECT";
Acquire::https::CaInfo "/etc/ssl/example.pem";
Acquire::http::Proxy-Auto-Detect "%(program)s";
Acquire::http::Timeout "1";
APT::Update::Pre-Invoke { "%(program)s"; };
APT::Update::Post-Invoke-Success { "%(program)s"; };
Dir::State::Lists "/elsewhere";
Dir::Etc::SourceParts "/elsewhere";
"""


@pytest.fixture
def hostile(tmp_path):
    """/etc/apt/apt.conf.d has such settings; gives the file that appears when one of them runs its program."""
    parts, ran = tmp_path / "apt.conf.d", tmp_path / "ran"
    parts.mkdir()
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n: > %s\necho DIRECT\n" % ran)
    program.chmod(0o755)
    (parts / "99hostile").write_text(HOSTILE % {"program": program})
    # the tool root's processes have mounts of their own
    subprocess.run(["mount", "--bind", str(parts), "/etc/apt/apt.conf.d"], check=True)
    yield ran
    subprocess.run(["umount", "/etc/apt/apt.conf.d"], check=True)


@pytest.fixture
def mirror(tmp_path):
    """An archive of one unsigned index, on this machine."""
    folder = tmp_path / "mirror" / "dists" / "trixie" / "main" / "binary-amd64"
    folder.mkdir(parents=True)
    (folder / "Packages").write_text("")
    (tmp_path / "mirror" / "dists" / "trixie" / "Release").write_text("Suite: trixie\nComponents: main\nArchitectures: amd64\n")
    sources = tmp_path / "sources"
    sources.write_text("deb file:%s trixie main\n" % (tmp_path / "mirror"))
    return archive.Archive(str(tmp_path / "cache"), str(sources))


def said(mirror, key):
    """What apt makes of a key under our settings."""
    return mirror._apt(["apt-config", "shell", "value", key]).strip()


def test_the_hosts_settings_are_as_hostile_as_meant(hostile):
    """Otherwise the other tests show nothing."""
    done = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE, text=True, check=True)
    assert 'Acquire::AllowInsecureRepositories "true";' in done.stdout and 'APT::Architecture "arm64";' in done.stdout


@pytest.mark.parametrize("key, value", [
    ("Acquire::AllowInsecureRepositories", "false"), ("Acquire::AllowWeakRepositories", "false"),
    ("Acquire::AllowDowngradeToInsecureRepositories", "false"), ("APT::Get::AllowUnauthenticated", "false"),
    ("APT::Get::Download-Only", None), ("APT::Architecture", "amd64"), ("Acquire::Check-Valid-Until", None),
    ("Acquire::http::Proxy", "http://proxy.example:3128"), ("Acquire::http::Proxy::mirror.example", "DIRECT"),
    ("Acquire::https::CaInfo", "/etc/ssl/example.pem"), ("Acquire::http::Proxy-Auto-Detect", None),
    ("Acquire::http::Timeout", "60"), ("APT::Update::Pre-Invoke", None),
    ("APT::Update::Post-Invoke-Success", None)])
def test_only_proxies_are_taken(hostile, mirror, key, value):
    """The host's apt.conf.d was read after our settings, and over them: AllowInsecureRepositories would have counted."""
    assert said(mirror, key) == ("" if value is None else "value='%s'" % value)


def test_an_unsigned_archive_is_refused(hostile, mirror):
    with pytest.raises(progress.Problem, match="not signed"):
        mirror.update()
    assert not os.path.exists(hostile)


def test_settings_that_something_overrides_are_told(mirror, tmp_path, monkeypatch):
    """Whatever it is, and should apt change the order in which it reads."""
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1").write_text('Acquire::AllowInsecureRepositories "true";\nAPT::Update::Pre-Invoke { "/bin/false"; };\n')
    settings = archive._settings
    monkeypatch.setattr(archive, "_settings", lambda state: dict(settings(state), **{"Dir::Etc::Parts": str(parts)}))
    with pytest.raises(progress.Problem, match="AllowInsecureRepositories is 1; .*Invoke"):
        mirror.update()
