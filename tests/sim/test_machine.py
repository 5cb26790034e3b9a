"""The simulated machine keeps Xen's rules, as far as the firewall relies on them."""
import pytest
from machine import CRASH, GTF_READING, POWEROFF, Machine, XenError

EINVAL, ESRCH = -22, -3


@pytest.fixture
def pair(machine):
    return machine.peer(5), machine.peer(6)


def test_a_bound_port_is_pending_once_and_carries_events_both_ways(pair):
    a, b = pair
    ours = a.evtchn_alloc(6)
    a.evtchn_send(ours)  # nobody there yet: dropped
    theirs = b.evtchn_bind(5, ours)
    assert a.pending() == [] and b.pending() == [theirs]
    a.evtchn_send(ours)
    a.evtchn_send(ours)
    assert b.pending() == [theirs] and b.pending() == []
    b.evtchn_send(theirs)
    assert a.pending() == [ours]


def test_a_port_is_for_the_domain_it_was_offered_to(machine, pair):
    a, b = pair
    ours = a.evtchn_alloc(6)
    with pytest.raises(XenError) as refused:
        machine.peer(7).evtchn_bind(5, ours)
    assert refused.value.args[0] == EINVAL
    with pytest.raises(XenError) as refused:
        b.evtchn_bind(9, ours)
    assert refused.value.args[0] == ESRCH


def test_after_the_peer_closed_a_port_stays_until_its_owner_closes_it(pair):
    a, b = pair
    ours = a.evtchn_alloc(6)
    theirs = b.evtchn_bind(5, ours)
    b.pending()
    a.evtchn_close(ours)
    assert b.pending() == []  # nobody is told
    b.evtchn_send(theirs)
    assert theirs in b.ports_in_use()
    b.evtchn_close(theirs)
    with pytest.raises(XenError):
        b.evtchn_send(theirs)


def test_a_mapped_page_cannot_be_revoked(pair):
    a, b = pair
    frame = a.page()
    ref = a.grant(frame, 6)
    handle, octets = b.map(5, ref)
    octets[0] = 7
    assert a.octets(frame)[0] == 7
    assert not a.revoke(ref)
    b.unmap(handle)
    assert a.revoke(ref)


def test_a_grant_is_for_one_domain_and_its_right(machine, pair):
    a, b = pair
    ref = a.grant(a.page(), 6, readonly=True)
    for peer, readonly in ((machine.peer(7), True), (b, False)):
        with pytest.raises(XenError) as refused:
            peer.map(5, ref, readonly)
        assert refused.value.args[0] == -1
    with pytest.raises(XenError) as refused:
        b.map(5, 5000)
    assert refused.value.args[0] == -3


def test_a_dead_domain_lets_go_of_what_it_mapped(pair):
    a, b = pair
    ref = a.grant(a.page(), 6)
    b.map(5, ref)
    b.kill()
    assert a.revoke(ref)


SCRIPT = """
import struct, xen
ops = xen.mem(4096)
page = xen.mem(4096)
def copy(source, source_domid, source_at, dest, dest_domid, dest_at, octets, flags):
    struct.pack_into("<QHHIQHHIHHhH", ops, 0, source, source_domid, source_at, 0, dest, dest_domid, dest_at, 0, octets, flags, 99, 0)
    failed = xen.copy(ops, 1)
    return failed, struct.unpack_from("<h", ops, 36)[0]
words = dict(word.split("=") for word in xen.cmdline().decode().split())
ref, ro, other = int(words["ref"]), int(words["readonly"]), int(words["other"])
frame = xen.frame(page)
print("whole", copy(ref, 5, 0, frame, 0x7FF0, 0, 4096, 1), bytes(page[:4]))
print("beyond", copy(ref, 5, 1, frame, 0x7FF0, 0, 4096, 1))
print("no ref", copy(70000, 5, 0, frame, 0x7FF0, 0, 1, 1))
print("not ours", copy(other, 5, 0, frame, 0x7FF0, 0, 1, 1))
print("no domain", copy(ref, 9, 0, frame, 0x7FF0, 0, 1, 1))
print("foreign frame", copy(frame, 5, 0, frame, 0x7FF0, 0, 1, 0))
print("readonly", copy(frame, 0x7FF0, 0, ro, 5, 0, 1, 2))
print("nothing", copy(70000, 5, 0, frame, 0x7FF0, 0, 0, 1))
"""


def test_each_copy_has_its_own_status(machine, pair, tmp_path):
    a, _ = pair
    frame = a.page()
    a.octets(frame)[:4] = b"data"
    ref, readonly, other = a.grant(frame, 2), a.grant(frame, 2, readonly=True), a.grant(frame, 6)
    script = tmp_path / "copies.py"
    script.write_text(SCRIPT)
    firewall = machine.firewall("ref=%d readonly=%d other=%d" % (ref, readonly, other), script=str(script))
    assert firewall.wait_end() == POWEROFF
    assert firewall.lines() == [
        "whole (0, 0) b'data'", "beyond (1, -10)", "no ref (1, -3)", "not ours (1, -1)", "no domain (1, -2)",
        "foreign frame (1, -8)", "readonly (1, -1)", "nothing (0, 0)",
    ]
    assert not a.halves[4 * ref] & GTF_READING


@pytest.mark.parametrize("guard, index", [("after", 10000), ("before", -1)])
def test_a_viper_store_beside_a_piece_of_memory_is_seen(tmp_path, guard, index):
    script = tmp_path / "wild.py"
    script.write_text(
        "import xen\n@micropython.viper\ndef store(p: ptr8, i: int):\n    p[i] = 1\n"
        "def go(n):\n    store(xen.mem(10000), n)\ngo(0)\nprint('inside')\ngo(%d)\nprint('unseen')\n" % index)
    with Machine(guard=guard) as machine:
        firewall = machine.firewall(script=str(script))
        assert firewall.wait_end() == CRASH
    assert "inside" in firewall.console and "unseen" not in firewall.console
    assert "behind the end of a piece of 10000" in firewall.console and "in go" in firewall.console


def test_two_runs_are_the_same(tmp_path):
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
