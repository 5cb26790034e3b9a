"""The frozen loop. Most cases are programs of tests/guest/try_loop.py that judge themselves; some need a peer."""
import re

import pytest
from machine import CRASH, Machine


@pytest.fixture
def peer(machine):
    return machine.peer(1)


def trial(machine, mode):
    return machine.firewall("run=try_loop mode=" + mode)


def bound(firewall, peer, which=0):
    """The peer's end of a port that the program has offered."""
    ports = re.findall(r"^port (\d+)$", firewall.console, re.MULTILINE)
    return peer.evtchn_bind(firewall.domid, int(ports[which]))


@pytest.mark.parametrize("mode", ["services", "spared", "deadlines", "gap", "heap", "quick_others", "quick_hurry"])
def test_a_program_that_judges_itself(machine, mode):
    trial(machine, mode).wait_for("done")


def test_what_ran_in_the_longest_gap(machine, peer):
    firewall = machine.firewall("run=try_loop mode=gap_causes")
    port = bound(firewall, peer)
    machine.until(lambda: "service -" in firewall.console)
    peer.evtchn_send(port)
    firewall.wait_for("done")
    assert re.findall(r"^(\w+ - .*)$", firewall.console, re.MULTILINE) == [
        "service - 30000 us: 30000 in ring services",
        "wake - 20000 us: 20000 in wake functions",
        "step - 40000 us: 40000 in task program",
        "worker - 50000 us: 50000 in task worker 7.0",
        "nameless - 5000 us: 5000 in task worker",
        "several - 16000 us: 10000 in ring services, 6000 in task worker",
    ]


def test_rounds_without_python(machine, peer):
    """They follow each event, also one that comes after the ports were taken and before it sleeps."""
    firewall = trial(machine, "quick")
    quiet, told = bound(firewall, peer), bound(firewall, peer, 1)
    machine.until(lambda: "asleep" in firewall.console)
    machine.advance(0.1)
    for _ in range(5):
        peer.evtchn_send(quiet)
        machine.settle()

    def come(_firewall):
        machine.preempt(0, None)
        peer.evtchn_send(quiet)

    machine.preempt(1, come)
    peer.evtchn_send(told)
    firewall.wait_for("done")


def test_a_long_round_without_python_is_a_gap(machine):
    firewall = trial(machine, "quick_gap")
    firewall.wait_for("done")
    assert re.findall(r"^(\d+ us: .*)$", firewall.console, re.MULTILINE) == [
        "7000 us: 7000 in ring services", "16000 us: 16000 in ring services",
        "5000 us: 5000 in task program", "4300000 us: 4300000 in task program",
    ]


def test_who_is_always_busy_leaves_tasks_and_events_their_time(machine, peer):
    firewall = trial(machine, "quick_busy")
    quiet, told = bound(firewall, peer), bound(firewall, peer, 1)
    sent = []

    def come(_firewall):
        machine.header.clock_ns += 300_000
        peer.evtchn_send(quiet)
        machine.serve()
        if len(firewall.lines("waits")) > len(sent):
            sent.append(0)
            peer.evtchn_send(told)

    machine.preempt(1, come)
    firewall.wait_for("done")
    machine.preempt(0, None)
    assert len(sent) == 3


def test_a_port_is_quiet_only_for_who_has_bound_it_so(machine, peer):
    firewall = trial(machine, "quick_ports")
    for which in range(2):
        machine.until(lambda: len(firewall.lines("port ")) > which)
        port = bound(firewall, peer, which)
        for word in ("told", "quiet", "stray"):
            machine.until(lambda: len(firewall.lines(word)) == which + 1)
            machine.advance(0.01)
            peer.evtchn_send(port)
            machine.settle()
    firewall.wait_for("done")


def test_a_long_round_that_memory_was_refused_to_is_told_as_its_gap(machine):
    firewall = trial(machine, "quick_gap_refused")
    firewall.wait_for("done")
    assert "7000 us: 7000 in ring services\n" in firewall.console


def test_what_xen_gives_to_others_is_no_gap_of_ours(machine, peer):
    firewall = trial(machine, "gap_stolen")
    bound(firewall, peer)

    def steal(domain):
        machine.header.clock_ns += 7_000_000
        domain.domain.stolen_ns += 7_000_000

    machine.advance(0.5)
    machine.preempt(1, steal)
    firewall.wait_for("3000 us: 3000 in task program")
    machine.preempt(0, None)
    firewall.wait_for("done")


def test_garbage_collection_is_told_apart():
    with Machine(real_time=True) as machine:
        machine.firewall("run=try_loop mode=gap_collecting").wait_for("done")


def test_a_pass_without_work_allocates_nothing(machine, peer):
    firewall = trial(machine, "nothing_to_do")
    port = bound(firewall, peer)
    for _ in range(20):
        peer.evtchn_send(port)
        machine.advance(0.1)
    firewall.wait_for("done")


def test_who_has_nothing_to_do_sleeps(machine):
    firewall = machine.firewall("run=try_control mode=plain")
    machine.advance(60)
    before, woken = firewall.domain.hypercalls, firewall.domain.deadline
    machine.advance(3600)
    assert firewall.domain.hypercalls == before
    assert woken == firewall.domain.deadline  # it has not even been awake


def test_each_event_wakes_once(machine, peer):
    firewall = trial(machine, "events")
    port = bound(firewall, peer)
    machine.settle()
    assert firewall.lines("event") == []
    for n in range(100):
        for _ in range(n % 3 + 1):  # sent thrice before it runs: still one
            peer.evtchn_send(port)
        machine.settle()
        assert len(firewall.lines("event")) == n + 1
    firewall.wait_for("done")


def test_a_closed_port_is_xens_again(machine, peer):
    firewall = trial(machine, "close")
    peer.evtchn_send(bound(firewall, peer))
    machine.advance(0.01)
    peer.evtchn_send(bound(firewall, peer, 1))
    firewall.wait_for("done")


def test_an_event_nobody_asked_for_is_counted(machine, peer):
    firewall = trial(machine, "strays")
    peer.evtchn_send(bound(firewall, peer))
    firewall.wait_for("done")


def test_no_port_of_700_is_forgotten(machine, peer):
    firewall = trial(machine, "many_ports")
    first, last = map(int, re.search(r"ports (\d+) (\d+)", firewall.console).groups())
    for port in range(first, last + 1):
        peer.evtchn_send(peer.evtchn_bind(firewall.domid, port))
    firewall.wait_for("done")


def test_a_task_whose_sleep_a_wake_function_ends_runs_at_once(machine, peer):
    firewall = trial(machine, "wake_cancels")
    machine.advance(0.1)
    peer.evtchn_send(bound(firewall, peer))
    firewall.wait_for("done")
    assert "cancelled after 100000000\n" in firewall.console


def test_a_task_readied_by_a_service_runs_at_once(machine):
    firewall = trial(machine, "service_wakes_task")
    firewall.wait_for("done")
    assert "woken at 0\n" in firewall.console


@pytest.mark.parametrize(
    "mode, error, place",
    [
        ("service_raises", "IndexError", "in broken_service"),
        ("wake_raises", "MemoryError: no more", "in broken_wake"),
        ("unsupervised", "ValueError: nobody waits", "in broken_task"),
    ],
)
def test_an_exception_in_the_loop_itself_is_the_end(machine, peer, mode, error, place):
    firewall = trial(machine, mode)
    if mode == "wake_raises":
        peer.evtchn_send(bound(firewall, peer))
    assert firewall.wait_end() == CRASH
    assert error in firewall.console and place in firewall.console
