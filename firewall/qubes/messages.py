"""QubesDB's messages: a header of 72 octets, then a value (core-qubesdb include/qubesdb.h).

Inbox.message() is the one place that judges what dom0 sends. What we send is built by pack(), which refuses what
would make dom0's daemon drop the channel: a type that a VM may not use, a path or value too long.
"""
from micropython import const

from peererror import PeerError

# types that may cross between dom0 and a VM; NOENT only towards the VM
WRITE = const(1)
MULTIREAD = const(2)
RM = const(4)
OK = const(7)
NOENT = const(8)
ERROR = const(9)
CONTENT = const(11)  # RESP_MULTIREAD: one key of a full reading; without a path: that was all

HEADER = const(72)  # octets
PATH_MAX = const(63)  # octets; the 64th is the NUL
VALUE_MAX = const(3071)  # octets

# offset of each field in the header, and its width in octets
_TYPE = const(0)  # 1
_PATH = const(1)  # 64: up to the first NUL; what follows that means nothing
# 3 octets of padding
_LENGTH = const(68)  # 4, little endian

_PATH_OCTETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.:@-"
_RECEIVED = (WRITE, RM, OK, NOENT, ERROR, CONTENT)
_WITH_VALUE = (WRITE, CONTENT)
_SENT = (WRITE, MULTIREAD, OK)  # never RM, but by removal(): of a key that dom0 has not, it costs the channel


def pack(kind, path, value=b""):
    """A message to dom0. path: str. ValueError: dom0's daemon would not take it and leave."""
    if kind not in _SENT or len(value) > VALUE_MAX or (value and kind != WRITE) or 0 in value:
        raise ValueError("not to be sent: type %d, %d octets" % (kind, len(value)))
    if kind == WRITE and not writable(path):
        raise ValueError("no key for a value: " + path)
    header = bytearray(HEADER)
    header[_TYPE] = kind
    octets = path.encode()
    header[_PATH : _PATH + len(octets)] = octets
    header[_LENGTH] = len(value) & 0xFF
    header[_LENGTH + 1] = len(value) >> 8
    return bytes(header) + value


def removal(path):
    """The message that removes a key of which dom0 has said that it has it."""
    message = bytearray(pack(WRITE, path))
    message[_TYPE] = RM
    return bytes(message)


def writable(path):
    """Whether dom0 takes a value for this path, a str: those that are too long have to be left out."""
    if not 0 < len(path) <= PATH_MAX or path[0] != "/" or path[-1] == "/":
        return False
    return not path.encode().strip(_PATH_OCTETS)  # anything left: an octet that no path has


class Inbox:
    """Messages out of a stream that comes in pieces of any size. Holds one message and a piece at most."""

    def __init__(self):
        self._held = bytearray()
        self._at = 0  # where the next message begins

    def feed(self, octets):
        """What has come in. Take all messages out before feeding again."""
        self._held = self._held[self._at :] + octets
        self._at = 0

    def message(self):
        """(type, path as str, value as bytes), or None: the next one is not here yet.

        PeerError: it can be no message, so that nothing behind it can be read either. Judged before its value has
        come, so that what is held stays small.
        """
        held = self._held
        at = self._at
        if len(held) - at < HEADER:
            return None
        kind = held[at + _TYPE]
        length = int.from_bytes(held[at + _LENGTH : at + HEADER], "little")
        if kind not in _RECEIVED or length > (VALUE_MAX if kind in _WITH_VALUE else 0):
            raise PeerError("QubesDB: message of type %d with %d octets" % (kind, length))
        path = _path(held, at + _PATH)
        if not path and (kind != CONTENT or length):
            raise PeerError("QubesDB: message of type %d without a path" % kind)
        start = at + HEADER
        if len(held) < start + length:
            return None
        self._at = start + length
        return kind, path, bytes(held[start : self._at])


def _path(held, at):
    end = held.find(b"\0", at, at + PATH_MAX + 1)
    if end < 0:
        raise PeerError("QubesDB: path without an end")
    path = bytes(held[at:end])
    if path.strip(_PATH_OCTETS):  # anything left: an octet that no path has. One call in C for each of 20,000 keys
        raise PeerError("QubesDB: path %r" % path)
    return path.decode()
