"""What names send and what reaches them, octet by octet: ports, sums, whose flow; addresses that no name opens."""
import random
import struct

import pytest
from packets import ACK, PSH, SYN, Look, ip, pseudo, tcp, tcp_segment, total, udp
from scenes import A, B, OURS, SERVER

from firewall import reasons
from firewall.naming import Naming
from firewall.wire.address import parse4

RESOLVER, PORT = "10.139.1.1", 20517
LONG = bytes(range(256)) * 2


class Questions:
    """What asking.py is told; then `answer` is called."""

    def __init__(self):
        self.told = []
        self.answer = lambda: None

    def datagram(self, *what):
        self.told.append(what)
        self.answer()

    segment = datagram


@pytest.fixture
def naming(net):
    made = Naming(net.neighbours, net.judge, random.Random(4).randbytes,
                  lambda frame: net.uplink.frames.append((bytes(frame), False, 0)), print)
    made.names.set_resolvers([parse4(RESOLVER)])
    made.names.questions = Questions()
    return made


# ---- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text, ignored", [
    ("0.0.0.0", 1), ("0.9.9.9", 1), ("1.0.0.0", 0), ("126.255.255.255", 0), ("127.0.0.0", 1), ("127.255.255.255", 1),
    ("128.0.0.1", 0), ("169.253.255.255", 0), ("169.254.0.0", 1), ("169.254.255.255", 1), ("169.255.0.0", 0),
    ("223.255.255.255", 0), ("224.0.0.0", 1), ("239.1.2.3", 1), ("255.255.255.255", 1),
    (A, 1), (B, 1), ("10.137.0.23", 0), ("10.137.0.24", 1), (OURS, 1), ("10.138.0.1", 1), (SERVER, 0),
])
def test_addresses_that_no_name_opens(net, naming, text, ignored):
    net.client(A), net.client(B)
    net.neighbours.set_connected([parse4("10.137.0.24")])
    assert naming.names.ignored(parse4(text)) == bool(ignored)


# ---- out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("drawn, port", [
    ([b"\3\xff", b"\4\0"], 1024), ([b"\4\1"], 1025), ([b"\xff\xff"], 65535), ([b"\0\0"] * 15 + [b"\4\1"], 1025),
    ([b"\0\0"] * 16, -1),
])
def test_a_port_is_any_from_1024_on_that_is_found_in_16_tries(net, naming, drawn, port):
    asked = []
    naming._random = lambda octets: asked.append(octets) or drawn.pop(0)
    assert naming.port(17, parse4(RESOLVER)) == port and not drawn and set(asked) == {2}
    if port > 0:
        naming._random = lambda octets: struct.pack(">H", port)
        assert naming.port(17, parse4(RESOLVER)) == -1
        naming.release(17, port)
        assert naming.port(17, parse4(RESOLVER)) == port


def test_a_port_of_tcp_is_no_flows_not_even_of_the_first(net, naming):
    client = net.client(A)
    client.send(tcp(A, 4000, RESOLVER, 53))
    taken = Look(net.uplink.recv()).sport
    naming._random = lambda octets: struct.pack(">H", taken)
    assert naming.port(6, parse4(RESOLVER)) == -1
    assert naming.port(6, parse4(SERVER)) == taken


@pytest.mark.parametrize("octets", [b"", b"x", LONG])
@pytest.mark.parametrize("flags", [SYN, ACK, ACK | PSH])
def test_a_segment_of_ours(net, naming, flags, octets):
    naming.segment(PORT, parse4(RESOLVER), 0x01020304, 0x05060708, flags, octets)
    seen = Look(net.uplink.recv())
    assert (seen.src, seen.dst, seen.sport, seen.dport, seen.fragment) == (OURS, RESOLVER, PORT, 53, 0x4000)
    assert seen.frame[18:20] == b"\0\0"  # with DF an identification means nothing (RFC 6864)
    head = seen.frame[34:]
    assert struct.unpack(">II", head[4:12]) == (0x01020304, 0x05060708) and head[13] == flags
    options = struct.pack(">BBH", 2, 4, 1500 - 40) if flags == SYN else b""
    assert head[12] == (20 + len(options)) // 4 << 4 and head[20:] == options + octets and head[18:20] == b"\0\0"


def test_a_sum_of_no_ones_is_told_as_all_ones(net, naming):
    """0 says that there is none."""
    for i in range(65536):
        naming.datagram(PORT, parse4(RESOLVER), struct.pack(">H", i))
        frame = net.uplink.recv()
        if frame[40:42] == b"\xff\xff":
            break
    Look(frame)
    assert i < 65535


def test_without_an_uplink_nothing_is_sent(net, naming):
    net.neighbours.uplink_down()
    naming.datagram(PORT, parse4(RESOLVER), b"x")
    naming.segment(PORT, parse4(RESOLVER), 1, 2, SYN, b"")
    assert net.uplink.recv(0) is None and not net.judge.out


# ---- in -----------------------------------------------------------------------------------------


def came(net, naming, frame, blank=False):
    """What asking.py was told of a frame from the uplink, and whether the judge took it for ours."""
    before = net.judge.counters[reasons.QUEUED]
    naming.names.questions.told.clear()
    net.uplink.send(frame, blank=blank)
    return naming.names.questions.told, net.judge.counters[reasons.QUEUED] - before


def wrong(frame, at):
    frame = bytearray(frame)
    frame[at] ^= 1
    return bytes(frame)


@pytest.mark.parametrize("data", [b"", b"abc", LONG])
def test_a_datagram_for_us(net, naming, data):
    net.neighbours.nat.reserve(17, PORT)
    right = udp(RESOLVER, 53, OURS, PORT, data)
    heard = [(PORT, parse4(RESOLVER), data, net.now)]
    assert came(net, naming, right) == (heard, 1)
    assert came(net, naming, udp(RESOLVER, 53, OURS, PORT, data, check=0)) == (heard, 1)
    assert came(net, naming, udp(RESOLVER, 53, OURS, PORT, data, blank=True), True) == (heard, 1)
    for frame in (wrong(right, 40), wrong(right, 41), udp(RESOLVER, 53 + 256, OURS, PORT, data),
                  udp(RESOLVER, 54, OURS, PORT, data), udp(RESOLVER, 53, OURS, PORT + 1, data),
                  udp(RESOLVER, 53, OURS, PORT, data, check=0x0100), udp(RESOLVER, 53, OURS, PORT, data, check=1)):
        assert came(net, naming, frame) == ([], 0)


@pytest.mark.parametrize("data", [b"", b"abc", LONG])
@pytest.mark.parametrize("options", [b"", b"\1" * 4, b"\1" * 40])
def test_a_segment_for_us(net, naming, data, options):
    net.neighbours.nat.reserve(6, PORT)

    def segment(sport, reserved=0):
        octets = tcp_segment(RESOLVER, sport, OURS, PORT, ACK, data, seq=0xFE020304, ack=0xFD060708, options=options)
        octets = bytearray(octets[:16] + b"\0\0" + octets[18:])
        octets[12] |= reserved
        over = pseudo(RESOLVER, OURS, 6, len(octets)) + bytes(octets)
        struct.pack_into(">H", octets, 16, total(over) ^ 0xFFFF)
        return ip(RESOLVER, OURS, 6, bytes(octets))

    for reserved in (0, 2, 4, 8):  # bits of no meaning yet
        assert came(net, naming, segment(53, reserved)) == (
            [(PORT, parse4(RESOLVER), 0xFE020304, 0xFD060708, ACK, data, net.now)], 1)
    for frame in (wrong(segment(53), 50), wrong(segment(53), 51), segment(54), segment(53 + 256)):
        assert came(net, naming, frame) == ([], 0)


def test_what_an_answer_makes_us_send_leaves_with_what_the_judge_lets_out(net, naming):
    """And what is sent at any other time by itself, even if the last answer has failed."""
    net.neighbours.nat.reserve(17, PORT)
    by_itself = []
    naming._emit = by_itself.append
    questions = naming.names.questions
    questions.answer = lambda: naming.datagram(PORT, parse4(RESOLVER), b"again")
    net.uplink.send(udp(RESOLVER, 53, OURS, PORT, b"truncated"))
    assert Look(net.uplink.recv()).data == b"again" and not by_itself
    naming.datagram(PORT, parse4(RESOLVER), b"more")
    assert len(by_itself) == 1

    def fail():
        raise MemoryError

    questions.answer = fail
    try:
        net.uplink.send(udp(RESOLVER, 53, OURS, PORT, b"other"))
    except MemoryError:
        pass
    naming.datagram(PORT, parse4(RESOLVER), b"more")
    assert len(by_itself) == 2


# ---- passing by ---------------------------------------------------------------------------------


def test_questions_and_answers_are_told_with_whose_flow_they_are(net, naming):
    told = []
    naming.names.asked = lambda *what: told.append(("asked",) + what)
    naming.names.heard = lambda *what: told.append(("heard",) + what)
    clients = net.client(A), net.client(B)
    flows = {}
    for i in range(6):
        for client, address in zip(clients, (A, B)):
            client.send(udp(address, 4000 + i, RESOLVER, 53, LONG + bytes([i])))
            flow = told.pop()
            assert flow[:2] + flow[3:] == ("asked", parse4(address), LONG + bytes([i]), net.now) and not told
            flows[address, i] = flow[2], Look(net.uplink.recv()).sport
    assert sorted(flow for flow, _ in flows.values()) == list(range(12))
    for (address, i), (flow, port) in flows.items():
        right = udp(RESOLVER, 53, OURS, port, LONG)
        for frame in (right, udp(RESOLVER, 53, OURS, port, LONG, check=0)):
            net.uplink.send(frame)
            assert told == [("heard", parse4(address), flow, LONG, net.now)]
            told.clear()
        net.uplink.send(wrong(right, 41))
        assert told == []
