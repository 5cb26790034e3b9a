"""What port/libc.c has of a C library, as a shared library: every length and alignment, and nothing beside it."""
import ctypes
import mmap
import os
import random
import subprocess

import pytest

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "port", "libc.c")
_RENAMED = ("memset", "memcpy", "memmove", "memcmp", "strlen", "strncmp", "fabs", "copysign")
_GAP = 64  # octets before and behind


@pytest.fixture(scope="module")
def libc(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("libc") / "libc.so")
    words = ["-D%s=our_%s" % (name, name) for name in _RENAMED]
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-fno-builtin"] + words + [_SOURCE, "-o", path], check=True)
    found = ctypes.CDLL(path)
    found.our_memset.restype = ctypes.c_void_p
    found.our_memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    found.our_strlen.restype = ctypes.c_size_t
    found.our_strlen.argtypes = [ctypes.c_void_p]
    found.our_memcmp.argtypes = found.our_strncmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return found


_LENGTHS = [*range(0, 70), *range(250, 262), 271, 511, 512, 513, 527, 760, 768, 4095, 4096, 4097, 8192, 12301]


@pytest.mark.parametrize("value", [0, 0xA5, 0x1FF, -1])
def test_memset_sets_what_it_is_to_and_no_more(libc, value):
    room = 12301 + 2 * _GAP + 16
    space = ctypes.create_string_buffer(room + 16)
    base = (ctypes.addressof(space) + 15) // 16 * 16
    for offset in (0, 1, 8, 15):
        for octets in _LENGTHS:
            ctypes.memset(base, 0x3C, room)
            at = base + _GAP + offset
            assert libc.our_memset(at, value, octets) == at
            seen = ctypes.string_at(base, room)
            begin = _GAP + offset
            assert seen == (b"\x3c" * begin + bytes([value & 0xFF]) * octets).ljust(room, b"\x3c"), (offset, octets)


@pytest.fixture
def page():
    """Address of a page behind which nothing can be read."""
    size = mmap.PAGESIZE
    space = mmap.mmap(-1, 2 * size)
    at = ctypes.addressof(ctypes.c_char.from_buffer(space))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert libc.mprotect(at + size, size, 0) == 0
    yield at
    assert libc.mprotect(at + size, size, 3) == 0


def test_strlen_reads_no_page_but_the_strings(libc, page):
    for length in range(40):
        for behind in range(20):
            ctypes.memset(page, 0x80, mmap.PAGESIZE)
            at = page + mmap.PAGESIZE - behind - length - 1
            ctypes.memmove(at, b"\x01\x80\xffab"[length % 5 :] * 40, length)
            ctypes.memmove(at + length, b"\0" + b"\x01" * behind, 1 + behind)
            assert libc.our_strlen(at) == length


def _sign(value):
    return (value > 0) - (value < 0)


def test_comparisons_are_of_unsigned_octets_up_to_the_end(libc, page):
    chance = random.Random(1)
    for _ in range(20000):
        n = chance.randint(0, 24)
        one = bytes(chance.choice(b"\x00\x01\x7f\x80\xff") for _ in range(n))
        other = bytes(chance.choice((octet, octet, octet, chance.choice(b"\x00\x7f\x80"))) for octet in one)
        a, b = page + mmap.PAGESIZE - n, page + 1000 + chance.randint(0, 7)
        ctypes.memmove(a, one, n)
        ctypes.memmove(b, other, n)
        assert libc.our_memcmp(a, b, n) == _sign((one > other) - (one < other))
        texts = one.split(b"\0")[0], other.split(b"\0")[0]
        longest = chance.choice((n, 2**64 - 1)) if b"\0" in one and b"\0" in other else n
        assert libc.our_strncmp(a, b, longest) == _sign((texts[0] > texts[1]) - (texts[0] < texts[1])), (one, other)
