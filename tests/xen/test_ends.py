"""A failed lab shows why: a domain that has ended is told at once, with what it said last and what Xen says of it.

A client that ended by a triple fault was waited for to the end of the time, and then shown with an empty console.
"""
import re
import struct

import pytest

from tests.xen import initramfs
from tests.xen.errors import LabError

LONG = 3600.0  # s of the lab's clock, which nobody shall wait
AT_ONCE = 1200  # s of the same clock, which runs ahead while a file is sent to dom0
_PT_LOAD, _PT_NOTE, _PHYS32_ENTRY = 1, 4, 18


def _segments(elf):
    """(kind, offset, physical address, size in the file) of each segment of a 64-bit ELF file."""
    table, = struct.unpack_from("<Q", elf, 0x20)
    size, count = struct.unpack_from("<HH", elf, 0x36)
    for at in range(table, table + size * count, size):
        kind, _, offset, _, physical, octets = struct.unpack_from("<IIQQQQ", elf, at)
        yield kind, offset, physical, octets


def _entry(elf):
    """Physical address at which Xen enters a PVH kernel: its note XEN_ELFNOTE_PHYS32_ENTRY (public/elfnote.h)."""
    for kind, at, _, octets in _segments(elf):
        end = at + octets
        while kind == _PT_NOTE and at < end:
            name, size, number = struct.unpack_from("<III", elf, at)
            at += 12 + -(-name // 4) * 4
            if number == _PHYS32_ENTRY:
                return struct.unpack_from("<I", elf, at)[0]
            at += -(-size // 4) * 4
    raise AssertionError("no such note")


@pytest.fixture
def triple_faulting(lab, tmp_path):
    """A kernel, in dom0, whose first instruction is no instruction; it has no handlers yet."""
    with open("/src/build/vmlinuz", "rb") as data:
        elf = bytearray(data.read())
    entry = _entry(elf)
    for kind, offset, physical, octets in _segments(elf):
        if kind == _PT_LOAD and physical <= entry < physical + octets:
            struct.pack_into("2s", elf, offset + entry - physical, b"\x0f\x0b")
    path = tmp_path / "triple"
    path.write_bytes(elf)
    return lab.upload(str(path))


def _told(lab, wait):
    """The error that a wait ends with, which must be at once."""
    began = lab.clock()
    with pytest.raises(LabError) as caught:
        wait()
    assert lab.clock() - began < AT_ONCE
    return str(caught.value)


def test_a_triple_fault(lab, triple_faulting):
    """Boots: a kernel that ends the domain by its first instruction. Its console is empty, and Xen says why."""
    said = _told(lab, lambda: lab.domain("triple", triple_faulting).wait_for("LINUX-READY", LONG))
    assert said.startswith("triple ended before it said 'LINUX-READY'; state reboot; its console is empty"), said
    assert "Triple fault" in said.partition("Xen's log says of it:")[2], said


def test_a_linux_that_does_not_come_up(lab):
    """Boots: Linux that has no first program."""
    lab.upload(initramfs.kernel("domu"))  # its time is the host's
    said = _told(lab, lambda: lab.linux("headless", timeout=LONG, words="rdinit=/nothing"))
    assert "headless ended before it said 'LINUX-READY'; state " in said and "; state running" not in said, said
    assert "Kernel panic - not syncing" in said.partition("its console ends with:")[2], said


def test_a_guest_that_crashes(lab, guest):
    """Boots: tests/guest/crimes.py."""
    said = _told(lab, lambda: guest("crimes", "crime=read_null").wait_for("never said", LONG))
    end = r"crimes(\.\d+)? ended before it said 'never said'; state crash; its console ends with:"
    assert re.match(end, said), said
    assert "crash: " in said and "page fault" in said


def test_a_guest_that_runs_and_says_nothing(lab):
    """Boots: the image that ships. The limit is of the lab's clock."""
    guest = lab.domain("silent", lab.upload("/src/build/vmlinuz"))
    guest.wait_for("memory: ")
    said = _told(lab, lambda: guest.wait_for("never said", 3.0))
    assert said.startswith("silent did not say 'never said' in 3 s; state running; its console ends with:"), said


def test_an_end_that_was_awaited_is_no_failure(lab, guest):
    """Boots: tests/guest/stop.py. What a domain said before its end is found, however late it is looked for."""
    domain = guest("stop")
    assert domain.wait_for_end(60) == "poweroff"
    assert domain.wait_for("boot: ", LONG) > 0
