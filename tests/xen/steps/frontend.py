"""A network frontend in dom0, in user space: rings, one page each way, and an event channel.

It is as honest as a frontend can be, and as small: one frame at a time.

Source: Xen public/io/netif.h, ring.h; Linux include/uapi/xen/{gntalloc,evtchn}.h.
"""
import fcntl
import mmap
import os
import select
import struct
import time

import toolstack

PAGE = 4096
_ALLOC_GREF = 24 << 16 | ord("G") << 8 | 5  # struct { u16 domid, flags; u32 count; u64 index; u32 grefs[count] }
_DEALLOC_GREF = 16 << 16 | ord("G") << 8 | 6  # struct { u64 index; u32 count }
_WRITABLE = 1
_BIND_UNBOUND = 4 << 16 | ord("E") << 8 | 2  # struct { u32 domain }; returns the port
_NOTIFY = 4 << 16 | ord("E") << 8 | 4
_FIRST = 64  # octet of a ring's first slot
_TX, _RX = 12, 8  # octets of a slot
_SLOTS = 256
_BROADCAST = b"\xff" * 6


class Frontend:
    """Of a toolstack.Device whose client is dom0 itself."""

    def __init__(self, device):
        self.device, self.store = device, device.store
        self.memory = os.open("/dev/xen/gntalloc", os.O_RDWR)
        self.events = os.open("/dev/xen/evtchn", os.O_RDWR)
        request = bytearray(struct.pack("=HHIQ4I", device.domid, _WRITABLE, 4, 0, 0, 0, 0, 0))
        fcntl.ioctl(self.memory, _ALLOC_GREF, request)
        _, _, _, self.index, *self.grefs = struct.unpack("=HHIQ4I", request)
        pages = [mmap.mmap(self.memory, PAGE, offset=self.index + n * PAGE) for n in range(4)]
        self.pages = self.tx, self.rx, self.out, self.into = pages
        for ring in (self.tx, self.rx):
            struct.pack_into("=4I", ring, 0, 0, 1, 0, 1)  # req_prod, req_event, rsp_prod, rsp_event
        self.port = fcntl.ioctl(self.events, _BIND_UNBOUND, bytearray(struct.pack("=I", device.domid)))
        self.count = 0  # frames each way so far
        self.closed = False

    def connect(self):
        """Publish the rings and wait for the backend to connect. Raises toolstack.Late."""
        nodes = {b"tx-ring-ref": self.grefs[0], b"rx-ring-ref": self.grefs[1], b"event-channel": self.port,
                 b"request-rx-copy": 1, b"feature-rx-notify": 1, b"feature-sg": 1, b"state": 4}
        for name, value in nodes.items():
            self.store.write(self.device.frontend + b"/" + name, b"%d" % value)
        self.device.wait(self.device.backend + b"/state", toolstack.CONNECTED)

    def close(self):
        """Say Closed, as Linux does when dom0 takes the device away, and give everything back."""
        if self.store.exists(self.device.frontend + b"/state"):
            self.store.write(self.device.frontend + b"/state", toolstack.CLOSED)
        self.closed = True
        for page in self.pages:
            page.close()
        fcntl.ioctl(self.memory, _DEALLOC_GREF, struct.pack("=QI4x", self.index, 4))
        os.close(self.memory)
        os.close(self.events)

    def exchange(self, frame, seconds=5.0):
        """Send a frame; the one that comes back, or None."""
        self.count += 1
        slot = _FIRST + (self.count - 1) % _SLOTS * _RX
        struct.pack_into("=HHI", self.rx, slot, 7, 0, self.grefs[3])  # id, pad, page
        struct.pack_into("=I", self.rx, 0, self.count)
        self.out[: len(frame)] = frame
        struct.pack_into("=IHHHH", self.tx, _FIRST + (self.count - 1) % _SLOTS * _TX, self.grefs[2], 0, 0, 7, len(frame))
        struct.pack_into("=I", self.tx, 0, self.count)
        for ring in (self.tx, self.rx):
            struct.pack_into("=I", ring, 12, self.count)  # rsp_event: tell us of the next response
        fcntl.ioctl(self.events, _NOTIFY, struct.pack("=I", self.port))
        end = time.monotonic() + seconds
        while struct.unpack_from("=I", self.rx, 8)[0] != self.count:
            if time.monotonic() > end:
                return None
            if select.select([self.events], [], [], 0.1)[0]:
                os.write(self.events, os.read(self.events, 4))  # taken and unmasked
        _, offset, _, status = struct.unpack_from("=HHHh", self.rx, slot)
        return self.into[offset:offset + status] if status > 0 else None

    def ask(self, address):
        """The Ethernet address that the backend gives for an IPv4 address, as "xx:xx:...", or None: ARP."""
        own, ip = bytes.fromhex(toolstack.MAC.decode().replace(":", "")), _octets(self.device.ip)
        answer = self.exchange(_BROADCAST + own + b"\x08\x06\0\1\x08\0\6\4\0\1" + own + ip + b"\0" * 6 + _octets(address))
        if answer is None or answer[12:14] != b"\x08\x06" or answer[28:32] != _octets(address):
            return None
        return answer[22:28].hex(":")


def _octets(address):
    return bytes(int(part) for part in address.split("."))
