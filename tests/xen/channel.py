"""The lab's end of the channel to dom0's agent. The messages are described in agent.py."""
import itertools
import json
import socket
import threading
import time


class LabError(Exception):
    """The lab, or a step in dom0, did not do what was asked. The text says what was seen."""


class Channel:
    """Requests to the agent; any number may be under way, from any thread."""

    def __init__(self, path, alive):
        """path: the Unix socket of QEMU's port; alive(): False once QEMU has ended."""
        self._alive = alive
        self._numbers = itertools.count(1)
        self._answers = {}  # id: (header, body)
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 10
        while True:
            try:
                self._socket.connect(path)
                break
            except OSError:
                if time.monotonic() > end or not alive():
                    raise LabError("QEMU did not open its port")
                time.sleep(0.02)
        threading.Thread(target=self._receive, daemon=True).start()

    def request(self, header, body=b"", timeout=30.0):
        """Send a request, wait for its answer: (header, body). LabError: it failed, or no answer in time (s)."""
        number = next(self._numbers)
        header = dict(header, id=number)
        if body:
            header["octets"] = len(body)
        with self._sending:
            self._socket.sendall(json.dumps(header).encode() + b"\n" + body)
        end = time.monotonic() + timeout
        with self._changed:
            while number not in self._answers:
                if not self._alive():
                    raise LabError("QEMU has ended")
                if time.monotonic() > end:
                    raise LabError("dom0 did not answer in %g s: %s" % (timeout, str(header)[:200]))
                self._changed.wait(0.5)
            answer, content = self._answers.pop(number)
        if "error" in answer:
            raise LabError(answer["error"].rstrip())
        return answer, content

    def _receive(self):
        try:
            with self._socket.makefile("rb") as stream:
                for line in stream:
                    header = json.loads(line)
                    body = stream.read(header.get("octets", 0))
                    with self._changed:
                        self._answers[header["id"]] = header, body
                        self._changed.notify_all()
        except (OSError, ValueError):
            pass  # QEMU has ended, perhaps in the middle of a message: request() sees that by alive()
