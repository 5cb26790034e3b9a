"""What a Linux domU that does not answer is doing, for the error that says so.

A kernel that spins with interrupts off says nothing on its console. Its registers, looked at from dom0, say where it
is, and Xen whether events wait for it.
"""
import functools
import re

from . import initramfs, symbols
from .errors import LabError

LOOKS, PAUSE = 5, 0.2  # at its registers, and s of the lab's clock between two
_CALLERS = 24  # addresses of the kernel on its stack that are shown
_KEYS = "qev"  # Xen's debug keys: domains, event channels, what the processor keeps of a guest
_HEAD = re.compile(r"General information for|Event channel information for|VCPU information and callbacks for|"
                   r">>> Domain \d+ <<<|\*{9}|Notifying guest|'\w' pressed")
_DULL = re.compile(r"_intercepts|_base_pa|Size of VMCB|asid|virtual vm|CR\d|DR\d|CSTAR|KernGS|SSP|sel attr|[C-GS]S: |"
                   r"DTR: |TR: |affinities|paging assistance|periodic timer")


def told(domain):
    """All of it as text. It never raises, and waits no longer than dom0 answers: the lab may be what stands still."""
    try:
        return _told(domain.lab, domain.domid)
    except (LabError, OSError) as error:
        return "what it is doing cannot be seen: %s" % error


def _told(lab, domid):
    before = len(lab.xen_log())
    seen, lists = lab.call("vcpu.looks", domid, LOOKS, PAUSE, timeout=120)
    pressed = lab.call("vcpu.press", _KEYS, timeout=120)
    lab.run(["sleep", "1"])  # until Xen's console has all of it
    parts = ["xl list before and after:"] + [line for text in lists for line in text.splitlines()[-1:]]
    parts += ["its registers, %d times, %g s apart:" % (LOOKS, PAUSE)] + [_short(look) for look in seen[:-1]]
    parts += [_whole(seen[-1]), "Xen of it:" + pressed] + _about(lab.xen_log()[before:], domid)
    return _named("\n".join(parts))


def _short(look):
    """Of what xenctx says: where it is, with which flags, on which stack. All of it, if that is not there."""
    lines = [line.strip() for line in look.splitlines() if re.match(r" *(rip|flags|rsp):", line)]
    return "  ".join(lines) or look.strip()


def _whole(look):
    """Of what xenctx says: the registers, and the kernel's addresses on the stack, which may be callers."""
    lines = look.splitlines()
    registers = [line for line in lines if re.match(r" *[a-z0-9]+: ", line)]
    return "\n".join(registers + [line for line in lines if "[<" in line][:_CALLERS]) or look.strip()


def _about(log, domid):
    """Of what Xen's debug keys have written: the sections about a domain."""
    wanted = re.compile(r"((VCPU|Event channel) information .*domain %d:|>>> Domain %d <<<)" % (domid, domid))
    found, ours = [], False
    for line in log.splitlines():
        line = re.sub(r"^\(XEN\) (\[[^]]*\] ?)?", "", line)
        if _HEAD.search(line):
            ours = bool(wanted.search(line))
        if ours and line.strip() and not _DULL.search(line):
            found.append(line)
    return found


@functools.lru_cache(None)
def _symbols():
    try:
        with open(initramfs.kernel("domu"), "rb") as octets:
            return symbols.Symbols(octets.read())
    except (ValueError, OSError, IndexError):
        return None  # another kernel: addresses must do


def _named(text):
    return _symbols().named(text) if _symbols() else text
