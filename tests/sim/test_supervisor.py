"""Who may die of what (the table of supervisor.py), seen from the console of the frozen code."""
import re

import pytest
from machine import CRASH


def trial(machine, mode, seconds=1):
    firewall = machine.firewall("loglevel=debug run=try_supervisor mode=" + mode)
    machine.advance(seconds)
    return firewall


def starts(firewall):
    return [float(when) for when in re.findall(r"^start ([\d.]+)$", firewall.console, re.MULTILINE)]


def delays(firewall):
    times = starts(firewall)
    return [round(b - a) for a, b in zip(times, times[1:])]


def test_a_links_end_is_its_own(machine):
    firewall = trial(machine, "link", 201)
    assert "done" in firewall.console
    assert len(starts(firewall)) == 5  # none began again
    assert firewall.console.count("finally") == 5
    for line in (
        "warning supervisor: vif lie: link closed: tx producer 300 ahead",
        "error supervisor: vif memory: link closed: MemoryError: ",
        r"error supervisor: vif value: link closed: ValueError: bad\x0avalue (try_supervisor.py:",
        "error supervisor: vif recursion: link closed: RuntimeError: ",
        "debug supervisor: vif return: link closed: returned",
    ):
        assert len(firewall.lines(line)) == 1


def test_a_service_begins_again_with_growing_delay(machine):
    firewall = trial(machine, "service", 301)
    assert delays(firewall) == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert "qubesdb: ended, starts again in 64 s: ValueError" in firewall.console


def test_the_delay_is_short_again_after_a_quiet_time(machine):
    firewall = trial(machine, "service_recovers", 421)
    assert delays(firewall) == [1, 2, 4, 401, 2, 4]


def test_a_service_out_of_memory_begins_again(machine):
    firewall = trial(machine, "service_memory", 21)
    assert len(firewall.lines("dns: ended, starts again")) == 3
    assert "MemoryError" in firewall.console
    assert "full 4\n" in firewall.console and "free after True" in firewall.console


def test_a_cancelled_task_just_ends(machine):
    firewall = trial(machine, "cancel", 101)
    assert "done" in firewall.console
    assert len(starts(firewall)) == 1  # cancelled while it waited for its second
    assert firewall.console.count("finally") == 4


@pytest.mark.parametrize(
    "mode, cause",
    [
        ("fatal", "ValueError: bad"),
        ("fatal_returns", "RuntimeError: pages returned"),
        ("assert", "AssertionError: counts differ"),
        ("judge_assert", "AssertionError: counts differ"),
    ],
)
def test_what_the_domain_cannot_survive(machine, mode, cause):
    firewall = machine.firewall("run=try_supervisor mode=" + mode)
    assert firewall.wait_end() == CRASH
    assert cause in firewall.console
    if mode != "fatal_returns":
        assert re.search(r'File "try_supervisor.py", line \d+, in fail', firewall.console)


# ---- judging packets


def test_a_packet_that_cannot_be_judged_costs_that_packet(machine):
    firewall = trial(machine, "judge")
    for verdict in ("value None", "memory None", "fine accepted", "recursion None", "lie None", "failed 4"):
        assert verdict in firewall.console
    assert len(firewall.lines("warning judge: vif 7.0: packet dropped: ")) == 4
    assert "disconnect" not in firewall.console


def test_100_failures_in_10_s_disconnect_once(machine):
    firewall = trial(machine, "judge_100_in_10_s", 11)
    order = re.findall(r"^(after 99|disconnect|after 100|99 more|done)$", firewall.console, re.MULTILINE)
    assert order == ["after 99", "disconnect", "after 100", "99 more", "done"]


def test_99_failures_in_10_s_are_borne(machine):
    firewall = trial(machine, "judge_slowly", 31)
    assert "failed 300\n" in firewall.console
    assert "disconnect" not in firewall.console
