"""What a client's state means for ours: the whole table, and what the order of its words must lead to."""
import pytest
from state_table import no_state_reads_as_gone, whole_table

from netback.states import step
from xenbus.states import CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING

OURS = (INIT_WAIT, CONNECTED, CLOSING, CLOSED)
AFTER = {"offer": INIT_WAIT, "connect": CONNECTED, "part": CLOSING, "close": CLOSED}
# theirs: what happens in our InitWait (2), Connected (4), Closing (5), Closed (6)
EXPECTED = {
    0: "close close close stay",
    1: "stay offer offer offer",
    2: "stay stay stay stay",
    3: "connect stay stay stay",
    4: "connect stay stay stay",
    5: "part part stay stay",
    6: "close close close stay",
    7: "stay stay stay stay",
    8: "stay stay stay stay",
}


def test_the_numbers_are_xens():
    """Xen public/io/xenbus.h"""
    assert (INITIALISING,) + OURS == (1, 2, 4, 5, 6)


test_the_whole_table = whole_table(step, OURS, EXPECTED)
test_what_is_no_state_reads_as_a_node_that_is_gone = no_state_reads_as_gone(step, OURS, EXPECTED)


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("theirs", range(-1, 10))
def test_every_step_leads_to_a_rest(ours, theirs):
    """Asked again about the same state of theirs, it comes to "stay": no dance for ever with a frontend that is silent."""
    seen = [ours]
    while step(ours, theirs) != "stay":
        ours = AFTER[step(ours, theirs)]
        assert ours not in seen
        seen.append(ours)
