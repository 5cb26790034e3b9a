"""The lab's end of the channel to dom0's agent. The messages are described in agent.py."""
import itertools
import json
import threading

from .errors import LabError  # noqa: F401: those who use the channel take it from here


class Channel:
    """Requests to the agent; any number may be under way, from any thread."""

    def __init__(self, emulator):
        self._emulator = emulator
        self._numbers = itertools.count(1)
        self._answers = {}  # id: (header, body)
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._socket = emulator.connect()
        threading.Thread(target=self._receive, daemon=True).start()

    def request(self, header, body=b"", timeout=30.0):
        """Send a request, wait for its answer: (header, body). LabError: it failed, or no answer in s of the lab's clock."""
        number = self._send(header, body)
        wait = self._emulator.wait(self)
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: number in self._answers, 0.5):
                    answer, content = self._answers.pop(number)
                    break
            if not self._emulator.alive():
                raise LabError("QEMU has ended")
            if wait.is_over(timeout) and number not in self._answers:
                raise LabError("dom0 did not answer in %g s of the lab's clock: %s" % (timeout, str(header)[:200]))
        if "error" in answer:
            raise LabError(answer["error"].rstrip())
        return answer, content

    def ask(self):
        """Ask for dom0's clock; a number for told()."""
        return self._send({"do": "clock"})

    def told(self, number):
        """dom0's clock in s, if it has come."""
        with self._changed:
            return self._answers.pop(number)[0]["clock"] if number in self._answers else None

    def _send(self, header, body=b""):
        number = next(self._numbers)
        header = dict(header, id=number)
        if body:
            header["octets"] = len(body)
        with self._sending:
            self._socket.sendall(json.dumps(header).encode() + b"\n" + body)
        return number

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
