"""dom0's end of event channels, through /dev/xen/evtchn.

Source: Linux include/uapi/xen/evtchn.h. Reading gives the ports that had events, each masked until it is written back.
"""
import fcntl
import os
import random
import select
import struct
import sys

_BIND_INTERDOMAIN = 8 << 16 | ord("E") << 8 | 1  # _IOC(_IOC_NONE, 'E', 1, 8): struct { u32 domain, u32 port }
_NOTIFY = 4 << 16 | ord("E") << 8 | 4  # _IOC(_IOC_NONE, 'E', 4, 4): struct { u32 port }


def _open():
    return os.open("/dev/xen/evtchn", os.O_RDWR)


def _bind(device, domid, port):
    # a bytearray: with bytes, ioctl() would return those instead of the port
    return fcntl.ioctl(device, _BIND_INTERDOMAIN, bytearray(struct.pack("II", domid, port)))


def _take(device, seconds):
    """Ports with events; [] if there is none in time (None: for ever). They may have events again afterwards."""
    if not select.select([device], [], [], seconds)[0]:
        return []
    data = os.read(device, 4096)
    os.write(device, data)
    return list(struct.unpack("%dI" % (len(data) // 4), data))


def answer(domid, port, rounds):
    """Answer `rounds` events of a domain, each with one of ours. Prints "answered N" now and then, and at the end.

    As a program: evtchn.py answer DOMID PORT ROUNDS.
    """
    device = _open()
    local = _bind(device, domid, port)
    notify = struct.pack("I", local)
    _take(device, 0.5)  # what the binding itself made pending must not pass for an event of theirs
    fcntl.ioctl(device, _NOTIFY, notify)  # "go"
    for count in range(1, rounds + 1):
        _take(device, None)
        fcntl.ioctl(device, _NOTIFY, notify)
        if count % 1000 == 0 or count == rounds:
            print("answered %d" % count, flush=True)
    os.close(device)


def ring_all(domid, ports, rounds):
    """Send an event on each port in random order, `rounds` times, each time until all are answered; prints who has not.

    As a program: evtchn.py ring DOMID PORTS ROUNDS, PORTS with commas between. After round N it prints "round N", and at
    last "answers N..M", the least and the most that came from a port.
    """
    device = _open()
    locals_ = [_bind(device, domid, port) for port in ports]
    while _take(device, 1):  # what the binding itself made pending; it comes bit by bit
        pass
    answers = dict.fromkeys(locals_, 0)
    for number in range(1, rounds + 1):
        missing = set(locals_)
        for local in random.sample(locals_, len(locals_)):
            fcntl.ioctl(device, _NOTIFY, struct.pack("I", local))
        while missing:
            for local in _take(device, None):
                answers[local] += 1
                missing.discard(local)
        print("round %d" % number, flush=True)
    while _take(device, 1):  # one answer too many would come now
        print("an answer too many", flush=True)
    os.close(device)
    print("answers %d..%d" % (min(answers.values()), max(answers.values())), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer(*map(int, sys.argv[2:]))
    else:
        ring_all(int(sys.argv[2]), [int(port) for port in sys.argv[3].split(",")], int(sys.argv[4]))
