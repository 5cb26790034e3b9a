"""What build/release/ consists of, and what `release --check` says."""
import hashlib
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from images import compare, kernel, release


@pytest.fixture
def folder(elsewhere):
    """The release folder made elsewhere."""
    return os.path.join(elsewhere, "build", "release")


def test_the_folder_holds_what_is_to_be_signed(folder, image):
    archive = release.archive_name()
    assert sorted(os.listdir(folder)) == sorted(
        ["SHA256SUMS", "build-record.txt", "build.lock", "lab.lock", "vmlinuz", archive, release.dom0_archive_name()])
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and done.stdout.count(": OK") == 6
    assert open(folder + "/vmlinuz", "rb").read() == image
    assert {os.stat(os.path.join(folder, name)).st_mode & 0o777 for name in os.listdir(folder)} == {0o644}


def test_the_archive_has_fixed_dates_owners_and_order(folder, tmp_path):
    path = os.path.join(folder, release.archive_name())
    top = release.archive_name()[:-len(".tar")]
    with tarfile.open(path) as tar:
        found = [(entry.name, entry.mode, entry.mtime, entry.uid, entry.gid, entry.uname) for entry in tar]
    assert found == [(top, 0o755, 0, 0, 0, "root"), (top + "/vmlinuz", 0o644, 0, 0, 0, "root")]
    again = tmp_path / "again.tar"
    release.write_archive(str(again), folder + "/vmlinuz")
    assert again.read_bytes() == open(path, "rb").read()


def test_the_archive_for_dom0_has_the_programs_the_formula_and_the_kernel(folder, image, tmp_path):
    with tarfile.open(os.path.join(folder, release.dom0_archive_name())) as tar:
        entries = {entry.name: entry for entry in tar}
        text = tar.extractfile("python-firewall/defaults.yaml").read().decode()
        assert tar.extractfile("python-firewall/files/vmlinuz").read() == image
    assert hashlib.sha256(image).hexdigest() in text and "0" * 64 not in text
    assert entries["python-firewall/files/dom0/qubes-firewall-top"].mode == 0o755
    assert entries["python-firewall/files/dom0/qubesfirewall/streams.py"].mode == 0o644
    assert {"python-firewall", "python-firewall/init.sls", "python-firewall/files/dom0/qubesfirewall"} <= set(entries)
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, 0, "root")}
    assert not any("__pycache__" in name for name in entries)


def test_the_build_record_says_what_was_built_from_what(folder, image):
    text = open(folder + "/build-record.txt").read()
    assert "vmlinuz   SHA-256 " + hashlib.sha256(image).hexdigest() in text
    assert re.search(r"^inputs    ([0-9a-f]{16}),", text, re.MULTILINE).group(1).encode() in image
    assert "those of build.lock" in text and "NOT" not in text
    assert re.search(r"^with      gcc-14 14\.", text, re.MULTILINE)
    assert re.search(r"^source    micropython 1\.25\.0", text, re.MULTILINE)
    assert "commit    not known" in text  # the copy is no git checkout


def test_the_record_names_the_commit_with_these_inputs(tmp_path, monkeypatch):
    """In a small repository: a later commit that changes no input does not count, an edit does."""
    if not shutil.which("git"):
        pytest.skip("git is not here")
    for path in ("port/boot.S", "port/test/crime.c", "images/VERSION", "images/build.lock", "firewall/x.py", "README.md"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1\n")
    for name in ("netfront", "netback"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.setattr(kernel, "CHECKOUT", str(tmp_path))

    def git(*words):
        return subprocess.run(("git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e") + words,
                              check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "inputs")
    first = git("rev-parse", "HEAD")
    (tmp_path / "README.md").write_text("2\n")
    git("commit", "-qam", "prose")
    (tmp_path / "port/test/crime.c").write_text("2\n")  # not in the image
    assert release._commit() == first
    (tmp_path / "firewall/new.py").write_text("")
    (tmp_path / "port/boot.S").unlink()
    assert release._commit() == "none: changed since %s: firewall/new.py, port/boot.S" % first[:12]


def test_check_builds_again_and_finds_the_same(checked, image):
    assert "the same: SHA-256 " + hashlib.sha256(image).hexdigest() in checked.said


def test_check_names_section_symbol_and_instruction(elsewhere, tmp_path):
    """An image with one octet of code and one of data changed, compared by the program that --check uses."""
    ours, elf, theirs = (elsewhere + "/build/" + name for name in ("vmlinuz", "image/vmlinuz.elf", "theirs"))

    def run(argv):
        return subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout

    symbols = {words[2]: int(words[0], 16) for words in map(str.split, run(["nm", elf]).splitlines())}
    sections = compare._sections(run, ours)
    data = bytearray(open(ours, "rb").read())
    for symbol, section in (("mp_execute_bytecode", ".text"), ("mp_type_type", ".rodata")):
        address, _, contents = sections[section]
        start = bytes(data).index(contents)
        data[start + symbols[symbol] - address + 1] ^= 0x20
    with open(theirs, "wb") as out:
        out.write(data)
    lines = compare.differences(run, elf, ours, theirs)
    assert [line.split(":")[0] for line in lines] == [".text", ".rodata"]
    assert "(mp_execute_bytecode + 1)" in lines[0] and lines[0].count("`") == 4
    assert "(mp_type_type + 1)" in lines[1]
    assert compare.differences(run, elf, ours, ours) == []


def test_a_recorded_hash_is_that_of_its_inputs(image):
    """Only while the sources are those of the last release: later ones have another digest, and no hash yet."""
    if not os.path.exists(release.RECORDED):
        pytest.skip("no hash is recorded yet")
    digest, sums = release.recorded()
    if digest.encode() not in image:
        pytest.skip("the sources have changed since images/SHA256SUMS was recorded")
    assert sums["vmlinuz"] == hashlib.sha256(image).hexdigest()
