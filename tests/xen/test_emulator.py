"""What the emulated computer must not do to those who run on it."""
import re

import pytest


@pytest.mark.parametrize("lab", ["a timer every 50 us"], indirect=True)
def test_no_interrupt_comes_twice(lab, figure):
    """Boots: a Linux domU. All its interrupts are Xen's upcalls, each for at least an event: see qemu.py."""
    guest = lab.linux("guest", timeout=240)
    text = guest.sh("cat /proc/interrupts", 60)
    upcalls = int(re.search(r"HYP: +(\d+)", text).group(1))
    events = sum(map(int, re.findall(r"^ *\d+: +(\d+) +xen-", text, re.M)))
    figure("upcalls of a Linux beside a timer every 50 us", "%d, for %d events" % (upcalls, events))
    assert events > 200, text
    assert upcalls < 1.03 * events, text
