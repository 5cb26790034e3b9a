"""What passed between two moments of the lab's clock: CPU time by Xen's account, counters of programs and interfaces.

Both moments are taken in dom0, so that nothing from outside comes in between.
"""
import struct
import time

import consoles
import domains

_OF_INTERFACE = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")


def moment(domids, counters="", interfaces=()):
    """{"ns": dom0's clock, "cpu": {domid: ns}, "counters": [...], "interfaces": {name: {counter: n}}} now.

    counters: a file of 64-bit words, as of traffic/serve.c. JSON makes texts of domids.
    """
    cpu = {str(domid): domains.cpu_ns(domid)[0] for domid in domids}
    found = {"cpu": cpu, "ns": time.monotonic_ns(), "counters": [], "interfaces": {}}
    if counters:
        with open(counters, "rb") as words:
            found["counters"] = list(struct.unpack("5Q", words.read(40)))
    for name in interfaces:
        folder = "/sys/class/net/%s/statistics/" % name
        found["interfaces"][name] = {counter: _number(folder + counter) for counter in _OF_INTERFACE}
    return found


def _number(path):
    with open(path) as text:
        return int(text.read())


def window(lines, warm, seconds, domids, counters="", interfaces=()):
    """Type lines [[domid, text], ...] on consoles, let it run warm for so long; two moments so many seconds apart."""
    for domid, text in lines:
        consoles.type_line(domid, text)
    time.sleep(warm)
    before = moment(domids, counters, interfaces)
    time.sleep(seconds)
    return before, moment(domids, counters, interfaces)
