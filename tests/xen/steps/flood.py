"""All packets of one form that an interface takes, until it is told to end: python3 /steps/flood.py FORM TO [NICE]

NICE: the least of all who want the CPU is 19. Its last line, after SIGTERM, is how many there were.
"""
import os
import random
import signal
import socket
import struct
import sys


def _sum(data):
    value = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    value = (value & 0xFFFF) + (value >> 16)
    return (value & 0xFFFF) + (value >> 16) ^ 0xFFFF


def _udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def datagrams(to, octets):
    """To one port."""
    with _udp() as out:
        while True:
            yield out.sendto(bytes(octets), (to, 9))


def ports(to, octets):
    """To other ports each time; a source port for some hundred."""
    dice = random.Random(3)
    while True:
        with _udp() as out:
            for _ in range(200):
                yield out.sendto(bytes(octets), (to, dice.randrange(1024, 65536)))


def flows(to, octets):
    """To other ports and addresses each time; a source port for some hundred."""
    dice = random.Random(1)
    network = to.rpartition(".")[0]
    while True:
        with _udp() as out:
            for _ in range(200):
                yield out.sendto(bytes(octets), ("%s.%d" % (network, dice.randrange(1, 255)), dice.randrange(1024, 65536)))


def pings(to, octets):
    """Echo requests."""
    message = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(octets)
    message = message[:2] + struct.pack("!H", _sum(message)) + message[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as out:
        while True:
            yield out.sendto(message, (to, 0))


def syns(to, _):
    """Each from another port, to another; Linux writes the checksum of nothing, so the sum is made here."""
    dice = random.Random(2)
    probe = _udp()
    probe.connect((to, 9))
    source = socket.inet_aton(probe.getsockname()[0])
    pseudo = source + socket.inet_aton(to) + struct.pack("!BBH", 0, 6, 20)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as out:
        while True:
            head = struct.pack("!HHIIBBHHH", dice.randrange(1024, 65536), dice.randrange(1, 65536), 1, 0, 0x50, 2, 8192, 0, 0)
            head = head[:16] + struct.pack("!H", _sum(pseudo + head)) + head[18:]
            yield out.sendto(head, (to, 0))


FORMS = {
    "large": (datagrams, 60000), "small": (datagrams, 8), "ports": (ports, 8), "flows": (flows, 8), "pings": (pings, 64992),
    "syns": (syns, 0),
}


def main(form, to, nice=0):
    os.nice(int(nice))
    count = 0

    def end(*_):
        print(count, flush=True)
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    send, octets = FORMS[form]
    packets = send(to, octets)
    while True:
        try:
            next(packets)
            count += 1
        except (BlockingIOError, PermissionError):  # no room; refused by ICMP
            packets = send(to, octets)
        except OSError:
            packets = send(to, octets)


if __name__ == "__main__":
    main(*sys.argv[1:])
