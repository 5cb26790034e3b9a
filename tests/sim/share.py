"""One neighbour brings all it can while others go on, and time passes by the work that the firewall does.

    world = World(net)
    world.flood(wire, frames)            # its ring is never empty: frames in turn, each (octets, blank, gso, sizes)
    quiet = world.steady(wire, frames, 400, sink)    # so many a second; at sink those that carry its mark are counted
    world.run(0.5)                       # seconds of the machine's clock
    quiet.due, quiet.sent, quiet.came

The clock moves with each step of the firewall's interpreter (port/sim/event.c), so that a figure is the same on every
host. Peers act within hypercalls: what they bring is there while a pass goes on, as on a machine with more CPUs.
"""
import itertools

STEP_NS = 250  # so that a frame of a known flow takes some 55 us
_EVERY = 3  # hypercalls between two looks of the peers


class Flood:
    def __init__(self, wire, frames):
        self.wire, self.frames = wire, itertools.cycle(frames)
        self.uplink = hasattr(wire.end, "backlog")
        self.brought = 0

    def act(self, world):
        end = self.wire.end
        if self.uplink:
            while not end.backlog and end.posted() > 20 and self.brought < 1 << 20:
                end.send(*next(self.frames))
                self.brought += 1
        else:
            n = 0
            while end.room() > 20:
                end.queue(*next(self.frames))
                n += 1
            if n:
                self.brought += n
                end.kick()


class Steady:
    def __init__(self, wire, frames, rate, sink, mark):
        self.wire, self.frames, self.rate, self.sink, self.mark = wire, itertools.cycle(frames), rate, sink, mark
        self.due = self.sent = self.came = 0
        self.first = None  # s, when the first came

    def act(self, world):
        due = int(world.elapsed() * self.rate) if world.running() else self.due
        end = self.wire.end
        kick = False
        while self.due < due:
            self.due += 1
            if end.room() > 20:
                end.queue(next(self.frames))
                self.sent += 1
                kick = True
        if kick:
            end.kick()


class World:
    def __init__(self, net):
        self.net, self.machine = net, net.machine
        self.sources, self.steadies = [], []
        self.counts = {}  # wire: frames that came
        self.replies = []  # (wire, function(frame) -> frame to send back there or None)

    def elapsed(self):
        return (self.machine.header.clock_ns - self.began) / 1e9

    def running(self):
        return self.elapsed() < self.seconds

    def flood(self, wire, frames):
        self.sources.append(Flood(wire, [each if isinstance(each, tuple) else (bytes(each),) for each in frames]))
        return self.sources[-1]

    def steady(self, wire, frames, rate, sink, mark):
        steady = Steady(wire, [bytes(each) for each in frames], rate, sink, mark)
        self.sources.append(steady)
        self.steadies.append(steady)
        return steady

    def act(self, _firewall=None):
        if self.running():
            for source in self.sources:
                source.act(self)
        self.machine.serve()
        self.look()

    def look(self):
        for wire in self.net.wires:
            frames = wire.end.frames
            if not frames:
                continue
            if self.running():
                self.counts[wire] = self.counts.get(wire, 0) + len(frames)
                for steady in self.steadies:
                    if steady.sink is wire:
                        n = sum(steady.mark in frame[0] for frame in frames)
                        steady.came += n
                        if n and steady.first is None:
                            steady.first = self.elapsed()
                for there, answer in self.replies:
                    if there is wire:
                        for frame in list(frames):
                            back = answer(frame[0])
                            if back is not None:
                                wire.end.send(bytes(back))
            frames.clear()

    def run(self, seconds):
        self.net.settle()
        for wire in self.net.wires:
            wire.end.frames.clear()
        self.seconds, self.began = seconds, self.machine.header.clock_ns
        self.machine.header.step_ns = STEP_NS
        self.machine.preempt(_EVERY, self.act)
        try:
            while self.running():
                self.act()
                self.machine.settle()
                if self.running():  # nothing to do for anybody: until something is due
                    self.machine.header.clock_ns += 100_000
        finally:
            self.machine.preempt(0, lambda firewall: None)
            self.machine.header.step_ns = 0
        self.net.settle()
