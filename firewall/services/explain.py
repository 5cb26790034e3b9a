"""firewall.Explain: packets in words on stdin; which rule decides of each, by the rules in force now.

    CLIENT PROTOCOL DESTINATION [PORT, or TYPE of icmp]

It is the judge who is asked, as for the first packet of a flow; nothing is counted, sent or begun.
"""
import asyncio

from micropython import const

from firewall import reasons
from firewall.flows.clients import NO_RULES, V4
from firewall.packets.packet import QUERIES, Packet
from firewall.qubes.ruletrees import nodes_of
from firewall.rules.matcher import DENY
from firewall.services import told
from firewall.wire import ipv4
from firewall.wire.address import parse4, text4

_LINE = const(512)  # octets of a question
_PIECE = const(512)
_SLICE = const(16)  # rules between two turns of the rings
_JSON = (
    '{"client": "%s", "proto": "%s", "to": "%s", "to_port": %d, "verdict": "%s", "rule": %d, "why": %s, "type": %d}'
)


class _Wrong(Exception):
    """What a line has that was not expected; said in the answer."""


async def explain(firewall, call):
    return await told.answer(firewall, call, _explain, 0)


async def _explain(firewall, lines, _):
    held, number, skip = b"", 0, False
    await lines.flush()
    while True:
        octets = await lines.call.read(_PIECE)
        held += octets
        while True:
            line, newline, rest = held.partition(b"\n")
            if not newline and octets and len(held) <= _LINE:
                break
            held = rest if newline else b""
            number += 0 if skip else 1
            if not skip and (line.strip() or newline):
                await _line(firewall, lines, number, line)
            skip = not newline and bool(octets)  # the rest of a line that is too long
            if not held:
                break
        await lines.flush()
        if not octets:
            return


async def _line(firewall, lines, number, line):
    try:
        await lines.put(await _answer(firewall, lines.json, line))
    except _Wrong as wrong:
        said = "line %d: %s" % (number, wrong)
        await lines.put('{"error": %s}' % told.quoted(said) if lines.json else said)


async def _answer(firewall, json, line):
    """The line that answers. _Wrong."""
    client, p, shown, port = _packet(firewall, line)
    rules = client.rules[V4]
    reason, rule, asked = firewall.judge.would(p, told.now_ms())
    verdict = "drop" if reason else "accept"
    done = "dropped" if reason else "accepted"
    if not asked:
        why = "%s: %s" % (done, reasons.NAMES[reason] if reason else "the firewall answers it itself")
    elif rules is NO_RULES or rules is DENY:
        why = "%s, as is everything from this client: %s" % (done, told.denied(firewall, client.address))
    elif rule is None:
        why = "%s: no rule matches, and the policy is %s" % (done, verdict)
    else:
        why = "%s by rule %d%s" % (done, rule, await _text(firewall, client.address, rule))
    if not json:
        return "%s: %s" % (shown, told.quoted(why)[1:-1])
    kind = port if p.proto == ipv4.ICMP else -1
    return _JSON % (
        text4(client.address), told.protocol(p.proto), text4(p.dst), 0 if kind >= 0 else max(port, 0), verdict,
        -1 if rule is None else rule, told.quoted(why), kind)  # fmt: skip


async def _text(firewall, address, rule):
    """What dom0 wrote as this rule; "" if that is not known any more."""
    lists = told.lists_of(firewall)
    packed = lists.packed(address) if lists else None
    if packed is None:
        return ""
    wanted, done = "%04d" % rule, 0
    for key, text in nodes_of(packed):
        if key == wanted:
            return ": " + text.decode()
        done += 1
        if done % _SLICE == 0:
            await asyncio.sleep_ms(0)
    return ""


def _packet(firewall, line):
    """(Client, Packet, the question as we read it, port or type or -1). _Wrong."""
    words = told.shown_line(line).split()
    if not 3 <= len(words) <= 4:
        raise _Wrong("got %d words, expected CLIENT PROTOCOL DESTINATION [PORT or TYPE]" % len(words))
    address, dst = _address("client", words[0]), _address("destination", words[2])
    client = firewall.neighbours.clients.by_address.get(address)
    if client is None:
        raise _Wrong("client: no client has the address " + words[0])
    proto = told.NUMBERS.get(words[1])
    if proto is None:
        proto = _number("protocol", words[1], 255, "tcp, udp, icmp or a number to 255")
    icmp = proto == ipv4.ICMP
    port = -1
    if icmp or proto in (ipv4.TCP, ipv4.UDP):
        if len(words) < 4:
            raise _Wrong("%s: got nothing, expected a number" % ("type" if icmp else "port"))
        port = _number("type", words[3], 255, "0 to 255") if icmp else _number("port", words[3], 65535, "0 to 65535")
    elif len(words) > 3:
        raise _Wrong("port: got %s, expected nothing: this protocol has none" % words[3])
    p = Packet()
    p.ingress = client.interfaces[-1]
    p.src, p.dst, p.proto = client.shown, dst, proto
    p.kind = port if icmp else -1
    p.query = p.kind in QUERIES
    p.frame, p.l4 = bytes((0, 0, max(port, 0) >> 8, max(port, 0) & 0xFF)), 0
    return client, p, " ".join(words), port


def _address(key, text):
    address = parse4(text)
    if address < 0:
        raise _Wrong("%s: got %s, expected an IPv4 address" % (key, text))
    return address


def _number(key, text, most, expected):
    if not text.isdigit() or len(text) > 5 or int(text) > most:
        raise _Wrong("%s: got %s, expected %s" % (key, text, expected))
    return int(text)
