"""Questions of DNS from source ports below 1024, each a flow of its own: python3 /steps/ports.py hold|ask TO COUNT

hold: from each of the first COUNT ports, asked again after the answer, so that all are in use; it says how many were
answered twice, then goes on to ask from one after the other.
ask: from COUNT ports, 20 a second at most; it says how many were answered within a second.
"""
import resource
import socket
import struct
import sys
import time

_FIRST = {"hold": 1, "ask": 512}
_GAP, _PATIENCE = 0.05, 1.0  # s
_NAME = b"\x011\x09addresses\x07example\0"  # services.py knows it
_QUESTION = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + _NAME + struct.pack(">HH", 1, 1)


def endpoints(first, count):
    """Sockets of this many ports."""
    for port in range(first, first + count):
        endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        endpoint.bind(("", port))
        endpoint.settimeout(_PATIENCE)
        yield endpoint


def answered(endpoint, to):
    endpoint.sendto(_QUESTION, (to, 53))
    try:
        return endpoint.recv(512)[:2] == _QUESTION[:2]
    except OSError:  # late, or refused
        return False


def hold(all_of_them, to):
    held = list(all_of_them)
    print("held:", sum(answered(each, to) and answered(each, to) for each in held), flush=True)
    while True:
        for each in held:
            each.sendto(_QUESTION, (to, 53))
            time.sleep(_GAP)


def ask(all_of_them, to):
    came = 0
    for each in all_of_them:
        came += answered(each, to)
        time.sleep(_GAP)
    print(came)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
    what, server, number = sys.argv[1:]
    {"hold": hold, "ask": ask}[what](endpoints(_FIRST[what], int(number)), server)
