"""The program of the lab's QEMU that is mended, and how."""
import pytest

from tests.xen import qemu


def test_the_store_is_in_this_qemu_once_and_nothing_else_is_touched():
    with open(qemu.PROGRAM, "rb") as program:
        octets = program.read()
    mended = qemu.mended(octets)
    assert len(mended) == len(octets)
    places = [at for at in range(0, len(octets), 4096) if octets[at:at + 4096] != mended[at:at + 4096]]
    differ = [at + i for at in places for i in range(4096) if octets[at + i] != mended[at + i]]
    assert 1 <= len(differ) <= 6 and differ[-1] - differ[0] < 6
    with pytest.raises(ValueError, match="0 times"):
        qemu.mended(mended)


def test_a_qemu_that_looks_otherwise_runs_as_it_is(monkeypatch, tmp_path):
    """A lab of other packages than the locked ones is better than none, but says so."""
    other = tmp_path / "qemu"
    other.write_bytes(b"something else")
    monkeypatch.setattr(qemu, "PROGRAM", str(other))
    with pytest.warns(UserWarning, match="0 times"):
        qemu.make(str(tmp_path / "made"))
    assert (tmp_path / "made").read_bytes() == b"something else"
