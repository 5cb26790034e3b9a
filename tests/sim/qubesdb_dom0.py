"""dom0's QubesDB daemon for one VM, as far as it can be seen from the VM: octets in, octets out.

    daemon = Daemon({"/qubes-ip": b"10.137.0.9"})
    daemon.connected()                    # a client is there
    daemon.feed(octets)                   # what it has sent; raises Left when the real daemon would leave
    daemon.take()                         # what is to be sent to it
    daemon.write(path, value), daemon.remove(path), daemon.commit(address, [rule, ...])   # as qubesd does

It is as strict as the real one: a VM that sends a type it must not use, removes a key that is not there, or asks for
everything twice loses the channel. Needs nothing but Python, so that it also runs in a real dom0.

Source: core-qubesdb daemon/db-cmds.c, db-daemon.c.
"""
import re
import struct

HEADER = struct.Struct("<B64s3xI")
READ, WRITE, MULTIREAD, LIST, RM, WATCH, UNWATCH, OK, NOENT, ERROR, RESP_READ, CONTENT, RESP_LIST, RESP_WATCH = range(14)
VALUE_LIMIT = 3072  # a value is shorter
RING = 4096
_FROM_VM = (WRITE, MULTIREAD, RM, OK, ERROR, CONTENT)
_PATH = re.compile(rb"[A-Za-z0-9_/.:@][A-Za-z0-9_/.:@-]*\Z|\Z")


class Left(Exception):
    """The daemon has gone: it says why, and closes the channel."""


def message(kind, path="", value=b"", rest=b""):
    """rest: what stands in the path's field behind its NUL, as when a buffer is used again."""
    field = (path.encode() + b"\0" + rest)[:64]
    return HEADER.pack(kind, field, len(value)) + value


def rule_keys(address, rules, policy=b"drop"):
    """Keys of one client's rules, the commit's last. policy: None for a tree without one."""
    base = "/qubes-firewall/" + address
    keys = {"%s/%04d" % (base, number): rule for number, rule in enumerate(rules)}
    if policy:
        keys[base + "/policy"] = policy
    keys[base] = b""
    return keys


class Daemon:
    def __init__(self, keys):
        self.keys = dict(keys)  # path: value
        self.from_vm = []  # (type, path, value) of all that came
        self.handled = {}  # address: the counter the VM wrote last
        self.connected()

    def connected(self):
        """A client is there, that has said nothing yet."""
        self.asked = False
        self.read = bytearray()
        self.out = bytearray()

    def take(self, limit=None):
        """What is to be sent next, at most limit octets."""
        n = len(self.out) if limit is None else min(limit, len(self.out))
        octets = bytes(self.out[:n])
        del self.out[:n]
        return octets

    # ---- what qubesd does

    def write(self, path, value=b""):
        self.keys[path] = value
        self._send(WRITE, path, value)

    def remove(self, path):
        if path.endswith("/"):
            self.keys = {key: value for key, value in self.keys.items() if not key.startswith(path)}
        else:
            del self.keys[path]
        self._send(RM, path)

    def commit(self, address, rules, policy=b"drop"):
        """A client's rules, as dom0 writes them at every change."""
        self.remove("/qubes-firewall/%s/" % address)
        for path, value in rule_keys(address, rules, policy).items():
            self.write(path, value)

    def _send(self, kind, path="", value=b"", rest=b""):
        if self.asked:
            self.out += message(kind, path, value, rest)

    # ---- what the VM sends

    def feed(self, octets):
        """Left: the real daemon would have closed the channel."""
        self.read += octets
        while len(self.read) >= HEADER.size:
            kind, field, length = HEADER.unpack_from(self.read)
            path = field.partition(b"\0")[0]
            if kind not in _FROM_VM or length >= VALUE_LIMIT or b"\0" not in field or not _PATH.match(path):
                raise Left("invalid message: type %d, path %r, %d octets" % (kind, path, length))
            if len(self.read) < HEADER.size + length:
                return
            value = bytes(self.read[HEADER.size : HEADER.size + length])
            del self.read[: HEADER.size + length]
            self._message(kind, path.decode(), value)

    def _message(self, kind, path, value):
        self.from_vm.append((kind, path, value))
        if value and kind in (OK, ERROR):
            raise Left("an answer with %d octets, which it does not read" % len(value))
        if value and kind in (RM, MULTIREAD):
            self._send(ERROR, path)
            return
        if kind == WRITE:
            self._write(path, value)
        elif kind == RM:
            if len(self.out) > RING - HEADER.size:
                raise Left("no room for the answer to a removal")
            if path not in self.keys and not (path.endswith("/") and any(key.startswith(path) for key in self.keys)):
                raise Left("removal of %s, which is not there" % path)
            self.remove_by_vm(path)
        elif kind == MULTIREAD:
            if self.asked:
                raise Left("everything was asked for twice")
            self._everything()
        elif kind == CONTENT:
            raise Left("content that nobody asked for")

    def _write(self, path, value):
        if not path.startswith("/") or path.endswith("/"):
            raise Left("write to %r" % path)
        if b"\0" in value:
            self._send(ERROR, path)
            return
        self.keys[path] = value
        if path.startswith("/qubes-firewall-handled/"):
            self.handled[path.rpartition("/")[2]] = int(value)
        self._send(OK, path)

    def remove_by_vm(self, path):
        self.keys = {key: value for key, value in self.keys.items() if key != path and not (path[-1] == "/" and key.startswith(path))}
        self._send(OK, path)

    def _everything(self):
        """All keys in descending order; the end mark is the last message's buffer with the first octet cleared."""
        self.asked = True
        last = ""
        for last in sorted(self.keys, reverse=True):
            self._send(CONTENT, last, self.keys[last])
        self._send(CONTENT, "", b"", last.encode()[1:])


def stale_tree(address):
    """Keys of one client that is gone."""
    return rule_keys(address, [b"action=accept dst4=192.0.2.0/32 proto=tcp dstports=443-443"])


def stale(n, first="10.138"):
    """Keys of n of them, as they pile up in dom0."""
    keys = {}
    for i in range(n):
        keys.update(stale_tree("%s.%d.%d" % (first, i >> 8, i & 0xFF)))
    return keys
