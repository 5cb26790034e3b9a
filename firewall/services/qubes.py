"""The services that dom0 and its tools expect of any qube. Most of them want to hear nothing but 0."""
import watchdog
import xen
from asyncio import sleep_ms
from log import Log
from micropython import const

_UPLINK_NS = const(7500000000)  # dom0 waits 10 s, and kills the fresh netvm for any answer but 0, or for none
_LOOK_MS = const(100)
_PIECE = const(512)
_LINE = const(80)  # octets
_NOT_FOUND = const(127)

_log = Log("services")


async def ready(firewall, call):
    """Nothing to wait for, nothing to do."""
    return 0


async def suspend(firewall, call):
    """dom0 is about to pause us, for a night perhaps."""
    watchdog.off()
    return 0


async def resume(firewall, call):
    """The host is awake again."""
    watchdog.on()
    return 0


async def wait_for_network_uplink(firewall, call):
    """0 as soon as the uplink is connected, and within 8 s of the request in any case."""
    while not firewall.up and xen.ns() - call.arrived < _UPLINK_NS and not call.ended:
        await sleep_ms(_LOOK_MS)
    return 0


async def swallow(firewall, call):
    """Whatever it says, to its end."""
    while await call.read(_PIECE):
        pass
    return 0


async def set_date_time(firewall, call):
    """One line of ISO 8601, for the log: nothing here goes by the date."""
    line = b""
    while b"\n" not in line and len(line) < _LINE:
        octets = await call.read(_LINE - len(line))
        if not octets:
            break
        line += octets
    _log.debug("dom0 says that it is %s", line.strip())
    return 0


async def absent(firewall, call):
    """What this qube has not."""
    await call.error("%s: no such service: this qube is a firewall without a shell; see firewall.Status" % call.text())
    return _NOT_FOUND


async def plain(firewall, call):
    """A command line: dom0 takes us for its UpdateVM, or somebody for a Linux."""
    await call.error(
        "no commands here: this qube is a firewall without a shell. It cannot be dom0's UpdateVM: name a Linux qube "
        "that has a network, such as sys-net or a qube behind this one (qubes-prefs updatevm NAME)"
    )
    return _NOT_FOUND


SERVICES = {
    "qubes.WaitForSession": ready,
    "qubes.WaitForRunningSystem": ready,
    "qubes.WaitForNetworkUplink": wait_for_network_uplink,
    "qubes.SetMonitorLayout": swallow,
    "qubes.SetGuiMode": ready,
    "qubes.SetAudioVM": ready,
    "qubes.SetDateTime": set_date_time,
    "qubes.SuspendPre": suspend,
    "qubes.SuspendPreAll": suspend,
    "qubes.SuspendPost": resume,
    "qubes.SuspendPostAll": resume,
    "qubes.ResizeDisk": absent,
    "qubes.DetachPciDevice": absent,
    "qubes.VMShell": absent,
    "qubes.VMRootShell": absent,
    "qubes.VMExec": absent,
    "qubes.VMExecGUI": absent,
    "qubes.VMRootExec": absent,
}  # fmt: skip
