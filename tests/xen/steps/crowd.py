"""Many clients of one backend, none of them a domain: python3 /steps/crowd.py BACKEND ADDRESS...

For each address a vif whose client is dom0, with rings and an event channel (frontend.py), connected. Says "ready" and
what was answered to their ARP requests, then keeps them until it is killed.
"""
import sys
import time

import pyxs
from frontend import Frontend
from toolstack import Device

GATEWAY = "10.137.0.9"


def main(backend, *addresses):
    with pyxs.Client() as store:
        kept, answers = [], set()
        for number, address in enumerate(addresses):
            device = Device(store, int(backend), 0, number, address)
            device.attach()
            kept.append(Frontend(device))
            kept[-1].connect()
            answers.add(kept[-1].ask(GATEWAY))
        print("ready", answers, flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
