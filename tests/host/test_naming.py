"""What joins names to the judge, on the host: who a client is, our ports, and that packets pass as they are."""
import random
import struct

import pytest
from packets import SYN, Look, error, tcp, udp
from scenes import A, B, OURS, SERVER

from firewall.naming import Naming
from firewall.rules import matcher
from firewall.wire.address import parse4

RESOLVER = "10.139.1.1"
CDN = "www.shop.example"


@pytest.fixture
def naming(net):
    lines = []
    made = Naming(net.neighbours, net.judge, random.Random(4).randbytes,
                  lambda frame: net.uplink.frames.append((bytes(frame), False, 0)), lines.append)
    made.names.set_resolvers([parse4(RESOLVER)])
    made.names.set_up(True)
    return made


def rules(net, naming, ip, *texts):
    entries = {"%04d" % i: text.encode() for i, text in enumerate(texts)}
    entries["policy"] = b"drop"
    naming.names.attached(parse4(ip))
    sealed, why = matcher.load(entries, ip, [parse4(RESOLVER)], naming.names.of(parse4(ip)))
    assert not why
    net.neighbours.set_rules(parse4(ip), sealed)
    naming.names.in_force(parse4(ip), sealed, net.now)


def query(ident, host):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def said(message, address):
    head = message[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0)
    return head + message[12:] + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + parse4(address).to_bytes(4, "big")


@pytest.mark.parametrize("shown", [A, "192.168.7.7"])
def test_a_client_that_is_shown_another_address_learns_for_its_own(net, naming, shown):
    client = net.client(A)
    net.show(A, shown)
    rules(net, naming, A, "action=accept specialtarget=dns", "action=accept dsthost=" + CDN)
    asked = query(9, CDN)
    client.send(udp(shown, 4000, RESOLVER, 53, asked))
    seen = Look(net.uplink.recv())
    assert seen.data == asked
    answer = said(asked, SERVER)
    net.uplink.send(udp(RESOLVER, 53, OURS, seen.sport, answer))
    assert Look(client.recv()).data == answer
    assert naming.names.name_of(parse4(A), parse4(SERVER), net.now) == CDN
    client.send(tcp(shown, 4001, SERVER, 443))
    assert Look(net.uplink.recv()).dst == SERVER


def test_our_question_is_a_right_datagram_and_its_port_is_no_flows(net, naming):
    client = net.client(A)
    rules(net, naming, A, "action=accept dsthost=" + CDN, "action=accept proto=udp")
    naming.names.tick(net.now)
    question = Look(net.uplink.recv())
    assert (question.src, question.dst, question.dport, question.fragment) == (OURS, RESOLVER, 53, 0x4000)
    client.send(udp(A, question.sport, SERVER, 99))
    assert Look(net.uplink.recv()).sport != question.sport
    # what comes to it from elsewhere, or as an ICMP error, is nobody's
    for frame in (udp(SERVER, 53, OURS, question.sport, said(question.data, SERVER)),
                  error(RESOLVER, OURS, 3, 3, question.datagram), udp(RESOLVER, 53, OURS, question.sport, b""),
                  tcp(RESOLVER, 53, OURS, question.sport, SYN)):
        net.uplink.send(frame)
        assert client.recv(0) is None and net.uplink.recv(0) is None
    net.uplink.send(udp(RESOLVER, 53, OURS, question.sport, said(question.data, SERVER)))
    assert naming.names.resolutions(parse4(A)) == {CDN: (parse4(SERVER),)}
    assert client.recv(0) is None


def test_no_question_takes_a_port_that_is_forwarded_or_that_a_flow_has(net, naming):
    client = net.client(A)
    for i in range(3):
        client.send(udp(A, 0x4141, "192.0.2.%d" % (60 + i), 99))
    client.send(tcp(A, 0x4343, RESOLVER, 53))
    net.neighbours.nat.keep({17 << 16 | 0x4242: (parse4(A), 80)})
    drawn = [b"AA", b"BB", b"\0\1", b"DD", b"CC", b"EE"]
    naming._random = lambda octets: drawn.pop(0)
    assert naming.port(17, parse4(RESOLVER)) == 0x4444
    assert naming.port(6, parse4(RESOLVER)) == 0x4545
    naming._random = lambda octets: b"AA"
    assert naming.port(17, parse4(RESOLVER)) == -1


def test_memory_that_is_refused_stops_no_packet(net, naming, monkeypatch):
    client, other = net.client(A), net.client(B)
    naming.names.attached(parse4(A))
    asked = query(1, CDN)
    client.send(udp(A, 4000, RESOLVER, 53, asked))
    port = Look(net.uplink.recv()).sport

    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(naming.names, "heard", refuse)
    net.uplink.send(udp(RESOLVER, 53, OURS, port, said(asked, SERVER)))
    assert Look(client.recv()).data == said(asked, SERVER)
    assert other.recv(0) is None
