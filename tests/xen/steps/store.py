"""Xenstore as dom0 sees it."""
import subprocess
import time


def wait_value(path, value, seconds):
    """The node's value once it is `value`; what it is instead, or None, when the time is over."""
    end = time.monotonic() + seconds
    while True:
        done = subprocess.run(["xenstore-read", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        got = None if done.returncode else done.stdout.rstrip("\n")
        if got == value or time.monotonic() > end:
            return got
        time.sleep(0.02)
