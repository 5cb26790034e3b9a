"""The image as a PVH domain: it comes up, says who it is, and ends when dom0 asks."""
import os
import re

import pytest

from images import kernel

BUILT = "/src/build/vmlinuz"


@pytest.mark.parametrize("memory", [32, 24])
def test_boots_and_says_who_it_is(lab, image, memory, figure):
    """Boots: the image that ships, with 32 and with 24 MB."""
    guest = lab.domain("boot%d" % memory, image, memory=memory)
    guest.wait_for("memory: ")
    guest.wait_for("\n", after=guest.wait_for("memory: "))
    first = guest.console().splitlines()[0]
    assert re.search(r"boot: firewall %s, inputs [0-9a-f]{16}$" % re.escape(kernel.version()), first)
    words = re.search(r"memory: (\d+) KiB of object heap, (\d+) free; (\d+) KiB of pages, (\d+) free", guest.console())
    heap, heap_free, pages, free = map(int, words.groups())
    least_heap, least_pages = {32: (6 << 10, 17 << 10), 24: (5 << 10, 10 << 10)}[memory]  # design.md, Memory
    figure("memory left in a domain of %d MB" % memory,
           "%d of %d KiB of heap, %d of %d KiB of pages" % (heap_free, heap, free, pages),
           "%d and %d" % (least_heap, least_pages))
    assert heap >= least_heap * 0.98 and free >= least_pages
    assert guest.state() == "running"
