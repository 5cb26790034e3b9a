"""What is written into xenstore to confuse: by a client about its device, by dom0 about a client and about us."""
import pytest
from attacks import LIAR, forwarding, frame, net, rest, row, works  # noqa: F401
from frontend import CLOSED, CLOSING, INIT_WAIT, INITIALISING
from packets import Look


def junk_in(**nodes):
    def lie(client):
        client.make_rings()
        client.publish(**nodes)
    lie.__name__ = "_".join("%s_%s" % each for each in nodes.items())[:40]
    return lie


def port_of_nobody(client):
    client.make_rings()
    client.publish(event_channel=900)


def port_for_another_domain(client):
    client.make_rings()
    client.publish(event_channel=client.peer.evtchn_alloc(0))


def ring_of_another_domain(client):
    client.make_rings()
    client.publish(tx_ring_ref=client.peer.grant(client.peer.page(), 0))


def both_rings_in_one_page(client):
    """Each side of one would write what the other takes for the peer's."""
    client.make_rings()
    client.publish(rx_ring_ref=client.refs[0])


JUNK = [junk_in(**{name: value}) for name in ("tx_ring_ref", "rx_ring_ref", "event_channel")
        for value in (None, "", "-1", "4294967296", "0x10", "1 ", "a\tb\x1b", "1900")]
JUNK += [junk_in(request_rx_copy=None), junk_in(request_rx_copy="2")]
JUNK += [junk_in(multi_queue_num_queues=value) for value in ("0", "2", "x", "4096", "-1")]
JUNK += [port_of_nobody, port_for_another_domain, ring_of_another_domain, both_rings_in_one_page]


@row("XSA-39", "QSB-087", "num-queues 0")
@pytest.mark.parametrize("lie", JUNK, ids=lambda lie: repr(lie.__name__))
def test_junk_in_the_clients_directory(net, lie):
    """One line, its control bytes escaped; it may try again."""
    before = rest(net)
    liar = net.client(LIAR, wait=False, auto=False)
    net.settle()
    assert liar.end.their_state() == INIT_WAIT
    with forwarding(net):
        lie(liar.end)
        net.settle()
    assert liar.end.their_state() == CLOSING
    assert len(net.lines("vif %s: not connected" % liar.end.name)) == 1
    assert "\x1b" not in net.firewall.console and "\t" not in net.firewall.console
    liar.end.set_state(CLOSED)
    net.settle()
    for node in ("multi-queue-num-queues", "tx-ring-ref", "rx-ring-ref"):
        liar.end.xs.remove((liar.end.front + "/" + node).encode())
    liar.end.auto = True
    liar.end.reconnect()
    net.detach(liar)
    assert rest(net) == before


@pytest.mark.parametrize("state", ["", "0", "9", "-1", "7", "8", "abc", "44444444444444", "\x00\xff", "4 "])
def test_junk_in_the_clients_state(net, state):
    liar = net.client(LIAR)
    liar.end.auto = False
    with forwarding(net):
        liar.end.write("state", state)
        net.settle()
    net.detach(liar)


@row("state-flap", "XSA-349", "XSA-374")
def test_a_state_that_toggles(net, in_ci):
    """Closed, Initialising, Closed ... Nothing grows, and dom0 is still served."""
    before = rest(net)
    liar = net.client(LIAR)
    liar.end.auto = False
    settled = None
    rounds = 1000 if in_ci else 10000
    for i in range(rounds):
        liar.end.set_state((CLOSED, INITIALISING)[i & 1])
        if i % 10 == 0:
            net.settle()
        if i % 100 == 0:
            works(net)
        if i == rounds // 2:
            settled = rest(net)
    net.settle()
    assert rest(net) == settled
    net.detach(liar)
    assert rest(net) == before


@row("XSA-349")
def test_nodes_rewritten_without_end(net, in_ci):
    """Below the frontend and in what is watched; memory stays bounded, others are served."""
    liar = net.client(LIAR)
    liar.end.auto = False
    before = rest(net)
    heap = net.figures()["heap"]
    for i in range(2000 if in_ci else 20000):
        liar.end.write("state", "4")
        liar.end.write("state/more-%d" % (i % 50), "x")
        if i % 200 == 0:
            works(net)
    net.settle()
    assert rest(net) == before and net.figures()["heap"] < heap + 50000
    works(net)


@row("ip-two")
def test_two_addresses_in_the_ip_node(net):
    both = net.client("fd09:24ef:4179::a89:1 %s" % LIAR, rules=None)
    net.set_rules(LIAR, ["action=accept"])
    both.send(frame())
    assert Look(net.uplink.recv()).data == b"data"
    six = net.client("fd09:24ef:4179::a89:2", rules=None)  # no IPv4 at all: connected, and nothing forwarded
    six.send(frame())
    assert net.uplink.recv() is None
    works(net)


@row("shutdown")
@pytest.mark.parametrize("word, ends", [("poweroff", True), ("halt", True), ("reboot", True), ("suspend", False),
                                        ("junk", False), ("", False), ("POWEROFF", False)])
def test_what_dom0_asks_by_control_shutdown(net, word, ends):
    net.machine.write("/local/domain/2/control/shutdown", word)
    net.machine.advance(2)
    assert net.firewall.alive() != ends
    if not ends:
        works(net)


@row("XSA-270")
def test_nothing_is_offered_that_nobody_needs(net):
    """No control ring, no queues, no multicast lists, no split channels."""
    path = net.honest.end.back.encode()
    offered = {name.decode() for name in net.machine.dom0.directory(path) if name.startswith((b"feature", b"multi"))}
    assert offered == {"feature-rx-copy", "feature-sg", "feature-gso-tcpv4"}


@row("XSA-270")
def test_a_control_ring_that_nobody_asked_for(net):
    """The frontend publishes one all the same, with hash mappings in it: it is not looked at."""
    liar = net.client(LIAR, wait=False, auto=False)
    net.settle()
    before = net.firewall.mapped(), len(net.firewall.ports_in_use())
    with forwarding(net):
        liar.end.make_rings()
        page = liar.end.peer.page()
        liar.end.peer.octets(page)[:] = b"\xff" * len(liar.end.peer.octets(page))
        liar.end.publish(ctrl_ring_ref=liar.end.peer.grant(page, 2), event_channel_ctrl=liar.end.peer.evtchn_alloc(2))
        net.settle()
    assert liar.end.connected()
    assert (net.firewall.mapped(), len(net.firewall.ports_in_use())) == (before[0] + 2, before[1] + 1)
    liar.send(frame())
    assert Look(net.uplink.recv()).data == b"data"


@pytest.mark.parametrize("target", ["0", "4096", "16384", "32768", "-1", "junk", "", "4294967296"])
def test_a_target_for_ballooning_is_nobodys_business(net, target):
    """Memory is what it is: no page is given away, no node is answered, nobody looks twice."""
    before = rest(net)
    requests = len(net.firewall.store_end.requests)
    with forwarding(net):
        for node in ("memory/target", "memory/static-max", "memory/videoram", "control/feature-balloon", "control/balloon",
                     "control/balloon-target"):
            net.machine.write("/local/domain/2/" + node, target, [("n", 0), ("r", 2)])
        net.settle()
    net.machine.advance(60)
    asked = [payload for _, payload in net.firewall.store_end.requests[requests:] if b"balloon" in payload or b"memory" in payload]
    assert asked == []
    assert rest(net) == before and not net.lines("warning") and not net.lines(" error ")
    net.uplink.end.frames.clear()  # questions by ARP
    works(net)
