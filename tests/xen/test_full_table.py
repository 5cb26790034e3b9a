"""The most that is promised: 65,536 flows in 32 MB, and what the next meet; TCP in 24 MB with all flows there are."""
import re

import pytest

from tests.bench import jobs
from tests.bench.machine import COUNTERS, NOBODY, SERVER, Machine

FLOWS, SMALL_FLOWS, SHARE = 65536, 32768, 512
PACE = jobs.Pace(0.3, 0.5, 0.2)
# a line now, and another one when told so, on a connection that is in use and rests in between
TALKS = ("rm -f /tmp/go; (echo hello; until [ -e /tmp/go ]; do usleep 50000; done; echo again; sleep 1) "
         "| nc %s 5001 > /dev/null 2>&1 &" % SERVER)
LINE = 6  # octets


def machine_of(lab, clients, memory):
    machine = Machine(clients, memory, lab)
    machine.use("ours")
    return machine


def taken(machine):
    """Octets that the server has taken by TCP."""
    return machine.lab.call("accounts.moment", [], COUNTERS, [])["counters"][0]


def begin_flows(machine, number, count):
    machine.watch({number: "traffic flows %s %d" % (NOBODY, count)}, 0.0, 0.0)


def connections(machine, number):
    """(made, failed) within half a second."""
    said = machine.watch({number: "traffic connect %s 0.5" % SERVER}, 0.0, 0.0)[2][0]
    return tuple(map(int, re.search(r"connections (\d+) failed (\d+)", said).groups()))


@pytest.mark.long
def test_65536_flows_and_the_next_ones_in_32_mb(lab, figure):
    """A client gets all but the others' share; beyond it its own oldest unanswered flows go, and none in use."""
    machine = machine_of(lab, 2, 32)
    try:
        before = taken(machine)
        machine.clients[0].sh(TALKS)
        machine.site.until(lambda: taken(machine) == before + LINE)
        begin_flows(machine, 0, FLOWS)
        assert 0 < machine.flows() - (FLOWS - SHARE) < 10  # and pings of the other
        begin_flows(machine, 1, 2 * SHARE)
        assert machine.flows() == FLOWS
        for number in range(2):
            made, failed = connections(machine, number)
            figure("65,536 flows: client %d's connections in 0.5 s" % number, "%d, failed %d" % (made, failed))
            assert made > 0 and failed == 0
        assert machine.flows() == FLOWS
        machine.clients[0].sh("touch /tmp/go")
        machine.site.until(lambda: taken(machine) == before + 2 * LINE)
    finally:
        machine.close()


@pytest.mark.long
def test_tcp_in_24_mb_with_a_full_table(lab, figure):
    machine = machine_of(lab, 1, 24)
    try:
        begin_flows(machine, 0, SMALL_FLOWS + 5000)
        assert machine.flows() == SMALL_FLOWS
        for job, name in ((jobs.up, "up"), (jobs.down, "down")):
            rate = job(machine, PACE)[name + "_rate"]
            figure("24 MB with 32,768 flows: TCP %s" % name, "%.0f Mbit/s" % (rate or 0))
            assert rate and rate > 50
    finally:
        machine.close()
