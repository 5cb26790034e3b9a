"""Work in steps: all in one go, or with a turn for everybody else after so many."""
import asyncio

import pytest

import steps


def work(n, fault=None):
    for _ in range(n):
        yield None
    if fault:
        raise fault
    yield "made"


def test_at_once_gives_the_result():
    assert steps.at_once(work(0)) == steps.at_once(work(7)) == "made"
    with pytest.raises(ValueError):
        steps.at_once(work(3, ValueError()))


@pytest.mark.parametrize("n, every, turns", [(0, 1, 0), (5, 1, 5), (7, 8, 0), (8, 8, 1), (17, 8, 2)])
def test_in_turns_pauses_after_so_many_steps(monkeypatch, n, every, turns):
    taken = []

    async def sleep_ms(ms):
        taken.append(ms)
    monkeypatch.setattr(asyncio, "sleep_ms", sleep_ms, raising=False)
    assert asyncio.run(steps.in_turns(work(n), every)) == "made" and taken == [0] * turns
