"""The log of the frozen code on the console."""
import re

import pytest


def trial(machine, mode, words="loglevel=debug"):
    return machine.firewall("%s run=try_log mode=%s" % (words, mode))


def test_the_first_lines_name_version_digest_and_memory(machine):
    firewall = machine.firewall()
    first, second = firewall.console.splitlines()[:2]
    assert re.fullmatch(r"2025-11-21T04:30:00\.\d{3}Z info boot: firewall \S+, inputs \w+", first)
    assert re.search(r"boot: memory: \d+ KiB of object heap, \d+ free; \d+ KiB of pages, \d+ free", second)


@pytest.mark.parametrize(
    "words, shown",
    [
        ("loglevel=error", ["error"]),
        ("loglevel=warning", ["error", "warning"]),
        ("", ["error", "warning", "info"]),
        ("loglevel=3 quiet", ["error", "warning", "info"]),  # Linux' word, not ours
        ("loglevel=debug", ["error", "warning", "info", "debug"]),
    ],
)
def test_the_command_line_sets_the_level(machine, words, shown):
    firewall = trial(machine, "levels", words)
    firewall.wait_for("done")
    assert re.findall(r"Z (\w+) trial: at level (\w+)", firewall.console) == [(level, level) for level in shown]


def test_no_control_octet_reaches_the_console(machine):
    firewall = trial(machine, "escape")
    firewall.wait_for("done")
    assert r"trial: escape \x1b[31m, newline \x0a, high \xc3\xa9, peer's \x0d words" in firewall.console
    assert "trial: 100% plain" in firewall.console
    assert max(len(line) for line in firewall.lines()) < 400
    assert firewall.lines("xxxx")[0].endswith("xxx...")


def test_a_flood_is_limited_and_told_of(machine):
    firewall = trial(machine, "flood")
    firewall.wait_for("calm")
    shown = len(firewall.lines("trial: line"))
    assert 10 <= shown <= 40
    assert firewall.lines("trial: an error among them") and firewall.lines("other: not concerned")
    told = re.findall(r"trial: (\d+) lines suppressed", firewall.console)
    assert told == [str(1000 - shown)]


def test_a_full_console_loses_lines_but_no_time(machine):
    firewall = trial(machine, "full_console")
    firewall.wait_for("ready")
    firewall.read_console = False
    machine.advance(2)
    firewall.read_console = True
    machine.advance(2)
    firewall.wait_for("done")
    dropped = re.findall(r"log: console full: (\d+) octets dropped", firewall.console)
    assert len(dropped) == 1 and int(dropped[0]) > 10000
    assert firewall.lines("room again")
    ends = [line for line in firewall.lines() if re.match(r"\d{4}-", line)]
    assert all(re.match(r"[\d\-T:.]+Z \w+ \w+: ", line) for line in ends)
