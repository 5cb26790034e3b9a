"""vchan over shared memory, in the simulated Xen: both roles, honest peers of every size, and hostile ones."""
import random

import pytest
import vchan_peer
from store import StoreError
from vchan_peer import LEFT_CONS, LEFT_PROD, RIGHT_CONS, RIGHT_PROD

FW, PORT = 2, 600
CLIENT = "run=try_vchan mode=client port=600"
SERVER = "run=try_vchan mode=server port=600"


def served(machine, words="", orders=(12, 12)):
    """The firewall as a client, and dom0's end."""
    firewall = machine.firewall(CLIENT + " " + words)
    end = vchan_peer.Server(machine.domains[0], FW, PORT, orders)
    machine.until(end.came)
    return firewall, end


def client_of(machine, words=""):
    """The firewall as a server, and dom0's end."""
    firewall = machine.firewall(SERVER + " " + words)
    return firewall, reconnect(machine)


def reconnect(machine):
    found = []

    def connected():
        found.append(vchan_peer.connect(machine.domains[0], FW, PORT))
        return found[-1]
    machine.until(connected)
    machine.settle()
    return found[-1]


ROLES = pytest.mark.parametrize("role", [served, client_of], ids=["client", "server"])


def echoed(machine, end, octets):
    """What comes back for octets, written as fast as room appears."""
    got, at = b"", 0
    for _ in range(10000):
        at += end.write(octets[at:])
        machine.settle()
        got += end.read()
        if len(got) == len(octets):
            break
    return got


@pytest.mark.parametrize("orders", [(10, 11), (11, 10), (10, 12), (12, 11), (12, 12), (13, 12), (16, 16), (18, 12)])
def test_as_client_with_rings_of_any_size(machine, orders):
    _, end = served(machine, orders=orders)
    sent = random.Random(1).randbytes(50000)
    assert echoed(machine, end, sent) == sent


@pytest.mark.parametrize("words", ["in=1 out=1", "in=4096 out=4096", "in=5000 out=70000"])
def test_as_server_with_rings_of_any_size(machine, words):
    _, end = client_of(machine, words)
    sent = random.Random(2).randbytes(50000)
    assert echoed(machine, end, sent) == sent


@ROLES
def test_indices_that_wrap(machine, role):
    firewall = machine.firewall((CLIENT if role is served else SERVER) + " packet=100")
    if role is served:
        end = vchan_peer.Server(machine.domains[0], FW, PORT, publish=False)
        for word in range(4):
            end.words[word] = 0xFFFFFFFF - 1000
        end.publish()
        machine.until(end.came)
    else:
        end = reconnect(machine)
    sent = bytes(range(100)) * 30
    assert echoed(machine, end, sent) == sent
    assert firewall.alive()


@ROLES
def test_what_was_written_before_leaving_is_still_read(machine, role):
    firewall, end = role(machine)
    end.write(b"x" * 3000)
    end.close()
    machine.settle()
    firewall.wait_for("closed")
    assert "lie" not in firewall.console


@ROLES
def test_a_storm_of_events_without_work(machine, role):
    firewall, end = role(machine)
    for _ in range(2000):
        end.notify()
        machine.settle()
    assert echoed(machine, end, b"still here") == b"still here"


@ROLES
def test_begins_again_a_hundred_times_and_holds_no_more(machine, role):
    firewall, end = role(machine)
    machine.advance(1)
    before = firewall.holdings()
    for _ in range(100):
        assert echoed(machine, end, b"hello") == b"hello"
        end.close()
        machine.settle()
        if role is served:
            assert end.collect() == 0
            end = vchan_peer.Server(machine.domains[0], FW, PORT)
            machine.until(end.came)
        else:
            end = reconnect(machine)
    machine.advance(1)
    assert firewall.holdings() == before
    assert firewall.lines("held") == []


def test_the_servers_entry_is_for_one_client(machine):
    firewall = machine.firewall(SERVER)
    machine.settle()
    base = "/local/domain/2/data/vchan/0/600"
    assert int(machine.read(base + "/ring-ref")) >= 8
    client = machine.store.client(0, lambda path, token: None)
    for node in ("/ring-ref", "/event-channel"):
        assert list(client.get_perms((base + node).encode())) == [("n", 2), ("r", 0)]
    end = reconnect(machine)
    with pytest.raises(StoreError):
        machine.read(base + "/ring-ref")
    with pytest.raises(StoreError):
        machine.read("/local/domain/2/data/vchan/0")
    assert firewall.alive() and end.peer_lives()


# ---- what peers may try


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
    if role is served:
        assert end.collect() == 0
        end = vchan_peer.Server(machine.domains[0], FW, PORT)
        machine.until(end.came)
    else:
        end = reconnect(machine)
    assert echoed(machine, end, b"honest") == b"honest"
    assert firewall.holdings() == holdings


@ROLES
def test_a_full_ring_is_no_lie(machine, role):
    firewall, end = role(machine)
    sent = bytes(range(256)) * 16
    assert end.write(sent) == 4096
    got = b""
    for _ in range(10):
        machine.settle()
        got += end.read()
    assert got == sent and "lie" not in firewall.console


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
            if role is served:
                end = vchan_peer.Server(machine.domains[0], FW, PORT)
                machine.until(end.came)
            else:
                end = reconnect(machine)
            firewall.console = ""
    assert firewall.alive()


def set_up(machine, bend):
    """A server that bend() makes a liar before it publishes; the firewall must not connect, and then connect."""
    firewall = machine.firewall(CLIENT)
    machine.settle()
    holdings = firewall.holdings()
    end = vchan_peer.Server(machine.domains[0], FW, PORT, publish=False)
    bend(end)
    machine.advance(1)
    assert "open" not in firewall.console
    assert firewall.holdings() == holdings
    honest = vchan_peer.Server(machine.domains[0], FW, PORT)
    machine.until(honest.came)
    assert echoed(machine, honest, b"honest") == b"honest"


def order_9(end):
    end.octets[16] = 9
    end.publish()


def order_21(end):
    end.octets[18] = 21
    end.publish()


def order_65535(end):
    end.octets[18:20] = b"\xff\xff"
    end.publish()


def both_in_one_place(end):
    end.octets[16:20] = b"\x0a\0\x0a\0"
    end.publish()


def grants_of_nobody(end):
    end.octets[24:32] = b"\xff" * 8
    end.publish()


def a_second_grant_of_nobody(end):
    end.octets[28:32] = b"\xff" * 4
    end.publish()


def has_left_already(end):
    end.octets[vchan_peer.SERVER_LIFE] = 0
    end.publish()


def grant_zero(end):
    end.publish(ring_ref=0)


def grant_of_nobody(end):
    end.publish(ring_ref=2000)


def grant_that_is_no_number(end):
    end.publish(ring_ref=b"0x10")


def grant_too_large(end):
    end.publish(ring_ref=b"99999999999999999999")


def grant_missing(end):
    end.publish()
    end.store.remove(end.path + b"/ring-ref")


def port_zero(end):
    end.publish(event_channel=0)


def port_of_nobody(end):
    end.publish(event_channel=1000)


def port_empty(end):
    end.publish(event_channel=b"")


def port_negative(end):
    end.publish(event_channel=b"-1")


SET_UPS = [order_9, order_21, order_65535, both_in_one_place, grants_of_nobody, a_second_grant_of_nobody, has_left_already,
           grant_zero, grant_of_nobody, grant_that_is_no_number, grant_too_large, grant_missing, port_zero, port_of_nobody,
           port_empty, port_negative]


@pytest.mark.parametrize("bend", SET_UPS, ids=lambda bend: bend.__name__)
def test_a_server_that_cannot_be_is_waited_out(machine, bend):
    set_up(machine, bend)


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


def test_a_packet_goes_whole(machine):
    """A reader that looks at any time sees none of it, or all."""
    _, end = served(machine, "packet=3000")
    for _ in range(5):
        end.write(bytes(3000))
        machine.settle()
        seen = end.ready()
        end.write(bytes(3000))
        machine.settle()
        assert end.ready() in (seen, seen + 3000) and end.ready() % 3000 == 0
        end.read()


# ---- a peer that dies ------------------------------------------------------------------------------


class Dying:
    """A peer's process that ends at the so many-th hypercall of ours from now on: what Xen's grant device does for it."""

    def __init__(self, machine, number):
        self.machine, self.left, self.end = machine, number, None

    def __enter__(self):
        self.machine.preempt(1, self.strike)
        return self

    def __exit__(self, *exception):
        self.machine.preempt(0, None)

    def strike(self, _):
        self.left -= 1
        if self.left == 0 and self.end:
            self.end.close()
            self.end = None

    def over(self):
        """It did not come to it."""
        return self.left > 0


def _say(machine, end, dying, octets=b"x" * 9000):
    """Send while it lives."""
    at = 0
    for _ in range(8):
        if dying.end is None:
            return
        at += end.write(octets[at:])
        machine.settle()
        if dying.end:
            end.read()


def test_a_server_that_dies_in_each_step(machine):
    """While we find, map, bind, enter, read and write: all is given back, and its successor is served."""
    firewall = machine.firewall(CLIENT)
    machine.advance(6)
    held = firewall.holdings()
    for number in range(1, 1000):
        with Dying(machine, number) as dying:
            dying.end = end = vchan_peer.Server(machine.domains[0], FW, PORT)
            machine.settle()
            if dying.end and end.came():
                _say(machine, end, dying)
        if dying.end:
            end.close()
        machine.advance(6)
        try:
            machine.dom0.remove(b"/local/domain/0/data/vchan/2/600")
        except StoreError:
            pass
        assert firewall.holdings() == held and end.collect() == 0, number
        if number % 5 == 0 or dying.over():
            honest = vchan_peer.Server(machine.domains[0], FW, PORT)
            machine.until(honest.came, 15)
            assert echoed(machine, honest, b"honest" * 1000) == b"honest" * 1000
            honest.close()
            machine.advance(6)
        if dying.over():
            break
    assert 10 < number < 999


def test_a_client_that_dies_in_each_step(machine):
    """Between its own steps, and at each of ours: the next one is served, nothing is held."""
    firewall, end = client_of(machine)
    end.close()
    machine.advance(2)
    held = firewall.holdings()
    for number in range(1, 1000):
        with Dying(machine, number) as dying:
            dying.end = end = reconnect(machine)
            _say(machine, end, dying)
        if dying.end:
            end.close()
        machine.advance(2)
        assert firewall.holdings() == held, number
        if dying.over():
            break
    assert 10 < number < 999
    assert echoed(machine, reconnect(machine), b"honest" * 1000) == b"honest" * 1000


@pytest.mark.parametrize("step", ["page", "pages", "port", "life"])
def test_a_client_that_dies_before_it_has_come(machine, step):
    """It has mapped one page, all, bound the port, written that it lives, and goes without a word."""
    firewall = machine.firewall(SERVER + " in=8192 out=8192")
    machine.settle()
    dom0, store = machine.domains[0], machine.dom0
    held = firewall.holdings()
    for _ in range(5):
        base = b"/local/domain/2/data/vchan/0/600"
        handles = []
        handle, page = dom0.map(FW, int(store.read(base + b"/ring-ref")))
        handles.append(handle)
        if step != "page":
            refs = [int.from_bytes(page[24 + 4 * i : 28 + 4 * i], "little") for i in range(4)]
            handles += [dom0.map(FW, ref)[0] for ref in refs]
        if step in ("port", "life"):
            port = dom0.evtchn_bind(FW, int(store.read(base + b"/event-channel")))
            machine.settle()
            if step == "life":
                page[vchan_peer.CLIENT_LIFE] = 1
                page[vchan_peer.CLIENT_LIFE] = 0  # as its grant device does
                dom0.evtchn_send(port)
            dom0.evtchn_close(port)
        for each in handles:
            dom0.unmap(each)
        machine.advance(2)
        assert firewall.holdings() == held
    end = reconnect(machine)
    assert echoed(machine, end, b"honest") == b"honest"
