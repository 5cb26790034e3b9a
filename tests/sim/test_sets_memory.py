"""Memory that is refused while a set grows: it stays as it is, and the next attempt works (port/sets.c)."""
from tests.sim.starving import STARVED

_SCRIPT = STARVED + """
def update(some, each):
    some.update((each,))
def differ(some, each):
    some.symmetric_difference_update((each,))
failures = 0
for size in range(200):
    for add in (set.add, update, differ):
        some = set()
        for each in range(size):
            some.add("text %d" % each)
        kept = [bytearray(64) for _ in range(30)]
        n = 0
        while starved(n, add, some, "another"):
            failures += 1
            n += 1
            assert len(some) == size and "text 0" in some or not size, size
            assert "nobody" not in some and "another" not in some, size
            assert sorted(some) == sorted("text %d" % each for each in range(size))
            assert n < 10, (n, size)
        assert len(some) == size + 1 and "another" in some
        some.discard("text %d" % (size // 2))
        for each in range(size):
            some.add("more %d" % each)
        assert not any(any(each) for each in kept)
assert failures > 800, failures
print("done")
"""


def test_a_set_that_cannot_grow_stays_as_it_is(machine, run):
    """MicroPython's said that it was larger than its table: the next look into it read, and wrote, behind that."""
    firewall = run(machine, _SCRIPT)
    assert firewall.lines("done"), firewall.console
