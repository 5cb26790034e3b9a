"""Xen's watchdog: what hangs ends as crashed, what sleeps lives; a pause is survived when we were told of it."""
import pytest
from machine import POWEROFF, WATCHDOG
from qrexec_server import Dom0

SHUTDOWN = "/local/domain/2/control/shutdown"


def trial(machine, mode, seconds=0):
    return machine.firewall("run=try_watchdog mode=%s seconds=%d" % (mode, seconds))


@pytest.mark.parametrize("mode", ["bare", "task", "service"])
def test_who_hangs_is_ended(machine, mode):
    machine.hangs_end = True
    firewall = trial(machine, mode, 30)
    assert firewall.wait_end(40) == WATCHDOG
    assert "hangs" in firewall.console and machine.now <= 31_000_000_000


def test_it_can_be_set_and_ended_any_number_of_times(machine):
    firewall = trial(machine, "cleared", 5)
    firewall.wait_for("cleared")
    machine.advance(100)
    assert firewall.alive() and firewall.domain.watchdog_ns == 0


@pytest.mark.parametrize("mode", ["on", "again"])
def test_who_sleeps_lives(machine, mode):
    """It is fed three times in its time, at the price of a few hypercalls."""
    firewall = trial(machine, mode)
    before = firewall.domain.hypercalls
    for _ in range(100):
        machine.advance(9.99)
        assert 20_000_000_000 - 100_000_000 <= firewall.domain.watchdog_ns - machine.now <= 30_000_000_000
    assert firewall.alive() and firewall.domain.hypercalls - before < 250


def test_off_is_off(machine):
    firewall = trial(machine, "off")
    machine.advance(20)
    assert firewall.domain.watchdog_ns
    machine.advance(1000)
    assert firewall.alive() and firewall.domain.watchdog_ns == 0


def test_a_pause_that_nobody_told_of_is_the_end(machine):
    """What Xen does, and why it is not simply always on."""
    firewall = trial(machine, "on")
    machine.pause(25)
    assert firewall.alive()
    machine.pause(31)
    assert firewall.reason == WATCHDOG


def test_it_is_off_on_the_way_to_a_shutdown(machine):
    firewall = trial(machine, "on")
    assert firewall.domain.watchdog_ns
    off = []

    def look():
        if "dom0 asks" in firewall.console:
            off.append(firewall.domain.watchdog_ns == 0)

    machine.actors.append(look)
    machine.write(SHUTDOWN, "poweroff")
    assert firewall.wait_end(1) == POWEROFF
    assert off and all(off)


def test_the_firewall_has_none_until_dom0_is_connected(machine):
    """Nothing tells it of a pause before; so hours of one are survived."""
    firewall = machine.firewall()
    machine.advance(10)
    assert firewall.domain.watchdog_ns == 0
    machine.pause(10 * 3600)
    assert firewall.alive()


def asked(machine, dom0, service):
    call = dom0.call(service)
    machine.settle()
    return call.code


@pytest.mark.parametrize("before, after", [("SuspendPreAll", "SuspendPostAll"), ("SuspendPre", "SuspendPost")])
def test_with_qrexec_it_is_on_but_while_the_host_sleeps(machine, before, after):
    """As qubesd does it: it asks, pauses us, lets us go on, and says so."""
    dom0 = Dom0(machine)
    firewall = machine.firewall()
    machine.until(lambda: dom0.daemon.agreed)
    machine.advance(100)
    assert firewall.domain.watchdog_ns > machine.now
    for _ in range(3):
        assert asked(machine, dom0, "qubes." + before) == 0 and firewall.domain.watchdog_ns == 0
        machine.pause(8 * 3600)
        assert firewall.alive() and firewall.domain.watchdog_ns == 0
        assert asked(machine, dom0, "qubes." + after) == 0
        assert firewall.domain.watchdog_ns == machine.now + 30_000_000_000


def test_without_dom0s_daemon_nobody_would_tell_of_a_pause(machine):
    dom0 = Dom0(machine)
    firewall = machine.firewall()
    machine.until(lambda: dom0.daemon.agreed)
    machine.settle()
    assert firewall.domain.watchdog_ns
    dom0.end.close()
    dom0.end, dom0.held = None, True
    machine.settle()
    assert firewall.domain.watchdog_ns == 0
    machine.pause(3600)
    assert firewall.alive()
