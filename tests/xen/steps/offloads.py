"""Offloads of a network interface, as `ethtool -K` sets them: python3 /steps/offloads.py INTERFACE {on|off} NAME ...

Source: Linux include/uapi/linux/ethtool.h; net/ethtool/ioctl.c, whose old one-feature commands these are.
"""
import ctypes
import fcntl
import socket
import struct
import sys

_SIOCETHTOOL = 0x8946
_COMMANDS = {"rx": 0x15, "tx": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}  # rx, tx: checksums


def switch(interface, on, names):
    """Set offloads; OSError if the interface cannot."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for name in names:
            value = ctypes.create_string_buffer(struct.pack("II", _COMMANDS[name], on))
            request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


if __name__ == "__main__":
    switch(sys.argv[1], sys.argv[2] == "on", sys.argv[3:])
