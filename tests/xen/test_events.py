"""Events: no wake-up may be lost, whatever the number of ports and whoever is at the other end.

Slow is not stuck. The rounds made so far are read every now and then, and nothing is lost as long as there are more of
them, however long that takes. It is stuck when everybody who takes part sleeps and none has anything to wake up for, by
Xen's own account; a domain that waits for a busy machine's CPU does not sleep.
"""
import re
import time

import pytest

from tests.xen.conftest import two_cpus

_STILL = 1  # s of dom0's clock in which not all may sleep all the time; a round takes some 100 us


class Stuck(Exception):
    """Nothing goes on, and nothing will."""


@pytest.fixture
def rounds(request):
    """A few for a price; more where two CPUs meet in another phase each time, fewer with the second daemon: no event
    passes through it."""
    return {"two CPUs": 5000, "oxenstored": 2000}.get(request.node.callspec.params.get("lab"), 3000)


def _watch(lab, progress, wanted, domids, pids=()):
    """Until progress() says at least `wanted` rounds. Stuck, with how far it came, when all who take part sleep before."""
    made = progress()
    while made < wanted:
        asleep = lab.call("domains.asleep", domids, pids, _STILL)
        before, made = made, progress()  # only now: what was done before all slept has been told
        if asleep and made == before:
            ended = ["domain %d: %s" % (domid, state) for domid in domids for state in [lab.call("domains.state", domid)]
                     if state != "running"]
            raise Stuck("stuck after %d to %d of %d rounds: %s" % (
                made, made + 999, wanted, ", ".join(ended) or "all sleep, a wake-up is lost"))
        time.sleep(0.5)


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


@two_cpus
def test_with_dom0(lab, guest, rounds, figure):
    """Boots: tests/guest/pingpong.py; a process in dom0 answers. The two run on different CPUs if Xen likes."""
    figure("events to and fro with dom0, %s" % lab.xenstore, _to_and_fro_with_dom0(lab, guest, rounds, "way=loop"))


@two_cpus
def test_with_a_second_domain(lab, guest, rounds, figure):
    """Boots: tests/guest/pingpong.py twice, on different CPUs if Xen likes."""
    figure("events to and fro with a second domain, %s" % lab.xenstore,
           _to_and_fro_with_another(lab, guest, rounds, "way=bare"))


@pytest.mark.parametrize("way", ["loop", "bare"])
def test_the_price_of_an_event(lab, guest, rounds, figure, way):
    """Boots: tests/guest/pingpong.py twice, where an instruction takes a nanosecond."""
    figure("events to and fro with a second domain, counted, %s" % way,
           _to_and_fro_with_another(lab, guest, rounds, "way=" + way))


@pytest.mark.parametrize("way", ["loop", "bare"])
def test_a_lost_wake_up_is_found(lab, guest, way):
    """Boots: tests/guest/pingpong.py twice; one of them forgets, in round 1500 of 2000, an event that has come."""
    with pytest.raises(Stuck, match="^stuck after 1000 to 1999 of 2000 rounds"):
        _to_and_fro_with_another(lab, guest, 2000, "way=" + way, servers="way=%s lose=1500" % way)


def test_a_wake_up_that_dom0_waits_for_is_found(lab, guest):
    """Boots: tests/guest/pingpong.py, which forgets an event of dom0's."""
    with pytest.raises(Stuck, match="^stuck after 1000 to 1999 of 2000 rounds"):
        _to_and_fro_with_dom0(lab, guest, 2000, "way=loop lose=1500")


def test_slow_is_not_stuck(lab, guest):
    """Boots: tests/guest/pingpong.py twice, a fifth of a second of computing a round: longer than the patience in all."""
    _to_and_fro_with_another(lab, guest, 8, "way=bare busy=100")


def _started(lab, command):
    """The number that a shell command in dom0 writes as its first line, while it goes on."""
    log = "/tmp/started"
    lab.run(["rm", "-f", log])
    lab.start(["sh", "-c", command], log)
    assert lab.await_text(log, "\n", 10) is not None
    return int(lab.read(log))


def test_who_has_ended_sleeps(lab, image, guest):
    """Boots: the image that ships, and tests/guest/crimes.py: one that waits, one that has ended.

    The process that answers leaves after the last round, perhaps just when it is looked at; a zombie is there still.
    """
    waits, ended = lab.domain("waits", image), guest("crimes", "crime=read_null")
    waits.wait_for("waiting for dom0's QubesDB")
    assert ended.wait_for_end() == "crash"
    gone = _started(lab, "echo $$")
    lab.run(["sh", "-c", "while [ -e /proc/%d ]; do usleep 20000; done" % gone])
    waiting = _started(lab, "echo $$; exec sleep 10000")
    leave = "import os, time; pid = os.fork() or os._exit(0); print(pid, flush=True); time.sleep(10000)"
    zombie = _started(lab, "python3 -c '%s'" % leave)
    busy = _started(lab, "echo $$; while :; do :; done")
    try:
        lab.run(["sh", "-c", "until grep -q ') Z ' /proc/%d/stat; do usleep 20000; done" % zombie])
        looks = [lab.call("domains.asleep", [waits.domid, ended.domid], [gone, waiting, zombie], 1) for _ in range(3)]
        assert True in looks  # it wakes every 10 s, for Xen's watchdog
        assert not lab.call("domains.asleep", [waits.domid], [busy], 1)
    finally:
        lab.run("kill %d %d" % (busy, waiting), check=False)
    ended.destroy()
    assert lab.call("domains.asleep", [ended.domid], [], 1)


def test_a_process_that_ends_between_two_looks(lab, image):
    """Boots nothing. Many, each for a moment: the look for it, of a hundred a second, never fails."""
    for moment in range(0, 30000, 3000):
        pid = _started(lab, "echo $$; exec usleep %d" % moment)
        lab.call("domains.asleep", [], [pid], 0.2)


def test_a_domain_that_crashed_ends_the_watch(lab, guest):
    """Boots: tests/guest/crimes.py, which makes no rounds."""
    criminal = guest("crimes", "crime=read_null")
    with pytest.raises(Stuck, match="domain %d: crash" % criminal.domid):
        _watch(lab, lambda: 0, 10, [criminal.domid])


@two_cpus
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
