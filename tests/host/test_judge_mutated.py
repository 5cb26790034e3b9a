"""100,000 mutated and cut packets: no exception, and no octet out that was not in or computed.

Where an octet comes from is shown by running everything twice: the buffers that frames lie in, and
what is behind their ends, hold other junk the second time. Whatever differs in the output has come
from there. What comes out must also be sound: right lengths and header checksums, addresses that
belong where they go.
"""
import random
import struct

from packets import ACK, SYN, Look, address, arp, echo, error, fragments, ip, tcp, tcp_segment, total, udp
from scenes import A, B, OURS, SERVER

from firewall import reasons
from tests.network import CLIENT_MAC, Network

COUNT = 100000
OTHER = "192.0.2.51"
OPTIONS = (b"", b"\x01" * 4, b"\x07\x07\x04\0\0\0\0\0", b"\x83\x07\x04\0\0\0\0\0", b"\x94\x04\0\0", b"\x44\x0c\x05" + bytes(9))


def honest(rng):
    """(link, frame): 0 is the uplink, 1 and 2 are clients."""
    link = rng.randrange(3)
    src, dst = ((SERVER, OURS), (A, SERVER), (B, OTHER))[link]
    if rng.random() < 0.2:
        dst = rng.choice((OURS, A, B, SERVER, "10.137.9.9", "224.0.0.1", "127.0.0.1"))
    if rng.random() < 0.1:
        src = rng.choice((OURS, A, B, "0.0.0.0", "255.255.255.255"))
    sport, dport = rng.choice((4001, 4002, 53)), rng.choice((80, 53))
    if link == 0:
        sport, dport = dport, sport
    header = dict(
        ttl=rng.choice((64, 64, 64, 2, 1, 0)),
        ident=rng.randrange(4),
        options=rng.choice(OPTIONS) if rng.random() < 0.2 else b"",
        fragment=rng.choice((0, 0, 0, 0x4000, 0x2000, 1, 0x2001, 185, 0x8000)) if rng.random() < 0.3 else 0,
    )
    named = {name: header[name] for name in ("ttl", "options", "fragment")}  # an echo's ident is another
    data = rng.randbytes(rng.choice((0, 1, 8, 40, 200, 1472, 1600)))
    kind = rng.randrange(9)
    if kind == 0:
        return link, tcp(src, sport, dst, dport, rng.choice((SYN, ACK, SYN | ACK, 4, 17, 20)), data, **header)
    if kind == 1:
        return link, udp(src, sport, dst, dport, data, **header)
    if kind == 2:
        return link, echo(src, dst, ident=5, kind=0 if link == 0 else 8, data=data, **named)
    if kind == 3:
        quote = rng.choice((udp, tcp))(dst, dport, src, sport, options=header["options"])[14:]
        return link, error(src, dst, rng.choice((3, 11, 12, 5, 4)), rng.randrange(5), quote[: rng.randrange(16, 60)])
    if kind == 4:
        return link, ip(src, dst, rng.choice((2, 47, 50, rng.randrange(256))), data, **header)
    if kind == 5:
        return link, rng.choice(fragments(udp(src, sport, dst, dport, rng.randbytes(2000), ident=header["ident"]), 800, 800))
    if kind == 6:
        return link, arp(rng.choice((1, 2, 3)), CLIENT_MAC, src, rng.choice((OURS, A, SERVER)))
    if kind == 7:
        return link, echo(src, OURS, data=data, **named)
    return link, ip(src, dst, 6, tcp_segment(src, sport, dst, dport, ACK, data, blank=True, options=bytes(8)), **header)


def mutated(rng, frame):
    frame = bytearray(frame)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        # headers more often than data
        at = rng.randrange(min(len(frame), rng.choice((24, 44, 80, 2000))))
        frame[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, frame[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    if rng.random() < 0.5 and len(frame) >= 34:  # so that it gets past the header's checksum
        size = max((frame[14] & 15) * 4, 20)
        frame[24:26] = bytes(2)
        frame[24:26] = struct.pack("!H", total(bytes(frame[14 : 14 + size])) ^ 0xFFFF)
    if rng.random() < 0.15:
        frame = frame[: rng.randrange(len(frame) + 1)]
    elif rng.random() < 0.1:
        frame += rng.randbytes(rng.randrange(60))
    return bytes(frame)


def run(inputs, junk):
    """What comes out for every input: [(verdict, [(link, frame, blank, gso)])]."""
    net = Network()
    for text in (A, B):
        net.client(text, ["action=drop dst4=192.0.2.0/24 proto=udp dstports=53-53", "action=accept"])
    net.allow((B, A))
    judge = net.judge
    seen = []
    buffer = bytearray(junk * 4096)
    for now, (link, frame, blank, gso) in enumerate(inputs):
        buffer[:] = junk * len(buffer)
        buffer[: len(frame)] = frame
        verdict = judge.frame(link, buffer, len(frame), now * 20, blank, gso)
        out = [(number, bytes(octets), False, 0) for number, octets in judge.out]
        judge.out.clear()
        if verdict == reasons.FORWARDED:
            out.append((judge.egress, bytes(buffer[: judge.octets]), judge.blank, judge.gso))
        seen.append((verdict, out))
        if now % 50 == 0:
            net.neighbours.tick(now * 20)
    return seen


def sound(link, frame, blank, gso):
    """May this leave on this link?"""
    kind = frame[12:14]
    if kind == b"\x08\x06":
        assert len(frame) == 42
        return
    assert kind == b"\x08\x00"
    size = (frame[14] & 15) * 4
    assert size >= 20 and struct.unpack("!H", frame[16:18])[0] == len(frame) - 14
    assert total(frame[14 : 14 + size]) == 0xFFFF
    src, dst = frame[26:30], frame[30:34]
    if link == 0:
        assert src == address(OURS) and dst not in (address(A), address(B), address(OURS))
    else:
        assert dst == address((A, B)[link - 1])
    assert gso or len(frame) - 14 <= 1500


def test_100000_mutated_packets(figure):
    rng = random.Random(42)
    inputs = []
    for _ in range(COUNT):
        link, frame = honest(rng)
        if rng.random() < 0.8:
            frame = mutated(rng, frame)
        blank = rng.random() < 0.1
        inputs.append((link, frame, blank, rng.choice((1, 536, 1448, 9000)) if rng.random() < 0.05 else 0))
    first, second = run(inputs, b"\xa5"), run(inputs, b"\x5a")
    verdicts = set()
    came_out = 0
    for one, other in zip(first, second):
        assert one == other
        verdicts.add(one[0])
        for packet in one[1]:
            came_out += 1
            sound(*packet)
    figure("mutated packets: in, out, verdicts seen", "%d, %d, %d" % (COUNT, came_out, len(verdicts)))
    # the mutations must reach nearly every question the judge asks
    unseen = {reasons.NAMES[i] for i in range(reasons.COUNT)} - {reasons.NAMES[v] for v in verdicts}
    settings = {reasons.NAMES[i] for i in (reasons.LAN, reasons.ONLY, reasons.SHUT, reasons.RATE)}  # there are none
    assert unseen - settings <= {"asked for whole", "no uplink", "flow limit", "no free port", "link that is gone",
                                 "to a client that is not attached", "too many fragments"}, unseen
    assert came_out > COUNT // 20


def test_headers_are_enough_but_where_the_payload_is_read():
    """A driver may hold large frames in many pages, and shows the first; the judge asks when it needs the rest."""
    net = Network()
    net.client(A)
    net.netvm(OURS, mtu=1500)
    large = bytes(8000)
    plain = udp(A, 4001, SERVER, 80, large)
    for frame, gso, asks in (
        (tcp(A, 4001, SERVER, 80), 0, False),
        (ip(A, SERVER, 6, tcp_segment(A, 4001, SERVER, 80, ACK, large, blank=True), fragment=0x4000), 1448, False),
        (plain, 0, True),  # to be cut
        (fragments(plain, 4800)[0], 0, True),
        (echo(A, OURS, data=large), 0, True),
        (error(A, SERVER, 3, 3, large), 0, True),
        (plain[:12] + b"\x81\0\0\0" + plain[12:], 0, True),  # a tag to be taken off
    ):
        head = bytearray(frame[:4096])
        before = bytes(head)
        verdict = net.judge.frame(1, head, len(frame), 1, bool(gso), gso)
        assert (verdict == reasons.GATHER) == asks
        if asks:
            assert head == before and not net.judge.out
            assert net.judge.frame(1, bytearray(frame), len(frame), 1, False, 0) != reasons.GATHER
        elif gso:
            assert verdict == reasons.FORWARDED and net.judge.octets == len(frame)
        net.judge.out.clear()


def test_payload_out_is_payload_in():
    """Whatever is forwarded is the same behind its headers."""
    rng = random.Random(7)
    with Network() as net:
        client = net.client(A)
        for _ in range(2000):
            data = rng.randbytes(rng.randrange(1400))
            build = rng.choice((tcp, udp))
            client.send(build(A, 4001, SERVER, 80, data=data))
            seen = Look(net.uplink.recv(0))
            assert seen.data == data
            net.uplink.send(build(SERVER, 80, OURS, seen.sport, **({"flags": ACK} if build is tcp else {}), data=data[::-1]))
            assert Look(client.recv(0)).data == data[::-1]
