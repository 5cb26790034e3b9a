"""IPv4 frames of an interface as they pass: python3 /steps/sniff.py INTERFACE FILE ADDRESS MARK COUNT SECONDS

Those from or to ADDRESS, each a line: hexadecimal digits of its first 128 octets, its length. It goes on until COUNT
with MARK in them have come or the time is over; says "sniffing" when it begins, "sniffed" at the end.
"""
import socket
import sys
import time

CUT = 128
_ALL = 3  # ETH_P_ALL: also what is sent
_SO_RCVBUFFORCE = 33
_LARGEST = 1 << 17  # octets; a super-frame has less


def sniff(interface, path, address, mark, count, seconds):
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    frames.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
    frames.bind((interface, 0))
    frames.settimeout(1)
    print("sniffing", flush=True)
    end = time.monotonic() + seconds
    with open(path, "w") as out:
        while count and time.monotonic() < end:
            try:
                data = frames.recv(_LARGEST)
            except TimeoutError:
                continue
            if data[12:14] == b"\x08\x00" and address in (data[26:30], data[30:34]):
                out.write("%s %d\n" % (data[:CUT].hex(), len(data)))
                out.flush()
                count -= mark in data
    print("sniffed", flush=True)


if __name__ == "__main__":
    interface, path, address, mark, count, seconds = sys.argv[1:]
    sniff(interface, path, socket.inet_aton(address), mark.encode(), int(count), int(seconds))
