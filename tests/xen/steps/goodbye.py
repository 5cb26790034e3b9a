"""A firewall is shut down while frontends of dom0's go on sending: what is left in their rings when it has ended."""
import fcntl
import struct
import subprocess
import time

import domains
import frontend
import pyxs
from toolstack import CLOSING, Device

_KEPT = 200  # requests that it always has under way
_SECONDS = 30  # to the end


class Sender(frontend.Frontend):
    """It keeps its tx ring nearly full, until it sees Closing, whatever comes of what it sends."""

    def __init__(self, device, frame):
        super().__init__(device)
        self.out[: len(frame)] = frame
        self.octets = len(frame)
        self.sent = self.taken = 0
        self.statuses = {}

    def pump(self):
        answered, = struct.unpack_from("=I", self.tx, 8)
        while self.taken < answered:
            at = frontend._FIRST + self.taken % frontend._SLOTS * frontend._TX
            status, = struct.unpack_from("=h", self.tx, at + 2)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.taken += 1
        return answered

    def fill(self):
        answered = self.pump()
        while self.sent - answered < _KEPT:
            at = frontend._FIRST + self.sent % frontend._SLOTS * frontend._TX
            struct.pack_into("=IHHHH", self.tx, at, self.grefs[2], 0, 0, self.sent & 0xFF, self.octets)
            self.sent += 1
        struct.pack_into("=I", self.tx, 0, self.sent)
        fcntl.ioctl(self.events, frontend._NOTIFY, struct.pack("=I", self.port))

    def unanswered(self):
        return self.sent - self.pump()


def shut_down(backend, frames):
    """One frontend for each of these frames (hex); then the domain is shut down, as `xl shutdown` does.

    {"why": it ended, "seconds": from dom0's word, "states": of the backends at the end, "unanswered": requests of each,
    "sent": of each, "statuses": {status: how many} of each}
    """
    with pyxs.Client() as store:
        senders = []
        for n, octets in enumerate(frames):
            device = Device(store, backend, 0, n, "10.137.0.%d" % (20 + n))
            device.attach()
            senders.append(Sender(device, bytes.fromhex(octets)))
            senders[-1].connect()
        for sender in senders:
            sender.fill()
        subprocess.run(["xl", "shutdown", str(backend)], check=True, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        busy = list(senders)
        while domains.state(backend) == "running" and time.monotonic() < began + _SECONDS:
            for sender in busy[:]:
                if sender.device._read(sender.device.backend + b"/state") == CLOSING:
                    busy.remove(sender)
                else:
                    sender.fill()
            time.sleep(0.002)
        took = time.monotonic() - began
        found = {"why": domains.state(backend), "seconds": took, "sent": [sender.sent for sender in senders],
                 "unanswered": [sender.unanswered() for sender in senders],
                 "statuses": [sender.statuses for sender in senders],
                 "states": [int(store.read(sender.device.backend + b"/state")) for sender in senders]}
        for sender in senders:
            sender.close()
            sender.device.clean()
        return found
