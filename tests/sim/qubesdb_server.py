"""dom0's QubesDB daemon in the simulated Xen: behind a vchan to the firewall, served whenever there is something to do."""
import vchan_peer
from qubesdb_dom0 import Daemon, Left

FW, PORT = 2, 111


class Dom0:
    """keys: what it begins with. publish: it is there from the start."""

    def __init__(self, machine, keys, publish=True):
        self.machine, self.daemon, self.end = machine, Daemon(keys), None
        self.left = []  # why the real one would have gone
        self.held = False  # it does nothing for now
        machine.actors.append(self._serve)
        if publish:
            self.publish()

    def publish(self, orders=(12, 12)):
        self.end = vchan_peer.Server(self.machine.domains[0], FW, PORT, orders)
        self.here = False

    def restart(self):
        """The daemon ends and comes again."""
        self.end.close()
        self.daemon.connected()
        self.publish()
        self.machine.settle()

    def _serve(self):
        if self.end is None or self.held:
            return False
        if not self.here:
            if not self.end.came():
                return False
            self.here = True
            self.daemon.connected()
        octets = self.end.read()
        try:
            self.daemon.feed(octets)
        except Left as why:
            self.left.append(str(why))
            self.end.close()
            self.end = None
            return True
        n = self.end.write(self.daemon.out) if self.daemon.out else 0
        self.daemon.take(n)
        if not self.end.peer_lives():
            self.end.close()
            self.publish()
        return len(octets) + n > 0

    def commit(self, address, texts, **more):
        self.daemon.commit(address, texts, **more)
        self.machine.settle()
