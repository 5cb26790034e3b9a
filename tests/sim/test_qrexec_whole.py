"""The program that ships, with dom0's QubesDB and qrexec at its channels, and clients whose packets must not notice."""
import re

import qrexec_server
from passing import address
from share import STEP_NS
from test_whole_firewall import KEYS, Whole, forwards, rules

CLIENTS = 3
LONGEST = 300  # us between two services of the rings


def whole(machine, uplink=True, policy=lambda trigger: None):
    """(network, dom0's qrexec)"""
    dom0 = qrexec_server.Dom0(machine)
    dom0.policy = policy
    addresses = [address(i) for i in range(CLIENTS)]
    keys = {**KEYS, "/connected-ips": " ".join(addresses).encode()}
    for ip in addresses:
        keys.update(rules(ip))
    net = Whole(machine, keys, uplink)
    machine.until(lambda: dom0.daemon.agreed and net.dom0.daemon.keys.get("/qubes-iptables-error") == b"")
    return net, dom0


def ends_well(net, dom0):
    assert (dom0.left, dom0.daemon.stray, net.dom0.left) == ([], [], [])
    assert not net.lines(" error ")


def test_dom0_is_told_once_what_we_do(machine):
    asked = []

    def policy(trigger):
        asked.append(trigger)
        return 0
    net, dom0 = whole(machine, uplink=False, policy=policy)
    machine.until(lambda: asked)
    keys = net.dom0.daemon.keys  # the call begins when dom0 has said that it has them all
    dom0.served[0].exit(0)
    machine.settle()
    assert [(trigger.service, trigger.target) for trigger in asked] == [("qubes.FeaturesRequest", "dom0")]
    told = {key[len("/features-request/") :] for key in keys if key.startswith("/features-request/")}
    assert {"qrexec", "qubes-firewall", "supported-service.qubes-firewall"} <= told
    assert {"supported-rpc." + name for name in ("qubes.WaitForSession", "qubes.WaitForNetworkUplink")} <= told
    assert not told & {"supported-rpc." + name for name in ("qubes.VMShell", "qubes.ResizeDisk")}
    assert all(keys["/features-request/" + name] == b"1" for name in told)
    assert dom0.daemon.ports == {} and net.lines("dom0 was told what we do, and says 0")
    dom0.restart()
    net.dom0.restart()
    machine.advance(200)
    assert len(asked) == 1
    ends_well(net, dom0)


def test_telling_dom0_what_we_do_is_done_in_short_steps(machine, figure):
    """Nor does any other task take longer meanwhile. Time passes by the steps of the interpreter, see share.py."""
    dom0 = qrexec_server.Dom0(machine)
    dom0.held = True
    dom0.policy = lambda trigger: 0
    net = Whole(machine, KEYS, uplink=False)
    machine.until(lambda: net.dom0.daemon.keys.get("/qubes-iptables-error") == b"")
    net.firewall.status()
    dom0.held = False
    machine.header.step_ns = STEP_NS
    machine.until(lambda: dom0.served, 10, "our call")
    machine.header.step_ns = 0
    line, = [line for line in net.firewall.status() if "since last asked" in line]
    figure("longest gap while dom0 is told what we do", line.rpartition("asked: ")[2], LONGEST)
    assert int(re.search(r"(\d+) us", line)[1]) < LONGEST, line


def test_features_are_refused_and_that_is_all(machine):
    net, dom0 = whole(machine, uplink=False)
    machine.advance(600)
    assert len(net.lines("dom0 was told what we do, and says 126")) == 1
    ends_well(net, dom0)


def test_the_uplink_that_is_waited_for(machine):
    net, dom0 = whole(machine, uplink=False)
    call = dom0.call("qubes.WaitForNetworkUplink")
    machine.advance(1)
    assert call.code is None
    net.netvm(net.address)
    machine.advance(0.2)
    assert call.code == 0
    net.no_netvm()
    machine.settle()
    call, began = dom0.call("qubes.WaitForNetworkUplink"), machine.now
    machine.until(lambda: call.code is not None)
    assert call.code == 0 and machine.now - began <= 8e9
    ends_well(net, dom0)


def test_no_packet_minds_what_callers_do(machine):
    net, dom0 = whole(machine)
    machine.peer(77)
    wires = [net.client(address(i), rules=None) for i in range(CLIENTS)]
    forwards(net, wires)
    level = net.level()
    for round in range(3):
        deaf = [dom0.call("firewall.Watch", domain=77, held=True) for _ in range(4)]
        machine.settle()
        for call in deaf:
            call.greet()
        never = [dom0.call("qubes.WaitForSession", domain=77 * (i % 2), offer=False) for i in range(100)]
        dom0.daemon.out += bytes.fromhex("990900000100000078")
        machine.settle()
        forwards(net, wires)
        machine.advance(12)
        forwards(net, wires)
        assert "qrexec: version 4, calls: 4, waiting: 0, turned away: 0, calls of ours: 0" in net.firewall.status()
        call = dom0.call("qubes.SuspendPreAll")
        machine.settle()
        assert call.code == 0
        dom0.call("qubes.SuspendPostAll")
        for call in deaf:
            call.held = False
        for call in deaf + never:
            call.close()
        machine.settle()
        forwards(net, wires)
    machine.advance(12)
    now = net.level()
    assert {**now, "pages": 0} == {**level, "pages": 0}
    ends_well(net, dom0)
