"""control/shutdown and control/sysrq: what dom0 asks by them, and what the frozen code does."""
import re

import pytest
from machine import POWEROFF, REBOOT

SHUTDOWN = "/local/domain/2/control/shutdown"
SYSRQ = "/local/domain/2/control/sysrq"
FEATURES = ("poweroff", "reboot", "suspend")


def booted(machine, words=""):
    firewall = machine.firewall(words)
    machine.advance(0.1)
    return firewall


def test_the_features_are_announced(machine):
    booted(machine)
    features = {name: machine.read("/local/domain/2/control/feature-" + name) for name in FEATURES}
    assert features == {"poweroff": b"1", "reboot": b"1", "suspend": b"0"}


def test_a_refusal_of_the_features_is_no_matter(machine):
    machine.write_domain_tree(2)
    for name in FEATURES:
        machine.write("/local/domain/2/control/feature-" + name, "", [("n", 0)])
    firewall = machine.firewall(tree=False)
    machine.advance(0.1)
    machine.write(SHUTDOWN, "poweroff")
    assert firewall.wait_end(1) == POWEROFF


@pytest.mark.parametrize("word, reason", [("poweroff", POWEROFF), ("halt", POWEROFF), ("reboot", REBOOT)])
def test_a_word_is_acknowledged_and_obeyed_within_a_second(machine, word, reason):
    firewall = booted(machine)
    machine.write(SHUTDOWN, word)
    assert firewall.wait_end(1) == reason
    assert machine.read(SHUTDOWN) == b""
    assert firewall.lines()[-1].endswith("info control: %s now" % word)
    assert re.search(r"info control: up 0 s, longest gap between ring services \d+ us", firewall.lines()[-2])


@pytest.mark.parametrize("word", [b"suspend", b"crash", b"s3", b"", b"powerof", b"poweroff\n", b"\x1b[2J\xff", b"x" * 1000])
def test_other_words_are_left_alone(machine, word):
    firewall = booted(machine)
    machine.write(SHUTDOWN, word)
    machine.advance(1)
    assert firewall.alive()
    assert machine.read(SHUTDOWN) == word
    assert len(firewall.lines("unknown word ignored")) == bool(word)
    assert all(len(line) < 200 and line.isprintable() for line in firewall.lines())
    machine.write(SHUTDOWN, "poweroff")
    assert firewall.wait_end(1) == POWEROFF


def test_a_word_that_was_there_before_us(machine):
    machine.write_domain_tree(2)
    machine.write(SHUTDOWN, "poweroff")
    assert machine.firewall(tree=False).wait_end(1) == POWEROFF


def test_without_the_right_to_acknowledge(machine):
    firewall = booted(machine)
    machine.write(SHUTDOWN, "poweroff", [("n", 0), ("r", 2)])
    assert firewall.wait_end(1) == POWEROFF
    assert machine.read(SHUTDOWN) == b"poweroff"


def test_a_node_that_goes_and_comes(machine):
    firewall = booted(machine)
    machine.dom0.remove(SHUTDOWN.encode())
    machine.advance(1)
    machine.write(SHUTDOWN, "poweroff", [("n", 2)])
    assert firewall.wait_end(1) == POWEROFF


def test_hooks_run_first_but_cannot_hold_the_end_up(machine):
    firewall = booted(machine, "run=try_control mode=hooks")
    firewall.wait_for("ready")
    before = machine.now
    machine.write(SHUTDOWN, "poweroff")
    assert firewall.wait_end(1) == POWEROFF
    assert machine.now - before <= 600_000_000
    assert "good hook" in firewall.console
    assert "control: bad: ValueError: bad hook (try_control.py:" in firewall.console
    assert "control: hanging: not done in time" in firewall.console


# ---- sysrq


@pytest.mark.parametrize("words", ["", "loglevel=error"])
def test_sysrq_tells_how_it_is_doing_and_is_acknowledged(machine, words):
    firewall = booted(machine, words)
    machine.advance(100)
    lines = firewall.status()
    assert lines[0] == "up 100 s, CPU taken by others for 0 ms"
    assert re.fullmatch(r"memory free: \d+ KiB of heap, \d+ KiB of pages; events that nobody waited for: \d+", lines[1])
    assert re.match(r"longest gap between ring services since last asked: \d+ us", lines[-2])
    counts = re.fullmatch(r"since the start: hypercalls (\d+), copy operations 0, events sent (\d+), events received (\d+)", lines[-3])
    hypercalls, sent, received = map(int, counts.groups())
    assert 0 < sent <= hypercalls <= firewall.domain.hypercalls and received > 0
    assert machine.read(SYSRQ) == b""
    machine.advance(1000)
    assert len(firewall.lines("status: ")) == len(lines)  # our own write asks for nothing
    assert len(firewall.status("?")) == len(lines)


def test_sysrq_without_the_right_to_acknowledge(machine):
    firewall = booted(machine)
    assert firewall.status("h", [("n", 0), ("r", 2)])
    assert machine.read(SYSRQ) == b"h"
    assert firewall.alive()


def test_sysrq_a_hundred_times(machine):
    """Nothing of it is held back, and a shutdown among them is obeyed."""
    firewall = booted(machine)
    lines = firewall.status()
    for _ in range(100):
        assert len(firewall.status()) == len(lines)
    machine.write(SYSRQ, "h")
    machine.write(SHUTDOWN, "poweroff")
    assert firewall.wait_end(1) == POWEROFF
