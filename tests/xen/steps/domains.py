"""What Xen itself knows of a domain, asked through libxenctrl.

Source: Xen public/domctl.h, struct xen_domctl_getdomaininfo (of the Xen version in lab.lock).
"""
import ctypes
import subprocess
import time

_REASONS = {0: "poweroff", 1: "reboot", 2: "suspend", 3: "crash", 4: "watchdog", 5: "soft-reset"}
_DYING, _SHUTDOWN, _BLOCKED, _REASON_SHIFT = 1 << 0, 1 << 2, 1 << 4, 16


class _Info(ctypes.Structure):
    _fields_ = [("domid", ctypes.c_uint16), ("pad", ctypes.c_uint16), ("flags", ctypes.c_uint32),
                ("pages", ctypes.c_uint64 * 5), ("shared_info", ctypes.c_uint64), ("cpu_ns", ctypes.c_uint64),
                ("rest", ctypes.c_uint8 * 4096)]  # room for what we do not look at


_xc = ctypes.CDLL("libxenctrl.so.4.20")
_xc.xc_interface_open.restype = ctypes.c_void_p
_xc.xc_domain_getinfo_single.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(_Info)]
_xc.xc_domain_unpause.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
_handle = _xc.xc_interface_open(None, None, 0)


def _info(domid):
    info = _Info()
    return info if _xc.xc_domain_getinfo_single(_handle, domid, ctypes.byref(info)) == 0 else None


def unpause(domid):
    """Let it run. OSError if Xen refuses."""
    if _xc.xc_domain_unpause(_handle, domid):
        raise OSError("domain %d cannot be unpaused" % domid)


def cpu_ns(domid):
    """CPU time the domain has used, in ns, and dom0's monotonic clock at that moment, in ns."""
    return _info(domid).cpu_ns, time.monotonic_ns()


def state(domid):
    """"running", "gone", or why it has shut down: "poweroff", "reboot", "crash" ..."""
    info = _info(domid)
    if info is None or info.flags & _DYING:
        return "gone"
    if info.flags & _SHUTDOWN:
        return _REASONS.get(info.flags >> _REASON_SHIFT & 255, "unknown")
    return "running"


def alive(domids):
    """Those of them that run."""
    return [domid for domid in domids if state(domid) == "running"]


def wait_for_end(domid, seconds):
    """The state() of a domain once it no longer runs; "running" if it still does after that many seconds."""
    end = time.monotonic() + seconds
    while state(domid) == "running" and time.monotonic() < end:
        time.sleep(0.005)
    return state(domid)


def shut_down(domid, seconds):
    """`xl shutdown`: (why the domain ended, s from the command's start, s from its end) or ("running", ...)."""
    began = time.monotonic()
    subprocess.run(["xl", "shutdown", str(domid)], check=True, stdout=subprocess.DEVNULL)
    asked = time.monotonic()
    why = wait_for_end(domid, seconds)
    return why, time.monotonic() - began, time.monotonic() - asked


def idle_share(domid, seconds):
    """Share of one CPU that the domain uses over that many seconds."""
    used, began = cpu_ns(domid)
    time.sleep(seconds)
    used_then, ended = cpu_ns(domid)
    return (used_then - used) / (ended - began)


def asleep(domids, pids, seconds):
    """Do all these domains, and these processes of dom0, sleep for that long? False at the first sight of anything else.

    A domain sleeps when Xen has nothing to give it: its CPU is blocked, with no event for it, and its CPU time stands still.
    One that waits for its turn on a busy machine does not. Who has ended, domain or process, wakes nobody any more and sleeps
    as well, also when it ends between two looks.
    """
    def of_domain(domid):
        info = _info(domid)
        if info is None or info.flags & (_DYING | _SHUTDOWN):
            return "ended"
        return info.cpu_ns if info.flags & _BLOCKED else None

    def of_process(pid):
        try:
            with open("/proc/%d/stat" % pid) as text:
                words = text.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended, before the open or after
            return "ended"
        return "ended" if words[0] == "Z" else words[11:13] if words[0] == "S" else None

    def account():
        times = [of_domain(domid) for domid in domids] + [of_process(pid) for pid in pids]
        return None if None in times else times

    before = account()
    end = time.monotonic() + seconds
    while before is not None and account() == before:
        if time.monotonic() > end:
            return True
        time.sleep(0.05)
    return False
