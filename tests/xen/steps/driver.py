"""A netvm that is a driver domain, as dom0 sees it: what comes when, by dom0's clock, and what is asked of it while it is slow.

All in one call each: the emulated computer's clock goes on, or leaps, while the tests think.
"""
import subprocess
import time

import pyxs

CLOSING, CLOSED = b"5", b"6"
_PAUSE = 0.005  # s between two looks


class _Tail:
    """What has been written to a file since the last look, put together."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.file.seek(0, 2)
        self.held = b""

    def has(self, text):
        self.held += self.file.read()
        return text in self.held


def attached(argv, firewall, client, seconds):
    """Run xl, which attaches; seconds from its start until {"told": uplink connected, "answered": a client's ping}.

    firewall, client: the files to which their consoles go; the client pings on its own all the time. What did not come in
    so many seconds is None.
    """
    return said(argv, {"told": (firewall, "uplink connected"), "answered": (client, "bytes from")}, seconds)


def said(argv, wanted, seconds):
    """Run xl; seconds from its start until a file said something, {what: s, or None}. wanted: {what: (file, text)}"""
    tails = {what: (_Tail(path), text.encode()) for what, (path, text) in wanted.items()}
    came = dict.fromkeys(tails)
    began = time.monotonic()
    xl = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    while time.monotonic() < began + seconds and None in came.values():
        time.sleep(_PAUSE)
        for what, (tail, text) in tails.items():
            if came[what] is None and tail.has(text):
                came[what] = time.monotonic() - began
    if xl.wait(timeout=60):
        raise RuntimeError("%s: status %d" % (argv, xl.returncode))
    return came


def detached(argv, frontend, backend, domid, seconds):
    """Run xl, which detaches, while the driver domain stands still for so many seconds.

    {"closed": s from dom0's word until the frontend said Closed, or was gone; None: it did not before the driver domain
    went on; "took": s that xl took; "status", "said": its own; "left": what is still there of both directories}
    """
    subprocess.run(["xl", "pause", str(domid)], check=True)
    closed = asked = None
    with pyxs.Client() as store:
        began = time.monotonic()
        xl = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while time.monotonic() < began + seconds:
            if asked is None and _read(store, backend + "/state") == CLOSING:
                asked = time.monotonic()
            if asked and closed is None and _read(store, frontend + "/state") in (CLOSED, None):
                closed = time.monotonic() - asked
            time.sleep(_PAUSE)
        subprocess.run(["xl", "unpause", str(domid)], check=True)
        said = xl.communicate(timeout=60)[0]
        took = time.monotonic() - began
        left = [path for path in (frontend, backend) if store.exists(path.encode())]
    return {"closed": closed, "took": took, "status": xl.returncode, "said": said, "left": left}


def _read(store, path):
    try:
        return store.read(path.encode())
    except pyxs.PyXSError:
        return None
