"""What dom0 may do that concerns other qubes: it costs us nothing, and nothing waits for an answer of ours."""
from passing import passes, passes_now
from test_whole_firewall import KEYS, Whole, rules

A = "10.137.0.21"
OWN = "/local/domain/2"


def whole(machine, **more):
    net = Whole(machine, {**KEYS, **rules(A), "/connected-ips": A.encode(), **more})
    wire = net.client(A, rules=None)
    passes(net, wire)
    return net, wire


def test_memory_target_is_ignored(machine):
    """We have no balloon: nobody looks at the node, and none reports what we use (qmemman takes it for a promise)."""
    net, wire = whole(machine)
    for name in ("target", "static-max", "meminfo", "hotplug-max"):
        machine.write("%s/memory/%s" % (OWN, name), "400000", [("n", 0), ("r", 2)])
    machine.settle()
    held, hypercalls = net.level(), net.firewall.domain.hypercalls
    for target in (400000, 20000, 1, 0, "", "x" * 100, -5):
        machine.write(OWN + "/memory/target", str(target))
        machine.settle()
    assert net.firewall.domain.hypercalls == hypercalls, "it does not even wake"
    assert net.level() == held
    assert machine.read(OWN + "/memory/meminfo") == b"400000"
    passes_now(net, wire)


def test_nothing_is_offered_to_a_gui_daemon(machine):
    """It waits at port 6000 for as long as it likes; the one server that we have is qrexec's."""
    net, wire = whole(machine)
    machine.advance(60)
    ports = machine.dom0.directory((OWN + "/data/vchan/0").encode())
    assert [bytes(port) for port in ports] == [b"512"]
    passes_now(net, wire)


def test_nobody_waits_for_a_gui_or_qrexec_daemon(machine):
    """Clients are served at once, without either: the clock stands still from our start to the first answer."""
    net = Whole(machine, {**KEYS, **rules(A), "/connected-ips": A.encode()}, uplink=False)
    began = machine.now
    wire = net.client(A, rules=None)
    assert wire.pings() and machine.now == began
