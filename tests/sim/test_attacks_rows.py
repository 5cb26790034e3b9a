"""No row is forgotten: of the attack cases, of the advisories about a network interface, of the behaviours.

A row is played here, in the simulation, by a lie or a test that says so (attacks.row), or where PLACES says; what is not an
interface's business is named with its reason.
"""
import inspect
import json
import os
import re

import attacks
import test_attacks_client_limits  # noqa: F401
import test_attacks_client_load  # noqa: F401: they fill attacks.COVERED
import test_attacks_client_rx  # noqa: F401
import test_attacks_client_tx  # noqa: F401
import test_attacks_netvm  # noqa: F401
import test_attacks_store  # noqa: F401
import test_behaviours_long  # noqa: F401
import test_behaviours_rings
import test_slow_uplink  # noqa: F401

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ADVISORIES = (
    "XSA-39 XSA-86 XSA-90 XSA-155 XSA-216 XSA-270 XSA-332 XSA-349 XSA-361 XSA-362 XSA-367 XSA-374 XSA-376 XSA-391 XSA-392 "
    "XSA-396 XSA-403 XSA-405 XSA-423 XSA-424 XSA-432 XSA-465 XSA-115 CVE-2023-46838 MSA00 MSA01 MSA02 MSA03 QSB-004 QSB-056 "
    "QSB-087 QSB-089"
).split() + ["num-queues 0", "peer: endless port search", "peer: leaks of detached clients", "peer: uplink changed",
             "peer: uplink silent to ARP", "peer: an HVM's two interfaces", "mirage: MTU", "mirage: nodes not there yet"]
# XSA-466, 500, 505, 236, 378, 379, 382: the hypervisor's. QSB-038: qrexec, which is not there. QSB-047: dom0's.
PLACES = {  # rows that other files play: (file, what stands in its test's name)
    "XSA-86": ("sim/test_vchan_lies.py", "test_a_lie_closes_the_channel"),
    "XSA-465": ("sim/test_netfront_life.py", "test_a_netvm_killed_and_started_again"),
    "XSA-115": ("sim/test_xenstore_client.py", "test_10000_hostile_replies"),
    "peer: endless port search": ("host/test_behaviours_ports.py", "test_behaviour_79"),
    "peer: leaks of detached clients": ("sim/test_levels.py", "test_attach_and_detach_level_out"),
    "peer: uplink changed": ("sim/test_netfront_life.py", "test_dom0_moves_us_to_another_netvm"),
    "peer: uplink silent to ARP": ("sim/test_netfront_life.py", "test_the_gateway_is_asked_by_arp_and_does_without"),
    "peer: an HVM's two interfaces": ("sim/test_netback_life.py", "test_an_hvms_two_interfaces"),
    "mirage: MTU": ("sim/test_netfront_life.py", "test_the_mtu_is_xenstores"),
    "mirage: nodes not there yet": ("sim/test_netfront_life.py", "test_a_backend_that_is_not_there_yet"),
    12: ("sim/test_qubesdb.py", "test_the_last_values_stay_in_force_over_a_restart"),
    13: ("sim/test_supervisor.py", "test_what_the_domain_cannot_survive"),
    14: ("host/test_behaviours_reload_address.py", "test_behaviour_14"),
    15: ("sim/test_qubesdb.py", "test_behaviour_15"),
    16: ("sim/test_qubesdb.py", "test_50_rules_from_commit_to_force"),
    38: ("host/test_behaviours_fragments.py", "test_behaviour_38"),
    55: ("host/test_behaviours_headers.py", "test_behaviour_55"),
    77: ("sim/test_levels.py", "test_attach_and_detach_level_out"),
    79: ("host/test_behaviours_ports.py", "test_behaviour_79"),
    80: ("host/test_behaviours_ports.py", "test_behaviour_80"),
    90: ("host/test_rules.py", "test_behaviour_90"),
    94: ("sim/test_netfront_life.py", "test_a_netvm_killed_and_started_again"),
    95: ("sim/test_log.py", "test_no_control_octet_reaches_the_console"),
    96: ("host/test_attack_surface.py", "test_behaviour_96"),
}
LATER = {93} | set(range(81, 90)) | {91, 92}  # real Xen's; names of host rules; no such rows


def source(path):
    with open(os.path.join(TESTS, path), encoding="utf-8") as file:
        return file.read()


def played(row):
    path, test = PLACES.get(row, ("", ""))
    return row in attacks.COVERED or path and test in source(path)


def test_every_case_is_played():
    rows = {json.loads(line)["id"] for line in source("cases/xen_attack_cases.jsonl").splitlines()}
    assert len(rows) == 12 and rows <= set(attacks.COVERED)


def test_every_advisory_is_played():
    assert [row for row in ADVISORIES if not played(row)] == []


def test_every_behaviour_is_played():
    through_rings = set()
    for module in test_behaviours_rings.MODULES:
        for numbers in re.findall(r"def test_behaviour((?:_\d\d)+)\w*\((?:net|.*\bnet\b)", inspect.getsource(module)):
            through_rings.update(int(number) for number in numbers.split("_") if number)
    missing = [row for row in range(1, 97)
               if row not in through_rings and row not in LATER and not played(row) and "behaviour %d" % row not in attacks.COVERED]
    assert missing == []


def test_no_row_is_made_up():
    known = set(ADVISORIES) | {"behaviour %d" % row for row in range(1, 97)}
    known.update(json.loads(line)["id"] for line in source("cases/xen_attack_cases.jsonl").splitlines())
    assert set(attacks.COVERED) <= known
