"""What a netvm's state means for ours: the whole table, and what the order of its words must lead to."""
import pytest
from state_table import no_state_reads_as_gone, whole_table
from netfront.states import EARLY, ENDED, OFFERED, OPEN, WAITING, step

OURS = (OFFERED, WAITING, EARLY, OPEN, ENDED)
AFTER = {"connect": WAITING, "open": OPEN, "ready": OPEN, "close": ENDED, "again": OFFERED}
# theirs: what happens when we are offered, waiting, early, open, ended
EXPECTED = {
    0: "stay close close close stay",
    1: "stay close close close again",
    2: "connect stay stay close again",
    3: "stay stay stay stay again",
    4: "stay open ready stay again",
    5: "close close close close stay",
    6: "close close close close again",
    7: "stay stay stay stay again",
    8: "stay stay stay stay again",
}


test_the_whole_table = whole_table(step, OURS, EXPECTED)
test_what_is_no_state_reads_as_a_node_that_is_gone = no_state_reads_as_gone(step, OURS, EXPECTED)


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("theirs", [t for t in range(-1, 10) if t != 6])
def test_every_step_leads_to_a_rest(ours, theirs):
    """6 while we are offered is acted upon once, when it comes: uplink.py knows what it has seen."""
    for _ in range(4):
        action = step(ours, theirs)
        ours = AFTER.get(action, ours)
    assert step(ours, theirs) == "stay"


@pytest.mark.parametrize("ours", OURS)
def test_a_netvm_that_closes_is_followed_from_everywhere(ours):
    """dom0 waits for our 6."""
    assert step(ours, 5) == ("stay" if ours == ENDED else "close")


def test_frames_flow_in_two_states_only():
    assert {step(ours, 4) for ours in (EARLY, OPEN)} == {"ready", "stay"} and step(WAITING, 2) == "stay"
