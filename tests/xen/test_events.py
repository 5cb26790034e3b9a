"""Events: no wake-up may be lost, whatever the number of ports and whoever is at the other end.

Slow is not stuck. The rounds made so far are read every now and then, and nothing is lost as long as there are more of
them, however long that takes. It is stuck when everybody who takes part sleeps and none has anything to wake up for, by
Xen's own account; a domain that waits for a busy machine's CPU does not sleep.
"""
import re
import time

import pytest

from tests.xen.conftest import both_daemons

_STILL, _STILL_COUNTED = 5, 1  # s of dom0's clock in which not all may sleep all the time; a round takes some 20 us


class Stuck(Exception):
    """Nothing goes on, and nothing will."""


@pytest.fixture
def rounds(request, in_ci):
    """Where instructions are counted a price is asked for, and a few will do; in CI a tenth with the second daemon as well,
    through which no event passes."""
    if "counting_lab" in request.fixturenames:
        return 3000
    rounds = 20000 if in_ci else 100000
    return rounds // 10 if in_ci and request.node.callspec.params.get("lab") == "oxenstored" else rounds


def _watch(lab, progress, wanted, domids, pids=()):
    """Until progress() says at least `wanted` rounds. Stuck, with how far it came, when all who take part sleep before."""
    made = progress()
    while made < wanted:
        asleep = lab.call("domains.asleep", domids, pids, _STILL_COUNTED if lab.counting else _STILL)
        before, made = made, progress()
        if asleep and made == before:
            raise Stuck("stuck after %d to %d of %d rounds: all sleep, a wake-up is lost" % (made, made + 999, wanted))
        time.sleep(0.2)


def _rounds(domain):
    """How many rounds it has said to have made."""
    said = re.findall(r"pingpong: (\d+) rounds", domain.console())
    return int(said[-1]) if said else 0


def _price(domain):
    return domain.console().split("pingpong: ")[-1].split("\n")[0]


def _to_and_fro_with_dom0(lab, guest, rounds, words):
    asker = guest("pingpong", "peer=0 rounds=%d %s" % (rounds, words))
    asker.wait_for("pingpong: port")
    log = "/tmp/answers.%d" % asker.domid
    pid = lab.start(["python3", "/steps/evtchn.py", "answer", str(asker.domid), asker.store_read("data/port"), str(rounds)], log)
    _watch(lab, lambda: _rounds(asker), rounds, [asker.domid], [pid])
    assert lab.read(log).decode().splitlines()[-1] == "answered %d" % rounds
    return _price(asker)


def _to_and_fro_with_another(lab, guest, rounds, words, servers=""):
    asker = guest("pingpong", "peer=%d rounds=%d %s" % (_next_domid(lab), rounds, words))
    asker.wait_for("pingpong: port")
    port = int(asker.store_read("data/port"))
    server = guest("pingpong", "peer=%d rounds=%d %s serve=1 port=%d" % (asker.domid, rounds, servers or words, port))
    assert server.domid == asker.domid + 1
    _watch(lab, lambda: min(_rounds(asker), _rounds(server)), rounds, [asker.domid, server.domid])
    return _price(asker)


def _next_domid(lab):
    """The number after the one that the next domain will get: Xen gives them one after another."""
    probe = lab.domain("probe", lab.upload("/src/build/vmlinuz"), paused=True)
    probe.destroy()
    return probe.domid + 2


@both_daemons
def test_with_dom0(lab, guest, rounds, figure):
    """Boots: tests/guest/pingpong.py; a process in dom0 answers. The two run on different CPUs."""
    figure("events to and fro with dom0, %s" % lab.xenstore, _to_and_fro_with_dom0(lab, guest, rounds, "way=loop"))


@both_daemons
def test_with_a_second_domain(lab, guest, rounds, figure):
    """Boots: tests/guest/pingpong.py twice, on different CPUs if Xen likes."""
    figure("events to and fro with a second domain, %s" % lab.xenstore,
           _to_and_fro_with_another(lab, guest, rounds, "way=bare"))


@pytest.mark.parametrize("way", ["loop", "bare"])
def test_the_price_of_an_event(counting_lab, counting_guest, rounds, figure, way):
    """Boots: tests/guest/pingpong.py twice, where an instruction takes a nanosecond."""
    figure("events to and fro with a second domain, counted, %s" % way,
           _to_and_fro_with_another(counting_lab, counting_guest, rounds, "way=" + way))


@pytest.mark.parametrize("way", ["loop", "bare"])
def test_a_lost_wake_up_is_found(counting_lab, counting_guest, way):
    """Boots: tests/guest/pingpong.py twice; one of them forgets, in round 1500 of 2000, an event that has come."""
    with pytest.raises(Stuck, match="^stuck after 1000 to 1999 of 2000 rounds"):
        _to_and_fro_with_another(counting_lab, counting_guest, 2000, "way=" + way, servers="way=%s lose=1500" % way)


def test_a_wake_up_that_dom0_waits_for_is_found(counting_lab, counting_guest):
    """Boots: tests/guest/pingpong.py, which forgets an event of dom0's."""
    with pytest.raises(Stuck, match="^stuck after 1000 to 1999 of 2000 rounds"):
        _to_and_fro_with_dom0(counting_lab, counting_guest, 2000, "way=loop lose=1500")


def test_slow_is_not_stuck(counting_lab, counting_guest):
    """Boots: tests/guest/pingpong.py twice, a fifth of a second of computing a round: longer than the patience in all."""
    _to_and_fro_with_another(counting_lab, counting_guest, 8, "way=bare busy=100")


@both_daemons
def test_130_ports(lab, guest):
    """Boots: tests/guest/many_ports.py; dom0 rings all ports at once, ten times, in random order."""
    many = guest("many_ports")
    many.wait_for("many_ports: ready")
    ports = many.store_read("data/ports").split()
    assert len(ports) == len(set(ports)) == 130
    log = "/tmp/answers.%d" % many.domid
    pid = lab.start(["python3", "/steps/evtchn.py", "ring", str(many.domid), ",".join(ports), "10"], log)
    _watch(lab, lambda: lab.read(log, missing=b"").count(b"round "), 10, [many.domid], [pid])
    assert lab.await_text(log, "answers ", 60) is not None
    assert lab.read(log).decode().splitlines()[-1] == "answers 10..10"
    many.store_write("data/stop", "1")
    many.wait_for("many_ports: seen ")
