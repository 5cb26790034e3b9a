"""firewall.Capture: what a client or the uplink sends and gets, live, on both sides of the NAT.

The stream is a pcapng file without an end. What the caller does not read in time, and what is more than the rate, the
capture loses, and says how much; nobody waits for it.
"""
import xen
from micropython import const

from firewall import capture as taps
from firewall.interfaces import UPLINK
from firewall.services import told

_LOOK_MS = const(20)
_RATE = const(300)  # octets a ms: telling more to the caller would cost others something
_ALL = const(256 << 20)  # octets; then it ends
_STATISTICS_MS = const(1000)
_SUBJECT = "an IPv4 address or uplink, then at most tcp, udp or icmp, then at most a port"


async def capture(firewall, call):
    try:
        words = call.argument.split("+")
        about, proto, port = _asked(firewall, words)
        tap = _begin(firewall, about, proto, port)
    except told.Refused as no:
        await call.error("%s: %s" % (told.shown(call.service), no.why))
        return no.code
    try:
        await _stream(firewall, call, tap, about)
    finally:
        firewall.taps.end(tap)
        _tell(firewall)
    return 0


def _asked(firewall, words):
    """(the Client, or None for the uplink; protocol and port, 0 for any). Refused."""
    if len(words) > 3 or not words[0]:
        got = told.shown(words[3]) if len(words) > 3 else "nothing"
        raise told.Refused(told.WRONG, "got %s, expected %s" % (got, _SUBJECT))
    about = None if words[0] == "uplink" else told.client(firewall, words[0])
    proto = port = 0
    if len(words) > 1:
        proto = told.NUMBERS.get(words[1])
        if proto is None:
            raise told.Refused(told.WRONG, "got %s, expected tcp, udp or icmp" % told.shown(words[1]))
    if len(words) > 2:
        text = words[2]
        good = text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536 and words[1] != "icmp"
        if not good:
            raise told.Refused(told.WRONG, "got %s, expected a port of tcp or udp, 1 to 65535" % told.shown(text))
        port = int(text)
    return about, proto, port


def _tell(firewall):
    """A capture has begun or ended: the ring service tells of packets while one runs, and at no other time."""
    taps, forwarder = firewall.taps if firewall.taps.any() else None, firewall.forwarder
    forwarder.delivery.tap = taps
    if forwarder.fast:
        forwarder.fast.watch(taps)
    slow = forwarder.slow
    slow.deciding = taps.deciding(slow.decide, slow.turns) if taps else slow.decide


def _numbers(about):
    return [interface.number for interface in about.interfaces] if about else [UPLINK]


def _begin(firewall, about, proto, port):
    try:
        tap = firewall.taps.begin(_numbers(about), about is None, proto, port)
    except MemoryError:
        raise told.Refused(told.NO, "there is no memory for a capture now")
    if tap is None:
        raise told.Refused(told.NO, "%d captures run already" % taps.MOST)
    _tell(firewall)
    return tap


async def _stream(firewall, call, tap, about):
    lines = told.Lines(call, "", False)
    await call.write(taps.head())
    numbers = _numbers(about)
    left, due, told_lost = _ALL, told.now_ms() + _STATISTICS_MS, -1
    while left > 0 and (about is None or about.interfaces):
        octets = tap.drain()
        if octets:
            await call.write(octets)
        left -= len(octets)
        now = told.now_ms()
        if now >= due:
            due = now + _STATISTICS_MS
            if tap.lost() != told_lost:
                told_lost = tap.lost()
                await call.write(tap.statistics(xen.wall()))
        if about and _numbers(about) != numbers:  # another interface of his has come
            numbers = _numbers(about)
            tap.numbers(numbers)
        if not await lines.sleep(max(_LOOK_MS, len(octets) // _RATE)):
            return
    await call.write(tap.drain())
    await call.write(tap.statistics(xen.wall()))
