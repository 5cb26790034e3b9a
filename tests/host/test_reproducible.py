"""The image is the same to the octet, whoever builds it, where, when and how.

What needs more than this root (a container, another Debian, disorderfs) is in tests/reproduce.py.
"""
import hashlib
import os
import re
import shutil
import socket
import subprocess

import pytest

from images import here, kernel, lock
from tests.host import rebuilding

# what each slow run changes, alone: to learn which of them it is when the test of all at once has failed
ALONE = {
    "path": {"name": "a-very-much-longer-path-than-usual/and-deeper"},
    "time": {"time": 0},
    "file order": {"order": 2},
    "time zone": {"env": {"TZ": "Asia/Kolkata"}},
    "locale": {"env": {"LC_ALL": "tr_TR.UTF-8", "LANG": "ja_JP.eucJP"}},
    "umask": {"umask": 0o077},
    "jobs": {"words": ["--jobs", "7"]},
}


def test_elsewhere_the_same_image(image, elsewhere, figure):
    """Another path, file dates, time zone, locale, umask, number of jobs and file order, all at once."""
    figure("image, SHA-256", hashlib.sha256(image).hexdigest())
    assert rebuilding.built(elsewhere) == image


def test_an_ordinary_user_without_namespaces_gets_the_same_image(image, checked):
    assert "cannot be compared" not in checked.said
    assert rebuilding.built(checked.checkout) == image


def test_another_compiler_is_named(tmp_path, monkeypatch, capsys):
    """A version that is not the lock's, and a package that is not there."""
    changed = {"gcc-14-x86-64-linux-gnu": "14.2.0-18"}
    for name, value in rebuilding.present_system(str(tmp_path / "system"), changed).items():
        monkeypatch.setenv(name, value)
    locked = lock.read(kernel.BUILD_LOCK)
    capsys.readouterr()
    root = here.root(locked._replace(packages=locked.packages + [lock.Item("gcc-99", "99.1", 1, "0" * 64, "-")]))
    said = capsys.readouterr().err
    assert "gcc-14-x86-64-linux-gnu: 14.2.0-18 instead of 14.2.0-19" in said
    assert "gcc-99 99.1: absent" in said
    assert len(said.splitlines()) == 3
    assert not root.comparable


@pytest.mark.long
def test_with_another_compiler_the_image_is_built_all_the_same(image, snapshot):
    with rebuilding.copied(snapshot, name="no-spaces") as checkout:
        variables = rebuilding.present_system(os.path.dirname(checkout) + "/system", {"binutils": "2.45-1"})
        said = rebuilding.run(checkout, ["image", "--here"], variables)
        assert "binutils: 2.45-1 instead of" in said and "cannot be compared" in said
        assert rebuilding.built(checkout) != image  # the digest of the inputs is another


@pytest.mark.long
@pytest.mark.parametrize("what", ALONE)
def test_alone_it_changes_nothing(image, snapshot, what):
    case = dict(ALONE[what])
    words, env, umask = case.pop("words", []), case.pop("env", None), case.pop("umask", 0o022)
    with rebuilding.copied(snapshot, **case) as checkout:
        rebuilding.run(checkout, words + ["image"], env, umask)
        assert rebuilding.built(checkout) == image


@pytest.mark.long
def test_containers_and_other_hosts():
    """The tool root has no container engine: this runs where pytest is run on a machine that has one."""
    if not all(shutil.which(name) for name in ("buildah", "debootstrap", "disorderfs")):
        pytest.skip("run tests/reproduce.py on the machine itself, after apt-get install buildah debootstrap disorderfs")
    subprocess.run([os.path.join(kernel.CHECKOUT, "tests", "reproduce.py")], check=True)


def test_nothing_of_the_machine_is_in_the_image(image, elsewhere, checked):
    """No path, host name, user or date, in what was built in any place."""
    folders = ["/src", "/tmp", "/micropython", "/cache", "/usr/", "/root", "/home/", "/build/", "another place", "no-spaces"]
    names = [socket.gethostname(), "somebody", "toolroot", "builder"]
    texts = folders + [name for name in names if len(name) > 3]
    for built in (image, rebuilding.built(elsewhere), rebuilding.built(checked.checkout)):
        assert [text for text in texts if text.encode() in built] == []
        assert re.findall(rb"20[2-9]\d-[01]\d|\d\d:\d\d:\d\d|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d+ +\d{4}",
                          built) == []
