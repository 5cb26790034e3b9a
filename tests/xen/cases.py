"""Qubes' own network cases (IPv4), by their numbers: which test plays each, or why none does. A run ends with them.

A case's tests are functions of tests/xen, by name; where all of them have passed in a run, the table says so. The twins
for IPv6 (5xx and 7xx) come with IPv6. tests/host/test_integration_cases.py holds the names against the sources.

Source: qubes-core-admin, qubes/tests/integ/network.py.
"""
OTHER_SIDE = "of a Linux netvm: ours is the provider, and has no network manager"

# number, what it asserts, names of tests, or why not
CASES = (
    ("000", "pings an address through its network qube", ("test_000_a_client_pings_through_the_firewall",), ""),
    ("001a", "paused, none to some", ("test_001_detached_and_attached_while_paused",), ""),
    ("001b", "paused, some to none", ("test_001_detached_and_attached_while_paused",), ""),
    ("001c", "paused, change, old one shut down",
     ("test_001_another_firewall_while_the_client_is_paused_the_old_one_shut_down",), ""),
    ("001d", "paused, change, old one removed",
     ("test_001_another_firewall_while_the_client_is_paused_the_old_one_removed",), ""),
    ("001e", "paused, uplink restarted", ("test_001_the_firewall_is_started_anew_while_the_client_is_paused",), ""),
    ("001f", "paused, uplink shut down", ("test_001_the_firewall_is_started_anew_while_the_client_is_paused",), ""),
    ("010", "a proxy in the middle", ("test_010_one_firewall_behind_another",), ""),
    ("020", "a proxy with a network manager", (), OTHER_SIDE),
    ("030", "five rule lists on a running client", ("test_030_five_rule_lists_on_a_running_client",), ""),
    ("031", "of two live streams one is stopped", ("test_a_commit_stops_one_stream_and_the_other_goes_on",), ""),
    ("040", "clients do not reach each other", ("test_040_clients_do_not_reach_each_other",), ""),
    ("050", "address spoofing", ("test_050_a_client_with_another_address_reaches_nothing",), ""),
    ("100", "a client before its backend is ready", ("test_100_a_client_attached_before_the_firewall_is_ready",), ""),
    ("110", "attach at run time", ("test_110_111_attach_and_detach_at_run_time",), ""),
    ("111", "detach, attach", ("test_110_111_attach_and_detach_at_run_time",), ""),
    ("112", "provider shut down and started", ("test_connections_survive_a_restart_of_the_firewall",), ""),
    ("113", "provider killed", ("test_firewall_killed_and_started_again",), ""),
    ("114", "provider crashed", (),
     "dom0 sees what it sees of 113, a domain that has ended; test_crimes.py has crashes, test_goodbye_xen.py a hang"),
    ("200", "hidden address", ("test_200_202_a_hidden_address",), ""),
    ("201", "hidden address, no gateway", ("test_201_a_hidden_address_without_a_gateway",), ""),
    ("202", "hidden address with rules", ("test_200_202_a_hidden_address",), ""),
    ("203", "hidden address, inter-VM allowed", ("test_203_a_hidden_address_that_another_client_may_reach",), ""),
    ("204", "hidden address on the proxy", ("test_204_a_hidden_address_of_a_firewall",), ""),
    ("210", "custom address of the client", ("test_210_a_custom_address",), ""),
    ("211", "custom address of the proxy", ("test_010_one_firewall_behind_another",), ""),
    ("212", "custom address with rules", ("test_210_a_custom_address",), ""),
)


class Table:
    """What has become of the tests that were run."""

    def __init__(self):
        self.outcomes = {}  # name of a test -> "passed", "failed", "skipped"

    def note(self, name, outcome):
        """Of a test that ran; one that failed once has failed."""
        if self.outcomes.get(name) != "failed":
            self.outcomes[name] = outcome

    def begun(self):
        """Whether one of the cases' tests was run."""
        return any(test in self.outcomes for _, _, tests, _ in CASES for test in tests)

    def rows(self):
        """[(number, what, verdict)]"""
        found = []
        for number, what, tests, why in CASES:
            outcomes = {self.outcomes.get(test, "not run here (%s)" % test) for test in tests}
            verdict = outcomes.pop() if len(outcomes) == 1 else "; ".join(sorted(outcomes))
            found.append((number, what, verdict if tests else "not applicable: " + why))
        return found
