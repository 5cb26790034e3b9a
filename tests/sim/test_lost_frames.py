"""Frames of our own making that find no free page: counted as lost, as those are that find no room in a ring."""

_SCRIPT = """
from firewall import cutting
from firewall.forward import Forwarder
from firewall.interfaces import Interface, Interfaces
from firewall.main import _words
from net.frame import Frame, from_octets
from net.pool import Pool

class Ring:
    rx = tx = None
    domid = 7
    dropped = 0
    sg = gso = csum = True
    def has_room(self, *_):
        return True
    def send(self, frame, *_):
        sent.append(frame.octets)
        frame.release(pool)

class Owner:
    name = "neighbour"
    link = Ring()
    def broken(self, reason):
        raise AssertionError(reason)

sent = []
pool = Pool(4)
interfaces = Interfaces(_words)
forwarder = Forwarder(None, interfaces, pool, fast=False)
delivery = forwarder.delivery
client = Interface(1, None, None)
interfaces.enter(client)
forwarder.add(client, Owner())

def said(what):
    print(what, sent, forwarder.delivery.lost(forwarder.uplink), pool.free)
    sent.clear()

forwarder.delivery.emit(1, bytes(60))
forwarder.delivery.emit(2, bytes(60))  # nobody is there
said("emit")
held = [pool.take() for _ in range(3)]
forwarder.delivery.emit(1, bytes(60))
forwarder.delivery.emit(1, bytes(5000))
forwarder.delivery.emit(1, bytes(60))
said("pages")
client.pieces = cutting.Pieces(client, iter([bytes(60), bytes(5000), bytes(61), bytes(5001)]))
delivery.cutting.left = 8
delivery.cutting.go_on(client)
said("pieces")
frame = Frame(False, True, 0)
frame.add(pool.take(), 0, 60)
delivery.forward(None, frame, bytearray(5000), 5000, 1)  # what was put together to be judged
said("whole")
held.append(pool.take())
forwarder.delivery.emit(1, bytes(60))
forwarder.remove(client)
said("gone")
"""


def test_what_finds_no_page_is_counted(machine, run):
    """It was dropped and in no figure of the status."""
    firewall = run(machine, _SCRIPT)
    assert firewall.lines()[-5:] == [
        "emit [60] 0 4", "pages [60, 60] 1 1", "pieces [60, 61] 3 1", "whole [] 4 1", "gone [] 5 0",
    ], firewall.console
