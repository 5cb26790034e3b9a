"""A client in dom0 that sends its backend events and nothing else, until told to end: python3 /steps/storm.py DOMID IP

It says "storming" when its vif is connected; its last line, after SIGTERM, is how many events there were.
"""
import fcntl
import signal
import struct
import sys

import frontend
import pyxs
import toolstack

BURST = 100  # events between two looks whether to go on


def main(domid, ip):
    going, count = [True], 0
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    with pyxs.Client() as store:
        device = toolstack.Device(store, int(domid), 0, 0, ip)
        device.attach()
        client = frontend.Frontend(device)
        client.connect()
        print("storming", flush=True)
        port = struct.pack("=I", client.port)
        while going:
            for _ in range(BURST):
                fcntl.ioctl(client.events, frontend._NOTIFY, port)
            count += BURST
        device.ask_for_removal()
        client.close()
        device.wait_for_removal()
    print(count, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
