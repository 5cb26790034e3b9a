"""vchan with peers that lie: about the rings, the page they share, or what they publish in xenstore."""
import random

import pytest
import vchan_peer
from vchan_peer import LEFT_CONS, LEFT_PROD, RIGHT_CONS, RIGHT_PROD
from vchan_scenes import CLIENT, FW, PORT, ROLES, again, another_server, client_of, echoed, reconnect, served


def announces_more_than_the_ring(end, words):
    end.words[end.out_prod] = (end.words[end.out_cons] + 4097) & 0xFFFFFFFF


def announces_four_gigabytes(end, words):
    end.words[end.out_prod] = (end.words[end.out_cons] - 1) & 0xFFFFFFFF


def takes_what_was_never_given(end, words):
    end.write(b"hello")
    end.words[end.in_cons] = (end.words[end.in_prod] + 1) & 0xFFFFFFFF


def takes_backwards(end, words):
    end.write(b"hello")
    end.words[end.in_cons] = (end.words[end.in_prod] - 5000) & 0xFFFFFFFF


LIES = [announces_more_than_the_ring, announces_four_gigabytes, takes_what_was_never_given, takes_backwards]


@ROLES
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_closes_the_channel(machine, role, lie):
    firewall, end = role(machine)
    holdings = firewall.holdings()
    lie(end, end.words)
    end.notify()
    firewall.wait_for("lie")
    assert end.peer_lives() != 1 or role is client_of  # it said good-bye
    assert len(firewall.lines("lie")) == 1
    end.close()
    machine.advance(2)  # a server has a new instance by now
    end = again(machine, role, end)
    assert echoed(machine, end, b"honest") == b"honest"
    assert firewall.holdings() == holdings


@ROLES
def test_orders_and_grants_changed_later_change_nothing(machine, role):
    _, end = role(machine)
    end.octets[16:20] = b"\x14\x00\x14\x00"
    end.octets[24:1024] = bytes([255]) * 1000
    sent = random.Random(3).randbytes(20000)
    assert echoed(machine, end, sent) == sent


@ROLES
def test_our_own_octets_of_the_page_are_not_believed(machine, role):
    """The peer overwrites what only we write: our indices, our life."""
    firewall, end = role(machine)
    for _ in range(50):
        assert echoed(machine, end, b"hello") == b"hello"
        ours = [LEFT_PROD, RIGHT_CONS] if role is served else [LEFT_CONS, RIGHT_PROD]
        for word in ours:
            before = end.words[word]
            end.words[word] = 0x12345678
            end.notify()
            machine.settle()
            end.words[word] = before
        end.octets[end.peer_life] = 0
    assert firewall.alive()


@ROLES
def test_a_life_that_comes_back_is_not_believed(machine, role):
    firewall, end = role(machine)
    end.octets[end.own_life] = 0
    end.notify()
    machine.settle()
    end.octets[end.own_life] = 1
    end.notify()
    firewall.wait_for("closed")


@ROLES
def test_noise_in_the_page_for_a_while(machine, role):
    """Anything in any of the first 24 octets: the channel may end, the domain may not."""
    dice = random.Random(4)
    firewall, end = role(machine)
    for _ in range(300):
        end.octets[dice.randrange(24)] = dice.randrange(256)
        end.notify()
        machine.settle()
        if firewall.lines("lie") or firewall.lines("closed"):
            firewall.machine.advance(1)
            end.close()
            end = another_server(machine) if role is served else reconnect(machine)
            firewall.console = ""
    assert firewall.alive()


def page(at, octets):
    """The server publishes a page with these octets there."""
    def bend(end):
        end.octets[at : at + len(octets)] = octets
        end.publish()
    return bend


def node(**values):
    """The server publishes such values in xenstore."""
    return lambda end: end.publish(**values)


def grant_missing(end):
    end.publish()
    end.store.remove(end.path + b"/ring-ref")


SET_UPS = {
    "order_9": page(16, b"\x09"),
    "order_21": page(18, b"\x15"),
    "order_65535": page(18, b"\xff\xff"),
    "both_in_one_place": page(16, b"\x0a\0\x0a\0"),
    "grants_of_nobody": page(24, b"\xff" * 8),
    "a_second_grant_of_nobody": page(28, b"\xff" * 4),
    "has_left_already": page(vchan_peer.SERVER_LIFE, b"\0"),
    "grant_zero": node(ring_ref=0),
    "grant_of_nobody": node(ring_ref=2000),
    "grant_that_is_no_number": node(ring_ref=b"0x10"),
    "grant_too_large": node(ring_ref=b"99999999999999999999"),
    "grant_missing": grant_missing,
    "port_zero": node(event_channel=0),
    "port_of_nobody": node(event_channel=1000),
    "port_empty": node(event_channel=b""),
    "port_negative": node(event_channel=b"-1"),
}


@pytest.mark.parametrize("bend", SET_UPS.values(), ids=SET_UPS)
def test_a_server_that_cannot_be_is_waited_out(machine, bend):
    """bend() makes the server a liar before it publishes; the firewall must not connect, and then connect."""
    firewall = machine.firewall(CLIENT)
    machine.settle()
    holdings = firewall.holdings()
    end = vchan_peer.Server(machine.domains[0], FW, PORT, publish=False)
    bend(end)
    machine.advance(1)
    assert "open" not in firewall.console
    assert firewall.holdings() == holdings
    assert echoed(machine, another_server(machine), b"honest") == b"honest"


def test_a_client_that_keeps_our_pages(machine):
    """They stay out of use until it lets go, and then are there again."""
    firewall, end = client_of(machine)
    machine.advance(1)
    before = firewall.holdings()
    end.close(keep=2)
    machine.advance(3)
    assert firewall.lines("held 2")
    other = reconnect(machine)
    assert echoed(machine, other, b"hello") == b"hello"
    assert firewall.holdings()["grants"] == before["grants"] + 2
    end.let_go()
    machine.advance(3)
    assert firewall.lines("held 0")
    assert firewall.holdings() == before


def test_a_packet_larger_than_the_peers_ring(machine):
    firewall, end = served(machine, "packet=3000", orders=(10, 12))
    end.write(bytes(3000))
    firewall.wait_for("lie")
