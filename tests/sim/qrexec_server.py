"""dom0's qrexec in the simulated Xen: its daemon at our control channel, callers and services at data channels.

    dom0 = Dom0(machine)                                  # connects to whatever server the firewall offers
    call = dom0.call("qubes.WaitForSession")              # has begun; by dom0, or domain=N
    machine.settle(); call.code, call.stdout, call.stderr
    call.write(octets); call.close_stdin()

Calls that the firewall makes: dom0.policy(trigger) answers None (refuse), or a domain that takes it; the service's
side is then in dom0.served, in order. dom0.left says why a real program would have gone: [] or the test fails.
"""
import vchan_peer
from qrexec_dom0 import Caller, Daemon, Left, Service

FW, PORT = 2, 512
DATA = (16, 16)  # orders of the rings that qrexec-client offers


class Channel:
    """A Data of qrexec_dom0.py on a vchan. gone: the firewall has closed it."""

    def __init__(self, dom0, data, port, domain):
        self.dom0, self.data, self.port, self.domain = dom0, data, port, domain
        self.end = None
        self.gone = self.held = False  # held: it does nothing for now

    def __getattr__(self, name):
        return getattr(self.data, name)

    def peer(self):
        return self.dom0.machine.domains[self.domain]

    def serve(self):
        if self.held or self.gone or not self.connect():
            return False
        octets = self.end.read()
        try:
            self.data.feed(octets)
        except Left as why:
            self.dom0.left.append(str(why))
            self.close()
            return True
        n = self.end.write(self.data.out) if self.data.out and self.end.peer_lives() else 0
        self.data.take(n)
        if not self.end.peer_lives() and not self.end.ready():
            self.close()
        return len(octets) + n > 0

    def close(self):
        """Its program has ended."""
        if not self.gone:
            self.gone = True
            self.dom0.channels.remove(self)
            if self.end:
                self.end.close()


class Offered(Channel):
    """A caller: the server of its channel."""

    came = False

    def greet(self):
        """Of a call that is held: say HELLO, and no more."""
        self.held = False
        self.serve()
        self.held = True

    def offer(self, orders=DATA):
        self.end = vchan_peer.Server(self.peer(), FW, self.port, orders)
        self.dom0.ends.append(self.end)

    def connect(self):
        if not self.came and self.end is not None:
            self.came = self.end.came()
        return self.came


class Joined(Channel):
    """A service: the client of the firewall's channel."""

    def connect(self):
        if self.end is None:
            self.end = vchan_peer.connect(self.peer(), FW, self.port)
        return self.end is not None


class Dom0:
    def __init__(self, machine, **options):
        """options: of Daemon."""
        self.machine, self.daemon = machine, Daemon(**options)
        self.end = None
        self.held = False  # the daemon does nothing for now,
        self.deaf = False  # or reads nothing,
        self.piece = None  # or writes so many octets at once
        self.left = []
        self.channels, self.ends, self.served = [], [], []
        self.policy = lambda trigger: None
        machine.actors.append(self._serve)

    # ---- what dom0 and others do

    def call(self, service, domain=0, source=None, offer=True, just=False, version=4, held=False):
        """service: `name` or `name+argument`. source: its name."""
        source = source or ("dom0" if domain == 0 else "vm%d" % domain)
        return self.command("user:QUBESRPC %s %s" % (service, source), domain, offer, just, version, held)

    def command(self, command, domain=0, offer=True, just=False, version=4, held=False):
        """held: the caller neither reads nor writes, until it is set to False."""
        port = self.daemon.execute(command, domain, just)
        call = Offered(self, Caller(version), port, domain)
        call.held = held
        self.channels.append(call)
        if offer:
            call.offer()
        return call

    def restart(self):
        """The daemon ends, and another one comes."""
        self.end.close()
        self.end = None
        self.daemon.ports.clear()
        self.daemon.connected()

    # ---- the daemon

    def _serve(self):
        did = self._control()
        for channel in list(self.channels):
            did = channel.serve() or did
        for end in [end for end in self.ends if end.octets[vchan_peer.SERVER_LIFE] == 0]:
            if not end.collect():
                self.ends.remove(end)
        return did

    def _control(self):
        if self.held or (self.end is None and not self._connect()):
            return False
        octets = b"" if self.deaf else self.end.read()
        try:
            self.daemon.feed(octets)
        except Left as why:
            self.left.append(str(why))
            self.restart()
            return True
        for trigger in self.daemon.triggers[:]:
            self._decide(trigger)
        n = self.end.write(self.daemon.out[: self.piece]) if self.daemon.agreed and self.daemon.out else 0
        self.daemon.take(n)
        if not self.end.peer_lives() and not self.end.ready():
            self.end.close()  # the daemon waits for the next; which ports are in use it knows
            self.end = None
        return len(octets) + n > 0

    def _connect(self):
        firewall = self.machine.domains.get(FW)
        if firewall is None or not self.machine.firewalls():
            return False
        self.end = vchan_peer.connect(self.machine.domains[0], FW, PORT)
        if self.end is None:
            return False
        self.daemon.connected()
        return True

    def _decide(self, trigger):
        self.daemon.triggers.remove(trigger)
        domain = self.policy(trigger)
        if domain is None:
            self.daemon.refuse(trigger)
            return
        served = Joined(self, Service(), self.daemon.allow(trigger, domain), domain)
        served.trigger = trigger
        self.channels.append(served)
        self.served.append(served)
