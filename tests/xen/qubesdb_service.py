"""QubesDB for one domain, as a program in the lab's dom0: python3 qubesdb_service.py DOMID KEYS.json

The rules are those of qubesdb_dom0.py, the channel is the real libxenvchan with Qubes' path in xenstore. It is to be
started when the domain exists (paused, as Qubes does), for a right in xenstore given before that is void.

On the socket SOCKET % DOMID it takes one request a connection, a line of JSON, and answers with another:
    ["write", path, text], ["remove", path], ["commit", address, [rule, ...]], ["state"], ["drop"]
"drop" closes the channel and offers a new one, as after a restart of the daemon.

Source: Xen tools/include/libxenvchan.h; Qubes core-vchan-xen vchan/{init,io}.c.
"""
import ctypes
import json
import os
import select
import socket
import subprocess
import sys
import time

from qubesdb_dom0 import Daemon, Left

SOCKET = "/run/qubesdb.%d.sock"
PORT = 111
RING = 4096
WAITING = 2  # what is_open() says before the first client

_lib = ctypes.CDLL("libxenvchan.so.4.20")
_lib.libxenvchan_server_init.restype = ctypes.c_void_p
_lib.libxenvchan_server_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t]
for _name in ("wait", "close", "is_open", "data_ready", "buffer_space", "fd_for_select"):
    getattr(_lib, "libxenvchan_" + _name).argtypes = [ctypes.c_void_p]
for _name in ("read", "write"):
    getattr(_lib, "libxenvchan_" + _name).argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]


class Channel:
    """A vchan server for one client. It never blocks: it moves what is there and what finds room."""

    def __init__(self, domid):
        self.path = "/local/domain/0/data/vchan/%d/%d" % (domid, PORT)
        self.handle = _lib.libxenvchan_server_init(None, domid, self.path.encode(), RING, RING)
        if not self.handle:
            raise OSError("no vchan for domain %d" % domid)
        self.file = _lib.libxenvchan_fd_for_select(self.handle)
        self.awaited = True

    def came(self):
        """True once: a client is there. Its entry in xenstore goes, as Qubes' library has it."""
        if self.awaited and _lib.libxenvchan_is_open(self.handle) != WAITING:
            self.awaited = False
            subprocess.run(["xenstore-rm", self.path], stderr=subprocess.DEVNULL)
            return True
        return False

    def gone(self):
        return not self.awaited and _lib.libxenvchan_is_open(self.handle) == 0

    def take(self):
        n = _lib.libxenvchan_data_ready(self.handle)
        if n <= 0:
            return b""
        octets = ctypes.create_string_buffer(n)
        n = _lib.libxenvchan_read(self.handle, octets, n)
        return octets.raw[: max(n, 0)]

    def put(self, octets):
        """How many of octets went."""
        n = min(_lib.libxenvchan_buffer_space(self.handle), len(octets))
        return max(_lib.libxenvchan_write(self.handle, bytes(octets[:n]), n), 0) if n > 0 else 0

    def close(self):
        _lib.libxenvchan_close(self.handle)


class Service:
    def __init__(self, domid, keys):
        self.domid = domid
        self.daemon = Daemon(keys)
        self.left = []  # why the real daemon would have gone, each time
        self.channel = Channel(domid)
        path = SOCKET % domid
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        print("serving domain %d" % domid, flush=True)

    def run(self):
        while True:
            ready, _, _ = select.select([self.channel.file, self.listener], [], [])
            if self.channel.file in ready:
                _lib.libxenvchan_wait(self.channel.handle)
            if self.listener in ready:
                self._request()
            self._move()

    def _move(self):
        if self.channel.came():
            self.daemon.connected()
        if self.channel.awaited:
            return
        try:
            moved = 1
            while moved:
                octets = self.channel.take()
                self.daemon.feed(octets)
                moved = len(octets)
                n = self.channel.put(self.daemon.out)
                self.daemon.take(n)
                moved += n
        except Left as why:
            self.left.append(str(why))
            self._renew()
        if self.channel.gone():
            self._renew()

    def _renew(self):
        self.channel.close()
        self.daemon.connected()
        self.channel = Channel(self.domid)

    def _request(self):
        connection = self.listener.accept()[0]
        with connection, connection.makefile("rw") as file:
            do, *args = json.loads(file.readline())
            json.dump(getattr(self, "do_" + do)(*args), file)
            file.write("\n")

    def do_write(self, path, text):
        self.daemon.write(path, text.encode())

    def do_remove(self, path):
        self.daemon.remove(path)

    def do_commit(self, address, rules):
        """When it was given to the channel, in s of the monotonic clock."""
        self.daemon.commit(address, [rule.encode() for rule in rules])
        return time.monotonic()

    def do_state(self):
        """What the VM has asked for and written, and why the real daemon would have left it."""
        return {"asked": self.daemon.asked, "handled": self.daemon.handled, "left": self.left,
                "keys": {key: value.decode("latin-1") for key, value in self.daemon.keys.items()}}

    def do_drop(self):
        self._renew()


if __name__ == "__main__":
    with open(sys.argv[2]) as text:
        Service(int(sys.argv[1]), {key: value.encode() for key, value in json.load(text).items()}).run()
