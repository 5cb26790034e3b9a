"""Frames of an interface as they pass: python3 /steps/sniff.py INTERFACE FILE MARK COUNT SECONDS

Those with MARK in them, each a line of hexadecimal digits of its first 128 octets, until COUNT have come or the time is
over. It says "sniffing" when it begins, "sniffed" at the end.
"""
import socket
import sys
import time

CUT = 128
_ALL = 3  # ETH_P_ALL: also what is sent


def sniff(interface, path, mark, count, seconds):
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    frames.bind((interface, 0))
    frames.settimeout(1)
    print("sniffing", flush=True)
    end = time.monotonic() + seconds
    with open(path, "w") as out:
        while count and time.monotonic() < end:
            try:
                data = frames.recv(65536)
            except TimeoutError:
                continue
            if mark in data:
                out.write(data[:CUT].hex() + "\n")
                out.flush()
                count -= 1
    print("sniffed", flush=True)


if __name__ == "__main__":
    sniff(sys.argv[1], sys.argv[2], sys.argv[3].encode(), int(sys.argv[4]), int(sys.argv[5]))
