"""Chains of known flows that are not in order: the fast path stops in front of them, and the slow path decides."""
import pytest
from tests.sim.network import Network
from packets import ACK, SYN, Look, echo, tcp, udp
from rings import REQ_PROD, ERROR, EXTRA_INFO, GSO, GSO_TCPV4, MORE_DATA, OKAY

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
ENDS, REFUSED, GOES = "ends", "refused", "goes"


@pytest.fixture(params=["on", "off"])
def net(request, machine):
    net = Network(machine=machine, cmdline="fast=" + request.param)
    net.a, net.b = net.client(A), net.client(B)
    net.allow((A, B))
    net.a.send(udp(A, 4001, SERVER, 53))
    net.port = Look(net.uplink.recv()).sport
    net.uplink.send(udp(SERVER, 53, net.address, net.port))
    assert net.a.recv()
    net.a.send(tcp(A, 4002, SERVER, 80, SYN))
    net.tcp_port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, net.address, net.tcp_port, SYN | ACK))
    assert net.a.recv()
    for frame in (tcp(A, 4002, SERVER, 80, ACK), udp(A, 4001, SERVER, 53)):
        net.a.send(frame)
        assert net.uplink.recv()
    net.a.end.responses.clear()
    return net


def out(data=b"x" * 300, **more):
    return udp(A, 4001, SERVER, 53, data, **more)


def segments(data):
    return tcp(A, 4002, SERVER, 80, ACK, data, blank=True)


def last_is_missing(client):
    client.queue(out(), sizes=[60, 100])
    client.tx.produced -= 1


def extra_is_missing(client):
    client.queue(segments(bytes(3000)), blank=True, gso=1000)
    client.tx.produced -= 1


def fragment_crosses_its_page(client):
    client.queue(out(), sizes=[60])
    client.tx.halves[client.tx.at(client.tx.produced - 1) + 2] = 3900


def first_crosses_its_page(client):
    client.queue(out(), sizes=[60])
    client.tx.halves[client.tx.at(client.tx.produced - 2) + 2] = 4050


def nineteen(client):
    client.queue(out(), sizes=[60] + [5] * 17)


def eighteen(client):
    client.queue(out(), sizes=[60] + [5] * 16)


def all_behind_the_first(client):
    frame = out()
    id, ref = client.page()
    client.request(ref, 0, MORE_DATA, id, len(frame))
    id, ref = client.page(frame)
    client.request(ref, 0, 0, id, len(frame))


def more_than_there_is(client):
    frame = out()
    id, ref = client.page(frame)
    client.request(ref, 0, MORE_DATA, id, len(frame))
    id, ref = client.page(frame)
    client.request(ref, 0, 0, id, len(frame) + 1)


def an_empty_one(client):
    frame = out()
    for size, more in ((len(frame), MORE_DATA), (0, MORE_DATA), (100, 0)):
        id, ref = client.page(frame[-100:] if size == 100 else frame)
        client.request(ref, 0, more, id, size)


def of_an_extra(kind, flags, size, gso_type):
    def put(client):
        frame = segments(bytes(3000))
        id, ref = client.page(frame)
        client.request(ref, 0, EXTRA_INFO | 3, id, len(frame))
        client.extra(kind, flags, size, gso_type)

    put.__name__ = "extra %d %d %d %d" % (kind, flags, size, gso_type)
    return put


def thirteen_octets(client):
    client.queue(out()[:13])


@pytest.mark.parametrize("chain,outcome", [
    (last_is_missing, ENDS), (extra_is_missing, ENDS), (fragment_crosses_its_page, ENDS),
    (first_crosses_its_page, ENDS), (nineteen, REFUSED), (eighteen, GOES), (all_behind_the_first, GOES),
    (more_than_there_is, REFUSED), (an_empty_one, GOES),
    (of_an_extra(GSO, 0, 1000, GSO_TCPV4), GOES), (of_an_extra(GSO, 0, 0, GSO_TCPV4), ENDS),
    (of_an_extra(2, 0, 1000, GSO_TCPV4), ENDS), (of_an_extra(GSO, 0, 1000, 2), ENDS),
    (of_an_extra(GSO, 1, 1000, GSO_TCPV4), ENDS), (thirteen_octets, REFUSED),
], ids=lambda value: getattr(value, "__name__", value))  # fmt: skip
def test_a_clients_chain(net, chain, outcome):
    client = net.a.end
    client.queue(out(b"before"))
    chain(client)
    slots = client.tx.produced - client.tx.consumed
    client.kick()
    net.settle()
    left = [octets[42:] for octets in net.left()]
    assert left[:1] == [b"before"] and len(left) == (2 if outcome == GOES else 1)
    assert client.connected() == (outcome != ENDS)
    if outcome != ENDS:
        said = [status for _, status in client.responses]
        assert len(said) == slots and said[0] == OKAY
        assert set(said[1:]) <= ({OKAY, 1} if outcome == GOES else {ERROR})
    assert net.tell("pages") == ""


def test_nothing_is_forwarded_of_what_could_not_be_copied(net):
    """Its page still holds what went to B before, whole and with the sums right."""
    for n in range(3):
        net.a.send(udp(A, 1, B, 2, b"%d" % n))
        assert net.b.recv()
    net.machine.fail_copies(-1)
    net.a.send(udp(A, 1, B, 2, b"fails"))
    net.settle()
    assert net.b.end.frames == []
    assert net.a.end.responses[-1][1] == ERROR
    net.a.send(udp(A, 1, B, 2, b"after"))
    assert Look(net.b.recv()).data == b"after"
    assert net.tell("pages") == ""


def answer(netvm, *slots, frame=b""):
    """Responses in the slots of requests that are posted, (octets, offset, flags, change of the id) each."""
    for octets, offset, flags, other in slots:
        id, ref = netvm.buffer()
        if octets > 0 and offset + octets <= 4096:
            handle, page = netvm.peer.map(netvm.firewall, ref)
            page[offset : offset + octets] = frame[:octets]
            netvm.peer.unmap(handle)
            frame = frame[octets:]
        netvm.respond(id + other, offset, flags, octets)


@pytest.mark.parametrize("slots,outcome", [
    ([(342, 0, 0, 0)], GOES), ([(342, 0, 1, 0)], GOES), ([(342, 64, 0, 0)], GOES), ([(342, 0, 0, 1)], ENDS),
    ([(342, 0, 0, 256)], ENDS), ([(342, 3800, 0, 0)], ENDS), ([(60, 0, 4, 0), (282, 3900, 0, 0)], ENDS),
    ([(60, 0, 4, 0), (282, 0, 0, 1)], ENDS), ([(60, 0, 4, 0), (0, 0, 4, 0), (282, 0, 0, 0)], GOES),
    ([(60, 0, 4, 0), (-1, 0, 4, 0), (282, 0, 0, 0)], REFUSED), ([(-1, 0, 0, 0)], REFUSED), ([(0, 0, 0, 0)], REFUSED),
    ([(60, 0, 4, 0), (282, 0, 4, 0)], ENDS), ([(60, 0, 4, 0)] + [(5, 0, 4, 0)] * 17 + [(197, 0, 0, 0)], GOES),
    ([(60, 0, 4, 0)] + [(5, 0, 4, 0)] * 18 + [(192, 0, 0, 0)], ENDS), ([(342, 0, 8, 0)], ENDS),
    ([(342, 0, 8, 0), (0, 0, 0, 0)], ENDS),
], ids=str)  # fmt: skip
def test_a_netvms_chain(net, slots, outcome):
    netvm = net.uplink.end
    frame = udp(SERVER, 53, net.address, net.port, b"y" * 300)
    answer(netvm, (49, 0, 0, 0), frame=udp(SERVER, 53, net.address, net.port, b"1234567"))
    answer(netvm, *slots, frame=frame)
    netvm.kick(netvm.rx)
    net.settle()
    came = [Look(octets).data for octets, blank, gso, _ in net.a.end.frames if not blank and not gso]
    # a part of no octets takes no buffer of the client
    assert all(each[3] <= sum(octets > 0 for octets, _, _, _ in slots) for each in net.a.end.frames[1:])
    assert came == [b"1234567"] + ([b"y" * 300] if outcome == GOES else [])
    assert (netvm.connections == 1 and netvm.connected()) == (outcome != ENDS)
    assert net.tell("pages") == "" and netvm.dirty == []


@pytest.mark.parametrize("extra", [(1, 0, 1000, 1), (1, 0, 0, 1), (2, 0, 1000, 1), (1, 1, 1000, 1), (1, 0, 1000, 2)])
def test_a_netvms_extra_info(net, extra):
    kind, flags, size, gso_type = extra
    netvm = net.uplink.end
    frame = tcp(SERVER, 80, net.address, net.tcp_port, ACK, bytes(2000), blank=True)
    answer(netvm, (len(frame), 0, EXTRA_INFO | 3, 0), frame=frame)
    netvm.respond(0, size, gso_type, 0)
    at = netvm.rx.at(netvm.rx.produced - 1)
    netvm.rx.halves[at] = kind | flags << 8
    netvm.kick(netvm.rx)
    net.settle()
    good = extra == (1, 0, 1000, 1)
    assert [each[1:3] for each in net.a.end.frames] == ([(True, 1000)] if good else [])
    assert (netvm.connections == 1 and netvm.connected()) == good
    assert net.tell("pages") == ""


@pytest.mark.parametrize("extra", [False, True])
def test_a_netvms_last_slot_is_written_and_not_shown(net, extra):
    netvm = net.uplink.end
    if extra:
        frame = tcp(SERVER, 80, net.address, net.tcp_port, ACK, bytes(2000), blank=True)
        answer(netvm, (len(frame), 0, EXTRA_INFO | 3, 0), frame=frame)
        netvm.respond(GSO, 1000, GSO_TCPV4, 0)
    else:
        answer(netvm, (60, 0, MORE_DATA, 0), (282, 0, 0, 0), frame=udp(SERVER, 53, net.address, net.port, b"y" * 300))
    netvm.rx.produced -= 1
    netvm.kick(netvm.rx)
    net.settle()
    assert net.a.end.frames == [] and not (netvm.connections == 1 and netvm.connected())
    assert net.tell("pages") == ""


def test_what_a_client_writes_beside_its_buffers_is_no_offset(net):
    """A response stands in the slot of its request: what the request had between id and reference is not left there."""
    end = net.a.end
    for number in range(end.rx.produced - 256, end.rx.produced):
        end.rx.halves[end.rx.at(number) + 1] = 0x123
    frame = udp(SERVER, 53, net.address, net.port, b"y" * 500)
    for _ in range(3):
        net.uplink.send(frame)
        assert net.a.recv()[42:] == b"y" * 500


def test_who_lies_in_the_midst_of_many_misses_takes_no_page_along(net):
    """Frames were put off for the next turn of an interface that had ended meanwhile, and their pages were lost."""
    before = net.holdings()["free"]
    end = net.a.end
    for _ in range(20):
        end.queue(out())
    end.kick()
    net.settle()  # hits alone: its next turn takes more
    for seq in range(30):
        end.queue(echo(A, net.gateway, seq=seq))
    end.rx.words[REQ_PROD] = end.rx.words[REQ_PROD] + 300 & 0xFFFFFFFF  # found when the first answer is sent
    end.kick()
    net.settle()
    assert not end.connected()
    assert net.holdings()["free"] == before
