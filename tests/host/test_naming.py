"""What joins names to the judge, on the host: who a client is, our ports, and that packets pass as they are."""
import random
import struct

import pytest
from packets import SYN, Look, error, fragments, tcp, total, udp
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


def said_to_be(frame, length, summed=True):
    """The same datagram, whose UDP header says this length; the checksum is that of what it says, or there is none."""
    frame = bytearray(frame)
    struct.pack_into(">HH", frame, 38, length, 0)
    if summed:
        part = frame[34 : 34 + length] + bytes(max(length - len(frame) + 34, 0))
        over = bytes(frame[26:34]) + struct.pack(">HH", 17, length) + bytes(part)
        struct.pack_into(">H", frame, 40, total(over) ^ 0xFFFF or 0xFFFF)
    return bytes(frame)


CUT = (-1, "short")
LIES = [(4, "below"), (7, "below"), (0, "below"), (8, "short"), (12, "short"), CUT, (1, "beyond"), (500, "beyond")]


def lied(frame, how, summed):
    """How: octets beyond what there is (below 0: short of it), or from 0 on below the frame's own length, as above."""
    number, kind = how
    whole = len(frame) - 34
    return said_to_be(frame, whole + number if kind == "beyond" or number < 0 else number, summed)


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("how", LIES)
def test_an_answer_to_a_client_is_read_as_far_as_its_udp_header_says(net, naming, how, summed):
    """Where that is nothing, or more than came, it goes nowhere; where it cuts the message, that teaches nothing."""
    client = net.client(A)
    rules(net, naming, A, "action=accept specialtarget=dns", "action=accept dsthost=" + CDN)
    client.send(udp(A, 4000, RESOLVER, 53, query(9, CDN)))
    port = Look(net.uplink.recv()).sport
    answer = udp(RESOLVER, 53, OURS, port, said(query(9, CDN), SERVER))
    net.uplink.send(lied(answer, how, summed))
    assert (client.recv(0) is None) == (how[1] != "short")
    assert naming.names.name_of(parse4(A), parse4(SERVER), net.now) == ""
    if how != CUT:  # else it was an answer
        net.uplink.send(longer(answer, b"\0\1\2"))
        assert client.recv() and naming.names.name_of(parse4(A), parse4(SERVER), net.now) == CDN


def longer(frame, octets):
    """The same in a longer IP datagram: what stands behind is none of it."""
    frame = bytearray(frame + octets)
    struct.pack_into(">H", frame, 16, len(frame) - 14)
    struct.pack_into(">H", frame, 24, 0)
    struct.pack_into(">H", frame, 24, total(bytes(frame[14:34])) ^ 0xFFFF)
    return bytes(frame)


@pytest.mark.parametrize("how", LIES)
def test_a_question_of_a_client_is_read_as_far_as_its_udp_header_says(net, naming, how):
    client = net.client(A)
    rules(net, naming, A, "action=accept specialtarget=dns", "action=accept dsthost=" + CDN)
    client.send(lied(udp(A, 4000, RESOLVER, 53, query(9, CDN)), how, True))
    left = net.uplink.recv(0)
    assert (left is None) == (how[1] != "short")
    if left:
        port = struct.unpack_from(">H", left, 34)[0]
        net.uplink.send(udp(RESOLVER, 53, OURS, port, said(query(9, CDN), SERVER)))
    assert naming.names.name_of(parse4(A), parse4(SERVER), net.now) == ""


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("how", LIES)
def test_an_answer_to_us_is_read_as_far_as_its_udp_header_says(net, naming, how, summed):
    net.client(A)
    rules(net, naming, A, "action=accept dsthost=" + CDN)
    naming.names.tick(net.now)
    question = Look(net.uplink.recv())
    answer = udp(RESOLVER, 53, OURS, question.sport, said(question.data, SERVER))
    net.uplink.send(lied(answer, how, summed))
    assert naming.names.resolutions(parse4(A)) == {}
    if how != CUT:
        net.uplink.send(longer(answer, b"\0\1\2"))
        assert naming.names.resolutions(parse4(A)) == {CDN: (parse4(SERVER),)}


@pytest.mark.parametrize("sizes", [(8,), (16, 8), (24,)])
@pytest.mark.parametrize("length, heard", [(None, True), (40, False), (7, False), (600, False)])
def test_an_answer_in_pieces_is_read_once_it_is_whole(net, naming, sizes, length, heard):
    client = net.client(A)
    rules(net, naming, A, "action=accept specialtarget=dns", "action=accept dsthost=" + CDN)
    client.send(udp(A, 4000, RESOLVER, 53, query(9, CDN)))
    port = Look(net.uplink.recv()).sport
    answer = udp(RESOLVER, 53, OURS, port, said(query(9, CDN), SERVER), fragment=0)
    if length is not None:
        answer = said_to_be(answer, length)
    pieces = fragments(answer, *sizes)
    for piece in pieces[:-1]:
        net.uplink.send(piece)
        assert naming.names.name_of(parse4(A), parse4(SERVER), net.now) == ""
    net.uplink.send(pieces[-1])
    assert naming.names.name_of(parse4(A), parse4(SERVER), net.now) == (CDN if heard else "")
    assert (client.recv(0) is None) == (length in (7, 600))
