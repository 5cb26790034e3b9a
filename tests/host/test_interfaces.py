"""The table of interfaces: what stands in an interface's row is what its object says, whatever happens to it."""
from types import SimpleNamespace

import pytest
from packets import udp
from scenes import A, B, OURS, SERVER

from firewall import interfaces
from firewall.interfaces import CLIENT, CSUM, FEATURES, GSO, HEADER, MTU, NUMBERS, PEER, ROW, SG, UPLINK, Interface, Interfaces
from tests.network import CLIENT_MAC, OUR_MAC, Network, words


def row(table, number):
    """(MTU, client's slot, peer, features, header) out of the words."""
    w = table.rows[number * ROW : number * ROW + ROW]
    return w[MTU], w[CLIENT], w[PEER], w[FEATURES], bytes(w)[HEADER * 4 : HEADER * 4 + 14]


def test_a_row_says_what_its_object_says():
    net = Network()
    table = net.neighbours.interfaces
    a = net.client(A, mtu=1400)
    b = net.client(B)
    for wire, to, own in ((a, CLIENT_MAC, OUR_MAC), (b, CLIENT_MAC, OUR_MAC), (net.uplink, OUR_MAC, CLIENT_MAC)):
        interface = table.by_number[wire.number]
        slot = interface.client.slot if interface.client else 0
        assert row(table, wire.number) == (interface.mtu, slot, 0, 0, to + own + b"\x08\x00")
        assert interface.header == row(table, wire.number)[4]
    assert table.by_number[a.number].mtu == 1400 and row(table, a.number)[1] != row(table, b.number)[1]
    net.neighbours.change(table.by_number[a.number], b"abcdef", 1300)
    assert row(table, a.number)[0] == 1300 and row(table, a.number)[4] == b"abcdef" + OUR_MAC + b"\x08\x00"
    net.neighbours.gateway_is(b"fedcba")
    assert row(table, UPLINK)[4] == b"fedcba" + CLIENT_MAC + b"\x08\x00"
    net.detach(a)
    assert row(table, a.number) == (0, 0, 0, 0, bytes(14)) and table.by_number[a.number] is None
    assert row(table, b.number)[0] == 1500 and table.numbers() == [UPLINK, b.number]


def test_by_an_uplink_that_is_down_nothing_passes():
    net = Network()
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    assert net.uplink.recv(0)
    uplink = net.uplink
    net.neighbours.uplink_down()
    assert row(net.neighbours.interfaces, UPLINK)[0] == 0
    uplink.send(udp(SERVER, 80, OURS, 4001))
    assert client.recv(0) is None and net.counters["link that is gone"] == 1
    net.netvm(OURS)
    assert row(net.neighbours.interfaces, UPLINK)[0] == 1500


@pytest.mark.parametrize("sg, gso, csum", [(True, False, False), (False, True, False), (False, False, True), (True, True, True)])
def test_rings_are_joined_and_parted(sg, gso, csum):
    table = Interfaces(words)
    client = Interface(5, SimpleNamespace(slot=9), None)
    table.enter(client)
    rings = SimpleNamespace(tx="tx", rx="rx", domid=7, sg=sg, gso=gso, csum=csum)
    owner = SimpleNamespace(link=rings)
    table.join(client, owner, "guard")
    assert row(table, 5)[1:4] == (9, 7, SG * sg | GSO * gso | CSUM * csum)
    assert (client.owner, client.rings, client.ring, client.guard) == (owner, rings, "tx", "guard")
    assert table.of(owner) is client and table.of(object()) is None
    table.part(client)
    assert client.rings is None and client.ring is None and table.of(owner) is client
    table.leave(client)
    assert table.of(owner) is None
    uplink = Interface(UPLINK, None, None)
    table.enter(uplink)
    table.join(uplink, owner, None)
    assert uplink.ring == "rx"


def test_numbers_are_bounded_and_used_again():
    table = Interfaces(words)
    entered = []
    for number in range(1, NUMBERS):
        assert table.free_number() == number
        entered.append(Interface(number, SimpleNamespace(slot=number), None))
        table.enter(entered[-1])
    assert table.free_number() == -1
    table.leave(entered[41])
    table.leave(entered[6])
    assert table.free_number() == 7
    assert len(table.numbers()) == NUMBERS - 3


def test_features_and_words_are_apart():
    assert sorted((MTU, CLIENT, PEER, FEATURES, HEADER)) == [0, 1, 2, 3, 4] and HEADER + 4 <= ROW
    assert interfaces.SG | interfaces.GSO | interfaces.CSUM == 7
