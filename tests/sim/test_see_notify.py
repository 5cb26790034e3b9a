"""Refusals as notifications in dom0: one per client and minute, in the form that its server takes, if wanted at all."""
import struct

import pytest
from packets import SYN, tcp, udp
from seeing import Seeing

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"


class Taken:
    """What a server of qubes.Notifications takes, strictly (notification-proto): one octet too many is its end."""

    def __init__(self, octets):
        self.octets, self.at = octets, 4
        assert struct.unpack_from("<I", octets) == (1 << 16,)
        self.found = []
        while self.at < len(octets):
            length, = self._take("<I")
            end = self.at + length
            sequence, variant = self._take("<QI")
            flags = self._take("<3B")
            urgency = self._take("<I") if self._take("<B") == (1,) else None
            replaces, = self._take("<I")
            summary, body = self._text(), self._text()
            assert self._take("<Q") + self._take("<B") + self._take("<i") + self._take("<B") == (0, 0, -1, 0)
            assert (variant, replaces, self.at) == (0, 0, end) and set(flags) <= {0, 1} and urgency == (0,)
            assert sequence == len(self.found) + 1
            self.found.append((summary, body))

    def _take(self, form):
        values = struct.unpack_from(form, self.octets, self.at)
        self.at += struct.calcsize(form)
        return values

    def _text(self):
        length, = self._take("<Q")
        text = self.octets[self.at : self.at + length]
        assert len(text) == length <= 1000 and all(0x20 <= octet < 0x7F for octet in text)
        self.at += length
        return text.decode()


@pytest.fixture
def see(machine):
    see = Seeing(machine)
    see.asked = []
    see.dom0.policy = lambda trigger: see.asked.append(trigger.service) or 0
    see.a = see.net.client(A, ("action=drop proto=tcp", "action=accept"))
    see.b = see.net.client(B, ())
    return see


def refuse(see, count=1):
    for n in range(count):
        see.a.send(tcp(A, 1000 + n, SERVER, 22, SYN))
    see.net.settle()


def served(see):
    """The service's side, which has said its version."""
    see.machine.advance(1)
    side = see.dom0.served[-1]
    if not side.got.get("hello"):
        side.got["hello"] = True
        side.write(struct.pack("<I", 1 << 16 | 3))
    see.machine.advance(1)
    return side


def test_off_unless_it_is_switched_on(see):
    refuse(see)
    see.machine.advance(120)
    assert see.asked == [] and not see.dom0.served
    see.net.tell("notify on")
    see.machine.advance(10)
    assert see.asked == []  # what was before is no news
    refuse(see)
    see.machine.advance(2)
    assert see.asked == ["qubes.Notifications"]


def test_one_for_each_client_and_minute(see):
    see.net.tell("notify on")
    refuse(see, 5)
    side = served(see)
    assert Taken(side.stdin).found == [
        ("10.137.0.21: tcp 192.0.2.50:22 refused by rule 0", "denied by the rules; 4 more since the last time")]
    for _ in range(10):
        refuse(see, 2)
        see.b.send(udp(B, 1, SERVER, 53))
        see.machine.advance(1)
    see.machine.advance(1)
    found = Taken(side.stdin).found
    assert len(found) == 2 and found[1][0] == "10.137.0.22: udp 192.0.2.50:53 refused"
    see.machine.advance(55)
    refuse(see)
    see.machine.advance(1)
    found = Taken(side.stdin).found
    assert len(found) == 3 and found[2][1] == "denied by the rules; 20 more since the last time"
    assert see.asked == ["qubes.Notifications"] and see.dom0.left == []


def test_what_it_answers_is_read(see):
    see.net.tell("notify on")
    refuse(see)
    side = served(see)
    for _ in range(40):
        side.write(bytes(3000))
        see.machine.advance(0.1)
    assert not side.out
    see.net.tell("notify off")
    see.machine.advance(2)
    assert side.gone and see.dom0.daemon.ports == {}


def test_refused_by_policy_is_asked_again_later(see):
    see.dom0.policy = lambda trigger: see.asked.append(trigger.service)
    see.net.tell("notify on")
    for _ in range(30):
        refuse(see)
        see.machine.advance(10)
    assert len(see.asked) == 1
    assert len(see.net.lines("dom0 refuses qubes.Notifications")) == 1
    for _ in range(40):
        refuse(see)
        see.machine.advance(10)
    assert len(see.asked) == 2


@pytest.mark.parametrize("version", [b"\0\0\2\0", b"\0\0\0\0", b""])
def test_a_server_of_another_version_costs_nothing(see, version):
    see.net.tell("notify on")
    refuse(see)
    see.machine.advance(1)
    side = see.dom0.served[0]
    if version:
        side.write(version)
    else:
        side.exit(1)
    see.machine.advance(5)
    assert side.gone and see.dom0.left == [] and see.a.pings()
