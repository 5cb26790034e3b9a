"""Whether frames still come out of the firewall: python3 /steps/standstill.py VIF DOMID OCTETS, in dom0, as the netvm.

While /tmp/moving exists: a line of JSON for each time that nothing came for half a second before OCTETS had, and after
a second the firewall's console shows its status, and /tmp/standstill the ring's counters as the backend has them.
{"longest", "looks"} at the end: s, and how often it was looked while frames were to come.
"""
import json
import os
import subprocess
import sys
import time

MOVING, TOLD = "/tmp/moving", "/tmp/standstill"
LOOK, NOTED, STANDS = 0.002, 0.5, 1.0  # s
AT_BEGINNING = 1 << 20  # octets: until then clients are about to begin


def came(vif):
    with open("/sys/class/net/%s/statistics/rx_bytes" % vif) as text:
        return int(text.read())


def tell(vif, domid):
    """What the rings' counters are, and the firewall's status."""
    folder = "/sys/kernel/debug/xen-netback/%s" % vif
    subprocess.run("[ -d /sys/kernel/debug/xen-netback ] || mount -t debugfs none /sys/kernel/debug; cat %s/*; "
                   "xl list; xl sysrq %s s" % (folder, domid), shell=True)
    sys.stdout.flush()


def watch(vif, domid, octets):
    """Until MOVING is gone: (the longest time without a frame, looks)."""
    first = last = came(vif)
    since, longest, looks, told = time.monotonic(), 0, 0, False
    while os.path.exists(MOVING):
        time.sleep(LOOK)
        seen, now = came(vif), time.monotonic()
        looks += AT_BEGINNING < seen - first < octets
        if seen != last or not AT_BEGINNING < seen - first < octets:
            if now - since > NOTED and AT_BEGINNING < last - first < octets:
                print(json.dumps({"stood": round(now - since, 2), "octets": last - first}), flush=True)
            last, since, told = seen, now, False
        else:
            longest = max(longest, now - since)
            if now - since > STANDS and not told:
                told = True
                tell(vif, domid)
    return longest, looks


if __name__ == "__main__":
    stood, often = watch(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(json.dumps({"longest": round(stood, 4), "looks": often}), flush=True)
