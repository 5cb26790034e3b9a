"""qrexec's messages: a header of 8 octets (type, length of what follows; little endian), then a payload.

    control   vchan port 512, dom0 <-> us: what is to be started where, what has ended
    data      one vchan for each call, its caller <-> its service: stdin, stdout, stderr, the exit code

Inbox judges what dom0 sends on the control channel. What we send there is built by terminated() and trigger(), which
refuse what would make dom0's daemon exit. Pure: octets in, octets out.

Source: Qubes core-qrexec, libqrexec/qrexec.h, daemon/qrexec-daemon.c, doc/qrexec.rst.
"""
from micropython import const
from peererror import PeerError
from struct import pack, unpack_from

VERSION = const(4)  # that we offer
VERSION_MIN = const(2)

HELLO = const(0x300)  # on both kinds of channel: 4 octets, the version
# control, from dom0
EXEC_CMDLINE = const(0x200)
JUST_EXEC = const(0x201)
SERVICE_CONNECT = const(0x202)
SERVICE_REFUSED = const(0x203)
# control, to dom0
_TRIGGER_SERVICE = const(0x210)  # version 2 only: from 3 on dom0's daemon exits for it
_CONNECTION_TERMINATED = const(0x211)
_TRIGGER_SERVICE3 = const(0x212)
# data
STDIN = const(0x190)
STDOUT = const(0x191)
STDERR = const(0x192)
EXIT_CODE = const(0x193)

HEADER = const(8)  # octets
PARAMS = const(8)  # exec_params: domain, port; then the command
KEPT = const(1032)  # octets of a control message's payload that are kept: params, and a command of 1 KiB
_PAYLOAD_MAX = const(65544)  # dom0's daemon takes commands of up to 65,535 octets
_FIRST_PORT = const(513)  # of dom0's 256 data ports
_LAST_PORT = const(768)
_IDENT = const(32)  # octets of a request's name, its NUL included
_NAME = const(64)  # of a domain, likewise
_IDENT_OCTETS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-. "
_SHOWN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._+"

NOT_FOUND = const(127)  # exit codes by convention: no such service,
REFUSED = const(126)  # policy says no,
BROKEN = const(125)  # or the call did not get through


def header(kind, length):
    return pack("<II", kind, length)


def hello():
    """Ours, for either kind of channel."""
    return pack("<III", HELLO, 4, VERSION)


def version(octets):
    """What both sides can, from the payload of the peer's HELLO. PeerError: less than we can."""
    theirs = unpack_from("<I", octets)[0]
    if theirs < VERSION_MIN:
        raise PeerError("qrexec: version %d, below %d" % (theirs, VERSION_MIN))
    return min(theirs, VERSION)


def chunk(agreed):
    """Octets that one data message may carry in this version."""
    return 4096 if agreed < 3 else 65536


def data_port(port):
    """Whether dom0's daemon gives out this port. Named in CONNECTION_TERMINATED, any other would make it exit."""
    return _FIRST_PORT <= port <= _LAST_PORT


def terminated(domain, port):
    """CONNECTION_TERMINATED: dom0 may use the port again. ValueError: a port that it never gave out."""
    if not data_port(port):
        raise ValueError("no data port: %d" % port)
    return pack("<IIII", _CONNECTION_TERMINATED, PARAMS, domain, port)


def trigger(agreed, ident, service, target):
    """The request to call a service, `name` or `name+argument`, in a domain ("": as dom0's policy has it). All str.

    ValueError: what dom0's daemon would not take.
    """
    name, who, what = service.encode(), target.encode(), ident.encode()
    if not 0 < len(what) < _IDENT or any(c not in _IDENT_OCTETS for c in ident):
        raise ValueError("ident %r" % ident)
    # a name that dom0 has to mend would be another service's
    if not name or name[0] == ord("+") or any(c not in _SHOWN for c in service) or len(name) >= KEPT:
        raise ValueError("service %r" % service)
    if len(who) >= _NAME or b"\0" in who:
        raise ValueError("target %r" % target)
    if agreed >= 3:
        payload = pack("64s32s", who, what) + name + b"\0"
        return header(_TRIGGER_SERVICE3, len(payload)) + payload
    if len(name) >= _NAME or len(who) >= _IDENT:
        raise ValueError("too long for version 2: %r" % service)
    return header(_TRIGGER_SERVICE, _NAME + 2 * _IDENT) + pack("64s32s32s", name, who, what)


def word(octets):
    """A text of ASCII up to its NUL, as str; "" if it is none."""
    octets = bytes(octets).split(b"\0")[0]
    return octets.decode() if all(octet < 0x80 for octet in octets) else ""


def shown(text):
    """A caller's words for the log, or for people: what no service's name has becomes \\xNN."""
    return "".join([c if c in _SHOWN else "\\x%02x" % ord(c) for c in text])


def parse(command):
    """(service, argument, source) of `user:[nogui:]QUBESRPC service[+argument] source ...`, a str.

    service "" for a command that calls none: a plain one, or none at all.
    """
    rest = command.partition(":")[2]
    if rest.startswith("nogui:"):
        rest = rest[len("nogui:") :]
    words = rest.split(" ")
    if words[0] != "QUBESRPC" or len(words) < 2:
        return "", "", ""
    service, _, argument = words[1].partition("+")
    return service, argument, words[2] if len(words) > 2 else ""


class Inbox:
    """Messages out of the control channel, which come in pieces of any size.

    Holds one piece and KEPT octets at most: of what is longer the rest is passed over.
    """

    def __init__(self):
        self._held = b""
        self._at = 0  # where in it the next octet is
        self._kind = -1  # of the message whose payload comes; -1: a header comes
        self._length = self._left = 0
        self._kept = b""

    def feed(self, octets):
        """What has come in. Take all messages out before feeding again."""
        self._held = self._held[self._at :] + octets
        self._at = 0

    def message(self):
        """(type, payload as bytes, its whole length), or None: the next one is not here yet.

        PeerError: it can be no message, so that nothing behind it can be read either.
        """
        if self._kind < 0:
            if len(self._held) - self._at < HEADER:
                return None
            self._kind, self._length = unpack_from("<II", self._held, self._at)
            self._at += HEADER
            if self._length > _PAYLOAD_MAX:
                raise PeerError("qrexec: message of type 0x%x with %d octets" % (self._kind, self._length))
            self._left = self._length
            self._kept = b""
        end = self._at + min(self._left, len(self._held) - self._at)
        self._kept += self._held[self._at : min(end, self._at + KEPT - len(self._kept))]
        self._left -= end - self._at
        self._at = end
        if self._left:
            return None
        kind, self._kind = self._kind, -1
        return kind, self._kept, self._length
