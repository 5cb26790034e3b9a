"""xen.mb() is a full fence in what is built: between our asking for an event and our last look at a ring.

Without one the processor may do the look before the neighbour can see what asks for an event: x86 lets a load pass an
earlier store to another place. The simulation gives its turns away by system calls, and would not notice.
"""
import os
import re
import subprocess

import pytest
from interpreter import CHECKOUT

BUILT = os.path.join(CHECKOUT, "build", "firewall-sim"), os.path.join(CHECKOUT, "build", "image", "vmlinuz.elf")


@pytest.mark.parametrize("program", BUILT, ids=["sim", "image"])
def test_the_fence_is_one(program):
    if not os.path.exists(program) and program != BUILT[0]:
        pytest.skip("not built")
    argv = ["objdump", "-d", "--disassemble=xen_mb", program]
    said = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    steps = re.findall(r"\t(mfence|lock \w+|xchg|ret)\b", said.partition("<xen_mb>:")[2])
    assert steps and steps[0] != "ret", said
