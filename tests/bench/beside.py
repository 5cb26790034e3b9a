"""What stands beside the rows: what one packet, one KiB or one connection of a job takes apart from the firewall's CPU.

The image counts its hypercalls, copy operations and events itself (its status, see port/README.md); Linux does not,
so its columns are empty. The last column is a model, not a measurement: what a packet would take on hardware, by the
prices below.
"""
import re

from . import table

COUNTS = ("hypercalls", "copies", "sent", "received")
# ns of the lab, from measurements of an empty guest: what Xen executes for a hypercall, and for one operation of a copy
LAB_EXIT, LAB_COPY = 5200, 9150
# ns on hardware, assumed: a hypercall, a copy operation, a line fetched from memory, an instruction
EXIT, COPY, LINE, INSTRUCTION = 1000, 300, 80, 0.33
_LINES, _LINES_OF_COPY = 2, 2  # of a packet: place in the index, flow record; of a copy: ring slot, grant entry
_TITLES = {"up": "TCP up, a packet", "down": "TCP down, a packet",
           "up8": "TCP up, 8 streams", "down8": "TCP down, 8 streams",
           "flood_up": "64 octets, flood up", "flood_down": "64 octets, flood down", "slow": "64 octets, 2,000/s", "begin": "UDP, each a new flow",
           "connect10": "a connection, 10 rules", "connect200": "a connection, 200 rules"}
JOBS = tuple(_TITLES)
_LINE = re.compile(r"since the start: hypercalls (\d+), copy operations (\d+), "
                   r"events sent (\d+), events received (\d+)")


def counts(text):
    """{name: number} of the last line of a console that tells them; None if there is none."""
    found = _LINE.findall(text)
    return dict(zip(COUNTS, map(int, found[-1]))) if found else None


def modelled(cpu, hypercalls, copies):
    """ns on hardware of something that took so many ns of CPU in the lab."""
    own = max(cpu - hypercalls * LAB_EXIT - copies * LAB_COPY, 0)
    return own * INSTRUCTION + hypercalls * EXIT + copies * COPY + (_LINES + _LINES_OF_COPY * copies) * LINE


def _values(result, job):
    """The cells of a job: ours by count, the netvm's CPU by firewall, the model."""
    def figure(variant, what):
        return table.figure(result, variant, "beside:%s:%s" % (what, job))
    ours = [figure(table.OURS, what) for what in COUNTS]
    netvm = [figure(variant, "netvm") for variant in (table.OURS,) + table.OTHERS]
    return ours + netvm + [figure(table.OURS, "cpu"), figure(table.OURS, "modelled")]


def lines(result):
    """The second table, as text."""
    heads = ["for each", "netvm in", "hypercalls", "copies", "sent", "received", "netvm, ours", "Linux", "flowtable",
             "CPU, ns", "modelled, ns"]
    body = []
    for job, title in _TITLES.items():
        if job in result["settings"]["jobs"]:
            unit = "ns/KiB" if job in ("up", "down", "up8", "down8") else "ns each"
            body.append([title, unit] + [table.number(value) for value in _values(result, job)])
    notes = ["hypercalls to received, CPU: ours, of one packet on the uplink (a connection).",
             "modelled: a model of hardware, not measured: an exit 1 us, a copy 0.3 us, a line of memory 80 ns, an",
             "instruction 0.33 ns, in place of the lab's prices."]
    return table.aligned(heads, body) + notes if body else []
