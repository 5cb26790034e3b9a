"""What a domain's CPU is doing, seen from outside: for one that answers nothing."""
import subprocess
import time

XENCTX = "/usr/lib/xen-4.20/bin/xenctx"


def _said(argv, seconds=20):
    """Both outputs of a program; what went wrong instead. It never raises: half a look is better than none."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "%s: %s\n" % (argv[0], error)
    return done.stdout


def looks(domid, times, pause):
    """(Registers and stack of CPU 0 so often, pause in s between two looks; the line of `xl list` before and after)."""
    lists = [_said(["xl", "list", str(domid)])]
    seen = []
    for _ in range(times):
        time.sleep(pause)
        seen.append(_said([XENCTX, "-S", str(domid), "0"]))
    return seen, lists + [_said(["xl", "list", str(domid)])]


def press(keys):
    """Have Xen write on its console what these debug keys are for."""
    return "".join(_said(["xl", "debug-keys", key]) for key in keys)
