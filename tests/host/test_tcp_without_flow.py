"""TCP of no flow from a client: picked up where that can be right, else reset, so that nobody waits for nothing.

Sessions used to hang after the firewall was restarted: it knew none of them and said nothing.
"""
import struct

import pytest
from packets import ACK, FIN, PSH, RST, SYN, URG, Look, error, ip, tcp, tcp_segment
from scenes import A, B, OURS, SERVER, nothing

from firewall.flows import state
from tests.network import Network

TCP = 6


def numbers(look):
    return struct.unpack("!II", look.payload[4:12])


def is_reset_for(frame, sent):
    """The frame is the RST of RFC 9293 3.10.7.1 that answers the frame that was sent."""
    told, asked = Look(frame), Look(sent)
    assert (told.src, told.sport, told.dst, told.dport) == (asked.dst, asked.dport, asked.src, asked.sport)
    sequence, acknowledged = numbers(asked)
    assert told.proto == TCP and told.total == 40 and told.ttl == 64
    if asked.flags & ACK:
        assert (told.flags, numbers(told)) == (RST, (acknowledged, 0))
    else:
        octets = len(asked.data) + (asked.flags & SYN != 0) + (asked.flags & FIN != 0)
        assert (told.flags, numbers(told)) == (RST | ACK, (0, sequence + octets & 0xFFFFFFFF))
    return True


def segment(src, sport, flags, data=b"", dst=SERVER, dport=22, seq=0x89ABCDEF, ack=0x12345678):
    return ip(src, dst, TCP, tcp_segment(src, sport, dst, dport, flags, data, seq, ack))


@pytest.mark.parametrize("flags", [ACK, ACK | PSH, ACK | URG, ACK | PSH | URG])
@pytest.mark.parametrize("sport", [40000, 22, 1023, 65535, 1])
def test_a_session_survives_a_restart_of_the_firewall(flags, sport):
    """The remote knows the session by its port outside, which was the client's own."""
    with Network() as net:
        client = net.client(A)
        client.send(segment(A, sport, flags, b"ls"))
        seen = Look(net.uplink.recv())
        assert (seen.src, seen.sport, seen.dst, seen.dport, seen.data) == (OURS, sport, SERVER, 22, b"ls")
        assert numbers(seen) == (0x89ABCDEF, 0x12345678)
        net.uplink.send(tcp(SERVER, 22, OURS, sport, ACK | PSH, b"files"))
        back = Look(client.recv())
        assert (back.src, back.dst, back.dport, back.data) == (SERVER, A, sport, b"files")
        net.advance(2 * 3600)  # it is as good as any open connection
        net.uplink.send(tcp(SERVER, 22, OURS, sport, ACK))
        assert client.recv()
        nothing(client, net.uplink)


def test_a_super_frame_with_a_blank_checksum_is_picked_up_too(net):
    client = net.client(A)
    client.send(tcp(A, 40000, SERVER, 22, ACK, bytes(5000), blank=True), True, 1448)
    frame, blank, gso = net.uplink.recv_offloaded()
    assert blank and gso == 1448 and Look(frame, blank=True).sport == 40000


def test_between_clients_too(net):
    a, b = net.client(A), net.client(B)
    net.allow((A, B))
    a.send(segment(A, 40000, ACK, b"on", B))
    assert Look(b.recv()).data == b"on"
    b.send(tcp(B, 22, A, 40000, ACK, b"and on"))
    assert Look(a.recv()).data == b"and on"
    sent = segment(B, 40001, ACK, b"", A)  # the other way there is no setting
    b.send(sent)
    assert is_reset_for(b.recv(), sent)
    nothing(a, b)


@pytest.mark.parametrize("flags", [SYN | ACK, FIN | ACK, FIN | ACK | URG, FIN | ACK | PSH])
@pytest.mark.parametrize("data", [b"", b"data"])
def test_what_is_no_plain_ack_is_reset(net, flags, data):
    client = net.client(A)
    sent = segment(A, 40000, flags, data)
    client.send(sent)
    assert is_reset_for(client.recv(), sent)
    nothing(client, net.uplink)
    assert net.neighbours.flows.count == 0 and net.counters == {"of no flow": 1}


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | ACK | PSH])
def test_a_reset_is_never_answered(net, flags):
    client = net.client(A, ())
    for sport in (40000, 40001):
        client.send(segment(A, sport, flags))
    nothing(client, net.uplink)


def test_strangers_outside_hear_nothing_and_open_nothing(net):
    net.client(A)
    for flags in (ACK, SYN | ACK, FIN | ACK, RST):
        net.uplink.send(tcp(SERVER, 22, OURS, 40000, flags))
    nothing(net.uplink)
    assert net.neighbours.flows.count == 0


def test_the_port_must_be_the_same_outside(net):
    """Another's flow has it: under another port the remote would know nothing of the session."""
    a, b = net.client(A), net.client(B)
    a.send(tcp(A, 40000, SERVER, 22))
    assert Look(net.uplink.recv()).sport == 40000
    sent = segment(B, 40000, ACK, b"mine")
    b.send(sent)
    assert is_reset_for(b.recv(), sent)
    b.send(segment(B, 40000, ACK, b"", "192.0.2.51"))  # towards another remote it is free
    assert Look(net.uplink.recv()).sport == 40000
    nothing(a, b, net.uplink)
    assert net.counters["no free port"] == 1


def test_a_port_of_our_own_is_not_given_to_it(net):
    client = net.client(A)
    assert net.neighbours.nat.reserve(TCP, 40000)
    sent = segment(A, 40000, ACK)
    client.send(sent)
    assert is_reset_for(client.recv(), sent)


def test_what_rules_deny_is_reset(net):
    """An ICMP error ends no open connection; its application would wait a quarter of an hour."""
    client = net.client(A, ["action=drop dst4=%s/32" % SERVER, "action=accept"])
    sent = segment(A, 40000, ACK, b"data")
    client.send(sent)
    assert is_reset_for(client.recv(), sent)
    client.send(segment(A, 40000, ACK, b"data", "192.0.2.51"))
    assert net.uplink.recv()
    nothing(client, net.uplink)
    net.set_rules(A, ["no rule"])
    client.send(sent)
    assert is_reset_for(client.recv(), sent)


def test_what_may_still_come_resets_nothing():
    """Rules, the uplink, another client: after a start they come one by one, and sessions wait for them."""
    with Network(uplink=False) as net:
        client = net.client(A, rules=None)
        other = "10.137.0.99"
        net.connected(A, other)

        def told(sent):
            client.send(sent)
            look = Look(client.recv())
            nothing(client)
            return look.kind, look.code

        session = segment(A, 40000, ACK, b"data")
        assert told(session) == (3, 0)
        net.netvm(OURS)
        client.send(session)
        nothing(client, net.uplink)
        assert told(segment(A, 40000, ACK, b"data", other)) == (3, 13)
        net.set_rules(A, ["action=accept"])
        client.send(session)
        assert Look(net.uplink.recv()).sport == 40000
        nothing(client)


def test_resets_are_limited_as_errors_are(net):
    client = net.client(A, ())
    for i in range(1000):
        client.send(segment(A, 1024 + i, ACK))
    assert 0 < len(client.frames) <= 60
    client.frames.clear()
    net.advance(1)
    client.send(segment(A, 40000, ACK))
    assert client.recv()


def test_picked_up_flows_are_recyclable_until_they_are_answered():
    with Network(capacity=16) as net:
        client = net.client(A)
        for i in range(100):  # a scanner fills nothing
            client.send(segment(A, 5000 + i, ACK))
            assert net.uplink.recv()
        client.send(segment(A, 6000, ACK))
        assert net.uplink.recv()
        net.uplink.send(tcp(SERVER, 22, OURS, 6000, ACK))
        assert client.recv()
        for i in range(100):
            client.send(segment(A, 5000 + i, ACK))
            assert net.uplink.recv()
        net.uplink.send(tcp(SERVER, 22, OURS, 6000, ACK))
        assert client.recv()
        net.advance(241)
        assert net.neighbours.flows.count == 1


def test_the_remotes_own_reset_reaches_the_client(net):
    """It knows no such session: its answer is as good as ours."""
    client = net.client(A)
    client.send(segment(A, 40000, ACK))
    assert net.uplink.recv()
    net.uplink.send(tcp(SERVER, 22, OURS, 40000, RST))
    assert Look(client.recv()).flags == RST
    net.advance(241)
    assert net.neighbours.flows.count == 0


def test_ports_used_again_and_errors_pass(net):
    client = net.client(A)
    client.send(segment(A, 40000, ACK))
    quote = net.uplink.recv()[14:]
    net.uplink.send(error("203.0.113.1", OURS, 3, 1, quote))
    assert Look(client.recv()).quote.sport == 40000
    client.send(segment(A, 40000, SYN))
    assert Look(net.uplink.recv()).flags == SYN
    net.uplink.send(tcp(SERVER, 22, OURS, 40000, SYN | ACK))
    assert client.recv()
    net.advance(241)
    assert net.neighbours.flows.count == 0, "half open again"


def test_a_reset_without_an_acknowledgement_counts_the_segment():
    """SYN and FIN count as an octet each (RFC 9293 3.4). Our judge has no use for it, the format has."""
    from firewall.wire import tcp

    for flags in range(64):
        if flags & RST:
            continue
        for data in (b"", b"12345"):
            sent = segment(A, 7, flags, data, seq=0xFFFFFFFE)
            rst = bytes(tcp.reset(bytearray(sent), 34, len(sent)))
            body = rst[:16] + struct.pack("!H", 0) + rst[18:]
            sport, dport, sequence, acknowledged, offset, told = struct.unpack("!HHIIBB", body[:14])
            assert (sport, dport, offset) == (22, 7, 0x50)
            if flags & ACK:
                assert (told, sequence, acknowledged) == (RST, 0x12345678, 0)
            else:
                octets = len(data) + bool(flags & SYN) + bool(flags & FIN)
                assert (told, sequence, acknowledged) == (RST | ACK, 0, 0xFFFFFFFE + octets & 0xFFFFFFFF)


def test_the_state_is_the_one_of_an_open_connection_only_after_an_answer():
    assert state.RANK[state.PICKED] == state.IDLE
    answered = state.step(state.PICKED, state.DATA, True)
    assert answered == state.OPEN and state.RANK[answered] == state.HELD
