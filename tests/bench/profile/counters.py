"""What count.c has counted, and the difference of two copies of it."""
import array
import struct

from .symbols import IMAGE

SIZE, XEN_SIZE = 0x100000, 0x800000  # addresses of the image, and of Xen, that are counted
# kinds of a block: the image's that ends in HLT, Xen's that begins with a repeated string instruction
SLEEP, STRING = 2, 4
_NAMES = ("insns", "runs", "xen", "python", "python_xen", "loads")  # as in struct counters, with "hypervisor" behind


class Counters:
    def __init__(self, path):
        with open(path, "rb") as data:
            def words(n):
                got = array.array("Q")
                got.frombytes(data.read(8 * n))
                return got
            self.xen_for_others, self.entries = words(8)[:2]
            self.counts = {name: words(SIZE) for name in _NAMES}
            self.counts["hypervisor"] = words(XEN_SIZE)
            self.kind, self.xen_kind = data.read(SIZE), data.read(XEN_SIZE)


class Difference:
    """Attributes of the names above: {address from the beginning: number}, what came between two copies."""

    def __init__(self, before, after):
        for name, counts in after.counts.items():
            setattr(self, name, {at: y - x for at, (x, y) in enumerate(zip(before.counts[name], counts)) if y != x})
        self.xen_for_others = after.xen_for_others - before.xen_for_others
        self.entries = after.entries - before.entries
        self.kind, self.xen_kind = after.kind, after.xen_kind


def by_name(counts, symbols):
    """{name: sum} of {address: number}."""
    sums = {}
    for at, n in counts.items():
        name = symbols.of(at)[0]
        sums[name] = sums.get(name, 0) + n
    return sums


def memory(elf):
    """Octets of an ELF file's loaded segments, by offset from the image's beginning."""
    with open(elf, "rb") as file:
        data = file.read()
    found = bytearray(SIZE)
    offset, (size, count) = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, _, at, _, physical, length = struct.unpack_from("<IIQQQQ", data, offset + i * size)
        if kind == 1:
            found[physical - IMAGE : physical - IMAGE + length] = data[at : at + length]
    return found
