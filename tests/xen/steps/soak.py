"""A day of a client's in little, paced so that it rests in between.

    python3 /steps/soak.py HOST RESOLVER NAME SECONDS ASK

All at once, by the servers of services.py: a download and an upload of payload.py, a conversation on one connection, a
connection each _CONNECT s, a DNS question by UDP each ASK s. The last line is JSON; times are of the day's clock:

    {"sent", "received": octets of both streams, "whole": both as they should be, "lines", "connections",
     "failed": [[from, to] of a connection, ...], "questions", "unanswered": questions, "late": [[from, to], ...]}

late: the times in which no question that was asked got its answer, if longer than _LATE s. A day that is not over by
_PATIENCE s and once more after its end ends as it is: what each of its threads is at is said instead.
"""
import faulthandler
import hashlib
import http.client
import json
import socket
import struct
import sys
import threading
import time

import payload

_BULK = 2  # s between two pieces of a stream
_TALK, _CONNECT = 1, 3
_LATE = 0.1  # s
_PATIENCE = 60  # s of a stream that stands still


class _Day:
    def __init__(self, host, resolver, name, seconds, each):
        self.host, self.resolver, self.name, self.each = host, resolver, name, each
        self.end = time.monotonic() + seconds
        self.octets = int(seconds / _BULK) * payload.PIECE
        self.found = dict.fromkeys(("sent", "received", "lines", "connections", "questions", "unanswered"), 0)
        self.found.update(late=[], failed=[])
        self.whole = []

    def paced(self, seconds):
        """Again and again until the end of the day."""
        due = time.monotonic()
        while due < self.end:
            yield due
            due = max(due + seconds, time.monotonic())
            time.sleep(max(due - time.monotonic(), 0))

    def download(self):
        digest = hashlib.sha256()
        connection = http.client.HTTPConnection(self.host, timeout=_PATIENCE)
        connection.request("GET", "/%s/%d" % (self.name, self.octets))
        answer = connection.getresponse()
        for _ in self.paced(_BULK):
            digest.update(self._count("received", answer.read(payload.PIECE)))
        while piece := answer.read(payload.PIECE):
            digest.update(self._count("received", piece))
        self.whole.append(digest.hexdigest() == payload.sha256(self.name, self.octets))

    def upload(self):
        connection = http.client.HTTPConnection(self.host, timeout=_PATIENCE)
        paces, name = self.paced(_BULK), self.name + " up"

        def body():
            for piece in payload.pieces(name, self.octets):
                next(paces, None)
                yield self._count("sent", piece)
        connection.request("PUT", "/" + self.name, body(), {"Content-Length": str(self.octets)})
        self.whole.append(connection.getresponse().read().decode() == payload.sha256(name, self.octets))

    def _count(self, what, piece):
        self.found[what] += len(piece)
        return piece

    def talk(self):
        with socket.create_connection((self.host, 7000), _PATIENCE) as one, one.makefile("rwb") as lines:
            for _ in self.paced(_TALK):
                self.found["lines"] += self._line(lines)

    def connect(self):
        for _ in self.paced(_CONNECT):
            began = time.time()
            try:
                with socket.create_connection((self.host, 7000), _PATIENCE) as one, one.makefile("rwb") as lines:
                    self.found["connections"] += self._line(lines)
            except OSError:
                self.found["failed"].append([began, time.time()])

    def _line(self, lines):
        lines.write(b"what is said\n")
        lines.flush()
        return lines.readline() == b"dias si tahw\n"

    def ask(self):
        """Questions at even times; answers are awaited in between. Each has a number of its own."""
        found, waiting = self.found, {}  # number: when it was asked
        name = b"".join(bytes([len(label)]) + label for label in (b"1", b"addresses", b"example")) + b"\0"
        silent = None  # since when no answer came
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.connect((self.resolver, 53))
            for due in self.paced(self.each):
                number = found["questions"] & 0xFFFF
                found["questions"] += 1
                waiting[number] = time.time()
                silent = silent or waiting[number]
                try:
                    wire.send(struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name + b"\0\1\0\1")
                except OSError:
                    pass  # an interface that is away: without an answer
                while (left := due + self.each - time.monotonic()) > 0:
                    wire.settimeout(left)
                    try:
                        answer = wire.recv(2000)
                    except OSError:
                        continue
                    now = time.time()
                    asked = waiting.pop(int.from_bytes(answer[:2], "big"), None)
                    if asked is None:
                        continue
                    if now - silent > _LATE:
                        found["late"].append([silent, now])
                    for older in [each for each, when in waiting.items() if when < asked]:
                        del waiting[older]  # answers come in the order of their questions: it has none
                        found["unanswered"] += 1
                    silent = min(waiting.values(), default=None)
                    if silent is None:
                        break
        found["unanswered"] += len(waiting)

    def run(self):
        ways = self.download, self.upload, self.talk, self.connect, self.ask
        parts = [threading.Thread(target=each) for each in ways]
        for part in parts:
            part.start()
        for part in parts:
            part.join()
        return dict(self.found, whole=self.whole == [True, True])


if __name__ == "__main__":
    faulthandler.dump_traceback_later(float(sys.argv[4]) + 2 * _PATIENCE, exit=True)
    print(json.dumps(_Day(*sys.argv[1:4], float(sys.argv[4]), float(sys.argv[5])).run()))
