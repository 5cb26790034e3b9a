"""What the firewall's services say, read as what it is: octets from a qube that may be broken or hostile.

Lines come in pieces of any size. A line is at most LINE octets; what is longer is left out up to its end. The first one
names format and version: another one ends the stream with a sentence in `fault`. All others are rows: a row that is
not of
the known form is counted in `strange` and left out. Nothing that a row holds is anything else than what its table
below says:
numbers in their range, text of printable ASCII, bounded in length.

The formats are those of docs/services.md, version 1.
"""

import json

VERSION = 1
LINE = 4096  # octets of a line, at most
TEXT = 80  # characters of a text, at most
WIDE = 512  # of a sentence
MOST = 1 << 63  # no number is this large
ITEMS = 256  # entries of a list or a mapping within a line, at most
_PLAIN = frozenset(range(0x20, 0x7F))


def clean(text, most=TEXT):
    """Text that is safe on a terminal, in a file and in a notification: printable ASCII, `?` for each other
    character."""
    if not isinstance(text, str):
        return ""
    made = "".join(each if ord(each) in _PLAIN else "?" for each in text[: most + 1])
    return made if len(made) <= most else made[: most - 3] + "..."


class Refuse(ValueError):
    """A row is not of the known form."""


def number(value):
    """A count, 0 and up."""
    if type(value) is not int or not 0 <= value < MOST:
        raise Refuse("no number")
    return value


def rule(value):
    """A rule's number, or -1."""
    if type(value) is not int or not -1 <= value <= 65535:
        raise Refuse("no rule")
    return value


def whole(value):
    """A number or what is below it, such as -1 for `never`."""
    if type(value) is not int or not -1 <= value < MOST:
        raise Refuse("no number")
    return value


def port(value):
    if type(value) is not int or not 0 <= value <= 65535:
        raise Refuse("no port")
    return value


def text(value):
    if not isinstance(value, str):
        raise Refuse("no text")
    return clean(value)


def sentence(value):
    if not isinstance(value, str):
        raise Refuse("no text")
    return clean(value, WIDE)


def name(value):
    """A host's name as the firewall prints them; what has anything else in it is no name."""
    if not isinstance(value, str) or len(value) > 255:
        raise Refuse("no name")
    return value if all(each.isascii() and (each.isalnum() or each in "-._") for each in value) else ""


def address(value):
    """Dotted IPv4, or IPv6 in its characters."""
    if not isinstance(value, str) or not 0 < len(value) <= 45:
        raise Refuse("no address")
    if not all(each in "0123456789abcdef.:" for each in value):
        raise Refuse("no address")
    return value


def client(value):
    """A client's address, or the word for the uplink."""
    return value if value == "uplink" else address(value)


def flag(value):
    if not isinstance(value, bool):
        raise Refuse("no flag")
    return value


def counts(value):
    """{words: count}."""
    if not isinstance(value, dict) or len(value) > ITEMS:
        raise Refuse("no counts")
    return {text(key): number(each) for key, each in value.items()}


def numbers(value):
    if not isinstance(value, list) or len(value) > LINE:
        raise Refuse("no numbers")
    return [number(each) for each in value]


def within(table):
    """A reader of an object by a table as below; of anything else none."""

    def read(value):
        if not isinstance(value, dict):
            raise Refuse("no object")
        return fields(value, table)

    return read


def each(table):
    """A reader of a list of such objects."""
    one = within(table)

    def read(value):
        if not isinstance(value, list) or len(value) > ITEMS:
            raise Refuse("no list")
        return [one(item) for item in value]

    return read


# key: (reader, what it is when the key is missing; NEEDED: then it is no row)
NEEDED = object()
MOVED = {
    "client": (client, NEEDED),
    "from_packets": (number, 0),
    "from_octets": (number, 0),
    "to_packets": (number, 0),
    "to_octets": (number, 0),
    "flows": (number, 0),
    "new_flows": (number, 0),
    "refused": (number, 0),
}
UPLINK = {
    "state": (text, ""),
    "domain": (whole, -1),
    "address": (text, ""),
    "gateway": (text, ""),
    "mtu": (number, 0),
    "since": (whole, 0),
}
USED = {"used": (number, 0), "capacity": (number, 0)}
MEMORY = {
    "heap_used": (number, 0),
    "heap_free": (number, 0),
    "pages": (number, 0),
    "pages_free": (number, 0),
    "quarantine": (number, 0),
}
GAP = {"longest_us": (number, 0), "cause": (text, "")}
TABLES = {
    "firewall.status": (
        {
            "client": (client, NEEDED),
            "device": (text, ""),
            "domain": (whole, -1),
            "rules": (number, 0),
            "loaded": (whole, -1),
            "denied": (sentence, ""),
            "flows": (number, 0),
            "limit": (number, 0),
            "mtu": (number, 0),
        },
        {
            "version": (text, NEEDED),
            "digest": (text, ""),
            "uptime": (number, NEEDED),
            "uplink": (within(UPLINK), {}),
            "memory": (within(MEMORY), {}),
            "flows": (within(USED), {}),
            "gap": (within(GAP), {}),
        },
    ),
    "firewall.flows": (
        {
            "client": (client, NEEDED),
            "proto": (text, NEEDED),
            "from_port": (port, 0),
            "to": (address, NEEDED),
            "to_port": (port, 0),
            "name": (name, ""),
            "rule": (rule, -1),
            "state": (text, ""),
            "out_packets": (number, 0),
            "out_octets": (number, 0),
            "in_packets": (number, 0),
            "in_octets": (number, 0),
            "age": (number, 0),
            "idle": (number, 0),
        },
    ),
    "firewall.counters": (
        {
            "client": (client, NEEDED),
            "device": (text, ""),
            "from_packets": (number, 0),
            "from_octets": (number, 0),
            "to_packets": (number, 0),
            "to_octets": (number, 0),
            "drops": (counts, {}),
            "hits": (numbers, []),
            "first_rule": (number, 0),
            "more": (flag, False),
            "new_flows": (number, 0),
            "refused": (number, 0),
            "lost": (number, 0),
            "failed": (number, 0),
        },
    ),
    "firewall.watch": ({"at": (number, NEEDED), "clients": (each(MOVED), NEEDED)},),
    "firewall.refused": (
        {
            "client": (client, NEEDED),
            "proto": (text, NEEDED),
            "to": (address, NEEDED),
            "to_port": (port, 0),
            "name": (name, ""),
            "rule": (rule, -1),
            "why": (sentence, ""),
            "first": (number, 0),
            "last": (number, 0),
            "count": (number, 1),
            "type": (whole, -1),
        },
        {"now": (flag, NEEDED)},
    ),
    "firewall.explain": (
        {
            "client": (client, NEEDED),
            "proto": (text, NEEDED),
            "to": (text, NEEDED),
            "to_port": (port, 0),
            "verdict": (text, NEEDED),
            "rule": (rule, -1),
            "why": (sentence, ""),
            "type": (whole, -1),
        },
        {"error": (sentence, NEEDED)},
    ),
}


def fields(found, table):
    """What a table says of an object. Unknown keys are left out. Refuse if it does not fit."""
    made = {}
    for key, (read, otherwise) in table.items():
        if key in found:
            made[key] = read(found[key])
        elif otherwise is NEEDED:
            raise Refuse("no " + key)
        else:
            made[key] = otherwise() if callable(otherwise) else otherwise
    return made


def _no_constant(value):
    raise Refuse("no number")


def _json(octets):
    """A line's object; Refuse for whatever is none, however deep or long."""
    try:
        found = json.loads(octets.decode("ascii"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refuse("no JSON")
    if not isinstance(found, dict):
        raise Refuse("no object")
    return found


class Reader:
    """Rows of one answer.

    `fault`: a sentence when the answer can not be read further, "" else. `ended`: the answer said so itself. `strange`:
    how many lines were left out. `begun`: the first line was right.
    """

    def __init__(self, service):
        """service: name without an argument, such as firewall.Watch."""
        self.format = service.lower()
        self.tables = TABLES[self.format]
        self.fault, self.ended, self.begun, self.strange = "", False, False, 0
        self._rest, self._skipping = b"", False

    def feed(self, octets):
        """Rows of the lines that these octets complete, in order."""
        rows = []
        lines = (self._rest + octets).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._skipping:
                self._skipping = False  # the end of one that was too long
            elif not self.fault and not self.ended and line:
                self._line(line, rows)
        if self._skipping or len(self._rest) > LINE:
            self.strange += not self._skipping
            self._rest, self._skipping = b"", True
        return rows

    def _line(self, line, rows):
        try:
            if len(line) >= LINE:
                raise Refuse("too long")
            found = _json(line)
            if not self.begun:
                self._first(found)
                return
            if found.get("end") is True:
                self.ended = True
                return
            rows.append(self._row(found))
        except Refuse:
            self.strange += 1
            if not self.begun:
                self.fault = "it does not answer as a firewall qube does"

    def _first(self, found):
        if found.get("format") != self.format:
            raise Refuse("another format")
        if found.get("version") != VERSION:
            self.fault = (
                "it speaks version %s of %s, this program version %d: use the program that came with that image"
                % (clean(str(found.get("version")), 12), self.format, VERSION)
            )
        self.begun = True

    def _row(self, found):
        for table in self.tables:
            if next(iter(table)) in found:  # what a kind of row is known by stands first in its table
                return fields(found, table)
        raise Refuse("no row")
