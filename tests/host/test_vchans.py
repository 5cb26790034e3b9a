"""What a domain wrote before it left a vchan is read to the end by the lab's programs in dom0, whenever it left.

A caller that looked for octets, then whether the domain was there, lost the exit code of a service that came between.
"""
import os
import struct
import sys

import pytest

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path += [os.path.join(_TESTS, name) for name in ("xen", "sim")]  # behind all others; in dom0 they are one folder

import qrexec_service  # noqa: E402
import vchans  # noqa: E402
from qrexec_dom0 import EXIT_CODE, STDOUT, hello, message  # noqa: E402

LAST = message(STDOUT, b"all of it") + message(STDOUT) + message(EXIT_CODE, struct.pack("<I", 0))


class Library:
    """libxenvchan with a domain at the other end; before the n-th call it says its last words and leaves."""

    def __init__(self):
        self.there, self.open = bytearray(), vchans.WAITING
        self.before_leaving = None

    def leave_before(self, n):
        self.before_leaving = n

    def _called(self):
        if self.before_leaving == 0:
            self.there += LAST
            self.open = 0
        if self.before_leaving is not None:
            self.before_leaving -= 1

    def libxenvchan_server_init(self, *_):
        return 1

    def libxenvchan_fd_for_select(self, _):
        return 0

    def libxenvchan_close(self, _):
        self.open = 0

    def libxenvchan_is_open(self, _):
        self._called()
        return self.open

    def libxenvchan_data_ready(self, _):
        self._called()
        return len(self.there)

    def libxenvchan_buffer_space(self, _):
        self._called()
        return 4096

    def libxenvchan_read(self, _, into, n):
        self._called()
        into[:n] = bytes(self.there[:n])
        del self.there[:n]
        return n

    def libxenvchan_write(self, _, octets, n):
        self._called()
        return n if self.open else -1


@pytest.mark.parametrize("n", range(8))
def test_an_exit_code_before_the_end_is_read(monkeypatch, tmp_path, n):
    library = Library()
    monkeypatch.setattr(vchans, "_lib", library)
    monkeypatch.setattr(vchans.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(qrexec_service, "STDOUT", str(tmp_path / "%d"))
    call = qrexec_service.Call(5, 513, 0)
    assert not call.serve()
    library.open = 1
    library.there += hello(3)
    while call.serve():
        pass
    library.leave_before(n)
    for _ in range(5):
        call.serve()
    assert call.told() == {"octets": 9, "stderr": "", "code": 0, "gone": True}
    assert (tmp_path / "0").read_bytes() == b"all of it"
