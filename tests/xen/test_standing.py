"""A Linux that does not answer in time: the error says where its kernel is."""
import re

import pytest

from tests.xen import standing
from tests.xen.lab import LabError


@pytest.mark.long
def test_a_kernel_that_is_busy_is_seen(lab):
    """Boots: a Linux domU, whose shell copies zeros. It does not raise when the domain is gone."""
    guest = lab.linux("guest")
    with pytest.raises(LabError, match="state running") as seen:
        guest.sh("exec dd if=/dev/zero of=/dev/null bs=64M count=1000000", 1)
    told = str(seen.value)
    assert len(re.findall(r"^rip: .*rsp:", told, re.M)) == standing.LOOKS - 1, told
    assert re.search(r"rip: \w+ rep_stos_alternative\+0x", told) and re.search(r"\[<\w+ read_zero\+0x", told), told
    assert re.search(r"^guest +%d .* ------ " % guest.domid, told, re.M), told
    assert re.search(r"upcall_pend=0[01]", told) and re.search(r"event_inj", told) and re.search(r"port .p/m/s.", told)
    assert re.search(r"lstar = 0x\w+ entry_SYSCALL_64\+0x0", told), told
    guest.destroy()
    assert "its registers" in standing.told(guest)
