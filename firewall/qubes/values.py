"""What stands in settings, from text (str) to values: each function returns None for what it does not understand.

None of them raises anything, whatever the text. Numbers are decimal without leading zeros, which some read as octal;
addresses are those that a host can have.
"""
from logline import NAMES
from micropython import const

from firewall.wire import ipv4
from firewall.wire.address import parse4

ANY = const(-1)  # protocol, port, or all clients; as policy.ANY
_PROTOCOLS = {"tcp": ipv4.TCP, "udp": ipv4.UDP}
_OCTETS = const(125)  # a second, in 1/1000 Mbit/s
_LEAST = const(10)  # 1/1000 Mbit/s
_MOST = const(100000000)
_LABEL = "abcdefghijklmnopqrstuvwxyz0123456789-_"
_NAME = const(253)  # octets of a name (RFC 1035 2.3.4), and of a label
_LABEL_MOST = const(63)


# ---- what stands behind the kind in a key ---------------------------------------------------------


def nothing(text):
    """0: nothing may stand there."""
    return None if text else 0


def number(text):
    """The number of one of several settings, 0 to 9999."""
    return _number(text, 0, 9999)


def client(text):
    """The address of a client."""
    address = parse4(text)
    return address if address >> 24 not in (-1, 0, 127) and address >> 28 < 14 else None


def client_or_all(text):
    """The address of a client, or ANY for all."""
    return ANY if text == "all" else client(text)


# ---- values ---------------------------------------------------------------------------------------


def pair(text):
    """(sender, receiver, protocol, first port, last port) of "IP>IP" or "IP>IP:tcp:80-90"."""
    sender, _, rest = text.partition(">")
    receiver, colon, service = rest.partition(":")
    sender, receiver = client(sender), client(receiver)
    if sender is None or receiver is None or sender == receiver:
        return None
    if not colon:
        return sender, receiver, ANY, ANY, ANY
    proto, _, ports = service.partition(":")
    low, dash, high = ports.partition("-")
    first = _port(low)
    last = _port(high) if dash else first
    if proto not in _PROTOCOLS or first is None or last is None or last < first:
        return None
    return sender, receiver, _PROTOCOLS[proto], first, last


def forward(text):
    """(protocol, port outside, client, port inside, lowest remote, highest remote) of "tcp:80>IP:8080[:IP/LENGTH]"."""
    outside, arrow, rest = text.partition(">")
    proto, _, port = outside.partition(":")
    address, _, rest = rest.partition(":")
    inside, colon, source = rest.partition(":")
    port, inside, address = _port(port), _port(inside), client(address)
    remotes = _network(source) if colon else (0, 0xFFFFFFFF)
    if proto not in _PROTOCOLS or None in (port, inside, address, remotes):
        return None
    return _PROTOCOLS[proto], port, address, inside, remotes[0], remotes[1]


def block(text):
    """True for "block"."""
    return True if text == "block" else None


def end(text):
    """(protocol, address, port) of "udp:IP:51820"."""
    proto, _, rest = text.partition(":")
    address, _, port = rest.partition(":")
    address, port = client(address), _port(port)
    return None if proto not in _PROTOCOLS or address is None or port is None else (_PROTOCOLS[proto], address, port)


def rate(text):
    """Octets a second of "20" or "0.5" Mbit/s."""
    whole, point, part = text.partition(".")
    whole = _number(whole, 0, _MOST // 1000)
    if point and not (1 <= len(part) <= 3 and all("0" <= c <= "9" for c in part)) or whole is None:
        return None
    thousandths = whole * 1000 + (int(part) * (100, 10, 1)[len(part) - 1] if point else 0)
    return thousandths * _OCTETS if _LEAST <= thousandths <= _MOST else None


def level(text):
    """The name of a level of the log."""
    return text if text in NAMES else None


def switch(text):
    """True for "on", False for "off"."""
    return {"on": True, "off": False}.get(text)


def wildcard(text):
    """The pattern "*.example.org", as it is."""
    labels = text.split(".")
    good = labels[0] == "*" and len(labels) > 1 and len(text) <= _NAME
    for label in labels[1:]:
        good = good and 0 < len(label) <= _LABEL_MOST and all(c in _LABEL for c in label)
    return text if good else None


def _number(text, least, most):
    if not 1 <= len(text) <= 6 or text[0] == "0" and text != "0" or not all("0" <= c <= "9" for c in text):
        return None
    value = int(text)
    return value if least <= value <= most else None


def _port(text):
    return _number(text, 1, 0xFFFF)


def _network(text):
    """(lowest, highest) address of "a.b.c.d/n"; host bits may be set."""
    address, _, length = text.partition("/")
    address, length = parse4(address), _number(length, 0, 32)
    if address < 0 or length is None:
        return None
    span = (1 << 32 - length) - 1
    return address & ~span, address | span
