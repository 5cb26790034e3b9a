"""dom0's end of event channels, through /dev/xen/evtchn.

Source: Linux include/uapi/xen/evtchn.h. Reading gives the ports that had events, each masked until it is written back.
"""
import fcntl
import os
import random
import select
import struct
import time

_BIND_INTERDOMAIN = 8 << 16 | ord("E") << 8 | 1  # _IOC(_IOC_NONE, 'E', 1, 8): struct { u32 domain, u32 port }
_NOTIFY = 4 << 16 | ord("E") << 8 | 4  # _IOC(_IOC_NONE, 'E', 4, 4): struct { u32 port }


def _open():
    return os.open("/dev/xen/evtchn", os.O_RDWR)


def _bind(device, domid, port):
    # a bytearray: with bytes, ioctl() would return those instead of the port
    return fcntl.ioctl(device, _BIND_INTERDOMAIN, bytearray(struct.pack("II", domid, port)))


def _take(device, seconds):
    """Ports with events; [] if there is none in time. They may have events again afterwards."""
    if not select.select([device], [], [], seconds)[0]:
        return []
    data = os.read(device, 4096)
    os.write(device, data)
    return list(struct.unpack("%dI" % (len(data) // 4), data))


def answer(domid, port, rounds, seconds):
    """Answer `rounds` events of a domain, each with one of ours; how many came before the time was over."""
    device = _open()
    local = _bind(device, domid, port)
    notify = struct.pack("I", local)
    _take(device, 0.5)  # what the binding itself made pending must not pass for an event of theirs
    end = time.monotonic() + seconds
    fcntl.ioctl(device, _NOTIFY, notify)  # "go"
    count = 0
    while count < rounds and time.monotonic() < end:
        if _take(device, 5):
            fcntl.ioctl(device, _NOTIFY, notify)
            count += 1
    os.close(device)
    return count


def ring_all(domid, ports, rounds, seconds):
    """Send an event on each port in random order, `rounds` times; answers by port, after each round's came or time is up."""
    device = _open()
    locals_ = [_bind(device, domid, port) for port in ports]
    _take(device, 0.2)  # what the binding itself made pending
    answers = dict.fromkeys(locals_, 0)
    end = time.monotonic() + seconds
    for _ in range(rounds):
        missing = set(locals_)
        for local in random.sample(locals_, len(locals_)):
            fcntl.ioctl(device, _NOTIFY, struct.pack("I", local))
        while missing and time.monotonic() < end:
            for local in _take(device, 1):
                answers[local] += 1
                missing.discard(local)
    os.close(device)
    return [answers[local] for local in locals_]
