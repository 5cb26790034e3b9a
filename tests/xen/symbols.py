"""Names of a Linux kernel's functions, from the tables that it carries for its own messages.

Debian's System.map is in a package of its own, and a kernel that no longer answers cannot be asked for /proc/kallsyms.

Source: Linux 6.12, scripts/kallsyms.c (write_src: which table follows which), kernel/kallsyms.c (what they hold).
"""
import bisect
import re
import struct

_BASE = 0xffffffff81000000  # the kernel's first octet, which addresses are counted from
_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))  # of the table of tokens: a digit stands for itself


class Symbols:
    """name(address) of the kernel whose unpacked file has these octets. ValueError: its tables are not understood."""

    def __init__(self, octets):
        self._octets = octets
        tokens, end = self._tokens()
        addresses = self._addresses(end)
        named = sorted(zip(addresses, self._names(tokens, len(addresses))))
        self._begins, self._called = [address for address, _ in named], [name for _, name in named]

    def name(self, address):
        """"function+0x12", or "" if it lies in none."""
        at = bisect.bisect_right(self._begins, address) - 1
        if at < 0 or address - self._begins[at] > 0x100000:
            return ""
        return "%s+%#x" % (self._called[at], address - self._begins[at])

    def named(self, text):
        """The text with its name behind each address of the kernel, 16 digits of hex."""
        def both(match):
            return ("%s %s" % (match.group(0), self.name(int(match.group(1), 16)))).rstrip()
        return re.sub(r"\b(?:0x)?(ffffffff[89a-f][0-9a-f]{7})\b", both, text)

    def _tokens(self):
        """(The 256 tokens, where their index ends): a digit's place in the table is what the index has for it."""
        for match in re.finditer(re.escape(_DIGITS), self._octets):
            first = match.start()
            for at in range((first + 7) & ~7, first + 8192, 8):
                index = struct.unpack_from("<256H", self._octets, at)
                begin = first - index[ord("0")]
                if index[0] == 0 and list(index) == sorted(set(index)) and begin + index[255] < at:
                    places = [begin + each for each in index]
                    return [self._octets[each:self._octets.index(b"\0", each)] for each in places], at + 512
        raise ValueError("no tokens")

    def _addresses(self, at):
        """The addresses, from offsets of 32 bits: behind them is the base, on a multiple of 8."""
        end = self._octets.index(struct.pack("<Q", _BASE), at)
        offsets = struct.unpack_from("<%di" % ((end - at) // 4), self._octets, at)
        return [offset if offset >= 0 else _BASE - 1 - offset for offset in offsets]  # those are absolute

    def _names(self, tokens, most):
        """The names by address, of which one may be an alignment. Before them stands how many there are."""
        for count in (most, most - 1):
            for match in re.finditer(re.escape(struct.pack("<I", count)), self._octets):
                names = match.start() % 8 == 0 and self._names_at(match.start() + 8, tokens, count)
                if names:
                    return names
        raise ValueError("no names")

    def _names_at(self, at, tokens, count):
        """Each name is a length and so many tokens; its first character is its kind. None: there are no names."""
        names, octets = [], self._octets
        for _ in range(count):
            size, at = octets[at], at + 1
            if size & 0x80:
                size, at = size & 0x7f | octets[at] << 7, at + 1
            name = b"".join(tokens[each] for each in octets[at:at + size])
            if not name[:1].isalpha():
                return None
            names.append(name[1:].decode("ascii", "replace"))
            at += size
        return names
