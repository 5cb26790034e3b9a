"""dom0's qrexec for one domain, as a program in the lab's dom0: python3 qrexec_service.py DOMID

The daemon and the callers are those of qrexec_dom0.py, the channels are the real libxenvchan with Qubes' paths.

On the socket SOCKET % DOMID it takes one request a connection, a line of JSON, and answers with another:
    ["call", service, stdin]   of dom0; stdin None stays open. Its number; what it says on stdout is in STDOUT % number
    ["look", number]           {"octets": on stdout so far, "stderr", "code": or None, "gone"}
    ["hold", number, whether]  it reads no more, or does again
    ["end", number]            the caller ends
    ["state"]                  {"agreed": version of the control channel, "left": [...], "ports": in use}

Source: Xen tools/include/libxenvchan.h; Qubes core-vchan-xen vchan/init.c, core-qrexec.
"""
import ctypes
import json
import os
import select
import socket
import subprocess
import sys

from qrexec_dom0 import STDOUT as STDOUT_KIND, Caller, Daemon, Left

SOCKET = "/run/qrexec.%d.sock"
STDOUT = "/run/qrexec.call.%d"
PORT = 512
RING = 65536
TICK = 0.02  # s; events of the library's file are not needed for it to be right
WAITING = 2  # what is_open() says before the first client
CLOSED = 0

_lib = ctypes.CDLL("libxenvchan.so.4.20")
for _name in ("server", "client"):
    getattr(_lib, "libxenvchan_%s_init" % _name).restype = ctypes.c_void_p
_WHERE = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
_lib.libxenvchan_server_init.argtypes = _WHERE + [ctypes.c_size_t, ctypes.c_size_t]
_lib.libxenvchan_client_init.argtypes = _WHERE
for _name in ("wait", "close", "is_open", "data_ready", "buffer_space", "fd_for_select"):
    getattr(_lib, "libxenvchan_" + _name).argtypes = [ctypes.c_void_p]
for _name in ("read", "write"):
    getattr(_lib, "libxenvchan_" + _name).argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]


class Channel:
    """A vchan that never blocks: it moves what is there and what finds room."""

    def __init__(self, handle, path, server):
        self.handle, self.path, self.awaited = handle, path, server
        self.file = _lib.libxenvchan_fd_for_select(handle)

    def came(self):
        if self.awaited and _lib.libxenvchan_is_open(self.handle) != WAITING:
            self.awaited = False
            subprocess.run(["xenstore-rm", self.path], stderr=subprocess.DEVNULL)
        return not self.awaited

    def gone(self):
        return not self.awaited and _lib.libxenvchan_is_open(self.handle) == CLOSED

    def move(self, end):
        """Between the channel and a daemon or caller. True: there was anything."""
        n = _lib.libxenvchan_data_ready(self.handle)
        octets = b""
        if n > 0:
            buffer = ctypes.create_string_buffer(n)
            n = _lib.libxenvchan_read(self.handle, buffer, n)
            octets = buffer.raw[: max(n, 0)]
        end.feed(octets)
        n = min(_lib.libxenvchan_buffer_space(self.handle), len(end.out))
        n = max(_lib.libxenvchan_write(self.handle, bytes(end.out[:n]), n), 0) if n > 0 and not self.gone() else 0
        end.take(n)
        return bool(octets) or n > 0

    def close(self):
        _lib.libxenvchan_close(self.handle)
        if self.awaited:
            subprocess.run(["xenstore-rm", self.path], stderr=subprocess.DEVNULL)


def offered(domid, port):
    path = "/local/domain/0/data/vchan/%d/%d" % (domid, port)
    handle = _lib.libxenvchan_server_init(None, domid, path.encode(), RING, RING)
    if not handle:
        raise OSError("no vchan for domain %d" % domid)
    return Channel(handle, path, True)


class Call:
    def __init__(self, domid, port, number):
        self.caller = Caller()
        self.channel = offered(domid, port)
        self.out = open(STDOUT % number, "wb", buffering=0)
        self.written = 0
        self.held = self.gone = False

    def serve(self):
        """True if there was anything. Left: the real client would have gone."""
        if self.gone or self.held or not self.channel.came():
            return False
        did = self.channel.move(self.caller)
        self.written += self.out.write(self.caller.stdout)
        self.caller.got[STDOUT_KIND] = b""
        if not did and self.channel.gone():
            self.end()
        return did

    def end(self):
        if not self.gone:
            self.gone = True
            self.channel.close()
            self.out.close()


class Service:
    def __init__(self, domid):
        self.domid, self.daemon, self.control = domid, Daemon(), None
        self.left, self.calls = [], []
        path = SOCKET % domid
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        print("serving domain %d" % domid, flush=True)

    def run(self):
        while True:
            files = [call.channel.file for call in self.calls if not call.gone and not call.held]
            files += [self.control.file] if self.control else []
            ready, _, _ = select.select(files + [self.listener], [], [], TICK)
            for channel in [call.channel for call in self.calls if not call.gone] + [self.control]:
                if channel and channel.file in ready:
                    _lib.libxenvchan_wait(channel.handle)
            if self.listener in ready:
                self._request()
            self._serve()

    def _serve(self):
        try:
            self._talk()
            did = True
            while did:
                did = any([call.serve() for call in self.calls])
        except Left as why:
            self.left.append(str(why))

    def _talk(self):
        if self.control is None:
            path = "/local/domain/%d/data/vchan/0/%d" % (self.domid, PORT)
            if subprocess.run(["xenstore-exists", path]).returncode:
                return
            handle = _lib.libxenvchan_client_init(None, self.domid, path.encode())
            if not handle:
                return
            self.control = Channel(handle, path, False)
            self.daemon.connected()
        while self.control.move(self.daemon):
            pass
        for trigger in self.daemon.triggers:
            self.daemon.refuse(trigger)
        self.daemon.triggers.clear()
        if self.control.gone():
            self.control.close()
            self.control = None

    def _request(self):
        connection = self.listener.accept()[0]
        with connection, connection.makefile("rw") as file:
            do, *args = json.loads(file.readline())
            json.dump(getattr(self, "do_" + do)(*args), file)
            file.write("\n")

    def do_call(self, service, stdin):
        port = self.daemon.execute("user:QUBESRPC %s dom0" % service)
        self.calls.append(Call(self.domid, port, len(self.calls)))
        if stdin is not None:
            self.calls[-1].caller.write(stdin.encode())
            self.calls[-1].caller.close_stdin()
        return len(self.calls) - 1

    def do_look(self, number):
        call = self.calls[number]
        return {"octets": call.written, "stderr": call.caller.stderr, "code": call.caller.code, "gone": call.gone}

    def do_hold(self, number, whether):
        self.calls[number].held = whether

    def do_end(self, number):
        self.calls[number].end()

    def do_state(self):
        return {"agreed": self.daemon.agreed, "left": self.left, "ports": len(self.daemon.ports)}


if __name__ == "__main__":
    Service(int(sys.argv[1])).run()
