"""What a domain holds, as far as it is visible from outside: in xenstore, of others' pages, of event channels."""
import re
import time

from .channel import LabError

_LOOKS = 5


def holdings(lab, domid):
    """{"nodes", "watches" (xenstored only), "maps": others' pages it has mapped, "ports": its channels}."""
    held = lab.call("holdings.in_store", domid)
    held = {name: held[name] for name in ("nodes", "watches") if name in held}
    text = _dump(lab)
    own = text.partition("Event channel information for domain %d:" % domid)[2].partition("Event channel information")[0]
    held["ports"] = len(re.findall(r"^\(XEN\) \[[^]]*\] +\d+ \[\d", own, re.MULTILINE))
    # [reference]  domain that may map it  page  how often it is mapped ...
    entries = re.findall(r"\[0x[0-9a-f]+\] +(\d+) 0x[0-9a-f]+ 0x([0-9a-f]+) ", text)
    held["maps"] = sum(1 for who, pins in entries if int(who) == domid and int(pins, 16))
    return held


def at_rest(lab, domid, wanted=None):
    """holdings() when the domain has come to rest: as soon as they are those wanted, or when _LOOKS of them were the same.

    It ends its watches and channels after dom0 has what it waits for, in its own time; each look takes some of the lab's.
    """
    held, same = None, 0
    while same < _LOOKS:
        before, held = held, holdings(lab, domid)
        if held == wanted:
            break
        same = same + 1 if held == before else 1
    return held


def _dump(lab):
    """What Xen writes for its keys e (event channels) and g (grants)."""
    before = len(lab.xen_log())
    lab.run("xl debug-keys eg")
    end = lab.clock() + 60
    while True:
        late = lab.clock() > end  # before the look: the clock of an idle lab runs on while the host asks
        text = lab.xen_log()[before:]
        if "gnttab_usage_print_all ] done" in text:
            return text
        if late:
            raise LabError("Xen did not tell what domains hold:\n" + text[-1000:])
        time.sleep(0.1)
