"""Ends of vchans in the lab's dom0, by libxenvchan with Qubes' paths in xenstore: none ever blocks. And how tests
ask the programs that use them.

    end = Server(domid, port, octets)      # end.came(): its client is there; once
    end = Client(domid, port)              # OSError: nobody offers that
    move(end, program)                     # between it and who speaks there; None: that was all

Source: Xen tools/include/libxenvchan.h; Qubes core-vchan-xen vchan/{init,io}.c.
"""
import ctypes
import json
import os
import socket
import subprocess

WAITING = 2  # what is_open() says before the first client

_lib = ctypes.CDLL("libxenvchan.so.4.20")
_lib.libxenvchan_server_init.restype = _lib.libxenvchan_client_init.restype = ctypes.c_void_p
_lib.libxenvchan_client_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
_lib.libxenvchan_server_init.argtypes = _lib.libxenvchan_client_init.argtypes + [ctypes.c_size_t, ctypes.c_size_t]
for _name in ("wait", "close", "is_open", "data_ready", "buffer_space", "fd_for_select"):
    getattr(_lib, "libxenvchan_" + _name).argtypes = [ctypes.c_void_p]
for _name in ("read", "write"):
    getattr(_lib, "libxenvchan_" + _name).argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]


class _End:
    """file: readable when something has happened; then call wait()."""

    def __init__(self, handle, path):
        if not handle:
            raise OSError("no vchan at " + path)
        self.handle, self.path = handle, path
        self.file = _lib.libxenvchan_fd_for_select(handle)

    def wait(self):
        _lib.libxenvchan_wait(self.handle)

    def gone(self):
        return _lib.libxenvchan_is_open(self.handle) == 0

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


def move(end, program):
    """How much moved between an end and a program with feed(), out, take(); None: all did, and the other side is gone.

    What feed() raises flies.
    """
    gone = end.gone()  # first: what it wrote before it left is there by now
    octets = end.take()
    program.feed(octets)
    n = 0 if gone else end.put(program.out)
    program.take(n)
    return None if gone and not octets else len(octets) + n


class Server(_End):
    """For one client. octets: of each ring."""

    def __init__(self, domid, port, octets):
        path = "/local/domain/0/data/vchan/%d/%d" % (domid, port)
        super().__init__(_lib.libxenvchan_server_init(None, domid, path.encode(), octets, octets), path)
        self.awaited = True

    def came(self):
        """True once: a client is there. Its entry in xenstore goes, as Qubes' library has it."""
        if self.awaited and _lib.libxenvchan_is_open(self.handle) != WAITING:
            self._withdraw()
            return True
        return False

    def gone(self):
        return not self.awaited and super().gone()

    def close(self):
        super().close()
        if self.awaited:
            self._withdraw()

    def _withdraw(self):
        self.awaited = False
        subprocess.run(["xenstore-rm", self.path], stderr=subprocess.DEVNULL)


class Client(_End):
    def __init__(self, domid, port):
        path = "/local/domain/%d/data/vchan/0/%d" % (domid, port)
        # the library itself would wait for it
        if subprocess.run(["xenstore-read", path + "/event-channel"], capture_output=True).returncode:
            raise OSError("nobody offers " + path)
        super().__init__(_lib.libxenvchan_client_init(None, domid, path.encode()), path)
        self.awaited = False


class Requests:
    """A socket that takes one request a connection: a line of JSON, [NAME, argument, ...]; the answer is another."""

    def __init__(self, path):
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)

    def answer(self, owner):
        """One of them, with what owner.do_NAME(...) returns."""
        connection = self.listener.accept()[0]
        with connection, connection.makefile("rw") as file:
            do, *args = json.loads(file.readline())
            json.dump(getattr(owner, "do_" + do)(*args), file)
            file.write("\n")
