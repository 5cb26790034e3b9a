"""The firewall's process in the simulated machine: its clock, its console, and the ways in which it ends."""
import time

import process
import pytest
from machine import CRASH, POWEROFF, REBOOT, Machine


def test_two_runs_are_the_same():
    def run():
        with Machine(seed=7) as machine:
            firewall = machine.firewall("loglevel=debug")
            machine.advance(5)
            machine.write("/local/domain/2/control/shutdown", "poweroff")
            assert firewall.wait_end() == POWEROFF
            return firewall.console, machine.now, firewall.domain.hypercalls

    assert run() == run()


def test_the_clock_is_the_tests(machine):
    firewall = machine.firewall("loglevel=debug")
    before = machine.now
    machine.settle()
    assert machine.now == before and firewall.alive()
    machine.advance(300)
    assert machine.now == before + 300 * 10**9 and firewall.alive()


def test_timers_of_peers_keep_their_order(machine):
    said = []
    for name, seconds in (("b", 2), ("a", 1), ("c", 2)):
        machine.call_later(seconds, lambda name=name: said.append((name, machine.now)))
    machine.advance(1.5)
    assert said == [("a", 10**9)]
    machine.advance(1)
    assert said[1:] == [("b", 2 * 10**9), ("c", 2 * 10**9)]


# ---- ends

@pytest.mark.parametrize("text, cause, place", [
    ("def f():\n    return 1 // zero()\n@micropython.viper\ndef zero() -> int:\n    a = 7\n    b = 0\n    return a // b\nf()",
     "crash: division by zero", "in f"),
    ("@micropython.viper\ndef null(p: ptr8):\n    p[0] = 1\ndef f():\n    null(0)\nf()", "page fault: write at 0", "in f"),
    ("def f():\n    raise ValueError('mine')\nf()", "crash: uncaught ValueError: mine", "line 2, in f"),
    ("import xen\ndef f():\n    xen.crash('broken invariant')\nf()", "crash: broken invariant", "line 3, in f"),
    ("def f():\n    f()\nf()", "crash: uncaught RuntimeError: maximum recursion depth exceeded", "in f"),
    ("def f():\n    a = []\n    while 1: a.append(bytes(1000))\nf()", "crash: uncaught MemoryError", "in f"),
    ("import xen\nb = xen.mem(100)\n@micropython.viper\ndef f(p: ptr8):\n    p[100] = 1\nf(b)\nxen.shutdown(0)",
     "somebody wrote beside it", ""),
], ids=["division", "null", "exception", "crash()", "recursion", "heap", "beside"])
def test_a_crash_names_its_cause_and_its_line(machine, run, text, cause, place):
    firewall = run(machine, text)
    assert firewall.reason == CRASH
    assert cause in firewall.console and place in firewall.console


def test_a_process_that_hangs_shows_where(machine, run, monkeypatch):
    monkeypatch.setattr(process, "HANG", 1)
    with pytest.raises(AssertionError) as error:
        run(machine, "def spin():\n    while True: pass\nspin()\n")
    assert "in spin" in str(error.value)


def test_a_process_that_was_killed_fails_the_test(machine):
    firewall = machine.firewall()
    firewall.process.kill()
    with pytest.raises(AssertionError, match="died"):
        machine.advance(10)


def test_a_reboot_is_told(machine, run):
    assert run(machine, "import xen\nxen.shutdown(xen.REBOOT)").reason == REBOOT


def test_what_the_console_has_no_room_for_is_dropped_and_counted(machine, run):
    text = """
import xen
line = b"x" * 98 + b"\\n"  # 100 octets with its carriage return
for i in range(30):
    dropped = xen.console(line)
xen.sleep(xen.ns() + 1)
print(dropped)
"""
    firewall = run(machine, text)
    assert firewall.console.count("x" * 98 + "\n") == 20  # of 2048 octets 48 are left, which the next line gets
    assert firewall.lines()[-1] == "x" * 48 + str(30 * 99 - 20 * 99 - 48)


def test_each_line_ends_in_one_carriage_return_and_line_feed(machine, run):
    text = """
import xen
print("a")
print("b", end="\\n\\n")
xen.console("c\\n")
raise ValueError("d")
"""
    assert run(machine, text).screen.startswith(b"a\r\nb\r\n\r\nc\r\ncrash: uncaught ValueError: d\r\nTraceback")


def test_a_long_traceback_is_told_by_both_ends(machine, run):
    text = """
def deeper(n):
    if n == 0:
        raise ValueError("deep")
    deeper(n - 1)
deeper(%d)
"""
    for depth in (21, 22, 23, 24, 100):  # and two frames above and below
        lines = run(machine, text % depth, domid=depth).lines()
        assert lines[0] == lines[-1].replace("Val", "crash: uncaught Val", 1) == "crash: uncaught ValueError: deep"
        frames = [line for line in lines if "File" in line]
        assert "<module>" in frames[0] and "line 4, in deeper" in frames[-1] and "line 5, in deeper" in frames[1]
        more = [line for line in lines if " more ..." in line]
        assert more == (["  ... %d more ..." % (depth + 2 - 24)] if depth > 22 else [])
        assert len(frames) == min(depth + 2, 24)


def test_real_time():
    with Machine(real_time=True) as machine:
        firewall = machine.firewall()
        firewall.wait_for("info boot", seconds=10)
        machine.write("/local/domain/2/control/shutdown", "poweroff")
        assert firewall.wait_end(10) == POWEROFF


def test_how_long_starting_takes(figure):
    """A figure without a verdict: it is of this machine."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        with Machine() as machine:
            machine.firewall("run=try_control")
        times.append(time.perf_counter() - began)
    figure("a machine with a firewall, made and ended (median of 20)", "%.1f ms" % (sorted(times)[10] * 1e3))
