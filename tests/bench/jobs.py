"""What the bench does with a firewall, one job after another: each gives some figures, and what was used beside them.

A job is a function of a Machine and a Pace; its result is {figure: value}. A figure that could not be had is None:
nothing arrived. Names of figures are those of table.ROWS; with "beside:" before it, one of the columns of beside.py.
"""
import re
from collections import namedtuple

from . import beside, boot
from .machine import NOBODY, SERVER

# s of the lab's clock: before the first moment, between the two, after the second
Pace = namedtuple("Pace", "warm seconds slack")
QUICK, FULL = Pace(0.4, 1.0, 0.3), Pace(0.6, 2.5, 0.3)
_PINGS = re.compile(r"pings (\d+) answered (\d+) mean (\d+) p50 \d+ p99 (\d+)")
OCTETS, SLOW = 64, 2000
BEGIN, PORTS = 500, 4096  # datagrams a second, each the first of a flow; so many are different
FLOWS = 65536
_LOAD = 1e6  # octets a second; less is no load


class Window:
    """What was used and done between two moments."""

    def __init__(self, before, after):
        self.ns = after["ns"] - before["ns"]
        self.cpu = {who: after["cpu"][who] - before["cpu"][who] for who in after["cpu"]}
        self.counted = {what: after["counters"][what] - before["counters"][what] for what in after["counters"]}
        self.uplink = {what: after["uplink"][what] - before["uplink"][what] for what in after["uplink"]}
        self.all = {what: after["all"][what] - before["all"][what] for what in after["all"]}

    def rate(self, what):
        return self.counted[what] * 1e9 / self.ns

    def each(self, who, count):
        """ns of CPU for each of so many; None if there were none."""
        return self.cpu[who] / count if count else None

    def beside(self, name, netvm, packets, all_packets=None):
        """The columns beside a row.

        netvm: of its CPU, for each of what; packets: how many there were between the moments; all_packets: in all of
        the run; where it is None, the two are the same.
        """
        found = {"beside:netvm:" + name: netvm}
        share = all_packets if all_packets is not None else packets
        if self.all and share and packets:
            each = {what: self.all[what] / share for what in beside.COUNTS}
            cpu = self.cpu["firewall"] / packets
            found.update({"beside:%s:%s" % (what, name): value for what, value in each.items()})
            found["beside:cpu:" + name], found["beside:packets:" + name] = cpu, share
            found["beside:modelled:" + name] = beside.modelled(cpu, each["hypercalls"], each["copies"])
        return found


def _run(machine, commands, pace):
    before, after, said = machine.watch(commands, pace.warm, pace.seconds)
    return Window(before, after), said


def _long(pace):
    return "%g" % (pace.warm + pace.seconds + pace.slack)


def _bulk(machine, pace, way, name, streams, clients=1):
    """TCP in one direction."""
    command = "traffic %s %s %s %d" % (way, SERVER, _long(pace), streams)
    window, _ = _run(machine, {number: command for number in range(clients)}, pace)
    octets = window.counted["taken" if way == "up" else "given"]
    passed = "rx_packets" if way == "up" else "tx_packets"
    packets = window.uplink[passed]
    found = {name + "_rate": octets * 8e3 / window.ns if octets else None}
    found[name + "_cpu"] = window.each("firewall", octets / 1024)
    found.update(window.beside(name, window.each("netvm", octets / 1024), packets, window.all.get(passed)))
    found["beside:clients:" + name] = window.each("clients", octets / 1024)
    found["beside:octets:" + name] = octets / packets if packets else None
    return found


def up(machine, pace):
    return _bulk(machine, pace, "up", "up", 1)


def down(machine, pace):
    return _bulk(machine, pace, "down", "down", 1)


def up8(machine, pace):
    return _bulk(machine, pace, "up", "up8", 2, 4)


def down8(machine, pace):
    return _bulk(machine, pace, "down", "down8", 2, 4)


def pair(machine, pace):
    """TCP from the first client to the second, which a setting allows.

    What arrives, no counter in dom0 sees; who sends says it for the whole of his run, so the moments lie around it.
    """
    sender, receiver = machine.clients[:2]
    machine.allow(sender, receiver)
    pid = receiver.sh("serve /run/counters > /dev/null 2>&1 & echo $!").strip()
    window, said = _run(machine, {0: "traffic up %s %g 1" % (receiver.ip, pace.seconds)}, Pace(0.0, pace.seconds + 1.0, 0))
    receiver.sh("kill %s" % pid)
    octets, ns = map(int, re.search(r"octets (\d+) ns (\d+)", said[0]).groups())
    return {"pair_rate": octets * 8e3 / ns if octets else None, "pair_cpu": window.each("firewall", octets / 1024)}


def _datagrams(machine, pace, name, rate, flows=1):
    """UDP towards the internet, in so many flows by turns: of several, to nobody, and counted as they leave the uplink."""
    to = SERVER if flows == 1 else NOBODY
    window, _ = _run(machine, {0: "traffic send %s %s %d %d %d" % (to, _long(pace), rate, OCTETS, flows)}, pace)
    arrived = window.counted["drained"] if flows == 1 else window.uplink["rx_packets"]
    return {name + "_rate": window.rate("drained") or None, name + "_cpu": window.each("firewall", arrived),
            **window.beside(name, window.each("netvm", arrived), window.uplink["rx_packets"],
                            window.all.get("rx_packets"))}


def flood_up(machine, pace):
    return _datagrams(machine, pace, "flood_up", 0)


def slow(machine, pace):
    return _datagrams(machine, pace, "slow", SLOW)


def begin(machine, pace):
    """Each datagram begins a flow, and nobody answers."""
    found = _datagrams(machine, pace, "begin", BEGIN, PORTS)
    del found["begin_rate"]
    return found


def flood_down(machine, pace):
    """What arrives, only the client can tell: it says so for the whole of its run, so the moments lie around it."""
    command = "traffic receive %s %g 0 %d" % (SERVER, pace.seconds, OCTETS)
    window, said = _run(machine, {0: command}, Pace(0.0, pace.seconds + 1.0, 0))
    count, ns = map(int, re.search(r"datagrams (\d+) ns (\d+)", said[0]).groups())
    return {"flood_down_rate": count * 1e9 / ns if ns else None, "flood_down_cpu": window.each("firewall", count),
            **window.beside("flood_down", window.each("netvm", count), count)}


def _connect(machine, pace, name, rules):
    client = machine.clients[0]
    others = ["action=drop proto=tcp dst4=203.0.113.%d/32 dstports=%d-%d" % (i % 250 + 1, 1000 + i, 1010 + i)
              for i in range(rules - 1)]
    machine.site.set_rules(client.ip, others + ["action=accept"])
    window, said = _run(machine, {0: "traffic connect %s %s" % (SERVER, _long(pace))}, pace)
    machine.site.set_rules(client.ip, ["action=accept"])
    made = window.counted["greeted"]
    each = window.each("firewall", made)
    found = {name + "_rate": window.rate("greeted") or None, name + "_cpu": each and each / 1000}
    made_in_all = int(re.search(r"connections (\d+)", said[0]).group(1))
    return {**found, **window.beside(name, window.each("netvm", made), made, made_in_all)}


def connect10(machine, pace):
    return _connect(machine, pace, "connect10", 10)


def connect200(machine, pace):
    return _connect(machine, pace, "connect200", 200)


def _ping(machine, pace, name, before=""):
    seconds = pace.warm + pace.seconds
    window, said = _run(machine, {0: before + "traffic ping %s %g 100" % (SERVER, seconds)}, Pace(0.0, seconds, 0))
    sent, answered, mean, p99 = map(int, _PINGS.search(said[0]).groups())
    if before and window.rate("taken") < _LOAD:
        answered = 0  # what was to go on meanwhile did not
    return {name: mean / 1e6 if answered else None, name + "_p99": p99 / 1e6 if answered else None,
            "beside:lost:" + name: sent - answered}


def ping_idle(machine, pace):
    return _ping(machine, pace, "ping_idle")


def ping_busy(machine, pace):
    """While the same client uploads."""
    seconds = pace.warm + pace.seconds + 0.2
    return _ping(machine, pace, "ping_busy", "traffic up %s %g 1 > /dev/null & " % (SERVER, seconds))


def idle(machine, pace):
    """With the flows of a few datagrams, as a client at rest leaves them. The first job: others leave thousands."""
    command = "traffic send %s 0.05 200 %d 8" % (SERVER, OCTETS)
    window, _ = _run(machine, {0: command}, Pace(2.0, 4 * pace.seconds, 0))
    return {"idle": window.cpu["firewall"] * 1e3 / window.ns}


def start(machine, pace):
    """Linux is started once: what carries flows past its rules has no part in it."""
    return {} if machine.variant == "flowtable" else {"start": boot.first_ping(machine, SERVER)}


def small(machine, pace):
    """TCP by our image in 24 MB, the least that is promised."""
    if machine.variant != "ours":
        return {}
    machine.restart(24)
    found = {**_bulk(machine, pace, "up", "up24", 1), **_bulk(machine, pace, "down", "down24", 1)}
    machine.restart(machine.memory)
    return found


def flows(machine, pace):
    """How many flows of one client there are room for, asked for as many as the design promises."""
    machine.watch({0: "traffic flows %s %d" % (NOBODY, FLOWS)}, 0.0, 0.0)
    return {"flows": machine.flows()}
