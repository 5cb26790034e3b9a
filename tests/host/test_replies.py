"""What the firewall says itself, octet by octet, where planted faults showed that nobody looked."""
import types

import pytest
from packets import Look, arp, echo, ip, tcp, udp
from scenes import A, OURS, SERVER

from firewall.packets import v4
from firewall.wire import ipv4
from firewall.wire.address import parse4
from tests.network import CLIENT_MAC, Network

ICMP_ERRORS = (3, 4, 5, 11, 12)


def packet(proto, first, fragment=0):
    """What may_answer() reads of a packet: its protocol, its fragment word, and the first octet behind its IP header."""
    return types.SimpleNamespace(proto=proto, frame=bytes(34) + bytes((first,)), l4=34, fragment=fragment)


def test_an_error_may_be_about_all_but_errors_and_later_fragments():
    """The judge asks about neither today; whoever asks about them tomorrow is still told no (RFC 1122 3.2.2)."""
    for first in range(256):
        assert v4.may_answer(packet(ipv4.ICMP, first)) == (first not in ICMP_ERRORS)
        assert v4.may_answer(packet(ipv4.UDP, first)) and v4.may_answer(packet(ipv4.TCP, first))
    for fragment in range(0, 0x10000, 0x2000):  # the flags alone
        assert v4.may_answer(packet(ipv4.UDP, 0, fragment))
        for offset in (1, 2, 0x1000, 0x1FFF):
            assert not v4.may_answer(packet(ipv4.UDP, 0, fragment | offset))
            assert not v4.may_answer(packet(ipv4.ICMP, 3, fragment | offset))


@pytest.mark.parametrize("first", ICMP_ERRORS)
def test_what_looks_like_an_icmp_error_in_another_protocol_is_refused_aloud(net, first):
    """A source port whose upper octet is the type of an error."""
    client = net.client(A, ["action=drop"])
    for frame in (udp(A, first << 8, SERVER, 80), tcp(A, first << 8 | 7, SERVER, 80), ip(A, SERVER, 47, bytes((first,)) + bytes(8))):
        client.send(frame)
        told = Look(client.recv())
        assert (told.kind, told.code, told.data) == (3, 13, frame[14:])


def test_a_ping_comes_back_with_all_it_said(net):
    client = net.client(A)
    for ident, seq in ((0xABCD, 0xEF01), (0, 0xFFFF), (0xFFFF, 0), (0x0100, 0x0001)):
        client.send(echo(A, OURS, ident=ident, seq=seq, data=b"odd"))
        told = Look(client.recv())
        assert (told.src, told.dst, told.ttl) == (OURS, A, 64)
        assert (told.kind, told.code, told.echo_id, told.seq, told.data) == (0, 0, ident, seq, b"odd")


def test_the_question_for_the_gateway_is_a_whole_arp_packet():
    with Network(uplink=False) as net:
        asked = net.neighbours.uplink_up(parse4(OURS), CLIENT_MAC, parse4("10.138.0.1"), 1500, 0xFFFFFFFF)
    assert asked == arp(1, CLIENT_MAC, OURS, "10.138.0.1")
