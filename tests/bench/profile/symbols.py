"""Names for addresses: of the image, by `nm`, and of Xen, by the table that a Xen carries for its own messages."""
import struct
import subprocess
from bisect import bisect_right

IMAGE, XEN = 0x100000, 0xFFFF82D040000000  # where each begins


class Symbols:
    def __init__(self, found):
        """found: (offset from the beginning, name) of each."""
        pairs = sorted(found)
        self.at, self.names = [at for at, _ in pairs], [name for _, name in pairs]

    def of(self, at):
        """(name, offset in it) of what lies there."""
        i = bisect_right(self.at, at) - 1
        return (self.names[i], at - self.at[i]) if i >= 0 else ("?", 0)

    def address(self, name):
        return self.at[self.names.index(name)]


def image(elf, kinds):
    """Those of an ELF file whose kinds, as nm writes them, are among these letters."""
    said = subprocess.run(["nm", elf], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    words = [line.split() for line in said.splitlines()]
    return Symbols([(int(each[0], 16) - IMAGE, each[2]) for each in words if len(each) == 3 and each[1].lower() in kinds])


def xen(path):
    """Xen's.

    Their layout, in order: offsets, their number, names (a length and so many tokens each), marks, the 256 tokens. The
    tokens are found by those for the ten digits, the number by whether the names behind it make sense.
    """
    with open(path, "rb") as file:
        data = file.read()
    start, texts = _tokens(data)
    for at in range(max(0, start - 400000), start - 8, 4):
        count = struct.unpack_from("<I", data, at)[0]
        if not 2000 < count < 30000 or _names(data, at + 4, 300, texts)[0] is None:
            continue
        found, end = _names(data, at + 4, count, texts)
        if not found or not 0 < start - end < 8192:
            continue
        for table in range(at - 4 * count, at - 4 * count - 64, -4):
            offsets = struct.unpack_from("<%dI" % count, data, table)
            if list(offsets) == sorted(offsets) and offsets[-1]:
                of_text = [(offset, name[1:]) for offset, name in zip(offsets, found) if name[0] in "tT"]
                return Symbols([(offset, name.replace(" ", "_")) for offset, name in of_text])
    raise ValueError("%s has no symbols that we know how to read" % path)


def _tokens(data):
    """(where they begin, the 256 texts)"""
    start = data.index(b"".join(bytes([digit, 0]) for digit in b"0123456789"))
    for _ in range(ord("0")):
        start = data.rindex(b"\0", 0, start - 1) + 1
    texts, at = [], start
    for _ in range(256):
        end = data.index(b"\0", at)
        texts.append(data[at:end].decode("latin-1"))
        at = end + 1
    return start, texts


def _names(data, at, count, texts):
    """(names, where they end); None for names that are none."""
    found = []
    for _ in range(count):
        length = data[at]
        if not 0 < length <= 120:
            return None, at
        found.append("".join(texts[octet] for octet in data[at + 1 : at + 1 + length]))
        at += 1 + length
    return found, at
