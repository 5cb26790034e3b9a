"""Netvms that lie in the uplink's rings, keep pages, close, storm; and what a netvm can see of us."""
import pytest
from attacks import (FRIEND, HONEST, LIAR, SERVER, Lies, begin, forwarding_between_clients, frame, rest, row,
                     still_serves, storm, works)
from frontend import CLOSED
from netvm import Netvm
from tests.sim.network import Network
from packets import ACK, Look, ip, tcp, udp
from rings import EXTRA_INFO, GSO, GSO_TCPV4, MORE_DATA, OKAY, PAGE

lie_of = Lies()  # the connection to the netvm ends, and is made again


@pytest.fixture
def net(machine):
    """With another client, to whom the honest one may send when there is no uplink."""
    net = begin(machine)
    net.friend = net.client(FRIEND)
    net.allow((HONEST, FRIEND))
    yield net
    still_serves(net)


def push_tx(netvm, id, status=OKAY):
    netvm.answer(id, status)
    netvm.tx.publish()


def in_flight(net, count=3):
    """Make the netvm hold tx requests; their ids."""
    net.uplink.end.holds = True
    for i in range(count):
        net.honest.send(udp(HONEST, 4100 + i, SERVER, 9))
    net.settle()
    tx = net.uplink.end.tx
    return [tx.halves[tx.at(tx.consumed + i) + 4] for i in range(count)]


def put(end, octets, offset=0):
    """Octets into the next buffer, unpublished."""
    id, ref = end.buffer()
    handle, page = end.peer.map(2, ref)
    page[offset : offset + len(octets)] = octets
    end.peer.unmap(handle)
    end.respond(id, offset, 0, len(octets))


def fill(end, flags=0, status=100, offset=0):
    """An answer that says so of the next buffer, in which nothing was put; unpublished."""
    id, _ = end.buffer()
    end.respond(id, offset, flags, status)


def rx_extra(net, kind, more, size, gso_type):
    end = net.uplink.end
    fill(end, EXTRA_INFO)
    end.respond(kind | more << 8, size, gso_type, 0)
    end.rx.publish()


@lie_of("XSA-376")
def tx_answer_of_id_256(net):
    in_flight(net)
    push_tx(net.uplink.end, 256)


@lie_of("XSA-376")
def tx_answer_of_id_65535(net):
    in_flight(net)
    push_tx(net.uplink.end, 65535)


@lie_of("XSA-376", "MSA00")
def tx_answer_of_an_id_not_in_flight(net):
    ids = in_flight(net)
    push_tx(net.uplink.end, next(id for id in range(256) if id not in ids))


@lie_of("XSA-405", "MSA00")
def tx_answer_twice(net):
    ids = in_flight(net)
    push_tx(net.uplink.end, ids[0])
    push_tx(net.uplink.end, ids[0])


@lie_of("XSA-376")
def tx_answers_nobody_asked_for(net):
    net.uplink.end.tx.publish(net.uplink.end.tx.produced + 1)


@lie_of("XSA-376")
def tx_producer_of_the_netvm_backwards(net):
    net.uplink.end.tx.publish(net.uplink.end.tx.produced - 1)


@lie_of()
def rx_producer_of_the_netvm_ahead(net):
    net.uplink.end.rx.publish(net.uplink.end.rx.produced + 257)


@lie_of()
def rx_id_of_another_slot(net):
    id, _ = net.uplink.end.buffer()
    net.uplink.end.respond(id + 1 & 255, 0, 0, 60)
    net.uplink.end.rx.publish()


@lie_of("XSA-376")
def rx_id_300(net):
    net.uplink.end.respond(300, 0, 0, 60)
    net.uplink.end.rx.publish()


@lie_of("QSB-089")
def rx_page_crossed(net):
    fill(net.uplink.end, 0, 60, PAGE - 59)
    net.uplink.end.rx.publish()


@lie_of()
def rx_page_crossed_behind_good_frames(net):
    for i in range(4):
        put(net.uplink.end, udp(SERVER, 53, net.address, 4001, b"n"))
    rx_page_crossed(net)


@lie_of()
def rx_more_data_into_nothing(net):
    fill(net.uplink.end, MORE_DATA)
    net.uplink.end.rx.publish()


@lie_of()
def rx_chain_of_20_slots(net):
    for i in range(20):
        fill(net.uplink.end, MORE_DATA if i < 19 else 0)
    net.uplink.end.rx.publish()


@lie_of()
def rx_extra_missing(net):
    fill(net.uplink.end, EXTRA_INFO)
    net.uplink.end.rx.publish()


@lie_of()
def rx_extra_of_type_0(net):
    rx_extra(net, 0, 0, 100, GSO_TCPV4)


@lie_of()
def rx_extra_of_type_9(net):
    rx_extra(net, 9, 0, 100, GSO_TCPV4)


@lie_of()
def rx_gso_size_0(net):
    rx_extra(net, GSO, 0, 0, GSO_TCPV4)


@lie_of()
def rx_gso_type_0(net):
    rx_extra(net, GSO, 0, 100, 0)


@lie_of()
def rx_gso_for_ipv6(net):
    """Never offered."""
    rx_extra(net, GSO, 0, 100, 2)


@lie_of()
def rx_extras_without_end(net):
    end = net.uplink.end
    fill(end, EXTRA_INFO)
    for _ in range(10):
        end.respond(GSO | 1 << 8, 100, GSO_TCPV4, 0)
    end.rx.publish()


@row("XSA-376", "XSA-405")
@lie_of.each
def test_a_lying_netvm_costs_the_connection(net, lie):
    """It is closed with one line, made again, and nothing has leaked."""
    before = rest(net)
    end = net.uplink.end
    with forwarding_between_clients(net):
        lie(net)
        end.peer.evtchn_send(end.port)
        end.disconnect()  # what it does next is not to be part of the lie
        net.settle()
    assert len(net.lines("uplink closed")) == 1
    assert net.honest.pings(), "clients are served without an uplink"
    end.holds = False
    net.again(2)
    net.honest.end.frames.clear()
    works(net)
    assert rest(net) == before and not end.dirty


@row("be-grant-kept", "XSA-396", "MSA02")
@pytest.mark.parametrize("side", ["tx", "rx"])
def test_a_page_that_the_netvm_keeps_is_not_used_again(net, side):
    """Quarantined until its revocation succeeds."""
    before = rest(net)
    end = net.uplink.end
    end.keeps = side
    net.honest.send(udp(HONEST, 4001, SERVER, 53, b"question"))
    seen = Look(net.uplink.recv())
    if side == "rx":
        end.send(udp(SERVER, 53, net.address, seen.sport, b"answer"))
        net.settle()
    end.keeps = ""
    assert len(net.lines("uplink closed")) == 1
    net.machine.advance(1.1)  # its rings it has given back by then
    assert net.figures()["quarantine"] == 1
    frames = {end.peer.domain.mappings[handle].frame for handle in end.kept}
    kept = {frame: bytes(end.peer.octets(frame)) for frame in frames}
    net.again(2)
    net.honest.end.frames.clear()
    for i in range(100):
        works(net, 4200 + i)
    for frame, octets in kept.items():
        assert bytes(end.peer.octets(frame)) == octets, "the page was used again"
    end.let_go()
    assert rest(net) == before


@row("XSA-396")
def test_a_netvm_that_collects_pages_gets_no_uplink_any_more(net):
    """The quarantine is bounded: at most 512 pages, then one line, and all else lives on."""
    before = rest(net)
    end = net.uplink.end
    end.keeps = "all"
    end.collect()
    for i in range(20):
        with forwarding_between_clients(net):
            if end.connected():
                net.honest.end.send(udp(HONEST, 4001 + i, SERVER, 53))
            net.machine.advance(1)
        assert net.figures()["quarantine"] <= 512
    assert len(net.lines("uplink stays down")) == 1
    net.machine.advance(60)
    assert len(net.lines("uplink stays down")) == 1
    assert net.honest.pings()
    end.keeps = ""
    end.let_go()
    net.again(end.connections + 1)
    net.honest.end.frames.clear()
    works(net)
    assert rest(net) == before


def test_the_next_netvm_is_not_denied_what_one_keeps(net):
    """Its limit is a domain's own: it lives on, holding all that it may, and dom0 moves us to another."""
    end = net.uplink.end
    end.keeps = "all"
    end.collect()
    for _ in range(20):
        net.honest.end.send(udp(HONEST, 4001, SERVER, 53))
        net.machine.advance(1)
    assert len(net.lines("uplink stays down")) == 1 and net.figures()["quarantine"] > 300
    end.remove()
    end.leave()
    net.wires.remove(net.uplink)
    net.netvm(net.address, domid=40)
    net.honest.end.frames.clear()
    for i in range(100):
        works(net, 4200 + i)
    assert not net.uplink.end.dirty


@row("be-features")
@pytest.mark.parametrize("junk", ["", "2", "-1", "yes", "11111111111111111111", "\x00", "1 ", " 1"])
def test_junk_features_read_as_the_default(machine, junk):
    net = Network(machine=machine, features={name: junk for name in ("feature-sg", "feature-gso-tcpv4",
                                                                     "feature-no-csum-offload")})
    net.honest = net.client(HONEST)
    works(net)
    net.honest.send(tcp(HONEST, 1, SERVER, 2, blank=True), blank=True)
    _, blank, _ = net.uplink.recv_offloaded()
    assert blank, "checksums are offloaded unless it says no"
    net.honest.send(ip(HONEST, SERVER, 17, udp(HONEST, 1, SERVER, 2, bytes(3000))[34:]))
    net.settle()
    assert [slots for _, _, _, slots in net.uplink.end.frames] == [1, 1, 1]


@row("be-features")
def test_features_that_appear_and_vanish(net):
    """At each connection anew, and while one lasts: what was said when it was made counts, until the next."""
    end = net.uplink.end
    big = tcp(HONEST, 6000, SERVER, 80, ACK, bytes(20000), blank=True)
    net.honest.send(tcp(HONEST, 6000, SERVER, 80))
    assert Look(net.uplink.recv()).dport == 80
    for offers, frames in ((True, 1), (False, 14), (True, 1)):
        end.sg = end.gso = offers
        if frames == 14:
            for name in ("feature-sg", "feature-gso-tcpv4"):
                end.xs.remove((end.back + "/" + name).encode())
            with forwarding_between_clients(net):  # they vanish: nothing happens until it connects again
                net.honest.end.send(big, blank=True, gso=1448)
            assert len(end.frames) == 1
        end.disconnect()
        end.set_state(CLOSED)
        net.again(end.connections + 1)
        net.honest.send(big, blank=True, gso=1448)
        net.settle()
        assert len(end.frames) == frames and all(not gso for _, _, gso, _ in end.frames) == (frames > 1)
        end.frames.clear()


def test_without_rx_copy_there_is_no_uplink(machine):
    net = Network(machine=machine, uplink=False)
    net.honest = net.client(HONEST)
    end = Netvm(machine, features={"feature-rx-copy": None})
    machine.advance(5)
    assert end.connections == 0 and net.firewall.alive()
    assert 1 <= len(net.lines("does not copy")) <= 3
    assert net.honest.pings()


def test_a_frame_too_short_or_failed_is_dropped(net):
    end = net.uplink.end
    before = rest(net)
    for status in (0, 1, 13, -1, -2, -32768):
        fill(end, 0, status)
    end.kick(end.rx)
    net.settle()
    works(net)
    assert end.connections == 1 and rest(net) == before


@row("XSA-391")
def test_a_storm_of_events_from_the_uplink(net):
    """As fast as the firewall can see them."""
    end = net.uplink.end
    left = storm(net.machine, end.peer, end.port, 5000)
    rounds = 0
    while left[0]:
        works(net, 4001 + rounds)
        rounds += 1
    net.machine.preempt(0, None)
    assert rounds > 100


@row("XSA-216")
@pytest.mark.parametrize("back", [False, True], ids=["first", "again"])
def test_ring_pages_show_counters_and_requests_only(net, back):
    """Every octet of both pages, of the first connection and of one whose pages were somebody's before."""
    end = net.uplink.end
    if back:
        for i in range(300):
            net.honest.send(frame(b"secret", 5000))
            net.honest.send(udp(HONEST, 5000 + i, SERVER, 9, b"secret"))
        net.settle()
        net.no_netvm()
        net.netvm(net.address, domid=31)
        end = net.uplink.end
    sent = end.tx.produced
    tx, rx = end.tx, end.rx
    assert tx.words[4:16].tolist() == rx.words[4:16].tolist() == [0] * 12
    assert not any(tx.halves[tx.at(sent) : tx.at(255) + 6])
    for i in range(256):
        id, pad, low, high = rx.halves[rx.at(i) : rx.at(i) + 4]
        assert (id, pad) == (i, 0) and end.peer.machine.domains[2].in_use(low | high << 16) is False


@row("XSA-403", "XSA-216", "MSA01")
def test_what_the_netvm_can_see_is_packets_and_zeros(net):
    """Long frames, then short ones in the same pages; both ways; pages posted for rx."""
    before = rest(net)
    client = net.client(LIAR)
    for data in (b"s" * 1400, b"", b"t" * 700, b"u" * 3):
        for i in range(300):
            client.send(frame(data, 5000))
        net.settle()
    seen = Look(net.uplink.end.frames[-1][0])
    for size in (1400, 1, 800):
        for i in range(300):
            net.uplink.send(udp(SERVER, 7, net.address, seen.sport, b"v" * size))
        net.settle()
    for i in range(20):
        client.send(tcp(LIAR, 5000, SERVER, 80, ACK, bytes(200)))
    net.settle()
    assert net.uplink.end.dirty == []
    net.uplink.end.frames.clear()
    client.end.frames.clear()
    net.detach(client)
    assert rest(net) == before


@row("QSB-089")
def test_values_just_inside_the_netvms_limits_are_taken(net):
    """Beside each lie its honest neighbour: a frame that ends with its page, 18 slots, a whole ring of answers."""
    end = net.uplink.end
    before = rest(net)
    works(net)
    octets = udp(SERVER, 53, net.address, 4001, b"y" * 100)
    put(end, octets, PAGE - len(octets))
    end.kick(end.rx)
    assert Look(net.honest.recv()).data == b"y" * 100
    end.send(octets, sizes=[20] + [7] * 16)
    assert Look(net.honest.recv()).data == b"y" * 100
    for _ in range(256):
        end.send(octets)
    net.settle()
    assert len(net.honest.end.frames) == 256 and not net.lines("uplink closed")
    net.honest.end.frames.clear()
    assert rest(net) == before
