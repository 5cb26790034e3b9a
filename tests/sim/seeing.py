"""Services of firewall.* in the simulated Xen, asked by a dom0 with its qrexec.

    see = Seeing(machine)                           # a whole firewall, see network.py, and dom0 at its control channel
    see.lines("firewall.Flows+10.137.0.21")         # what a call that ends by itself has said, as text
    see.objects("firewall.Status")                  # the same by +json, checked against what holds for every line
    call = see.call("firewall.Watch+json"); see.net.advance(3); see.read(call)      # one that does not end
"""
import json

from qrexec_server import Dom0
from tests.sim.network import Network

MOST = 4096  # octets of a line


def parsed(service, octets, ends=True):
    """The objects of an answer in JSON, without the first line and the last. AssertionError: it is none."""
    lines = octets.split(b"\n")
    if ends:
        assert lines.pop() == b"", lines
    else:
        lines.pop()  # perhaps half a line
    found = []
    for line in lines:
        assert len(line) < MOST and all(0x20 <= octet < 0x7F for octet in line), line
        found.append(json.loads(line))
        assert isinstance(found[-1], dict)
    assert found.pop(0) == {"format": service.lower(), "version": 1}
    if ends:
        assert found.pop() == {"end": True}
    return found


class Seeing:
    def __init__(self, machine, cmdline="", **options):
        """options: of Network."""
        self.machine = machine
        self.dom0 = Dom0(machine)
        self.net = Network(machine=machine, cmdline="qrexec=on " + cmdline, **options)
        machine.until(lambda: self.dom0.daemon.agreed, 10, "qrexec")

    def call(self, service, stdin=None, **options):
        """stdin: octets, and its end; None: it stays open."""
        call = self.dom0.call(service, **options)
        if stdin is not None:
            call.write(stdin)
            call.close_stdin()
        self.net.settle()
        return call

    def done(self, service, stdin=b"", code=0):
        """A call that ends by itself."""
        call = self.call(service, stdin)
        self.machine.until(lambda: call.gone, 60, "the end of " + service)
        assert (call.code, self.dom0.left) == (code, []), call.stderr
        return call

    def lines(self, service, stdin=b""):
        octets = self.done(service, stdin).stdout
        assert all(0x20 <= octet < 0x7F or octet == 0x0A for octet in octets)
        return octets.decode().splitlines()

    def objects(self, service, stdin=b""):
        return parsed(service.partition("+")[0], self.done(service + "+json", stdin).stdout)

    def so_far(self, call, service):
        """The objects of a call that goes on."""
        return parsed(service, call.stdout, False)
