"""What two checkouts cost, side by side: image, heap after boot, bytecodes of a packet, lines of Python in each folder.

    figures.py CHECKOUT     the figures of one, as JSON
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = "port/modules", "netback", "netfront", "firewall"
A, SERVER = "10.137.0.21", "192.0.2.50"


def lines(checkout):
    """{what: how many}: lines in each folder and below each top, files, the longest file."""
    found, longest = {}, 0
    for top in SOURCES:
        for folder, _, names in os.walk(os.path.join(checkout, top)):
            for name in names:
                if name.endswith(".py"):
                    with open(os.path.join(folder, name)) as text:
                        count = len(text.readlines())
                    where = "lines of " + os.path.relpath(folder, checkout)
                    found[where] = found.get(where, 0) + count
                    found["lines of %s/** in all" % top] = found.get("lines of %s/** in all" % top, 0) + count
                    found["lines of Python in all"] = found.get("lines of Python in all", 0) + count
                    found["files of Python in all"] = found.get("files of Python in all", 0) + 1
                    longest = max(longest, count)
    found["lines of the longest file"] = longest
    return found


def packets():
    """Bytecodes of CPython for a packet: the most of 20, as in test_costs.py."""
    from counting import bytecodes
    from packets import tcp, udp
    from tests.network import Network

    def price(net, frame):
        buffer = bytearray(frame)
        return bytecodes(net.judge.frame, 1, buffer, len(buffer), net.now)[0]

    found = {}
    for name, build in (("UDP", udp), ("TCP", tcp)):
        for count in (10, 200):
            with Network() as net:
                net.client(A, ["action=drop dst4=198.51.%d.0/24 proto=udp dstports=80-90" % i for i in range(count - 1)] + ["action=accept"])
                frames = [build(A, port, SERVER, 80) for port in range(5000, 5020)]
                for what in ("first packet", "packet of a known flow"):
                    found["bytecodes, %s, %s, %d rules" % (what, name, count)] = max(price(net, frame) for frame in frames)
    return found


def memory():
    """Of the simulated firewall, in octets: after boot with an uplink, and with a client more."""
    from machine import Machine
    from network import Network

    with Machine() as machine:
        net = Network(machine=machine)
        boot = net.figures()
        net.client(A)
        client = net.figures()
    return {"%s, %s" % (what, when): figures[key] for when, figures in (("after boot", boot), ("with a client", client))
            for what, key in (("heap", "heap"), ("free memory outside it", "octets"))}


def of(checkout):
    from driver import paths

    paths(checkout)
    sys.path += [os.path.join(checkout, "tests", name) for name in ("host", "sim", "guest")]
    found = {"image, octets": os.path.getsize(os.path.join(checkout, "build", "vmlinuz"))}
    found.update(memory())
    found.update(packets())
    found.update(lines(checkout))
    return found


def main(before, after):
    sides = []
    for checkout in (before, after):
        words = [sys.executable, os.path.abspath(__file__), checkout]
        sides.append(json.loads(subprocess.run(words, cwd=checkout, stdout=subprocess.PIPE, check=True).stdout))
    print("%-50s %12s %12s %8s" % ("", "before", "after", ""))
    for name in list(sides[0]) + [name for name in sides[1] if name not in sides[0]]:
        a, b = (side.get(name) for side in sides)
        print("%-50s %12s %12s %8s" % (name, "-" if a is None else a, "-" if b is None else b, "%+.1f %%" % (100 * (b - a) / a) if a and b else ""))
    return 0


if __name__ == "__main__":
    print(json.dumps(of(sys.argv[1])))
