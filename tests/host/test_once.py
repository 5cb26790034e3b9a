"""Made once, used by many: whatever number of threads and processes come to an empty folder, each gets a whole one."""
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from images import once

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(once.__file__)))
WHOLE = b"whole" * 20000
# Uses a thing from many threads at once. The maker writes it slowly, in pieces; "half": one in three fails half-way.
_PROGRAM = """
import os, sys, threading, time
sys.path.insert(0, %r)
from images import once
path, kind, threads, log = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
def note(word):
    with open(log, "ab", buffering=0) as out:
        out.write(word.encode() + b"\\n")
def make(part):
    note("begin")
    n = open(log).read().split().count("begin")
    inside = part
    if "folder" in kind:
        os.mkdir(part)
        inside = part + "/one"
    with open(inside, "wb") as out:
        for at in range(4):
            out.write(b"whole" * 5000)
            out.flush()
            time.sleep(0.02)
            if at == 1 and "fails" in kind and n %% 3:
                note("failed")
                raise RuntimeError("half-way")
    if "folder" in kind:
        open(part + "/two", "w").close()
    note("end")
def use():
    try:
        found = once.made(path, make)
    except RuntimeError:
        note("refused")
        return
    inside = found + "/one" if "folder" in kind else found
    whole = open(inside, "rb").read() == b"whole" * 20000 and ("folder" not in kind or os.path.exists(found + "/two"))
    note("whole" if whole else "BROKEN")
together = [threading.Thread(target=use) for _ in range(threads)]
for one in together: one.start()
for one in together: one.join()
""" % CHECKOUT


@pytest.mark.parametrize("kind", ["file", "folder", "file, fails", "folder, fails"])
def test_many_threads_and_processes_on_an_empty_folder(tmp_path, kind):
    """8 processes of 8 threads. A maker's failure reaches its caller alone; the next tries again; one succeeds, once."""
    path, log = str(tmp_path / "cache" / "thing"), str(tmp_path / "log")
    words = [sys.executable, "-c", _PROGRAM, path, kind, "8", log]
    for process in [subprocess.Popen(words) for _ in range(8)]:
        assert process.wait() == 0
    with open(log) as lines:
        said = lines.read().split()
    failures = 2 if "fails" in kind else 0
    assert {word: said.count(word) for word in set(said)} == {
        key: count for key, count in {"begin": 1 + failures, "failed": failures, "refused": failures, "end": 1,
                                      "whole": 64 - failures}.items() if count}
    assert sorted(os.listdir(os.path.dirname(path))) == [".thing.lock", ".thing.record", "thing"]


def make_file(part):
    with open(part, "wb") as out:
        out.write(WHOLE)


def make_folder(part):
    os.makedirs(os.path.join(part, "sub"))
    make_file(os.path.join(part, "sub", "file"))
    os.symlink("file", os.path.join(part, "sub", "link"))


def edit(path, content):
    with open(path, "wb") as out:
        out.write(content)


_SPOILED = {
    "cut short": lambda path: os.truncate(path, 100),
    "longer": lambda path: edit(path, WHOLE + b"x"),
    "another octet": lambda path: edit(path, b"v" + WHOLE[1:]),
    "empty": lambda path: edit(path, b""),
    "not there": os.unlink,
    "of an earlier build, without a record": lambda path: os.unlink(once._beside(path, "record")),
    "record cut short": lambda path: os.truncate(once._beside(path, "record"), 20),
    "record of nonsense": lambda path: edit(once._beside(path, "record"), b"\xff\xfe"),
}


@pytest.mark.parametrize("how", _SPOILED)
def test_a_broken_file_is_made_anew(tmp_path, how):
    path = once.made(str(tmp_path / "file"), make_file)
    again = []
    assert once.made(path, again.append) == path and not again
    _SPOILED[how](path)
    once.made(path, lambda part: (again.append(part), make_file(part)))
    assert len(again) == 1
    with open(path, "rb") as data:
        assert data.read() == WHOLE
    once.made(path, again.append)
    assert len(again) == 1


@pytest.mark.parametrize("how", [
    lambda top: os.truncate(top + "/sub/file", 100),
    lambda top: os.unlink(top + "/sub/file"),
    lambda top: edit(top + "/more", b""),
    lambda top: os.chmod(top + "/sub/file", 0o600),
    lambda top: (os.unlink(top + "/sub/link"), os.symlink("elsewhere", top + "/sub/link")),
    lambda top: os.utime(top + "/sub/file", ns=(5, 5)),  # of the same size, written later
    lambda top: os.unlink(once._beside(top, "record")),
], ids=["file cut short", "file gone", "file more", "mode", "link", "date", "record gone"])
def test_a_broken_folder_is_made_anew(tmp_path, how):
    top = once.made(str(tmp_path / "folder"), make_folder)
    once.made(top, None)
    how(top)
    once.made(top, make_folder)
    with open(top + "/sub/link", "rb") as data:
        assert data.read() == WHOLE
    assert os.listdir(top) == ["sub"]


def test_another_key_makes_it_anew(tmp_path):
    made = []
    for key in ("one", "one", "two", "two", "one"):
        once.made(str(tmp_path / "file"), lambda part: (made.append(key), make_file(part)), key)
    assert made == ["one", "two", "one"]
    once.made(str(tmp_path / "file"), lambda part: (made.append("afresh"), make_file(part)), "one", afresh=True)
    assert made[3:] == ["afresh"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError("no"), SystemExit], ids=["interrupt", "error", "exit"])
@pytest.mark.parametrize("begin", [make_file, make_folder])
def test_what_is_interrupted_leaves_nothing(tmp_path, begin, end):
    path = str(tmp_path / "thing")

    def make(part):
        begin(part)
        raise end
    with pytest.raises(BaseException):
        once.made(path, make)
    assert os.listdir(str(tmp_path)) == [".thing.lock"]
    once.made(path, begin)


def test_killed_in_the_middle(tmp_path):
    """SIGKILL leaves the unfinished folder under its other name; nobody waits for the dead one, and the next removes it."""
    path = str(tmp_path / "root")
    program = ("import sys, os; sys.path.insert(0, %r)\nfrom images import once\n"
               "def make(part):\n os.mkdir(part)\n open(part + '/half', 'w').close()\n os.kill(os.getpid(), 9)\n"
               "once.made(%r, make)\n" % (CHECKOUT, path))
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert not os.path.exists(path) and os.path.exists(str(tmp_path / ".root.part"))
    once.made(path, make_folder)
    assert os.listdir(path) == ["sub"] and not os.path.exists(str(tmp_path / ".root.part"))


def test_written_at_once(tmp_path):
    """Who reads while others write finds one whole content or another."""
    path, over = str(tmp_path / "text"), threading.Event()
    contents = [letter * 100000 for letter in "abcdefgh"]
    once.write(path, contents[0])

    def again(content):
        while not over.is_set():
            once.write(path, content)
    writers = [threading.Thread(target=again, args=(content,)) for content in contents]
    for one in writers:
        one.start()
    try:
        for _ in range(300):
            with open(path) as text:
                assert text.read() in contents
            time.sleep(0.001)
    finally:
        over.set()
        for one in writers:
            one.join()
    assert os.listdir(str(tmp_path)) == ["text"]


def test_written_at_once_by_processes_of_one_number(tmp_path):
    """Two containers that share a cache both have a process 7: each wrote into the other's part."""
    path = str(tmp_path / "text")
    program = ("import sys, os; sys.path.insert(0, %r)\nfrom images import once\nos.getpid = lambda: 7\n"
               "for _ in range(150):\n once.write(%r, sys.argv[1] * 50000)\n"
               " assert open(%r).read() in [letter * 50000 for letter in 'ab']\n" % (CHECKOUT, path, path))
    writers = [subprocess.Popen([sys.executable, "-c", program, letter]) for letter in "ab"]
    assert [one.wait() for one in writers] == [0, 0]
    assert os.listdir(str(tmp_path)) == ["text"]
