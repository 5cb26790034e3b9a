"""What a client does on the internet: python3 /steps/visits.py WHAT WORDS. The result is a line of JSON.

    download HOST NAME OCTETS       {"sha256", "seconds"} of a stream of payload.py by HTTP
    upload HOST NAME OCTETS         the same, the SHA-256 being what the server says it received
    parallel HOST COUNT             how many of COUNT connections, all open at once, gave the right answer
    echoes HOST PORT COUNT          how many of COUNT datagrams, "seen at 0", each longer, came back as they were
    names NAME                      addresses of a name, sorted, by the C library's resolver
    iperf HOST PORT SECONDS WORDS   {"octets", "seconds", "lost"}: what the receiver got, lost datagrams in per cent
"""
import hashlib
import http.client
import json
import select
import socket
import subprocess
import sys
import time

import payload

_PATIENCE = 120  # s of this domain's clock, for one answer


def download(host, name, octets):
    began, digest = time.monotonic(), hashlib.sha256()
    connection = http.client.HTTPConnection(host, timeout=_PATIENCE)
    connection.request("GET", "/%s/%s" % (name, octets))
    answer = connection.getresponse()
    while True:
        piece = answer.read1(payload.PIECE)
        if not piece:
            break
        digest.update(piece)
    return {"sha256": digest.hexdigest(), "seconds": time.monotonic() - began}


def upload(host, name, octets):
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, timeout=_PATIENCE)
    connection.request("PUT", "/" + name, payload.pieces(name, int(octets)), {"Content-Length": octets})
    text = connection.getresponse().read().decode()
    return {"sha256": text, "seconds": time.monotonic() - began}


def parallel(host, count):
    """Opens all, then speaks on all, then listens to all; closes none before the last has answered."""
    connections = []
    for _ in range(int(count)):
        connections.append(socket.socket())
        connections[-1].setblocking(False)
        connections[-1].connect_ex((host, 7000))
    right = 0
    for one in connections:
        select.select([], [one], [], _PATIENCE)
        one.settimeout(_PATIENCE)
    for n, one in enumerate(connections):
        one.sendall(b"%d of many " % n * 100 + b"\n")
    for n, one in enumerate(connections):
        with one.makefile("rb") as lines:
            right += lines.readline() == (b"%d of many " % n * 100)[::-1] + b"\n"
    return right


def echoes(host, port, count):
    """One after the other."""
    endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.connect((host, int(port)))
    endpoint.settimeout(_PATIENCE)
    right = 0
    for i in range(int(count)):
        data = b"seen at %d " % i + bytes(6 * i)
        endpoint.send(data)
        right += endpoint.recv(2000) == data
    return right


def names(name):
    return sorted(socket.gethostbyname_ex(name)[2])


def iperf(host, port, seconds, *words):
    said = subprocess.run(["iperf3", "-c", host, "-p", port, "-t", seconds, "-J", *words], stdout=subprocess.PIPE).stdout
    report = json.loads(said)
    if "error" in report:
        return report["error"]
    got = report["end"].get("sum_received") or report["end"]["sum"]
    return {"octets": got["bytes"], "seconds": got["seconds"], "lost": got.get("lost_percent", 0)}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
