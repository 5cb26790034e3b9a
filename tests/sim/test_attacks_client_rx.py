"""Clients that lie in their rx ring, give buffers that cannot be written, or none at all."""
from attacks import LIAR, SERVER, Lies, forwarding, net, rest, row, works  # noqa: F401
from frontend import CLOSED, CLOSING, CONNECTED
from packets import Look, echo, looks, udp

fatal = Lies()  # the client's link ends, and nothing else
unwritable = Lies()  # what was to be copied there is lost, and nothing else


@fatal("rx-prod-ahead", "XSA-39")
def rx_producer_257_ahead(client):
    client.rx.publish(client.rx.produced + 1)


@fatal("rx-prod-ahead", "XSA-39")
def rx_producer_far_ahead(client):
    client.rx.publish(client.rx.produced + 0x40000000)


@fatal("rx-prod-ahead", "XSA-39")
def rx_producer_backwards(client):
    client.rx.publish(client.rx.consumed - 1)


@fatal.each
def test_a_lie_in_rx_costs_only_the_liar(net, lie):
    before = rest(net)
    liar = net.client(LIAR)
    liar.end.auto = False
    with forwarding(net):
        lie(liar.end)
        liar.end.send(echo(LIAR, net.gateway))  # it is noticed when there is something for it
        net.settle()
        assert liar.end.their_state() == CLOSING
    assert len(net.lines("vif %s: link closed" % liar.end.name)) == 1
    net.detach(liar)
    assert rest(net) == before


@unwritable("XSA-367")
def rx_gref_never_granted(client, at):
    client.rx.halves[at + 2], client.rx.halves[at + 3] = 1900, 0


@unwritable()
def rx_gref_all_ones(client, at):
    client.rx.halves[at + 2] = client.rx.halves[at + 3] = 0xFFFF


@unwritable()
def rx_gref_readonly(client, at):
    ref = client.peer.grant(client.peer.page(), 2, readonly=True)
    client.rx.halves[at + 2], client.rx.halves[at + 3] = ref, 0


@unwritable.each
def test_a_buffer_that_cannot_be_written_is_answered_with_an_error(net, lie):
    """XSA-367: the copy's status counts."""
    liar = net.client(LIAR)
    before = rest(net)
    lie(liar.end, liar.end.rx.at(liar.end.rx.consumed))
    with forwarding(net):
        for seq in (1, 2):
            liar.end.send(echo(LIAR, net.gateway, seq=seq))
        net.settle()
    assert [seen.seq for seen in looks(liar.end.frames)] == [2]
    assert liar.end.their_state() == CONNECTED and rest(net) == before


@row("XSA-392", "behaviour 74")
def test_a_client_without_buffers_is_held_for_in_bounds(net):
    """At most 36 pages, for at most a second."""
    before = rest(net)
    deaf = net.client(LIAR, post=0)
    with forwarding(net):
        for i in range(200):
            deaf.end.send(echo(LIAR, net.gateway, seq=i))
        net.settle()
        assert net.figures()["held"] == 36
    net.advance(1.2)
    assert net.figures()["held"] == 0
    net.detach(deaf)
    assert rest(net) == before


def test_a_client_that_takes_nothing_is_told_once(net):
    """Not hidden behind "connected": one line in the log and a word in the status, until it takes frames again."""
    deaf = net.client(LIAR, post=0)
    name = "vif %s" % deaf.end.name
    assert "takes nothing" not in "".join(net.firewall.status())
    for i in range(30):
        deaf.end.send(echo(LIAR, net.gateway, seq=i))
        net.advance(0.4)
    assert len(net.lines(name + ": takes nothing")) == 1
    told = [line for line in net.firewall.status() if line.startswith("clients: ")]
    assert "%s %s, which takes nothing" % (name, LIAR) in told[0] and told[0].count("takes nothing") == 1
    deaf.end.post = 6
    for _ in range(6):
        deaf.end.give_buffer()
    deaf.end.rx.publish()
    deaf.end.peer.evtchn_send(deaf.end.port)
    deaf.end.frames.clear()
    assert deaf.pings()
    assert len(net.lines(name + ": takes frames again")) == 1
    assert "takes nothing" not in "".join(net.firewall.status())


def test_a_client_that_takes_frames_late_but_in_time_is_not_told(net):
    """Within the second for which frames are held."""
    late = net.client(LIAR, post=0)
    for i in range(5):
        late.send(echo(LIAR, net.gateway, seq=i))
        net.advance(0.9)
        late.end.give_buffer()
        late.end.rx.publish()
        late.end.peer.evtchn_send(late.end.port)
        net.settle()
    assert not net.lines("takes nothing") and len(late.end.frames) == 5


def _failed(net):
    told = [line for line in net.firewall.status() if line.startswith("clients: ")]
    return int(told[0].partition("ended by an error: ")[2].partition(";")[0] or 0)


def test_packets_that_an_error_ended_are_counted(net):
    """A page that cannot be read or written, a request of a form that is not taken: one each."""
    liar = net.client(LIAR)
    assert _failed(net) == 0
    liar.end.request(1900, 0, 0, 1, 60)  # never granted
    liar.end.kick()
    net.settle()
    assert _failed(net) == 1
    id, ref = liar.end.page(bytes(13))
    liar.end.request(ref, 0, 0, id, 13)  # shorter than a frame
    liar.end.kick()
    net.settle()
    assert _failed(net) == 2
    rx_gref_never_granted(liar.end, liar.end.rx.at(liar.end.rx.consumed))
    liar.end.send(echo(LIAR, net.gateway))
    net.settle()
    assert _failed(net) == 3
    assert liar.pings() and _failed(net) == 3


def test_answers_of_a_known_flow_that_an_error_ended_are_counted(net):
    """By whichever way they came; the client's next answer is whole."""
    liar = net.client(LIAR)
    liar.send(udp(LIAR, 4001, SERVER, 53))
    outside = Look(net.uplink.recv()).sport
    for failed in (0, 1, 0, 1, 0):
        before = _failed(net)
        if failed:
            rx_gref_never_granted(liar.end, liar.end.rx.at(liar.end.rx.consumed))
        net.uplink.end.frames.clear()
        liar.end.frames.clear()
        net.uplink.send(udp(SERVER, 53, net.address, outside))
        net.settle()
        assert _failed(net) - before == failed and len(liar.end.frames) == 1 - failed


def test_a_client_that_gives_buffers_late_gets_what_was_held(net):
    late = net.client(LIAR, post=0)
    for i in range(5):
        late.send(echo(LIAR, net.gateway, seq=i))
    net.settle()
    assert net.figures()["held"] == 5
    late.end.post = 3
    for _ in range(3):
        late.end.give_buffer()
    assert late.end.rx.publish(), "it was not asked to say so"
    late.end.peer.evtchn_send(late.end.port)
    net.settle()
    assert [seen.seq for seen in looks(late.end.frames)] == [0, 1, 2, 3, 4]


@row("XSA-424", "XSA-374")
def test_a_link_closed_while_packets_wait(net):
    """The client breaks its ring, jumps to Closed, dies, with packets held for it."""
    before = rest(net)
    for way in ("broken", "closed", "dead"):
        deaf = net.client(LIAR, post=0)
        for i in range(20):
            deaf.send(echo(LIAR, net.gateway, seq=i))
        net.settle()
        assert net.figures()["held"] == 20
        if way == "broken":
            deaf.end.auto = False
            deaf.end.tx.publish(deaf.end.tx.produced + 300)
            deaf.end.peer.evtchn_send(deaf.end.port)
            net.settle()
            assert deaf.end.their_state() == CLOSING
            deaf.end.set_state(CLOSED)
        elif way == "closed":
            deaf.end.auto = False
            deaf.end.set_state(CLOSED)
        else:
            deaf.end.kill()
        works(net)
        net.detach(deaf)
        assert rest(net) == before, way
