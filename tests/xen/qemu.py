"""The lab's QEMU: Debian's program without one store of its own, which gave guests interrupts that nobody had sent.

A hypervisor on AMD's SVM hands an interrupt to its guest in VMRUN (the field EVENTINJ). QEMU 10.0 delivers it in
helper_vmrun() at once, yet also leaves its vector in exception_index, where the main loop looks for what is still to
be delivered. Mostly something overwrites it. The story of when nothing does:

  1. Xen enters a Linux guest with vector 0xf3, its event channels' upcall. The guest's handler begins, interrupts off.
  2. Before the handler causes a world switch (it tells its APIC; if the guest was idle, it brings its clock up to date
     before that), QEMU's main loop is wanted: its budget of instructions ends, as a timer is due, or another thread of
     its own asks for it, which is a matter of how busy the host is.
  3. The main loop finds 0xf3 in exception_index, and delivers it: a second time, in the middle of the handler. What
     that one holds, such as the sequence lock of the clock, the second one waits for, with interrupts off: for ever.

With a timer of the emulated computer due every 20 us, 344 of 441 came twice in one run and 3 of 872 in another, by
QEMU's log of them; with one every 15 us Linux crashed of it as it booted; with one every 150 us a client spun after
2,000 commands, interrupts off, in ktime_get_update_offsets_now(): it reads the clock, which its own handler is
writing. Without one none came twice of 2,300, but a run of all tests has many more, and in one of CI a client had
stood still like that. test_emulator.py (--long) counts.

Source: QEMU 10.0, target/i386/tcg/system/svm_helper.c (case SVM_EVTINJ_TYPE_INTR), accel/tcg/cpu-exec.c.
"""
import hashlib
import os
import re
import warnings

from images import once

from . import initramfs

PROGRAM = "/usr/bin/qemu-system-x86_64"
_FIRMWARE = ["/usr/share/qemu", "/usr/share/seabios"]  # looked for beside the program, unless it is told
# cs->exception_index = vector; behind it env->exception_is_int = 0; env->exception_next_eip = -1; the look at the log's
# mask; do_interrupt_x86_hardirq(env, vector, 1). "." stands for offsets, which other builds may have elsewhere.
_STORE = re.compile(rb"\x89\xb3....(?=\xc7\x83....\0\0\0\0\x48\xc7\x83....\xff\xff\xff\xff\xf6\x05.....\x0f\x85...."
                    rb"\xba\x01\0\0\0\x48\x89\xdf\xe8)", re.S)
_NOTHING = b"\x66\x0f\x1f\x44\x00\x00"  # a NOP as long as the store


def mended(octets):
    """The program's octets without the store. ValueError if it is not there exactly once: see what this QEMU does."""
    octets, found = _STORE.subn(_NOTHING, octets)
    if found != 1:
        raise ValueError("the store to take out is in %s %d times" % (PROGRAM, found))
    return octets


def command():
    """The first words of QEMU's command line: the mended program, made once, and where its files lie."""
    digest = hashlib.sha256(os.environ["TOOLROOT"].encode())
    with open(__file__, "rb") as source:
        digest.update(source.read())
    path = once.made(os.path.join(initramfs.CACHE, "qemu-" + digest.hexdigest()[:16]), make)
    return [path] + [word for folder in _FIRMWARE for word in ("-L", folder)]


def make(part):
    """Write the mended program to the file `part`; as it is, with a warning, where it cannot be mended."""
    with open(PROGRAM, "rb") as program:
        octets = program.read()
    try:
        octets = mended(octets)
    except ValueError as error:
        warnings.warn("%s: guests may crash, or stand still (tests/xen/qemu.py)" % error)
    with open(part, "wb") as out:
        out.write(octets)
    os.chmod(part, 0o755)
