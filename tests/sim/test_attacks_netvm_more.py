"""More lies of a netvm: answers that change while they are read, what lies behind a packet, lengths, the counters' wrap."""
import random

import pytest
from attacks import HONEST, SERVER, net, rest, works  # noqa: F401
from packets import Look, udp
from rings import MORE_DATA, PAGE
from test_leaks_netfront import _FAULTY

SECRET = b"what another netvm must not see "


def port_of(net):
    net.honest.send(udp(HONEST, 4001, SERVER, 53))
    return Look(net.uplink.recv()).sport


@pytest.mark.parametrize("seed", range(6))
def test_answers_that_change_while_they_are_read(net, seed):
    """Each word is loaded once: the worst is the end of the connection, and nothing leaks."""
    before = rest(net)
    end = net.uplink.end
    port = port_of(net)
    dice = random.Random(seed)

    def change(_):
        for ring, words in ((end.rx, 4), (end.tx, 2)) if end.tx else ():
            at = ring.at(max(0, ring.produced - 1 - dice.randrange(3)))  # what was answered last
            ring.halves[at + dice.randrange(words)] = dice.choice((0, 1, 60, 4095, 4096, 65535, dice.randrange(65536)))

    for _ in range(40):
        if end.connections > 1 or not end.tx:
            break
        end.send(udp(SERVER, 53, net.address, port, b"x" * 100))
        net.honest.end.queue(udp(HONEST, 4001, SERVER, 53))
        net.honest.end.kick()
        net.machine.preempt(1, change)
        net.settle()
        net.machine.preempt(0, None)
    assert len(net.lines("uplink closed")) <= 1
    if end.connections == 1:
        end.disconnect()
        end.set_state(6)
    end.backlog.clear()
    net.again(2)
    net.honest.end.frames.clear()
    works(net)
    assert rest(net) == before


def test_what_lies_behind_a_packet_goes_nowhere(net):
    """The netvm fills whole pages and calls a few octets a packet: the client gets these, the next netvm nothing."""
    port = port_of(net)
    end = net.uplink.end
    octets = udp(SERVER, 53, net.address, port, b"short")
    for _ in range(300):
        id, ref = end.buffer()
        handle, page = end.peer.map(2, ref)
        page[:] = (SECRET * (PAGE // len(SECRET)))[:PAGE]
        page[: len(octets)] = octets
        end.peer.unmap(handle)
        end.respond(id, 0, 0, len(octets))
        end.kick(end.rx)
        net.settle()
    assert len(net.honest.end.frames) == 300
    peer = net.honest.end.peer
    assert not any(SECRET in bytes(peer.octets(frame)) for frame, _ in net.honest.end.rx_pages.values())
    net.no_netvm()
    net.netvm(net.address, domid=31)
    net.honest.end.frames.clear()
    for i in range(100):
        works(net, 5000 + i)
    assert not net.uplink.end.dirty


@pytest.mark.parametrize("slots, offset", [(17, 0), (18, 0), (19, 0), (17, 1)])
def test_more_than_64_kib(net, slots, offset):
    """Whole pages in all slots: dropped, or the end of the connection; never a frame of that length."""
    port = port_of(net)
    end = net.uplink.end
    octets = udp(SERVER, 53, net.address, port, bytes(3000))
    for i in range(slots):
        id, ref = end.buffer()
        handle, page = end.peer.map(2, ref)
        page[: len(octets)] = octets
        end.peer.unmap(handle)
        end.respond(id, offset if i else 0, MORE_DATA if i < slots - 1 else 0, PAGE - (offset if i else 0))
    end.kick(end.rx)
    net.settle()
    assert all(len(each[0]) <= len(octets) for each in net.honest.end.frames)
    net.honest.end.frames.clear()
    net.machine.advance(5)
    end.frames.clear()
    works(net)


def test_counters_wrap_at_2_to_the_32(machine, run):
    """Frames both ways across the wrap of all counters, tx and rx."""
    machine.peer(1)
    firewall = run(machine, _FAULTY + """
link = make()
near = 0xFFFFFFF0
for ring in (link.tx, link.rx):
    ring.req_prod = ring.published = ring.rsp_cons = near
    ring.words[0] = ring.words[2] = near
    ring.words[1] = ring.words[3] = near + 1
# what was posted when it was made stands in other slots: nothing was
while link.post():
    pass
link.flush()
assert link.rx.words[0] == (near + 256) & 0xFFFFFFFF, link.rx.words[0]
got = 0
for round in range(20):
    link.send(frame_of(3))
    link.flush()
    oldest = link.oldest()
    assert link.tx_lent.number[oldest] == (near + 3 * round) & 0xFFFFFFFF
    at = link.tx.rsp_cons
    for slot in range(3):
        word = 16 + (at & 255) * 3
        link.tx.words[word] = link.tx.words[word + 2] & 0xFFFF
        at = (at + 1) & 0xFFFFFFFF
    link.tx.words[2] = at
    assert link.complete() and link.in_flight() == 0
    came(link, 1, 3)
    for frame in link.receive(batch, 8):
        got += 1
        frame.release(pool)
    link.post()
    link.flush()
assert got == 20 and link.tx.rsp_cons == (near + 60) & 0xFFFFFFFF
assert not link.tx.rearm() and not link.rx.rearm()
link.close()
whole()
print("done")
""".replace("SLOTS", "256"))
    assert firewall.lines("done"), firewall.console


def test_the_oldest_request_of_any_that_are_lent(machine, run):
    """Machine code says the same as the sentence in its docstring, across the wrap of the counter too."""
    machine.peer(1)
    firewall = run(machine, _FAULTY + """
link = make()
lent = link.tx_lent
word = xen.random(1)[0]
for number in (0, 1, 300, 0x7FFFFFFF, 0x80000005, 0xFFFFFFFF):
    for share in (0, 1, 3, 128, 256):
        lent.counters[0] = 0
        for id in range(256):
            word = (word * 1103515245 + 12345) & 0x7FFFFFFF
            there = (word >> 8) % 256 < share
            lent.page[id] = id if there else 0xFFFF
            lent.number[id] = number - 1 - (word >> 16) % 600 & 0xFFFFFFFF
            lent.counters[0] += there
        ages = [(number - lent.number[id] & 0xFFFFFFFF, -id) for id in range(256) if lent.page[id] != 0xFFFF]
        assert lent.oldest(number) == (-max(ages)[1] if ages else -1), (number, share)
print("done")
""")
    assert firewall.lines("done"), firewall.console
