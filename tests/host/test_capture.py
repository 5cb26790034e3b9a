"""The lab's own eye for checksums, tests/xen/steps/capture.py, sees what is wrong."""
import os
import sys

import pytest
from packets import echo, fragments, tcp, udp

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "xen", "steps"))
import capture  # noqa: E402

A, B = "10.137.0.20", "192.0.2.1"
_IP, _TRANSPORT = 14, 34


@pytest.mark.parametrize("build", [tcp, udp])
@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("octets", [0, 1, 100, 1399])
def test_right_and_wrong(build, blank, octets):
    frame = build(A, 1000, B, 80, data=bytes(i % 251 for i in range(octets)), blank=blank)
    assert capture.judge(frame, blank) == ((1000, 80), True)
    assert not capture.judge(frame, not blank)[1]
    seen = [_IP + 1, _IP + 12, _TRANSPORT + (16 if build is tcp else 6)]
    if not blank:  # what the receiver is to add is no part of the sum yet
        seen.append(len(frame) - 1)
    for at in seen:
        wrong = bytearray(frame)
        wrong[at] ^= 0x10
        assert not capture.judge(bytes(wrong), blank)[1]


def test_what_has_no_such_checksum():
    assert capture.judge(echo(A, B), False) is None
    assert capture.judge(fragments(udp(A, 1, B, 2, bytes(2000)), 1480)[0], False) is None
    assert capture.judge(b"\xff" * 12 + b"\x08\x06" + bytes(28), False) is None
