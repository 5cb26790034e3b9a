"""The image as a PVH domain: it comes up, says who it is, and ends when dom0 asks."""
import os
import re

import pytest

from images import kernel
from tests.xen.conftest import both_daemons

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
    least_heap, least_pages = {32: (6 << 10, 17 << 10), 24: (5 << 10, 10 << 10)}[memory]
    figure("memory left in a domain of %d MB" % memory,
           "%d of %d KiB of heap, %d of %d KiB of pages" % (heap_free, heap, free, pages),
           "%d and %d" % (least_heap, least_pages))
    assert heap >= least_heap * 0.98 and free >= least_pages
    assert guest.state() == "running"


def test_the_image_is_small(figure):
    """Boots nothing."""
    size = os.path.getsize(BUILT)
    figure("image", "%d octets" % size, "800 KB")
    assert size < 800000


@both_daemons
def test_xl_shutdown_ends_it_within_a_second(lab, image, figure):
    """Boots: the image that ships. Its last line must have reached the console. xl itself takes longer."""
    guest = lab.domain("shutdown", image)
    guest.wait_for("memory: ")
    lab.run("sleep 2")
    why, since_command, since_request = lab.call("domains.shut_down", guest.domid, 60)
    figure("xl shutdown to the end, %s" % lab.xenstore,
           "%.2f s (%.2f s after xl had asked)" % (since_command, since_request), "1 s")
    assert why == "poweroff"
    guest.wait_for("power")  # xenconsoled may have to read the last line still
    assert "power" in guest.console().splitlines()[-1]
    assert since_request < 1


def test_reboot_and_unknown_words(lab, image):
    """Boots: the image that ships. A word it does not know changes nothing; "reboot" ends it with that reason."""
    guest = lab.domain("reboot", image)
    guest.wait_for("memory: ")
    lab.run("sleep 1")
    guest.store_write("control/shutdown", "dance")
    guest.wait_for("unknown word ignored: dance")
    assert guest.state() == "running"
    guest.store_write("control/shutdown", "reboot")
    assert guest.wait_for_end(5) == "reboot"


def test_unknown_words_on_the_command_line(lab, image):
    """Boots: the image that ships, with the words that dom0 prepends for Linux."""
    guest = lab.domain("words", image, "root=/dev/mapper/dmroot ro nomodeset console=hvc0 rd_NO_PLYMOUTH swiotlb=2048")
    guest.wait_for("memory: ")
    assert guest.state() == "running"


@both_daemons
def test_what_an_idle_domain_takes(lab, image, figure):
    """Boots: the image that ships; a minute of the lab's clock."""
    guest = lab.domain("idle", image)
    guest.wait_for("memory: ")
    lab.run("sleep 5", timeout=60)
    share = lab.call("domains.idle_share", guest.domid, 60, timeout=300)
    figure("CPU of an idle domain, %s" % lab.xenstore, "%.4f %%" % (100 * share), "0.1 %")
    assert share < 0.001
    assert guest.state() == "running"


def test_instructions_until_python_runs(lab, guest, figure):
    """Boots: tests/guest/stop.py, where an instruction takes a nanosecond of Xen's clock.

    The CPU time of a domain that ends in the first line of its program. Beside what runs before Python's main it
    holds main's own beginning, the log's first lines and the end, so the figure asked for is less.
    """
    domain = guest("stop")
    assert domain.wait_for_end(60) == "poweroff"
    used, _ = lab.call("domains.cpu_ns", domain.domid)
    figure("instructions from the first until a program of Python's runs", "%.1f million" % (used / 1e6), "20 million")
    assert 0 < used < 20e6


def test_instructions_until_idle(lab, image, figure):
    """Boots: the image that ships: all it does before it waits for dom0's QubesDB. Printed, not limited."""
    guest = lab.domain("count", image)
    guest.wait_for("memory: ", timeout=60)
    lab.run("sleep 1", timeout=120)
    used, _ = lab.call("domains.cpu_ns", guest.domid)
    figure("instructions from the first to idle, no QubesDB there", "%.1f million" % (used / 1e6))
