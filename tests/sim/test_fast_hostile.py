"""Neighbours whose chains are nearly right: the same comes of it fast and slow, and no page is lost."""
import pytest
from bending import Scene, both, same


@pytest.mark.parametrize("who", ["client", "uplink", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_bent_chains_go_the_same_way(seed, who):
    stories = both(Scene, seed, who, 25)
    if who != "all":  # which id is in flight, and which buffer is whose, depends on the turns
        same(stories)
