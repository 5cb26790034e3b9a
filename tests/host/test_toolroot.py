"""The tool root's making: nothing half-made may be trusted later. No network, no packages."""
import hashlib
import os
import subprocess

import pytest

from images import archive, lock, progress, toolroot

GOOD = b"a package"
ITEM = lock.Item("good", "1", len(GOOD), hashlib.sha256(GOOD).hexdigest(), "pool/main/g/good_1+b1~x.deb")


class Mirror(archive.Archive):
    """An archive whose downloads are what the test says: {path: content}."""

    def __init__(self, cache, contents):
        super().__init__(str(cache))
        self.contents = contents
        self._base = "file:/nowhere"

    def _apt(self, command, check=True):
        words = command[2:]
        for uri, path in zip(words[0::3], words[1::3]):
            name = uri.replace("%2b", "+").replace("%7e", "~").partition("nowhere/")[2]
            if name in self.contents:
                with open(path, "wb") as out:
                    out.write(self.contents[name])
        return ""


def test_a_download_is_kept_under_its_hash(tmp_path):
    mirror = Mirror(tmp_path, {ITEM.path: GOOD})
    assert mirror.fetch([ITEM]) == []
    with open(mirror.file(ITEM), "rb") as data:
        assert data.read() == GOOD
    mirror.contents = {}
    assert mirror.fetch([ITEM]) == []  # not asked for again


@pytest.mark.parametrize("content", [GOOD[:-1], GOOD + b"x", b""], ids=["short", "long", "empty"])
def test_a_wrong_download_leaves_nothing(tmp_path, content):
    mirror = Mirror(tmp_path, {ITEM.path: content})
    assert mirror.fetch([ITEM]) == [ITEM]
    assert os.listdir(mirror.files) == []
    mirror.contents = {ITEM.path: GOOD}
    assert mirror.fetch([ITEM]) == []


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert Mirror(tmp_path, {}).fetch([ITEM]) == [ITEM]


def test_too_little_room_is_said_beforehand(tmp_path):
    huge = ITEM._replace(size=1 << 60)
    with pytest.raises(progress.Problem, match="free some or set XDG_CACHE_HOME"):
        Mirror(tmp_path, {}).fetch([huge])


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: b""],
                         ids=["cut short", "changed", "empty"])
def test_a_kept_file_that_is_broken_is_fetched_anew(tmp_path, change):
    """It was taken by its name alone, and unpacked: a cache that lost power stayed broken for good."""
    mirror = Mirror(tmp_path, {ITEM.path: GOOD})
    assert mirror.fetch([ITEM]) == []
    with open(mirror.file(ITEM), "wb") as out:
        out.write(change(GOOD))
    assert mirror.fetch([ITEM]) == []
    with open(mirror.file(ITEM), "rb") as data:
        assert data.read() == GOOD


def test_a_lock_reads_as_it_was_written(tmp_path):
    path = str(tmp_path / "a.lock")
    written = lock.Lock("trixie", "2026-01-02T03:04:05Z", ["b", "a"], [ITEM._replace(name="source")], [ITEM])
    lock.write(path, written, ["heading"])
    assert lock.read(path) == written._replace(want=["a", "b"])
    with open(path, "a") as out:
        out.write("package too short\n")
    with pytest.raises(ValueError, match=r"a\.lock:7: not understood: package too short"):
        lock.read(path)


def test_each_difference_is_named():
    old = [ITEM, ITEM._replace(name="gone")]
    new = [ITEM._replace(version="2", sha256="0"), ITEM._replace(name="added")]
    assert lock.differences(old, new) == ["added 1: not in the lock", "gone 1: absent", "good: 2 instead of 1"]
    assert lock.differences(old, list(reversed(old))) == []


def test_no_committed_lock_names_a_mirror():
    for path in ("images/build.lock", "images/lab.lock"):
        with open(os.path.join(os.path.dirname(toolroot.__file__), "..", path)) as text:
            assert "//" not in text.read()


def test_nothing_is_made_in_a_root_that_others_use(tmp_path):
    """A place for a bind was made in the shared root itself: it was another root then, and was made anew under them."""
    for place in ("dev", "proc", "sys", "tmp", "run", "src"):
        (tmp_path / place).mkdir()
    root = toolroot.Root(str(tmp_path), [], True)
    done = root.run(["true"], [(str(tmp_path), "/src"), (str(tmp_path), "/before")], stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
    assert not (tmp_path / "before").exists()
