"""The behaviours of tests/host once more, through real rings, while another client forwards.

Every test of tests/host/test_behaviours_*.py that asks for a network gets one made of the image's own code; the
numbers in their names are rows of the list of behaviours. Whenever the machine runs, a frame of a busy client runs
with it, and must arrive: nothing that these tests do to the firewall may cost it one.
"""
import inspect

import pytest
from tests.sim.network import Network
import test_behaviours_fragments
import test_behaviours_headers
import test_behaviours_icmp
import test_behaviours_links
import test_behaviours_lives
import test_behaviours_ports
import test_behaviours_reload_address
import test_behaviours_shares
from packets import udp

MODULES = (test_behaviours_fragments, test_behaviours_headers, test_behaviours_icmp, test_behaviours_links, test_behaviours_lives,
           test_behaviours_ports, test_behaviours_reload_address, test_behaviours_shares)
BUSY, ELSEWHERE = "10.137.9.99", "198.51.100.200"
UNANSWERED_NS = 120_000_000_000  # life of a flow that nobody answers
INSIDE = {  # these look into the firewall's objects, or set what no neighbour can: the host has them
    "test_behaviour_38_incomplete_datagrams_are_bounded_in_memory_and_time",
    "test_behaviour_38_large_incomplete_datagrams_are_bounded_for_each_client",
    "test_behaviour_41_towards_a_client_with_a_small_mtu",
    "test_behaviour_55_directed_broadcasts",
    "test_behaviour_57_both_our_addresses_are_defended",
    "test_behaviour_64_none_towards_the_uplink_either",
    "test_our_own_ports_are_never_given_out",
    "test_two_vifs_with_one_address_share_and_answer_on_the_last_used",  # test_netback_life.py has it
}
HOURS = {  # of the firewall's clock: --long
    "test_behaviour_75_tcp_established_lives_2_h_4_min",
    "test_data_after_a_reset_brings_the_connection_back",
    "test_ports_are_used_again_after_the_end",
    "test_simultaneous_open_passes",
}


class BusyNetwork(Network):
    """With a client that sends one frame, by one flow, each time that something is looked at."""

    def __init__(self, machine):
        self.sent = 0
        self.busy = None
        self.netvms = 0
        super().__init__(machine=machine)
        self.busy = self.client(BUSY)

    def settle(self):
        if self.busy and self.uplink in self.wires:
            self.sent += 1
            self.sent_at = self.machine.now
            data = b"busy %d" % self.sent
            self.busy.end.send(udp(BUSY, 9999, ELSEWHERE, 9, data))
            super().settle()
            netvm = self.uplink.end
            mine = [each for each in netvm.frames if each[0].endswith(data)]
            assert len(mine) == 1, "the busy client's frame %d is lost" % self.sent
            netvm.frames.remove(mine[0])
        else:
            super().settle()

    def netvm(self, *address, **options):
        """In the place of the one that is there, if there is one."""
        if self.uplink in self.wires:
            self.no_netvm()
        self.netvms += 1
        return super().netvm(*address, domid=30 + self.netvms, **options)

    def detach(self, wire):
        """dom0 has no rules for a client that is gone."""
        super().detach(wire)
        self.tell("unload " + wire.address)

    def figures(self):
        """Without the busy client's share."""
        figures = super().figures()
        if self.sent:
            figures["forwarded"] -= self.sent
            figures["flows"] -= self.machine.now - self.sent_at <= UNANSWERED_NS
            if not figures["forwarded"]:
                del figures["forwarded"]
        return figures


@pytest.fixture
def net(machine):
    return BusyNetwork(machine)


for module in MODULES:
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_") and "net" in inspect.signature(function).parameters and name not in INSIDE:
            globals()[name] = pytest.mark.long(function) if name in HOURS else function
