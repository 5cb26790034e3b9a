"""What the tests of vchan begin with: the firewall in either role, dom0's end of the channel, an echo through both."""
import pytest
import vchan_peer

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


def again(machine, role, end):
    """What the firewall has after an end of the channel that was closed: another one, in the same role."""
    if role is client_of:
        return reconnect(machine)
    assert end.collect() == 0
    return another_server(machine)


def another_server(machine):
    end = vchan_peer.Server(machine.domains[0], FW, PORT)
    machine.until(end.came, 15)
    return end


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
