"""Tests of a table of xenbus states: step(ours, theirs), beside what is expected of it, a line for each state of theirs."""
import pytest


def whole_table(step, ours, expected):
    """A test of every cell."""
    @pytest.mark.parametrize("theirs", expected)
    def test(theirs):
        assert [step(each, theirs) for each in ours] == expected[theirs].split()
    return test


def no_state_reads_as_gone(step, ours, expected):
    """A test that what is no state of xenbus reads as a node that is gone."""
    @pytest.mark.parametrize("theirs", [-1, -9, 9, 10, 255, 1 << 31, -1 << 31])
    def test(theirs):
        assert [step(each, theirs) for each in ours] == expected[0].split()
    return test
