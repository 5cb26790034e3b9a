"""Messages of xenstore: 16 octets of header and at most 4096 of payload. Pure; no I/O.

Who is wrong decides what is raised: what the daemon answers to a request is a StoreError, and whoever asked deals
with it; an octet stream that no longer makes sense is a ProtocolError, and only the connection can deal with that.

Source: Xen public/io/xs_wire.h, docs/misc/xenstore.txt.
"""
import struct
from micropython import const

# types of message; a reply has its request's
DIRECTORY = const(1)
READ = const(2)
GET_PERMS = const(3)
WATCH = const(4)
UNWATCH = const(5)
TRANSACTION_START = const(6)
TRANSACTION_END = const(7)
GET_DOMAIN_PATH = const(10)
WRITE = const(11)
MKDIR = const(12)
RM = const(13)
SET_PERMS = const(14)
WATCH_EVENT = const(15)  # from the daemon, at any time
ERROR = const(16)  # instead of the request's type
RESET_WATCHES = const(21)
DIRECTORY_PART = const(22)

HEADER = const(16)  # octets: type, req_id, tx_id, length of payload; each u32, little endian
PAYLOAD_MAX = const(4096)
_ABSOLUTE_MAX = const(3072)  # octets of a path
_RELATIVE_MAX = const(2048)
_FORMAT = "<IIII"


class StoreError(Exception):
    """The daemon refused a request. name: its word for it, such as "EINVAL"; EPROTO: its answer made no sense."""

    def __init__(self, name, about=""):
        super().__init__("%s: %s" % (name, about) if about else name)
        self.name = name


class Missing(StoreError):
    """ENOENT: no such node."""


class Denied(StoreError):
    """EACCES: not ours to read or write. xenstored says so, too, of a neighbour's node that was removed."""


class QuotaError(StoreError):
    """ENOSPC, EQUOTA, E2BIG: no more nodes, watches, transactions or octets for us; daemons differ in the word."""


class Again(StoreError):
    """EAGAIN: others changed what our transaction saw; or the connection was begun anew meanwhile."""


class ProtocolError(Exception):
    """The connection's octets cannot be trusted any longer; it has to begin anew."""


_CLASSES = {
    "ENOENT": Missing,
    "EACCES": Denied,
    "ENOSPC": QuotaError,
    "EQUOTA": QuotaError,
    "E2BIG": QuotaError,
    "EAGAIN": Again,
}


def error(payload, about):
    """The StoreError for an ERROR reply. about: what was asked. Any payload will do."""
    name = payload.rstrip(b"\0")
    if not 0 < len(name) <= 32 or any(not 0x30 <= octet <= 0x5A for octet in name):  # "0" .. "Z"
        return StoreError("EPROTO", about)
    name = name.decode()
    return _CLASSES.get(name, StoreError)(name, about)


def pack(kind, req_id, tx_id, payload):
    """A whole message."""
    return struct.pack(_FORMAT, kind, req_id, tx_id, len(payload)) + payload


def unpack_header(octets, offset=0):
    """(type, req_id, tx_id, length of payload). ProtocolError: longer than a payload may be."""
    header = struct.unpack_from(_FORMAT, octets, offset)
    if header[3] > PAYLOAD_MAX:
        raise ProtocolError("message of %d octets" % header[3])
    return header


def strings(*parts):
    """A payload of strings, each ended by NUL. StoreError EINVAL: one contains NUL. QuotaError: too long together."""
    payload = bytearray()
    for part in parts:
        octets = part.encode()
        if 0 in octets:
            raise StoreError("EINVAL", "NUL in a string")
        payload += octets
        payload.append(0)
    return checked(bytes(payload))


def checked(payload):
    """The payload itself. QuotaError: longer than the daemon takes; it would end the connection for that."""
    if len(payload) > PAYLOAD_MAX:
        raise QuotaError("E2BIG", "%d octets" % len(payload))
    return payload


def path_ok(path):
    """The path itself. QuotaError: longer than 3072 octets, or 2048 if it is relative. StoreError EINVAL: ends in "/".

    The daemon refuses such a path, and some versions die of one (XSA-481): it is not even sent.
    """
    if path.endswith("/"):
        raise StoreError("EINVAL", "path ends in a slash: %s" % path[-80:])
    if len(path) > (_ABSOLUTE_MAX if path.startswith("/") else _RELATIVE_MAX):
        raise QuotaError("E2BIG", "path of %d octets" % len(path))
    return path


def texts(payload):
    """The strings in a payload, each ended by NUL. StoreError EPROTO: the last is not, or one is no ASCII text."""
    if not payload:
        return []
    if payload[-1] != 0 or any(octet and not 0x20 <= octet < 0x7F for octet in payload):
        raise StoreError("EPROTO", "not a list of strings")
    return payload[:-1].decode().split("\0")


def event(payload):
    """(path, token) of a WATCH_EVENT, or None: nonsense."""
    try:
        parts = texts(payload)
    except StoreError:
        return None
    return tuple(parts[:2]) if len(parts) >= 2 else None


def expect_ok(payload):
    """StoreError EPROTO unless the reply says OK."""
    if payload != b"OK\0":
        raise StoreError("EPROTO", "reply is not OK")


def number(payload):
    """The one decimal number of a reply, 1 to 2**32 - 1. StoreError EPROTO."""
    digits = payload.rstrip(b"\0")
    if not digits.isdigit() or not 0 < len(digits) <= 10 or not 0 < int(digits) < 1 << 32:
        raise StoreError("EPROTO", "reply is not a number")
    return int(digits)
