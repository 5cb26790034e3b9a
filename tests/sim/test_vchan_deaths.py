"""vchan with a peer that dies, at any step of its own or of ours."""
import pytest
import vchan_peer
from store import StoreError
from vchan_scenes import CLIENT, FW, PORT, SERVER, another_server, client_of, echoed, reconnect


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
            honest = another_server(machine)
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
