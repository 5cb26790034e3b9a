"""Frozen viper and native functions over random inputs: the same results on Xen, in the simulation, in plain Python.

The functions are of the kind that the fast path consists of, and are written so that CPython runs this very file with
the decorators without effect: pointers are views whose elements have the pointer's width, and whatever can leave 32
bits is masked at once.

Run as a guest program it prints a line for each function, "differential NAME: N results, digest D", and at last
"differential: done". Words: rounds=N (default 200), seed=N, list=1 (every result, to compare them one by one).
"""
import micropython
from micropython import const

try:
    import xen
except ImportError:
    xen = None  # CPython

try:
    ptr8  # a name only to CPython and bytecode, where it is an annotation that is evaluated
except NameError:
    ptr8 = ptr16 = ptr32 = uint = int

_MASK = const(0xFFFFFFFF)
_SLOTS = const(256)  # of the table; a power of two
_PROBES = const(16)


# ---- viper


@micropython.viper
def add_words(words: ptr16, n: int, seed: int) -> int:
    """Folded ones'-complement sum of n words as they lie in memory."""
    total = seed & 0xFFFF
    i = 0
    while i < n:
        total += words[i]
        i += 1
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


@micropython.viper
def swap_16(words: ptr16, n: int) -> int:
    """Change the octet order of each word in place."""
    i = 0
    while i < n:
        word = words[i]
        words[i] = (word >> 8) | ((word & 0xFF) << 8)
        i += 1
    return n


@micropython.viper
def swap_32(words: ptr32, n: int) -> int:
    """The same with 32-bit words; returns the exclusive or of all."""
    mixed = 0
    i = 0
    while i < n:
        word = words[i] & 0xFFFFFFFF
        word = (word >> 24) | ((word >> 8) & 0xFF00) | ((word << 8) & 0xFF0000) | ((word << 24) & 0xFF000000)
        words[i] = word
        mixed ^= word
        i += 1
    return mixed & 0xFFFFFFFF


@micropython.viper
def rewrite(frame: ptr16, high: int, low: int, port: int) -> int:
    """Give an IPv4 and TCP or UDP frame, of 16-bit words in memory order, another source address and port; TTL less one.

    Both checksums follow by RFC 1624, equation 3. Returns the new L4 checksum.
    """
    ttl_was = frame[11]
    ttl = (ttl_was - 1) & 0xFFFF  # TTL is the first octet of its word
    total = (0xFFFF ^ frame[12]) + (0xFFFF ^ ttl_was) + ttl
    l4 = 0xFFFF ^ frame[25]
    change = (0xFFFF ^ frame[13]) + (0xFFFF ^ frame[14]) + high + low
    total += change
    l4 += change + (0xFFFF ^ frame[17]) + port
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    while l4 > 0xFFFF:
        l4 = (l4 >> 16) + (l4 & 0xFFFF)
    frame[11] = ttl
    frame[12] = 0xFFFF ^ total
    frame[13] = high
    frame[14] = low
    frame[17] = port
    frame[25] = 0xFFFF ^ l4
    return 0xFFFF ^ l4


@micropython.viper
def mix(words: ptr32, n: int, key: int) -> int:
    """A keyed hash of n words, 32 bits."""
    h = key & 0xFFFFFFFF
    i = 0
    while i < n:
        h = ((h ^ words[i]) * 0x9E3779B1) & 0xFFFFFFFF
        h ^= h >> 15
        h = ((h << 13) | (h >> 19)) & 0xFFFFFFFF
        i += 1
    return h


@micropython.viper
def look_up(table: ptr32, key: int) -> int:
    """Value of a key in a table of (key, value) pairs, open addressing, at most _PROBES steps; -1: not there."""
    at = (key * 0x9E3779B1) >> 7
    i = 0
    while i < _PROBES:
        slot = ((at + i) & (_SLOTS - 1)) * 2
        if table[slot] == key:
            return int(table[slot + 1])
        if table[slot] == 0:
            return -1
        i += 1
    return -1


@micropython.viper
def signed(a: int, b: int) -> int:
    """Comparisons, floor division by a constant, arithmetic shifts: of either sign."""
    result = a - b
    if a < b:
        result = result * 3 + 1
    elif a == b:
        result = -7
    return (result >> 3) ^ (result // 10) ^ (result % 16)


# ---- native


@micropython.native
def octets_sum(octets, n):
    """add_words by single octets, first octet high: the specification in big-endian."""
    total = 0
    for i in range(0, n, 2):
        total += octets[i] << 8 | octets[i + 1]
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return total


@micropython.native
def insertion_sort(values):
    values = list(values)
    for i in range(1, len(values)):
        value = values[i]
        while i and values[i - 1] > value:
            values[i] = values[i - 1]
            i -= 1
        values[i] = value
    return values


@micropython.native
def big(a, b):
    """Integers beyond a machine word, negative ones included."""
    c = a * b * b - (a << 40)
    return c % 1000003, (c ^ b) & 0xFFFFFFFFFFFFFFFF, (0 - c) // 7 % 65536


@micropython.native
def tokens(text):
    """Exceptions, a generator and a closure, as plain code uses them."""
    def number(word):
        try:
            return int(word, 16)
        except ValueError:
            return 0 - len(word)

    return [number(word) for word in text.split()]


# ---- inputs and results


class Random:
    """xorshift32: the same numbers everywhere."""

    def __init__(self, seed):
        self.state = seed & _MASK or 1

    def bits(self, n):
        """An integer of at most n bits, 0 <= n <= 32."""
        x = self.state
        x ^= x << 13 & _MASK
        x ^= x >> 17
        x ^= x << 5 & _MASK
        self.state = x
        return x >> (32 - n) if n else 0

    def octets(self, n):
        return bytearray(self.bits(8) for _ in range(n))


def view(octets, code):
    return xen.view(octets, code) if xen else memoryview(octets).cast(code)


def _add_words(random):
    n = random.bits(7)
    return add_words(view(random.octets(256), "H"), n, random.bits(16))


def _swap_16(random):
    octets = random.octets(64)
    swap_16(view(octets, "H"), random.bits(5))
    return bytes(octets)


def _swap_32(random):
    octets = random.octets(64)
    return swap_32(view(octets, "I"), random.bits(4)), bytes(octets)


def _rewrite(random):
    octets = random.octets(54)
    octets[22] |= 1  # a TTL of 0 would not get here
    return rewrite(view(octets, "H"), random.bits(16), random.bits(16), random.bits(16)), bytes(octets)


def _mix(random):
    return mix(view(random.octets(64), "I"), random.bits(4), random.bits(32))


def _look_up(random):
    octets = bytearray(8 * _SLOTS)
    table = view(octets, "I")
    keys = [random.bits(30) | 1 for _ in range(100)]
    for key in keys:
        at = (key * 0x9E3779B1) >> 7
        for i in range(_PROBES):
            slot = (at + i) % _SLOTS * 2
            if table[slot] in (0, key):
                table[slot] = key
                table[slot + 1] = random.bits(31)
                break
    wanted = [keys[random.bits(6)] for _ in range(10)] + [random.bits(30) | 1 for _ in range(10)]
    return [look_up(table, key) for key in wanted]


def _signed(random):
    return signed(random.bits(32) - 0x80000000, random.bits(31) - 0x40000000)


def _octets_sum(random):
    octets = random.octets(random.bits(7) * 2)
    return octets_sum(octets, len(octets))


def _insertion_sort(random):
    return insertion_sort([random.bits(16) for _ in range(random.bits(5))])


def _big(random):
    return big(random.bits(32) << 32 | random.bits(32), random.bits(32) - 0x80000000)


def _tokens(random):
    return tokens(" ".join("%x" % random.bits(1 + random.bits(4)) if random.bits(2) else "x-%d" % i for i in range(8)))


CASES = (
    ("add_words", _add_words), ("swap_16", _swap_16), ("swap_32", _swap_32), ("rewrite", _rewrite), ("mix", _mix),
    ("look_up", _look_up), ("signed", _signed), ("octets_sum", _octets_sum), ("insertion_sort", _insertion_sort),
    ("big", _big), ("tokens", _tokens),
)


def results(name, rounds, seed):
    """Yields the text of each result of one function."""
    random = Random(seed)
    case = dict(CASES)[name]
    for _ in range(rounds):
        yield repr(case(random))


def digest(texts):
    """FNV-1a over texts, 32 bits; (how many, digest)."""
    h, n = 0x811C9DC5, 0
    for text in texts:
        for octet in text.encode():
            h = (h ^ octet) * 0x01000193 & _MASK
        n += 1
    return n, h


def lines(rounds, seed):
    """What the program says, but for single results."""
    for name, _ in CASES:
        n, h = digest(results(name, rounds, seed))
        yield "differential %s: %d results, digest %08x" % (name, n, h)
    yield "differential: done"


async def main(store, words):
    import asyncio

    rounds, seed = int(words.get("rounds", 200)), int(words.get("seed", 1))
    if "list" in words:
        for name, _ in CASES:
            for i, text in enumerate(results(name, rounds, seed)):
                print("%s %d %s" % (name, i, text))
                await asyncio.sleep_ms(1)  # the console's daemon reads meanwhile
    for line in lines(rounds, seed):
        print(line)
        await asyncio.sleep_ms(1)
