"""Neighbours that write anything anywhere they can, by dice: into ring pages, requests, data, xenstore, at any moment.

Most of their words are nearly right, so that the noise gets past the first check. Whatever they do, an honest client is
served meanwhile, nothing of another's memory is touched (pieces of xen.mem end at pages that nobody may touch), and when
they are gone all that the firewall holds is as before.
"""
import random

import pytest
from attacks import FRIEND, HONEST, LIAR, SERVER, begin, rest, row, still_serves, works
from frontend import CLOSED, INITIALISING
from rings import EXTRA_INFO, GSO, GSO_TCPV4, MORE_DATA, PAGE, SLOTS
from packets import Look, tcp, udp

ODD = 0, 1, 13, 14, 59, 60, 255, 256, 257, 1500, PAGE - 1, PAGE, PAGE + 1, 0x7FFF, 0x8000, 0xFFFF


class Noise:
    """What both kinds of neighbour do to a ring that they share."""

    def __init__(self, dice, end):
        self.dice, self.end = dice, end

    def odd(self):
        return self.dice.choice(ODD) if self.dice.random() < 0.7 else self.dice.randrange(0x10000)

    def word(self, ring):
        """One 16-bit word anywhere in the page, or in the counters."""
        at = self.dice.randrange(2048) if self.dice.random() < 0.7 else self.dice.randrange(8)
        ring.halves[at] = self.odd()

    def events(self):
        for _ in range(self.dice.randrange(3)):
            self.end.peer.evtchn_send(self.end.port)


class NoisyClient(Noise):
    def act(self):
        end, dice = self.end, self.dice
        if not end.tx:
            return
        what = dice.randrange(8)
        if what == 0:
            self.word(dice.choice((end.tx, end.rx)))
        elif what < 5 and end.room() > 20 and len(end.free_ids) > 20:
            self.chain()
        elif what == 5:
            frame = dice.choice(list(end.tx_pages.values()) or [(end.kept[0][0], 0)])[0]
            end.peer.octets(frame)[dice.randrange(PAGE)] = dice.randrange(256)
        elif what == 6:
            at = end.rx.at(dice.randrange(SLOTS))
            end.rx.halves[at + dice.randrange(4)] = self.odd()
        end.kick()
        self.events()

    def chain(self):
        """A packet whose fields are right but for one or two."""
        end, dice = self.end, self.dice
        build = dice.choice((udp, tcp))
        octets = build(LIAR, dice.randrange(1, 9), SERVER, 80, data=bytes(dice.randrange(1400)))
        sizes = [dice.randrange(1, 100) for _ in range(dice.randrange(4))]
        before = end.tx.produced
        gso = dice.choice((0, 0, 1, 100, 1448)) if build is tcp else 0
        end.queue(octets, dice.random() < 0.5, gso, sizes)
        for _ in range(dice.randrange(3)):
            at = end.tx.at(dice.randrange(before, end.tx.produced))
            field = dice.randrange(6)
            if field == 3:
                end.tx.halves[at + 3] ^= dice.choice((MORE_DATA, EXTRA_INFO, 1, 2))
            else:
                end.tx.halves[at + field] = self.odd()


class NoisyNetvm(Noise):
    def act(self):
        end, dice = self.end, self.dice
        if not end.tx:
            return
        what = dice.randrange(7)
        if what == 0:
            self.word(dice.choice((end.tx, end.rx)))
        elif what < 4 and end.posted() > 20:
            self.chain()
        elif what < 6:
            self.answer()
        self.events()

    def answer(self):
        """Some of the requests that wait, most of them rightly."""
        end, dice = self.end, self.dice
        for _ in range(min(end.tx.waiting(), dice.randrange(8))):
            id = end.tx.halves[end.tx.at(end.tx.consumed) + 4]
            end.tx.consumed += 1
            end.answer(id if dice.random() < 0.95 else self.odd(), dice.choice((0, 0, -1, 1, 7)))
        end.kick(end.tx)

    def chain(self):
        """A packet in the buffers, one or two of whose answers' fields are wrong."""
        end, dice = self.end, self.dice
        slots = dice.randrange(1, 5)
        for i in range(slots):
            id, _ = end.buffer()
            flags = MORE_DATA if i < slots - 1 else dice.choice((0, 0, 1, 2, 3))
            end.respond(id, dice.choice((0, 0, 0, self.odd())), flags, dice.choice((60, 1500, PAGE, -1)))
            if i == 0 and dice.random() < 0.2:
                at = end.rx.at(end.rx.produced - 1)
                end.rx.halves[at + 2] |= EXTRA_INFO
                end.respond(GSO, dice.choice((0, 1448, 1448)), dice.choice((GSO_TCPV4, GSO_TCPV4, 7)), 0)
        if dice.random() < 0.3:
            at = end.rx.at(end.rx.produced - 1)
            end.rx.halves[at + dice.randrange(4)] = self.odd()
        end.kick(end.rx)


def rounds(request, few):
    return 100 * few if request.config.getoption("--long") else few


def preempted(machine, dice, noise):
    """In some rounds the noise strikes between the firewall's hypercalls, in the middle of its work."""
    if dice.random() < 0.3:
        machine.preempt(dice.randrange(1, 20), lambda _: noise.act())
    else:
        machine.preempt(0, None)


@row("tx-data-mutates", "XSA-155")
@pytest.mark.parametrize("seed", range(6))
def test_a_client_of_noise(machine, seed, request):
    dice = random.Random(seed)
    net = begin(machine)
    before = rest(net)
    liar = net.client(LIAR)
    noise = NoisyClient(dice, liar.end)
    liar.end._take = lambda: False  # it reads nothing that it is answered
    liar.end.auto = False
    connections = 1
    for i in range(rounds(request, 60)):
        preempted(machine, dice, noise)
        for _ in range(dice.randrange(1, 6)):
            noise.act()
        net.settle()
        machine.preempt(0, None)
        net.settle()
        net.uplink.end.frames.clear()
        works(net, 4001 + i % 1000)
        if not liar.end.connected():
            machine.advance(5)
            liar.end.set_state(CLOSED)
            net.settle()
            liar.end.set_state(INITIALISING)
            net.settle()
            liar.end.connect()
            machine.until(liar.end.connected, 10)
            connections += 1
    assert connections > 3
    net.detach(liar)
    assert rest(net) == before
    assert not net.lines(" error ") and not net.uplink.end.dirty
    still_serves(net)


@row("XSA-376")
@pytest.mark.parametrize("seed", range(6))
def test_a_netvm_of_noise(machine, seed, request):
    dice = random.Random(seed)
    net = begin(machine)
    net.friend = net.client(FRIEND)
    net.allow((HONEST, FRIEND))
    before = rest(net)
    end = net.uplink.end
    noise = NoisyNetvm(dice, end)
    honest_take, end._take = end._take, lambda: False  # it looks at no frame
    for i in range(rounds(request, 60)):
        preempted(machine, dice, noise)
        for _ in range(dice.randrange(1, 6)):
            noise.act()
        net.honest.end.send(udp(HONEST, 4001 + i % 100, SERVER, 53, bytes(dice.randrange(1000))))
        net.settle()
        machine.preempt(0, None)
        net.settle()
        net.honest.end.frames.clear()
        net.friend.end.frames.clear()
        net.honest.end.send(udp(HONEST, 5000, FRIEND, 53, b"between %d" % i))
        machine.advance(1.2)  # for what waits behind a netvm that holds
        assert Look(net.friend.end.frames[-1][0]).data == b"between %d" % i
        if not end.tx:
            machine.until(lambda: end.tx, 15, "another connection")
    assert end.connections > 3
    end._take = honest_take
    end.disconnect()
    end.set_state(CLOSED)
    net.again(end.connections + 1)
    net.honest.end.frames.clear()
    works(net)
    assert rest(net) == before
    assert not net.lines(" error ")
    still_serves(net)
