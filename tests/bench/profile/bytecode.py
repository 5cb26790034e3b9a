"""One frozen function: its lines, and how often it was called. Source: MicroPython py/bc.h (prelude, line table)."""

_LOADED_TWICE = range(0xB0, 0xC0)  # opcodes that the interpreter loads twice


class Bytecode:
    def __init__(self, memory, start):
        """start: of its data, an offset into memory."""
        self.memory, at = memory, start
        more, n = memory[at], 0
        self.names = 1 + (more & 3)
        while more & 0x80:
            at += 1
            more = memory[at]
            self.names += ((more & 4) << n) + (((more & 8) >> 3) << n)
            n += 1
        at += 1
        info = cells = n = 0
        while True:
            size = memory[at]
            at += 1
            cells |= (size & 1) << n
            info |= ((size & 0x7E) >> 1) << (6 * n)
            n += 1
            if not size & 0x80:
                break
        self.info, self.end = at, at + info
        self.code = self.end + cells

    def calls(self, loads):
        """How often it was entered, of how often octets were loaded: {address: number}."""
        n = loads.get(self.code, 0)
        return n / 2 if self.memory[self.code] in _LOADED_TWICE else n

    def line(self, at):
        """Number of the line whose bytecode lies there."""
        memory, info, left, line = self.memory, self.info, at - self.code, 1
        for _ in range(self.names):
            while memory[info] & 0x80:
                info += 1
            info += 1
        while info < self.end:
            head = memory[info]
            if head & 0x80 == 0:
                octets, lines, info = head & 0x1F, head >> 5, info + 1
            else:
                octets, lines, info = head & 0xF, (head << 4 & 0x700) | memory[info + 1], info + 2
            if left < octets:
                break
            left -= octets
            line += lines
        return line
