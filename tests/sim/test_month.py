"""A month in little: clients come and go, rules change, netvms restart, the host sleeps, and traffic throughout.

The program that ships, with everything around it. The whole has 2,000 clients, 200 rule changes, 50 restarts of the
netvm, 20 pauses of hours, 10 restarts of QubesDB and 5 of qrexec's daemon (--long); without, a tenth of each.
"""
import random

import qrexec_server
from netvm import Netvm
from packets import ACK, SYN, Look, echo, tcp, udp
from passing import address, ended
from qubesdb_dom0 import rule_keys
from test_whole_firewall import KEYS, Whole, again

SERVER, DENIED = "192.0.2.50", "192.0.2.51"
STAYING = 3  # clients with a flow each that lives through everything
CHANGING = 6  # others at a time
HEAP_SLACK = 200  # KiB
OPEN = b"action=accept dst4=192.0.2.50/32"


class Month(Whole):
    def __init__(self, machine, dice):
        self.dice = dice
        self.addresses = [address(i) for i in range(STAYING + CHANGING)]
        keys = {**KEYS, "/connected-ips": " ".join(self.addresses).encode()}
        for ip in self.addresses:
            keys.update(rule_keys(ip, [OPEN]))
        super().__init__(machine, keys)
        self.qrexec = qrexec_server.Dom0(machine)
        machine.until(lambda: self.qrexec.daemon.agreed)
        self.staying = [self.client(ip, rules=None) for ip in self.addresses[:STAYING]]
        self.changing = [self.client(ip, rules=None) for ip in self.addresses[STAYING:]]
        self.flows = {wire: self.connect(wire) for wire in self.staying}
        self.netvms = 0

    def sport(self, wire):
        """Of its connection: another for each client, so that it is the port outside too, and can be picked up."""
        return 1000 + self.addresses.index(wire.address)

    def connect(self, wire):
        """A TCP connection that both sides use; the port outside."""
        wire.send(tcp(wire.address, self.sport(wire), SERVER, 80))
        port = Look(self.uplink.recv()).sport
        self.uplink.send(tcp(SERVER, 80, self.address, port, SYN | ACK))
        assert wire.recv()
        wire.send(tcp(wire.address, self.sport(wire), SERVER, 80, ACK))
        assert self.uplink.recv()
        return port

    def quiet(self):
        self.settle()
        for wire in self.staying + self.changing + [self.uplink]:
            wire.end.frames.clear()
            if wire is not self.uplink:
                wire.end.responses.clear()

    # ---- what happens

    def client_changes(self):
        """A client goes in one of the ways there are, and comes back: with its number, or as another domain."""
        n = self.dice.randrange(CHANGING)
        wire = self.changing[n]
        if self.dice.random() < 0.5:
            again(self, wire, self.dice.randrange(3))
            return
        ended(self, wire.end, self.dice.randrange(3))
        wire.end.peer.kill()
        wire.end.forget()
        wire.end.leave()
        self.wires.remove(wire)
        self.changing[n] = self.client(wire.address, rules=None)

    def rules_change(self):
        """Of any client: those who stay keep what their flow needs."""
        n = self.dice.randrange(self.dice.randrange(1, 40))
        more = [b"action=accept dst4=203.0.113.%d/32 proto=tcp dstports=%d-%d" % (i, i + 1, i + 9) for i in range(n)]
        self.dom0.commit(self.dice.choice(self.addresses), more + [OPEN])

    def netvm_restarts(self, split=None):
        """Killed, or taken away in good order; another domain takes its place. split: whether it has two channels."""
        end = self.uplink.end
        self.wires.remove(self.uplink)
        if self.dice.random() < 0.5:
            end.kill()
        else:
            end.detach()
            end.leave()
            end.peer.kill()
        self.staying[0].send(udp(self.staying[0].address, 5, SERVER, 53))
        assert Look(self.staying[0].recv()).kind == 3
        self.netvms += 1
        split = self.dice.random() < 0.7 if split is None else split
        new = Netvm(self.machine, 20000 + self.netvms, gso=self.dice.random() < 0.7, split=split)
        self.uplink_to(new)
        self.machine.until(new.connected, 15, "the uplink")
        self.machine.advance(2.5)

    def host_sleeps(self):
        """As qubesd does it, for longer than a connection lives, or not: then all that were in use live on."""
        long = self.dice.random() < 0.5
        for service, seconds in (
            ("qubes.SuspendPreAll", self.dice.randrange(10000, 400000) if long else self.dice.randrange(600, 7000)),
            ("qubes.SuspendPostAll", 0),
        ):
            call = self.qrexec.call(service)
            self.machine.settle()
            assert call.code == 0
            self.machine.pause(seconds)
        if long:
            self.flows = {wire: self.goes_on(wire) for wire in self.staying}

    def goes_on(self, wire):
        """A connection that we have forgotten, and its ends have not: picked up, by what port it may be."""
        wire.send(tcp(wire.address, self.sport(wire), SERVER, 80, ACK))
        port = Look(self.uplink.recv()).sport
        self.uplink.send(tcp(SERVER, 80, self.address, port, ACK))
        self.quiet()
        return port

    def qubesdb_restarts(self):
        self.dom0.restart()
        self.machine.advance(5)

    def qrexec_restarts(self):
        self.qrexec.restart()
        self.machine.advance(5)

    # ---- traffic

    def traffic(self):
        """Every client's allowed packet leaves and comes back; the flows that stay go both ways."""
        self.quiet()
        for n, wire in enumerate(self.changing):
            sport = self.dice.randrange(1024, 60000)
            wire.send(udp(wire.address, sport, SERVER, 53, bytes(self.dice.randrange(1400))))
            seen = Look(self.uplink.recv())
            self.uplink.send(udp(SERVER, 53, self.address, seen.sport, b"answer"))
            assert Look(wire.recv()).dport == sport
            if n == 0:
                wire.send(echo(wire.address, self.gateway))
                assert Look(wire.recv()).kind == 0
                wire.send(udp(wire.address, sport, DENIED, 53))
                assert Look(wire.recv()).kind == 3
        for wire, port in self.flows.items():
            self.uplink.send(tcp(SERVER, 80, self.address, port, ACK, b"in"))
            assert Look(wire.recv()).data == b"in", "a flow that should live"
            wire.send(tcp(wire.address, self.sport(wire), SERVER, 80, ACK, b"out"))
            seen = Look(self.uplink.recv())
            assert (seen.sport, seen.data) == (port, b"out")
        assert self.left() == []
        self.quiet()

    def at_rest(self):
        """(what must not grow, KiB of heap free at the best of some looks) when what nobody answered is over."""
        self.netvm_restarts(split=True)
        for _ in range(3):
            self.machine.advance(300)
            self.traffic()
        return self.level(), max(self.status()["heap"] for _ in range(12))


def test_a_month(machine, figure, request):
    part = 1 if request.config.getoption("--long") else 10
    dice = random.Random(30)
    net = Month(machine, dice)
    events = ["client_changes"] * (2000 // part) + ["rules_change"] * (200 // part) + ["netvm_restarts"] * (50 // part)
    events += ["host_sleeps"] * (20 // part) + ["qubesdb_restarts"] * (10 // part) + ["qrexec_restarts"] * (5 // part)
    dice.shuffle(events)
    for event in ("client_changes", "rules_change", "netvm_restarts", "host_sleeps", "qubesdb_restarts"):
        getattr(net, event)()  # what is made once, at first need
        net.traffic()
    first, heap = net.at_rest()
    began = machine.now
    most = len(events)
    for n, event in enumerate(events):
        getattr(net, event)()
        if event != "client_changes" or n % 10 == 0:
            net.traffic()
        machine.advance(2)
    last, left = net.at_rest()
    days = (machine.now - began) / 86400e9
    figure("a month: %d events in %.1f days; heap free at first, at last" % (most, days), "%d, %d KiB" % (heap, left))
    assert last == first, "something grew"
    assert left > heap - HEAP_SLACK
    assert net.dom0.left == [] and net.qrexec.left == []
    assert not net.lines(" error ") and not net.uplink.end.dirty
