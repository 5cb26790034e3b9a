"""dom0's toolstack for one vif, by xenstore writes alone: libxl's directories, rights and limits.

Source: Xen tools/libs/light/libxl_device.c (libxl__device_generic_add, libxl__initiate_device_generic_remove) and
libxl_nic.c (libxl__set_xenstore_nic); the nodes were compared with those of `xl network-attach`.
"""
import errno
import time

import pyxs

INITIALISING, INIT_WAIT, CONNECTED, CLOSING, CLOSED = b"1", b"2", b"4", b"5", b"6"
LIMIT = 10  # s: for InitWait, for Closed, and for the disappearance of the backend's directory
MAC = b"00:16:3e:5e:6c:00"


class Late(Exception):
    """The backend did not do in LIMIT what dom0 waits for; the text says what was there instead."""


class Device:
    """A vif of the domain `client`, whose backend is another domain. store: a pyxs.Client of dom0."""

    def __init__(self, store, backend, client, number, ip):
        self.store, self.domid, self.client, self.number, self.ip = store, backend, client, number, ip
        self.frontend = b"/local/domain/%d/device/vif/%d" % (client, number)
        self.backend = b"/local/domain/%d/backend/vif/%d/%d" % (backend, client, number)

    def create(self):
        """Make both directories in one transaction, as libxl does."""
        ours = {b"backend": self.backend, b"backend-id": b"%d" % self.domid, b"state": INITIALISING, b"handle": b"%d" % self.number,
                b"mac": MAC, b"trusted": b"0", b"mtu": b"1500"}
        theirs = {b"frontend": self.frontend, b"frontend-id": b"%d" % self.client, b"online": b"1", b"state": INITIALISING,
                  b"script": b"/etc/xen/scripts/vif-route-qubes", b"mac": MAC, b"ip": self.ip.encode(), b"bridge": b"xenbr0",
                  b"handle": b"%d" % self.number, b"type": b"vif", b"hotplug-status": b""}

        def write():
            self._directory(self.frontend, [b"n%d" % self.client, b"r%d" % self.domid], ours)
            self._directory(self.backend, [b"n%d" % self.domid, b"r%d" % self.client], theirs)
        self._transaction(write)

    def _directory(self, path, rights, nodes):
        self.store.mkdir(path)
        self.store.set_perms(path, rights)  # what is made below inherits them
        for name, value in nodes.items():
            self.store.write(path + b"/" + name, value)

    def attach(self):
        """create(), then wait as libxl does: seconds until the backend offered itself. Raises Late."""
        began = time.monotonic()
        self.create()
        self.wait(self.backend + b"/state", INIT_WAIT)
        return time.monotonic() - began

    def ask_for_removal(self, forced=False):
        """What dom0 writes first when it detaches. forced: without regard for the frontend, as for a destroyed domain."""
        self.asked = time.monotonic()

        def write():
            self.store.write(self.backend + b"/online", b"0")
            self.store.write(self.backend + b"/state", CLOSING)
            if forced:
                self.store.delete(self.frontend)
        self._transaction(write)

    def wait_for_removal(self):
        """And what it then waits for: (seconds from asking until Closed, until the directory was gone). Raises Late."""
        self.wait(self.backend + b"/state", CLOSED, None)  # it may be gone before we look
        closed = time.monotonic()
        self.wait(self.backend, None)
        gone = time.monotonic()
        self.clean()
        return closed - self.asked, gone - self.asked

    def clean(self):
        """Remove the frontend's directory, the backend's if it still stands, and parents left empty."""
        def write():
            for path in (self.frontend, self.backend):
                if self.store.exists(path):
                    self.store.delete(path)
                for _ in range(3):
                    path = path.rpartition(b"/")[0]
                    if path.endswith(b"/device") or not self.store.exists(path) or self.store.list(path):
                        break
                    self.store.delete(path)
        self._transaction(write)

    def wait(self, path, *wanted):
        """The value of a node once it is one of `wanted`; None: there is no such node. Raises Late."""
        end, pause = time.monotonic() + LIMIT, 0.001
        while True:
            got = self._read(path)
            if got in wanted:
                return got
            if time.monotonic() > end:
                raise Late("%s is %s after %d s, not %s" % (path, got, LIMIT, wanted))
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _read(self, path):
        try:
            return self.store.read(path)
        except pyxs.PyXSError as error:
            if error.args[0] == errno.ENOENT:
                return None
            raise

    def _transaction(self, write):
        """write() in a transaction, again as long as another one came between."""
        while True:
            self.store.transaction()
            write()
            if self.store.commit():
                return
