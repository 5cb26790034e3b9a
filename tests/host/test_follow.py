"""What a packet does to its flow: which steps of the state move it in its client's lists, and which only change a word."""
import pytest
from packets import ACK, FIN, RST, SYN, tcp, udp
from scenes import A, B, OURS, SERVER

from firewall.flows import state
from firewall.flows.record import BACK, EGRESS, OCTETS, PACKETS, SEEN, WORDS
from tests.network import Network

EVENTS = [(event, back) for back in (False, True) for event in (state.DATA, state.SYN, state.FIN, state.RST)]


@pytest.fixture
def moves(monkeypatch):
    """A network, and a list of the states that its flows moved to."""
    net = Network()
    moved = []
    move = net.neighbours.flows.move

    def seen(record, turned):
        moved.append(turned)
        move(record, turned)

    net.neighbours.flows.move = seen
    return net, moved


def test_a_step_is_told_apart_when_it_changes_the_rank(moves):
    """Every state, every event: move() for another rank, and for no other step."""
    net, moved = moves
    client = net.client(A)
    flags = {state.DATA: ACK, state.SYN: SYN, state.FIN: FIN | ACK, state.RST: RST | ACK}
    client.send(tcp(A, 4001, SERVER, 80, SYN))
    flows = net.neighbours.flows
    for old in range(state.SYN_SENT, state.PICKED + 1):
        for event, back in EVENTS:
            if flows.records[EGRESS] >> 16 != old:
                flows.move(0, old)
            moved.clear()
            if back:
                net.uplink.send(tcp(SERVER, 80, OURS, 4001, flags[event]))
            else:
                client.send(tcp(A, 4001, SERVER, 80, flags[event]))
            assert net.verdict == 0
            turned = state.step(old, event, back)
            assert flows.records[EGRESS] >> 16 == turned
            assert moved == ([turned] if state.RANK[turned] != state.RANK[old] else [])


def test_moves_are_few():
    """A connection's whole life has two, UDP's two: what the fast path leaves alone is not what packets mostly do."""
    life = [(state.SYN, False), (state.SYN, True), (state.DATA, False)] + [(state.DATA, back) for back in (False, True)] * 50
    life += [(state.FIN, False), (state.FIN, True), (state.DATA, False)]
    now, ranks = state.SYN_SENT, []
    for event, back in life[1:]:
        now = state.step(now, event, back)
        ranks.append(state.RANK[now])
    assert sum(a != b for a, b in zip([state.IDLE] + ranks, ranks)) == 3 and now == state.CLOSED


def test_time_and_counters_are_of_the_half_that_the_packet_went_by():
    net = Network()
    client = net.client(A)
    net.now += 1  # odd, as the octets are
    client.send(udp(A, 4001, SERVER, 80, bytes(101)))
    began = net.now
    net.advance(3)
    net.uplink.send(udp(SERVER, 80, OURS, 4001, bytes(51)))
    net.advance(3)
    client.send(udp(A, 4001, SERVER, 80, bytes(10)))
    w = net.neighbours.flows.records
    assert (w[PACKETS], w[OCTETS], w[SEEN]) == (2, 129 + 38, began + 6000)
    assert (w[BACK + PACKETS], w[BACK + OCTETS], w[BACK + SEEN]) == (1, 79, began + 3000)
    assert w[WORDS + PACKETS] == 0


def test_what_is_refused_leaves_its_flow_alone():
    """Too large for its way, in transit too long: no time, no counter, no state."""
    net = Network()
    client = net.client(A, mtu=600)
    client.send(udp(A, 4001, SERVER, 80))
    before = bytes(net.neighbours.flows.records[:WORDS])
    net.advance(1)
    net.uplink.send(udp(SERVER, 80, OURS, 4001, bytes(1000), fragment=0x4000))
    net.uplink.send(udp(SERVER, 80, OURS, 4001, ttl=1))
    assert bytes(net.neighbours.flows.records[:WORDS]) == before


def test_answers_go_to_the_interface_used_last_of_three():
    """Of a client with several interfaces, whatever their numbers; between two clients the state stays as it is."""
    net = Network()
    one, two, three = net.client(A), net.client(A), net.client(A)
    for wire in (one, two, three, two, one, three):
        wire.send(udp(A, 4001, SERVER, 80))
        assert net.uplink.recv(0)
        net.uplink.send(udp(SERVER, 80, OURS, 4001))
        assert wire.recv(0) and [other.recv(0) for other in (one, two, three)] == [None] * 3
    b = net.client(B)
    net.allow((A, B))
    for wire in (one, two, three, two, one):
        wire.send(udp(A, 4002, B, 80))
        assert b.recv(0)
        b.send(udp(B, 80, A, 4002))
        assert wire.recv(0) and [other.recv(0) for other in (one, two, three)] == [None] * 3
    assert net.neighbours.flows.records[WORDS + EGRESS] == state.UDP_ASSURED << 16 | b.number


def test_what_goes_to_another_client_goes_to_the_interface_that_it_used_last():
    net = Network()
    a, first, second = net.client(A), net.client(B), net.client(B)
    net.allow((A, B))
    a.send(udp(A, 4001, B, 80))
    assert second.recv(0) and first.recv(0) is None  # the newest, as it has used none
    for used, other in ((first, second), (second, first)):
        used.send(udp(B, 80, A, 4001))
        assert a.recv(0)
        a.send(udp(A, 4001, B, 80))
        assert used.recv(0) and other.recv(0) is None


@pytest.mark.parametrize("others", [0, 1])
def test_a_step_leaves_the_way_as_it_is(others):
    """Of a flow to another client, by an interface of an odd or an even number."""
    net = Network()
    spare = [net.client("10.137.0.3%d" % i) for i in range(others)]
    b, a = net.client(B), net.client(A)
    net.allow((A, B))
    for wire, other, flags in ((a, b, SYN), (b, a, SYN | ACK), (a, b, ACK), (b, a, FIN | ACK), (a, b, FIN | ACK)):
        wire.send(tcp(A, 4001, B, 80, flags) if wire is a else tcp(B, 80, A, 4001, flags))
        assert other.recv(0)
        w = net.neighbours.flows.records
        assert (w[EGRESS] & 0xFFFF, w[BACK + EGRESS]) == (b.number, a.number) and len(spare) == others
