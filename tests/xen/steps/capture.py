"""Frames that arrive at an interface, and whether their checksums are right: python3 /steps/capture.py INTERFACE PORT

Says "capturing", and when the interface has had no frame of that TCP or UDP port for a second after the first, a line of
JSON: {"frames": n, "largest": octets of the largest, "blank": how many came with their checksum left to the receiver,
"wrong": how many whose checksums, IPv4's included, are not right}.

A blank checksum is right if the field holds the sum over the pseudo-header: that is what whoever completes it adds to.
The kernel tells of it in a header before each frame. Offload "gro" should be off, or frames come joined together.

Sources: Linux include/uapi/linux/if_packet.h and virtio_net.h; RFC 1071.
"""
import json
import socket
import struct
import sys

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_NEEDS_CSUM = 1
_FIELD = {6: 16, 17: 6}  # protocol: offset of its checksum


def total(octets):
    """Ones'-complement sum of 16-bit words, as a remainder; 0 if a checksum among them is right."""
    return int.from_bytes(octets + b"\0" * (len(octets) % 2), "big") % 65535


def judge(frame, blank):
    """(ports, right) of an Ethernet frame; None if it is not one of TCP or UDP over IPv4, or a fragment."""
    ip = frame[14:]
    if frame[12:14] != b"\x08\x00" or ip[9] not in _FIELD or int.from_bytes(ip[6:8], "big") & 0x3FFF:
        return None
    header = (ip[0] & 15) * 4
    segment = ip[header:int.from_bytes(ip[2:4], "big")]
    at = _FIELD[ip[9]]
    field = int.from_bytes(segment[at:at + 2], "big")
    pseudo = ip[12:20] + struct.pack(">HH", ip[9], len(segment))
    right = total(pseudo) == field % 65535 if blank else total(pseudo + segment) == 0
    return struct.unpack(">HH", segment[:4]), right and total(ip[:header]) == 0


def capture(interface, port):
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    frames.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    frames.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    frames.bind((interface, 0))
    print("capturing", flush=True)
    seen = {"frames": 0, "largest": 0, "blank": 0, "wrong": 0}
    while True:
        try:
            data, origin = frames.recvfrom(1 << 17)
        except TimeoutError:
            return seen
        blank = data[0] & _NEEDS_CSUM
        judged = judge(data[10:], blank)
        if origin[2] == socket.PACKET_OUTGOING or not judged or port not in judged[0]:
            continue
        frames.settimeout(1)
        seen["frames"] += 1
        seen["largest"] = max(seen["largest"], len(data) - 10)
        seen["blank"] += blank
        seen["wrong"] += not judged[1]


if __name__ == "__main__":
    print(json.dumps(capture(sys.argv[1], int(sys.argv[2]))), flush=True)
