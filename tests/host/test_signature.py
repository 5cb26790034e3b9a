"""A release is signed by a key that the one who releases names, and verified from a published fingerprint on. By
gpg."""

import os
import shutil
import subprocess

import pytest

from images import archive, signature
from images.progress import Problem


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two keys of nobody, made for this test alone; their fingerprints."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not here")
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    os.environ["GNUPGHOME"] = str(home)
    found = []
    for name in ("one", "two"):
        words = [
            "gpg",
            "--batch",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            "--quick-gen-key",
            name,
            "ed25519",
            "sign",
            "never",
        ]
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
        listed = subprocess.run(
            ["gpg", "--with-colons", "-k", name], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        found.append([line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")][0])
    yield found
    subprocess.run(["gpgconf", "--kill", "all"])
    del os.environ["GNUPGHOME"]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "release"
    made.mkdir()
    (made / "vmlinuz").write_bytes(b"a kernel")
    (made / "build-record.txt").write_text("a record")
    sums = ["%s  %s\n" % (archive.sha256(str(made / name)), name) for name in ("build-record.txt", "vmlinuz")]
    (made / "SHA256SUMS").write_text("".join(sums))
    return made


@pytest.fixture
def published(tmp_path, keys):
    """A file with the fingerprint of the first key, as a person would write it."""
    path = tmp_path / "fingerprint.txt"
    path.write_text("# who releases\n\n" + " ".join(keys[0][i : i + 4] for i in range(0, 40, 4)).lower() + "\n")
    return str(path)


def test_what_is_signed_is_verified(folder, keys, published):
    assert signature.sign(str(folder), keys[0]) == str(folder / "SHA256SUMS.asc")
    lines = signature.verify(str(folder), published)
    assert lines[0] == "signed by " + keys[0] and len(lines) == 3 and all("as signed" in line for line in lines[1:])


def test_another_key_is_refused_though_gpg_knows_it(folder, keys, published):
    signature.sign(str(folder), keys[1])
    with pytest.raises(Problem, match="signed by %s, not by %s" % (keys[1], keys[0])):
        signature.verify(str(folder), published)


def test_two_signatures_in_one_file_are_refused(folder, keys, published):
    both = b""
    for key in keys:
        both += open(signature.sign(str(folder), key), "rb").read()
    (folder / "SHA256SUMS.asc").write_bytes(both)
    with pytest.raises(Problem):
        signature.verify(str(folder), published)


@pytest.mark.parametrize("name", ["vmlinuz", "build-record.txt", "SHA256SUMS", "SHA256SUMS.asc"])
def test_a_changed_octet_is_found(folder, keys, published, name):
    signature.sign(str(folder), keys[0])
    octets = bytearray((folder / name).read_bytes())
    octets[len(octets) // 2] ^= 1
    (folder / name).write_bytes(octets)
    with pytest.raises(Problem):
        signature.verify(str(folder), published)


@pytest.mark.parametrize("name", ["vmlinuz", "SHA256SUMS", "SHA256SUMS.asc"])
def test_a_missing_file_is_found(folder, keys, published, name):
    signature.sign(str(folder), keys[0])
    (folder / name).unlink()
    with pytest.raises(Problem):
        signature.verify(str(folder), published)


@pytest.mark.parametrize("line", ["../../etc/passwd", "/etc/passwd", ".", "", "-x", "a b"])
def test_a_signed_list_names_files_of_the_folder_alone(folder, keys, published, line):
    (folder / "SHA256SUMS").write_text("%s  %s\n" % ("0" * 64, line))
    signature.sign(str(folder), keys[0])
    with pytest.raises(Problem, match="not understood"):
        signature.verify(str(folder), published)


@pytest.mark.parametrize("text", ["", "DEADBEEF", "me@example.org", "0" * 39, "0" * 41, "x" * 40])
def test_a_short_name_of_a_key_is_refused(tmp_path, text):
    with pytest.raises(Problem, match="whole fingerprint"):
        signature.fingerprint(text)
    (tmp_path / "f").write_text(text + "\n")
    with pytest.raises(Problem):
        signature.published(str(tmp_path / "f"))


def test_a_key_that_is_not_there(folder, keys):
    with pytest.raises(Problem, match="gpg: "):
        signature.sign(str(folder), "0" * 40)
    assert not (folder / "SHA256SUMS.asc").exists()
