"""Frames on an interface by scapy, for whoever can write and read two pipes: python3 /steps/wire.py INTERFACE PIPES

Each line written to PIPES.in is answered by one on PIPES.out:
    send HEX [HEX ...]   put frames on the wire                        -> "sent"
    recv SECONDS         the next IPv4 frame that came in by then      -> HEX, or "none"
    close                the end                                       -> "closed"

A frame whose checksums are not those that scapy would have written is answered with "wrong" and what scapy makes of it.
"""
import os
import sys
import time

from scapy.arch.linux import L2Socket
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether


def wrong(octets):
    """Scapy's view of a frame if it would have written other octets; fragments are beyond this."""
    frame = Ether(octets)
    if frame[IP].flags.MF or frame[IP].frag:
        return None
    for layer in (IP, ICMP, TCP, UDP):
        if layer in frame and frame[layer].chksum:  # a UDP checksum of 0 is none
            del frame[layer].chksum
    return None if bytes(frame) == octets else Ether(octets).summary()


class Wire:
    def __init__(self, interface):
        self.socket = L2Socket(iface=interface)

    def send(self, *frames):
        for frame in frames:
            self.socket.outs.send(bytes.fromhex(frame))
        return "sent"

    def recv(self, seconds):
        end = time.monotonic() + float(seconds)
        while True:
            left = end - time.monotonic()
            if left > 0 and not self.socket.select([self.socket], left):
                return "none"
            kind, octets, _ = self.socket.recv_raw(2048)
            if octets and octets[12:14] == b"\x08\x00":
                complaint = wrong(octets)
                return "wrong %s" % complaint if complaint else octets.hex()
            if left <= 0:
                return "none"


def main(interface, pipes):
    wire = Wire(interface)
    for name in ".in", ".out":
        os.mkfifo(pipes + name)
    print("open", flush=True)
    while True:
        with open(pipes + ".in") as line:
            do, *words = line.read().split()
        try:
            answer = "closed" if do == "close" else getattr(wire, do)(*words)
        except Exception as error:  # whoever reads the pipe would wait for ever
            answer = "wrong: %r" % error
        with open(pipes + ".out", "w") as out:
            out.write(answer + "\n")
        if do == "close":
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
