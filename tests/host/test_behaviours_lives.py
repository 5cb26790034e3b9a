"""Rows 75 and 76 of docs/behaviours.md: how long a flow lives, and whose packets keep it alive."""
import pytest
from packets import ACK, FIN, RST, SYN, Look, echo, tcp, udp
from scenes import A, OURS, SERVER, in_use, nothing, opened, reaches, replied

from firewall.flows import state as flowstate
from tests.network import Network

MINUTE = 60


def test_behaviour_75_udp_lives_120_s_at_least(net):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 80))  # not answered
    unanswered = Look(net.uplink.recv()).sport
    net.advance(119)
    assert reaches(net, client, unanswered)
    net.advance(301)
    assert not reaches(net, client, unanswered)
    assert net.neighbours.flows.count == 0


def test_behaviour_75_tcp_established_lives_2_h_4_min(net):
    client = net.client(A)
    port = opened(net, client)
    net.advance(124 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)
    net.advance(124 * MINUTE)
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert Look(net.uplink.recv()).sport == port
    net.advance(124 * MINUTE + 1)
    assert not reaches(net, client, port, SERVER, tcp, ACK)


@pytest.mark.parametrize("answer", [None, SYN | ACK, ACK])
def test_behaviour_75_half_open_lives_4_minutes(net, answer):
    client = net.client(A)
    client.send(tcp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    if answer:
        assert reaches(net, client, port, SERVER, tcp, answer)
    net.advance(4 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, SYN | ACK)
    net.advance(4 * MINUTE + 1)
    assert not reaches(net, client, port, SERVER, tcp, SYN | ACK)


def test_behaviour_75_closed_and_reset_live_4_minutes(net):
    client = net.client(A)
    for sport, endings in ((1, ((A, FIN | ACK), (SERVER, FIN | ACK))), (2, ((SERVER, RST),)), (3, ((A, RST | ACK),))):
        port = opened(net, client, 4000 + sport)
        for who, flags in endings:
            if who is A:
                client.send(tcp(A, 4000 + sport, SERVER, 80, flags))
                assert net.uplink.recv()
            else:
                assert reaches(net, client, port, SERVER, tcp, flags)
    net.advance(4 * MINUTE)
    assert net.neighbours.flows.count == 3
    net.advance(2)
    assert net.neighbours.flows.count == 0


def test_simultaneous_open_passes(net):
    """RFC 5382 REQ-2a, RFC 9293 figure 7: both ends send a SYN."""
    client = net.client(A)
    client.send(tcp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    assert reaches(net, client, port, SERVER, tcp, SYN)
    client.send(tcp(A, 4001, SERVER, 80, SYN | ACK))
    assert net.uplink.recv()
    assert reaches(net, client, port, SERVER, tcp, SYN | ACK)
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert net.uplink.recv()
    net.advance(60 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)


def test_ports_are_used_again_after_the_end(net):
    client = net.client(A)
    port = opened(net, client)
    client.send(tcp(A, 4001, SERVER, 80, FIN | ACK))
    assert net.uplink.recv() and reaches(net, client, port, SERVER, tcp, FIN | ACK)
    assert opened(net, client) == port
    net.advance(60 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)


def test_icmp_query_lives_60_s(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    answer = echo(SERVER, OURS, ident=Look(net.uplink.recv()).echo_id, kind=0)
    net.advance(60)
    net.uplink.send(answer)
    assert client.recv()
    net.advance(1)
    net.uplink.send(answer)
    nothing(client)


def test_data_after_a_reset_brings_the_connection_back(net):
    """A RST may be forged: RFC 7857 2.2."""
    client = net.client(A)
    port = opened(net, client)
    assert reaches(net, client, port, SERVER, tcp, RST)
    client.send(tcp(A, 4001, SERVER, 80, ACK, b"still here"))
    assert net.uplink.recv()
    net.advance(2 * 60 * MINUTE)
    assert reaches(net, client, port, SERVER, tcp, ACK)


def test_behaviour_76_who_only_listens_is_kept_by_the_remote_it_wrote_to():
    """As Linux: an RTSP receiver says one thing and then listens. It holds nothing that another flow needs."""
    with Network(capacity=16) as net:
        client = net.client(A)
        client.send(udp(A, 5004, SERVER, 80))
        port = Look(net.uplink.recv()).sport
        for _ in range(360):
            net.advance(10)
            assert reaches(net, client, port)
            assert not reaches(net, client, port, "192.0.2.51")  # a stranger gets nothing in, and keeps nothing
        for i in range(16):  # the client's other flows do not suffer by it
            client.send(udp(A, 6000 + i, SERVER, 80))
            assert net.uplink.recv()
            in_use(net, client, 6000 + i)
        assert not reaches(net, client, port)


def test_behaviour_76_a_stranger_keeps_no_udp_mapping(net):
    client = net.client(A)
    port = replied(net, client, 4001)
    for _ in range(31):
        assert not reaches(net, client, port, "192.0.2.51")
        net.advance(10)
    assert not reaches(net, client, port)
    assert net.neighbours.flows.count == 0


def test_icmp_answers_alone_keep_no_identifier(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    answer = echo(SERVER, OURS, ident=Look(net.uplink.recv()).echo_id, kind=0)
    passed = 0
    for _ in range(20):
        net.uplink.send(answer)
        passed += client.recv(0) is not None
        net.advance(10)
    assert passed == 7


def test_tcp_states_are_total():
    for state in range(len(flowstate.TIMEOUT)):
        for event in range(4):
            for back in (False, True):
                assert 0 <= flowstate.step(state, event, back) < len(flowstate.TIMEOUT)
    assert len(flowstate.RANK) == len(flowstate.TIMEOUT)
