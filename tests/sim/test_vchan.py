"""vchan over shared memory, in the simulated Xen: both roles, with honest peers of every size."""
import random

import pytest
import vchan_peer
from store import StoreError
from vchan_scenes import CLIENT, FW, PORT, ROLES, SERVER, again, client_of, echoed, reconnect, served


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
        end = again(machine, role, end)
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
