"""What the answers of firewall.* have in common: arguments, lines, and when everybody else has a turn.

    async def flows(firewall, call):
        return await told.answer(firewall, call, _flows, 1)

    async def _flows(firewall, lines, words): ...       lines: a Lines; words: of the argument, without `json`

The form is docs/services.md. What comes from strangers is printed by shown() or name(), and by nothing else.
"""
import xen
from asyncio import sleep_ms
from micropython import const

from firewall.flows.clients import NO_RULES, V4
from firewall.qubes.settings import Settings
from firewall.rules.matcher import DENY
from firewall.wire import ipv4
from firewall.wire.address import parse4

VERSION = const(1)
NO = const(1)  # exit codes: it cannot be done now,
WRONG = const(2)  # and an argument that is none
_BATCH = const(2048)  # octets that are written in one go
_STEP_NS = const(400000)  # of work, then the rings have their turn
_NS_PER_MS = const(1000000)
_SHOWN = const(64)  # characters of what somebody has said
_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
_PROTOCOLS = {ipv4.TCP: "tcp", ipv4.UDP: "udp", ipv4.ICMP: "icmp"}
NUMBERS = {"tcp": ipv4.TCP, "udp": ipv4.UDP, "icmp": ipv4.ICMP}


class Refused(Exception):
    """The answer is a sentence on stderr. code: the exit code."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code
        self.why = why


class Lines:
    """The lines of an answer, text for people or JSON objects. json: which."""

    def __init__(self, call, name, json):
        self.call = call
        self.json = json
        self._kept = ['{"format": "%s", "version": %d}\n' % (name, VERSION)] if json else []
        self._octets = 0
        self._since = xen.ns()

    async def put(self, line):
        """Add a line. What was added is written when it is enough for a message, or by flush()."""
        self._kept.append(line)
        self._kept.append("\n")
        self._octets += len(line)
        if self._octets >= _BATCH:
            await self.flush()
        else:
            await self.turn()

    async def flush(self):
        """Write what was added. CallEnded."""
        if self._kept:
            octets = "".join(self._kept).encode()
            self._kept = []
            self._octets = 0
            await self.call.write(octets)
            self._since = xen.ns()

    async def turn(self):
        """To be called between pieces of work: everybody else has a turn when this took long enough."""
        if xen.ns() - self._since > _STEP_NS:
            await sleep_ms(0)
            self._since = xen.ns()

    async def sleep(self, ms):
        """For so long; False: the caller is gone."""
        await sleep_ms(ms)
        self._since = xen.ns()
        return not self.call.ended


async def answer(firewall, call, body, most):
    """Let body write the answer of a service with at most so many words as argument, and `json`. The exit code."""
    words = call.argument.split("+") if call.argument else []
    json = bool(words) and words[-1] == "json"
    if json:
        words.pop()
    try:
        if len(words) > most:
            expected = "json" if most == 0 else "the end, or json"
            raise Refused(WRONG, "got %s, expected %s" % (shown(words[most]), expected))
        lines = Lines(call, call.service.lower(), json)
        await body(firewall, lines, words)
        if json:
            await lines.put('{"end": true}')
        await lines.flush()
    except Refused as no:
        await call.error("%s: %s" % (shown(call.service), no.why))
        return no.code
    return 0


def client(firewall, text):
    """The flows.clients.Client of an address in an argument. Refused."""
    address = parse4(text)
    if address < 0:
        raise Refused(WRONG, "got %s, expected an IPv4 address" % shown(text))
    found = firewall.neighbours.clients.by_address.get(address)
    if found is None:
        raise Refused(NO, "no client has the address %s" % shown(text))
    return found


def denied(firewall, address):
    """Why everything from an attached client (int) is refused; "" if it is not."""
    rules = firewall.neighbours.clients.by_address[address].rules[V4]
    if not firewall.neighbours.named(address):
        return "dom0 does not name it among our clients"
    if rules is not NO_RULES and rules is not DENY:
        return ""
    lists = lists_of(firewall)
    why = lists.denied(address) if lists else ""
    return why or ("no rules have come yet" if rules is NO_RULES else "its rules are no rules")


def lists_of(firewall):
    """The qubes.rulelists.RuleLists; None where something else is in the place of QubesDB."""
    return firewall.settings.lists if isinstance(firewall.settings, Settings) else None


def shown(text):
    """What somebody has said, fit for a line: cut, and other characters than those of names as ?."""
    return "".join([c if c in _NAME or c == "+" else "?" for c in text[:_SHOWN]]) or "nothing"


def shown_line(octets):
    """A line that somebody has sent, as text: other characters than those of names become ?, spaces stay."""
    return "".join([chr(o) if chr(o) in _NAME else " " if o in b" \t\r" else "?" for o in octets])


def name(firewall, client, address, now):
    """What a client asked for when it got this address, fit for a line; "": not known."""
    found = firewall.names.name_of(client, address, now)
    return "".join([c for c in found[:255] if c in _NAME])


def quoted(text):
    """Our own words as a JSON string; what is not printable ASCII becomes ?."""
    return '"%s"' % "".join(["\\" + c if c in '"\\' else c if " " <= c <= "~" else "?" for c in text])


def boolean(value):
    return "true" if value else "false"


def protocol(number):
    """Its name, or the number as text."""
    return _PROTOCOLS.get(number) or str(number)


def now_ms():
    return xen.ns() // _NS_PER_MS


def span(ms):
    """A time for people: two units at most."""
    if ms < 60000:
        return "%d.%d s" % (ms // 1000, ms % 1000 // 100)
    minutes = ms // 60000
    if minutes < 60:
        return "%d min %d s" % (minutes, ms // 1000 % 60)
    if minutes < 1440:
        return "%d h %d min" % (minutes // 60, minutes % 60)
    return "%d d %d h" % (minutes // 1440, minutes // 60 % 24)


def size(octets):
    """Octets for people, exact below a million."""
    if octets < 1000000:
        return "%d octets" % octets
    for unit in ("MB", "GB"):
        octets //= 100000 if unit == "MB" else 1000
        if octets < 10000 or unit == "GB":
            return "%d.%d %s" % (octets // 10, octets % 10, unit)


def packets(count, octets):
    return "%d packets, %s" % (count, size(octets))


def carried(firewall, client):
    """[packets from, octets from, packets to, octets to] of a client, by all its interfaces; None: the uplink."""
    interfaces = firewall.neighbours.interfaces
    if client is None:
        return list(interfaces.traffic(0))
    sums = [0, 0, 0, 0]
    for interface in client.interfaces:
        for i, number in enumerate(interfaces.traffic(interface.number)):
            sums[i] += number
    return sums


def devices(client):
    """The names of its vifs, as dom0 numbers them."""
    return " ".join([interface.owner.name for interface in client.interfaces if interface.owner])


def clients(firewall):
    """[(address, Client)] of those attached now, by address."""
    known = firewall.neighbours.clients.by_address
    return [(address, known[address]) for address in sorted(known)]
