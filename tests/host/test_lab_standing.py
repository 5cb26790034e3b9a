"""What is told of a Linux that does not answer, made of what the lab said; and of a lab that says nothing."""
from tests.xen import standing
from tests.xen.errors import LabError

LOOK = """rip: 00000000004a2b10
flags: 00000246 i z p
rsp: 00007ffe00001000
rax: 0000000000000001\trcx: 0000000000000002\trdx: 0000000000000003
Code (instr addr 4a2b10)
90 <90>

Stack Trace:
ffffc90000003cd8:   [<00000000004a2b20>]
"""
LOG = """(XEN) [   91.456661] VCPU information and callbacks for domain 1:
(XEN) [   91.456686]     VCPU0: CPU0 [has=F] poll=0 upcall_pend=01 upcall_mask=00
(XEN) [   91.456928] VCPU information and callbacks for domain 11:
(XEN) [   91.456953]     VCPU0: CPU0 [has=F] poll=0 upcall_pend=00 upcall_mask=00
(XEN) [   91.456999] Notifying guest 0:0 (virq 1, port 0)
(XEN) [   91.480247] Event channel information for domain 11:
(XEN) [   91.480272]        1 [0/0/  -   ]: s=3 n=0 x=0 d=0 p=19
(XEN) [   91.480280] Event channel information for domain 1:
(XEN) [   91.480285]        2 [1/1/  -   ]: s=3 n=0 x=0 d=0 p=20
(XEN) [   91.503629] *********** VMCB Areas **************
(XEN) [   91.503634] >>> Domain 1 <<<
(XEN) [   91.503744] event_inj 0000000000000000, valid? 0, ec? 0, type 0, vector 0
(XEN) [   91.504076] **************************************
(XEN) [   91.504080] something else
"""


class Lab:
    """Answers as a lab does that has this log after the keys were pressed. late: the request that fails."""

    def __init__(self, late=""):
        self.late, self.log = late, "before\n"

    def xen_log(self):
        return self.log

    def call(self, function, *_, timeout=60.0):
        if function == self.late:
            raise LabError("dom0 tells nothing any more")
        if function == "vcpu.press":
            self.log += LOG
            return ""
        return [LOOK] * standing.LOOKS, ["Name\nmail  1 256 1 ------ 65.7\n", "Name\nmail  1 256 1 ------ 68.0\n"]

    def run(self, argv, timeout=30.0):
        if argv[0] == self.late:
            raise BrokenPipeError("QEMU has ended")


class Guest:
    def __init__(self, lab):
        self.lab, self.domid = lab, 1


def test_where_it_is_and_what_waits_for_it():
    told = standing.told(Guest(Lab())).splitlines()
    assert told[1].endswith("65.7") and told[2].endswith("68.0")
    where = "rip: 00000000004a2b10  flags: 00000246 i z p  rsp: 00007ffe00001000"
    assert told.count(where) == standing.LOOKS - 1
    assert told[-4:] == ["Event channel information for domain 1:", "       2 [1/1/  -   ]: s=3 n=0 x=0 d=0 p=20",
                         ">>> Domain 1 <<<", "event_inj 0000000000000000, valid? 0, ec? 0, type 0, vector 0"]
    assert any("upcall_pend=01" in line for line in told) and not any("upcall_pend=00" in line for line in told)
    assert "ffffc90000003cd8:   [<00000000004a2b20>]" in told


def test_a_lab_that_is_dead_makes_no_error_of_its_own():
    for late in ("vcpu.looks", "vcpu.press", "sleep"):
        assert standing.told(Guest(Lab(late))).startswith("what it is doing cannot be seen: ")
