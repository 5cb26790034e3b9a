"""TCP connections of a client that are to outlast what is between: python3 /steps/sessions.py WHAT WORDS.

    session HOST FILE             says a line to a mirror (services.py), then nothing until FILE is there, then another line
    download HOST FILE NAME OCTETS    a stream of payload.py by HTTP, of which it takes what 1 MB/s let it have, the
                                  last quarter when FILE is there

Both write "begun" once they have heard from the host, and at the end a line of JSON: {"seconds"}, of the last answer, or
{"sha256", "seconds"}. As curl does, the download has the kernel probe a connection that is silent for 60 s.
"""
import hashlib
import http.client
import json
import os
import socket
import sys
import time

import payload

_PATIENCE = 300  # s of this domain's clock
_RATE = 1000000  # octets a second
_PROBED_AFTER = 60  # s; curl's CURLOPT_TCP_KEEPIDLE


def say(text):
    print(text, flush=True)


def session(host, file):
    connection = socket.create_connection((host, 7000), timeout=_PATIENCE)
    lines = connection.makefile("rb")

    def ask(text):
        began = time.monotonic()
        connection.sendall(text + b"\n")
        if lines.readline() != text[::-1] + b"\n":
            sys.exit("another answer")
        return time.monotonic() - began

    ask(b"before")
    say("begun")
    while not os.path.exists(file):
        time.sleep(0.05)
    say(json.dumps({"seconds": ask(b"after")}))


def download(host, file, name, octets):
    connection = http.client.HTTPConnection(host, timeout=_PATIENCE)
    connection.connect()
    for level, option, value in ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                                 (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBED_AFTER),
                                 (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBED_AFTER)):
        connection.sock.setsockopt(level, option, value)
    connection.request("GET", "/%s/%s" % (name, octets))
    answer, digest, began, got = connection.getresponse(), hashlib.sha256(), time.monotonic(), 0
    while True:
        while got > 3 * int(octets) // 4 and not os.path.exists(file):
            time.sleep(0.05)
        piece = answer.read1(payload.PIECE)
        if not piece:
            break
        if not got:
            say("begun")
        digest.update(piece)
        got += len(piece)
        time.sleep(len(piece) / _RATE)
    say(json.dumps({"sha256": digest.hexdigest(), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
