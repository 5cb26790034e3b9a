"""The life of a client's device: what dom0 and frontends of all kinds do in xenstore, and when we answer.

dom0's time-outs are in frontend.Client.detach(): 10 s for Closed, 10 s for our directory to go.
"""
import pytest
from frontend import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING, Client
from machine import Machine
from tests.sim.network import Network
from packets import Look, echo, udp
from store import OXENSTORED, XENSTORED

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"


@pytest.fixture(params=[XENSTORED, OXENSTORED], ids=lambda personality: personality.name)
def net(request):
    with Machine(personality=request.param) as machine:
        yield Network(machine=machine)


def alone(net, ip=A, **options):
    """A client whose frontend the test moves by hand, at InitWait."""
    wire = net.client(ip, wait=False, auto=False, **options)
    net.settle()
    assert wire.end.their_state() == INIT_WAIT
    return wire


def test_a_device_is_offered_at_once(net):
    """dom0 waits 10 s for InitWait; the clock stands still here."""
    before = net.machine.now
    wire = alone(net)
    assert net.machine.now == before
    for name, value in (("feature-rx-copy", b"1"), ("feature-sg", b"1"), ("feature-gso-tcpv4", b"1")):
        assert net.machine.read(wire.end.back + "/" + name) == value


def test_it_is_offered_without_uplink_rules_or_address():
    with Machine() as machine:
        net = Network(machine=machine, uplink=False)
        net.tell("network 0 0")
        wire = net.client(A, rules=None)
        assert wire.end.connected()


def test_few_nodes_are_written(net):
    """All of them count towards our quota of 1000, dom0's too."""
    net.figures()  # the answer's own node
    before = net.firewall.holdings()["nodes"]
    net.client(A)
    assert net.firewall.holdings()["nodes"] - before == 15


def test_connect_detach_and_all_is_given_back(net):
    before = net.holdings()
    for force in (False, True):
        wire = net.client(A)
        assert wire.pings()
        began = net.machine.now
        net.detach(wire, force)
        assert net.machine.now - began < 2_000_000_000
        assert net.holdings() == before


def test_a_client_that_does_not_follow_is_removed_within_dom0s_time(net):
    """online=0, and the frontend stays Connected: 4 s for it, of dom0's 10."""
    before = net.holdings()
    wire = net.client(A)
    wire.end.auto = False
    wire.end.detach()
    assert net.holdings() == before


@pytest.mark.parametrize("force", [False, True])
def test_dom0_sees_closed_before_the_directory_goes(net, force):
    """libxl is told of the change, then reads the node: if that is gone it calls the removal failed."""
    wire = net.client(A)
    wire.end.offline(force)
    net.machine.until(lambda: wire.end.their_state() == CLOSED, 10)
    net.advance(0.8)
    assert wire.end.their_state() == CLOSED
    net.machine.until(wire.end.gone, 9)


def test_another_client_is_served_while_one_is_waited_for(net):
    slow, other = net.client(A), net.client(B)
    slow.end.auto = False
    slow.end.offline()
    net.advance(0.5)
    assert not slow.end.gone() and other.pings()
    third = net.client("10.137.0.23")
    assert third.pings()


def test_a_frontend_that_jumps_to_closed_and_begins_again(net):
    """Linux on a change of its netvm, kexec."""
    wire = net.client(A)
    for _ in range(3):
        wire.end.set_state(CLOSED)
        net.settle()
        assert wire.end.their_state() == CLOSED
        wire.end.set_state(INITIALISING)
        net.machine.until(wire.end.connected, 10)
        assert wire.pings()


def test_a_frontend_that_jumps_from_connected_to_initialising(net):
    wire = net.client(A)
    wire.end.set_state(INITIALISING)
    net.machine.until(wire.end.connected, 10)
    assert wire.pings()


def test_closing_is_followed_step_by_step(net):
    wire = net.client(A)
    wire.end.auto = False
    wire.end.set_state(CLOSING)
    net.settle()
    assert wire.end.their_state() == CLOSING and net.firewall.mapped() == 0
    wire.end.set_state(CLOSED)
    net.settle()
    assert wire.end.their_state() == CLOSED and not wire.end.gone(), "online: the directory stays"


def test_windows_closes_before_it_first_connects(net):
    """It spins until we answer 5, then 6."""
    wire = alone(net)
    began = net.machine.now
    for state in (CLOSING, CLOSED):
        wire.end.set_state(state)
        net.settle()
        assert wire.end.their_state() == state
    wire.end.set_state(INITIALISING)
    net.settle()
    assert wire.end.their_state() == INIT_WAIT and net.machine.now == began
    wire.end.connect()
    net.settle()
    assert wire.end.connected() and wire.pings()


def test_initialised_is_enough_to_connect(net):
    wire = alone(net)
    wire.end.make_rings()
    wire.end.publish()
    wire.end.write("state", 3)
    net.settle()
    assert wire.end.their_state() == CONNECTED


def test_a_directory_that_vanishes_is_no_error(net):
    """Ours too: a write to it must not bring it back."""
    before = net.holdings()
    wire = net.client(A)
    wire.end.remove()
    net.settle()
    assert wire.end.gone() and net.holdings() == before
    assert not net.lines("error")


def test_an_unreadable_frontend_reads_as_gone(net):
    """EACCES: dom0 has deleted it, the parent's permissions count."""
    wire = net.client(A)
    net.machine.dom0.remove(wire.end.front.encode())
    net.settle()
    assert wire.end.their_state() == CLOSED and net.firewall.mapped() == 0


def test_a_device_made_anew_at_the_same_place(net):
    """Removed and created before we have looked: dom0 waits for InitWait, with the new address."""
    for connected in (True, False):
        wire = net.client(A) if connected else alone(net)
        wire.end.remove()
        wire.end.forget()
        wire.end.ip = wire.address = B
        wire.end.attach()
        wire.end.auto = True
        net.set_rules(B, ["action=accept"])
        net.machine.until(wire.end.connected, 10)
        assert wire.pings()
        net.detach(wire)


def test_a_client_dies_and_dom0_cleans_up(net):
    before = net.holdings()
    wire, other = net.client(A), net.client(B)
    wire.end.kill()
    assert other.pings()
    wire.end.offline(force=True)
    net.machine.until(wire.end.gone, 10)
    net.detach(other)
    assert net.holdings() == before


def test_directories_that_appear_in_pieces(net):
    wire = net.client(A, wait=False, attach=False)
    began = net.firewall.domain.hypercalls
    wire.end.attach(**{"frontend-id": None, "online": None, "mac": None, "ip": None})
    net.advance(1)
    assert net.firewall.domain.hypercalls - began < 500, "it looks again and again"
    for name, value in (("ip", A), ("mac", "00:16:3e:5e:6c:00"), ("online", "1"), ("frontend-id", str(wire.end.domid))):
        net.machine.write("%s/%s" % (wire.end.back, name), value)
        net.settle()
    net.machine.until(wire.end.connected, 10)
    assert wire.pings()


def test_a_frontend_id_that_is_not_the_directorys(net):
    wire = net.client(A, wait=False, attach=False)
    wire.end.attach(**{"frontend-id": 1})
    net.advance(1)
    assert wire.end.their_state() == INITIALISING and net.firewall.mapped() == 0


def test_reconnecting_is_free_five_times_then_every_five_seconds(net):
    wire = net.client(A)
    times = [net.machine.now]
    for _ in range(6):
        wire.end.set_state(CLOSED)
        net.machine.until(lambda: wire.end.their_state() == CLOSED, 1)
        wire.end.set_state(INITIALISING)
        net.machine.until(wire.end.connected, 30)
        times.append(net.machine.now)
    gaps = [round((b - a) / 1e9, 1) for a, b in zip(times, times[1:])]
    assert gaps == [0, 0, 0, 0, 5, 5]
    net.detach(wire)


def test_a_device_that_has_to_wait_for_its_turn_is_removed_at_once(net):
    before = net.holdings()
    wire = net.client(A)
    for _ in range(5):
        wire.end.set_state(CLOSED)
        net.settle()
        wire.end.set_state(INITIALISING)
        net.settle()
    assert not wire.end.connected()
    began = net.machine.now
    net.detach(wire)
    assert net.machine.now - began < 2_000_000_000 and net.holdings() == before


def test_an_hvms_two_interfaces_with_one_address(net):
    """One may stay at InitWait for ever; either may be the live one; the one used last is answered."""
    before = net.holdings()
    stub = net.client(A)
    guest = net.client(A, wait=False, auto=False)
    net.settle()
    assert guest.end.their_state() == INIT_WAIT and stub.pings()
    stub.send(udp(A, 1000, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    guest.end.connect()
    net.settle()
    guest.send(udp(A, 1000, SERVER, 53))
    assert Look(net.uplink.recv()).sport == port
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert guest.recv() and not stub.recv()
    net.detach(stub)
    assert guest.pings()
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert guest.recv()
    guest.end.auto = True
    net.detach(guest)
    assert net.holdings() == before


def test_two_devices_of_one_domain(net):
    first = net.client(A)
    second = Client(net.machine, None, B, devid=1, peer=first.end.peer)
    net.set_rules(B, ["action=accept"])
    net.machine.until(second.connected, 10)
    assert first.pings()
    second.send(echo(B, net.gateway, seq=4))
    assert Look(second.recv()[0]).seq == 4


def test_a_client_of_before_has_left_nothing_for_its_successor(net):
    """The same address, another domain: no flow of the old one is the new one's."""
    old = net.client(A)
    old.send(udp(A, 1000, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    net.detach(old)
    new = net.client(A)
    net.uplink.send(udp(SERVER, 53, net.address, port))
    assert new.recv() is None


def test_strange_names_below_backend_vif(net):
    for name in ("abc", "0", "32753", "4294967301", "5/x", "5/70000", "5/-1", "00005/0"):
        net.machine.write("/local/domain/2/backend/vif/" + name + "/frontend", "/nowhere")
    net.settle()
    assert net.client(A).pings()


def fill(net, nodes):
    """Let the firewall own so many nodes; who may remove data/fill to make room."""
    ours = net.machine.store.client(2)
    made = 0
    while net.firewall.holdings()["nodes"] < nodes:
        ours.write(b"data/fill/%d/%d" % (made // 100, made % 100), b"")
        made += 1
    return ours


def refused_for_the_quota(net):
    """(its wire, who may remove data/fill to make room): a client for whose device there are not enough nodes left."""
    net.set_rules(A, ["action=accept"])
    ours = fill(net, 990)
    wire = net.client(A, rules=None, wait=False)
    net.advance(1)
    assert wire.end.their_state() == INITIALISING
    return wire, ours


def test_a_quota_that_is_reached_costs_one_device(net):
    """ENOSPC, EQUOTA: the device is not offered; the others live on, and it comes when there is room."""
    other = net.client(B)
    wire, ours = refused_for_the_quota(net)
    assert other.pings()
    ours.remove(b"data/fill")
    net.machine.write(wire.end.back + "/online", "1")
    net.machine.until(wire.end.connected, 10)


def test_a_device_refused_for_the_quota_can_be_removed(net):
    """Nothing has been freed yet: what dom0 waits for must need no new node."""
    wire, _ = refused_for_the_quota(net)
    wire.end.detach()


def test_only_the_device_that_changed_is_read_again(net):
    wires = [net.client("10.137.1.%d" % i) for i in range(1, 20)]
    requests = net.firewall.store_end.requests
    before = len(requests)
    net.machine.write(wires[3].end.back + "/ip", wires[3].address)
    net.settle()
    read = [payload for _, payload in requests[before:]]
    assert 0 < len(read) < 8 and all(b"vif/%d/" % wires[3].end.domid in each or b"/%d/device" % wires[3].end.domid in each
                                     for each in read)
