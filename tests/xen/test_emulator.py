"""What the emulated computer must not do to those who run on it."""
import collections
import os
import re
import threading

import pytest

from tests.xen.lab import Lab

UPCALL = "f3"  # Linux' vector for Xen's events
_OFTEN = ["-netdev", "hubport,id=nobody,hubid=0", "-object", "filter-buffer,id=tick,netdev=nobody,queue=rx,interval=20"]


class Log(threading.Thread):
    """QEMU's log of interrupts, as it comes: an entry, then registers. count: {(vector, were they on?): number}."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.count = path, collections.Counter()
        os.mkfifo(path)
        self.start()

    def run(self):
        vector = None
        with open(self.path, errors="replace") as lines:
            for line in lines:
                found = ": v=" in line and re.search(r": v=(\w\w) ", line)
                if found:
                    vector = found.group(1)
                elif vector == UPCALL and line.startswith("RIP="):
                    flags = int(re.search(r"RFL=(\w+)", line).group(1), 16)
                    self.count[vector, bool(flags & 0x200)] += 1


@pytest.mark.long
def test_no_upcall_comes_while_interrupts_are_off(labs, tmp_path, figure):
    """Boots: a Linux domU, where QEMU's main loop is wanted every 20 us, by a filter of no network: see qemu.py."""
    labs.close_site()
    labs.close()
    log = Log(str(tmp_path / "log"))
    lab = Lab(emulator_words=["-d", "int", "-D", log.path] + _OFTEN)
    try:
        guest = lab.linux("guest", timeout=240)
        for _ in range(20):
            guest.sh("usleep 20000", 60)
    finally:
        lab.close()
    log.join()
    figure("upcalls of a Linux, and those that came while interrupts were off",
           "%d, %d" % (log.count[UPCALL, True], log.count[UPCALL, False]), "none")
    assert log.count[UPCALL, True] > 400
    assert not log.count[UPCALL, False]
