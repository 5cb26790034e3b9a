"""One end of a network device in the simulated Xen, and dom0's part for it: what frontend.Client and netvm.Netvm share.

Source: libxl_device.c, libxl_nic.c.
"""
MAC = "00:16:3e:5e:6c:00"
INITIALISING, INIT_WAIT, CONNECTED, CLOSING, CLOSED = 1, 2, 4, 5, 6


class Device:
    """front, back: paths of both ends' directories; own: the one of the two that this end writes.

    A subclass has serve() for machine.actors.
    """

    def __init__(self, machine, peer, front, back, own):
        self.machine, self.peer, self.domid = machine, peer, peer.domid
        self.front, self.back, self._own = front, back, own
        self.xs = machine.store.client(self.domid)
        self.state = 0
        self.port = 0
        self.tx = self.rx = None
        self.frames = []  # that came: (octets, blank, gso, slots)
        machine.actors.append(self.serve)

    # ---- dom0's part

    def make_home(self):
        """The directory of this end's domain, if it is not there."""
        home = b"/local/domain/%d" % self.domid
        if self.machine.store.get(home) is None:
            self.machine.dom0.mkdir(home)
            self.machine.dom0.set_perms(home, (("n", 0), ("r", self.domid)))

    def make_directory(self, tx, path, owner, reader, nodes):
        """A directory of one domain that another may read, and what stands in it. None: that node does not."""
        dom0 = self.machine.dom0
        dom0.mkdir(path.encode(), tx)
        dom0.set_perms(path.encode(), (("n", owner), ("r", reader)), tx)
        for name, value in nodes.items():
            if value is not None:
                dom0.write(("%s/%s" % (path, name)).encode(), str(value).encode(), tx)

    def remove(self):
        """Both directories go, whatever anybody says."""
        for path in (self.front, self.back):
            self.machine.dom0.remove(path.encode())

    # ---- in xenstore and at the rings

    def write(self, name, value):
        self.xs.write(("%s/%s" % (self._own, name)).encode(), str(value).encode())

    def set_state(self, state):
        self.state = state
        self.write("state", state)

    def recv(self):
        """(octets, blank, gso, slots) that arrived, or None."""
        self.machine.settle()
        return self.frames.pop(0) if self.frames else None

    def leave(self):
        """Forget it: no part in the machine any longer."""
        if self.serve in self.machine.actors:
            self.machine.actors.remove(self.serve)
        self.xs.leave()
