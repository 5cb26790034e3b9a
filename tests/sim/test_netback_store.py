"""What xenstored and dom0 do to a client's device by mistake: an error here, a node too few or too strange there.

Whatever it is, the firewall comes to rest, other clients are served, and when it is over the device works as before.
"""
import pytest
from frontend import CLOSED, CLOSING, CONNECTED, INIT_WAIT
from tests.sim.network import Network
from attacks import bent
from packets import Look, udp
from xenstored import READ, RM, TRANSACTION_END, TRANSACTION_START, UNWATCH, WATCH, WRITE

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
QUIET = 40  # requests to xenstored that a change of one node may cause, at most


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.other = net.client(B)
    net.set_rules(A, ["action=accept"])
    return net


class Refusing:
    """Counts the requests about clients' devices, and refuses one of them."""

    def __init__(self, end, number=-1, word=""):
        self.end, self.number, self.word = end, number, word
        self.seen = []

    def __enter__(self):
        self.end.refuse = self
        return self

    def __exit__(self, *exception):
        self.end.refuse = None

    def __call__(self, type, payload):
        if b"/vif" not in payload and type not in (TRANSACTION_START, TRANSACTION_END):
            return None
        self.seen.append((type, payload))
        return self.word if len(self.seen) - 1 == self.number else None


def _life(net, refusing):
    """A device is attached, works, and is detached within dom0's limits of 10 s; the number of requests."""
    with refusing:
        wire = net.client(A, rules=None, wait=False)
        net.machine.until(wire.end.connected, 10, "connection, request %d" % refusing.number)
        assert wire.pings()
        net.detach(wire)
    return len(refusing.seen)


@pytest.mark.parametrize("word", ["EIO", "EAGAIN", "ENOSPC", "EQUOTA"])
def test_every_request_to_xenstored_may_fail_once(net, word):
    """One error while a vif began left it dead until dom0 touched it."""
    end = net.firewall.store_end
    net.advance(1.1)
    before = net.holdings()
    requests = _life(net, Refusing(end))
    assert requests > 30
    refused = set()
    for number in range(requests):
        refusing = Refusing(end, number, word)
        _life(net, refusing)
        refused.add(refusing.seen[number][0])
        net.advance(3)
        assert net.holdings() == before, refusing.seen[number]
    assert {READ, WRITE, RM, WATCH, UNWATCH, TRANSACTION_START, TRANSACTION_END} <= refused
    assert net.other.pings()


def test_an_error_that_stays_is_told_once_and_asked_for_with_growing_gaps(net):
    """The quota is full for an hour: a line or two, a few requests a minute; then it works without dom0."""
    end = net.firewall.store_end
    lines = len(net.lines("vif"))
    end.refuse = lambda type, payload: "ENOSPC" if type == TRANSACTION_END else None
    wire = net.client(A, rules=None, wait=False)
    net.machine.advance(60)
    before = len(end.requests)
    net.machine.advance(600)
    assert len(end.requests) - before < 600
    assert len(net.lines("vif")) - lines == 1
    end.refuse = None
    net.machine.until(wire.end.connected, 35)
    assert wire.pings() and net.other.pings()


# ---- nodes that are missing, empty or nonsense -------------------------------------------------------

BACK = ["frontend", "frontend-id", "online", "state", "script", "mac", "ip", "bridge", "handle", "type", "hotplug-status",
        "mtu", "feature-rx-copy", "feature-sg", "feature-gso-tcpv4"]
FRONT = ["backend", "backend-id", "state", "handle", "mac", "mtu", "trusted", "tx-ring-ref", "rx-ring-ref", "event-channel",
         "request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4"]
WRONG = {"removed": None, "empty": b"", "a path": b"/local/domain/0/x", "negative": b"-1", "control": b"\x1b[2J\x00\xff"}


def _quiet(net, what):
    """The firewall comes to rest, and stays there: what xenstored is asked for in ten minutes. The rest serves."""
    end = net.firewall.store_end
    before = len(end.requests)
    net.settle()
    net.machine.advance(20)
    assert len(end.requests) - before < QUIET, "%s: %d requests" % (what, len(end.requests) - before)
    before = len(end.requests)
    net.machine.advance(600)
    assert len(end.requests) == before, "%s: goes on and on" % what
    assert net.other.pings(), what


def _at(net, state):
    """A device in that state of ours."""
    wire = net.client(A, rules=None, wait=False, auto=state != INIT_WAIT)
    if state == INIT_WAIT:
        net.settle()
    else:
        net.machine.until(wire.end.connected, 30)
    if state in (CLOSING, CLOSED):
        wire.end.auto = False
        wire.end.set_state(state)
        net.settle()
    assert wire.end.their_state() == state
    return wire


def _mended(net, directory, name, value):
    path = ("%s/%s" % (directory, name)).encode()
    if value is not None:
        net.machine.dom0.write(path, value)
    elif net.machine.store.get(path):
        net.machine.dom0.remove(path)


def _works_again(net, wire):
    """The frontend goes on as a frontend does, from wherever it has come to."""
    end = wire.end
    end.auto = True
    net.machine.advance(11)
    if not end.connected():
        end.set_state(CLOSED)
        end.reconnect()
    assert wire.pings()
    assert net.other.pings()


@pytest.mark.parametrize("state", [INIT_WAIT, CONNECTED, CLOSING, CLOSED])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("side", ["back", "front"])
def test_each_node_of_a_device_may_be_wrong(net, side, wrong, state):
    """`online` or `state` removed alone: the task ended and began again without end, at full CPU."""
    for name in BACK if side == "back" else FRONT:
        wire = _at(net, state)
        directory = wire.end.back if side == "back" else wire.end.front
        what = "%s %s" % (name, wrong)
        before = bent(net, directory, name, WRONG[wrong])
        _quiet(net, what)
        _mended(net, directory, name, before)
        _works_again(net, wire)
        net.detach(wire)
    net.machine.advance(5)
    assert net.figures()["vifs"] == 1


@pytest.mark.parametrize("name", BACK)
@pytest.mark.parametrize("wrong", WRONG)
def test_each_node_of_a_device_may_be_wrong_from_the_start(net, name, wrong):
    if name.startswith("feature"):
        return
    wire = net.client(A, rules=None, wait=False, attach=False)
    wire.end.attach(**{name: WRONG[wrong] and WRONG[wrong].decode("latin-1")})
    _quiet(net, name)
    for node, value in (("frontend", wire.end.front), ("frontend-id", str(wire.end.domid)), ("online", "1"), ("ip", A),
                        ("mac", "00:16:3e:5e:6c:00"), ("mtu", "1500")):
        if node == name:
            net.machine.write("%s/%s" % (wire.end.back, name), value)
    net.settle()
    _works_again(net, wire)


def test_a_directory_that_is_removed_while_a_node_is_wrong(net):
    """Not brought back to life by what we write."""
    for name in ("online", "state"):
        wire = _at(net, CONNECTED)
        bent(net, wire.end.back, name, None)
        wire.end.remove()
        net.settle()
        assert wire.end.gone() and net.figures()["vifs"] == 1
        wire.end.leave()


# ---- addresses ---------------------------------------------------------------------------------------


def _forwards(net, wire):
    net.settle()
    net.uplink.end.frames.clear()  # what lay in its ring until there was an address
    wire.send(udp(A, 1000, SERVER, 53, b"x"))
    seen = net.uplink.recv()
    return seen is not None and Look(seen).data == b"x"


@pytest.mark.parametrize("junk", ["", "abc", "10.137.0", "10.137.0.256", "10.137.0.21/32", "0.0.0.0", "127.0.0.1", "224.0.0.1",
                                  "255.255.255.255", "0x0a890015", "10.137.0.21.5", "١٠.137.0.21", "1" * 300, "\x1b[2J"])
def test_junk_in_ip(net, junk):
    """Nothing is forwarded, one line says why; from when it is right again it works, without another connection."""
    wire = net.client(A, rules=None, wait=False, attach=False)
    wire.end.attach(ip=junk)
    net.machine.until(wire.end.connected, 10)
    assert not _forwards(net, wire)
    told = net.lines("vif %s: ip is" % wire.end.name)
    assert len(told) == 1 and "expected" in told[0] and "nothing is forwarded" in told[0]
    assert "\x1b" not in net.firewall.console
    net.machine.write(wire.end.back + "/ip", A)
    net.settle()
    assert _forwards(net, wire) and wire.pings()
    net.machine.write(wire.end.back + "/ip", junk.encode())
    net.settle()
    assert not _forwards(net, wire) and net.other.pings()


@pytest.mark.parametrize("junk", ["", "abc", "00:16:3e:5e:6c", "01:16:3e:5e:6c:00", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00",
                                  "+0:16:3e:5e:6c:00", "00:16:3e:5e:6c:0g", "00-16-3e-5e-6c-00", "00:16:3e:5e:6c:00:00"])
def test_junk_in_mac(net, junk):
    """Qubes' own is taken, one line says so; a right one counts at once."""
    wire = net.client(A, rules=None, wait=False, attach=False)
    wire.end.attach(mac=junk)
    net.machine.until(wire.end.connected, 10)
    assert wire.pings()
    told = net.lines("vif %s: mac is" % wire.end.name)
    assert len(told) == 1 and "expected" in told[0]
    wire.send(udp(A, 1000, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    for mac, seen in (("00:16:3e:5e:6c:07", b"\x00\x16\x3e\x5e\x6c\x07"), (junk, b"\x00\x16\x3e\x5e\x6c\x00")):
        net.machine.write(wire.end.back + "/mac", mac)
        net.settle()
        net.uplink.send(udp(SERVER, 53, net.address, port))
        assert wire.recv()[:6] == seen, "the flow goes on"


def test_an_address_that_changes_takes_rules_and_flows_of_its_own(net):
    """The new one has its own rules at once; the old one's flows have ended."""
    wire = net.client(A, rules=None)
    wire.send(udp(A, 1000, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    net.machine.write(wire.end.back + "/ip", "10.137.0.99")
    net.settle()
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert wire.recv() is None and not _forwards(net, wire)
    net.set_rules("10.137.0.99", ["action=accept"])
    wire.send(udp("10.137.0.99", 1000, SERVER, 53, b"new"))
    assert Look(net.uplink.recv()).data == b"new"
    net.detach(wire)
