"""memset and memcpy of the image, as shared library: every length and alignment, and nothing beside it."""
import ctypes
import os
import subprocess

import pytest

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "port", "libc.c")
_RENAMED = ("memset", "memcpy", "memmove", "fabs", "copysign")
_GAP = 64  # octets before and behind


@pytest.fixture(scope="module")
def libc(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("libc") / "libc.so")
    words = ["-D%s=our_%s" % (name, name) for name in _RENAMED]
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-fno-builtin"] + words + [_SOURCE, "-o", path], check=True)
    found = ctypes.CDLL(path)
    found.our_memset.restype = ctypes.c_void_p
    found.our_memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
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
