"""The firewall without QubesDB: run=forward own=A gateway=B clients=C,D; every client may send anything.

For tests of links and forwarding alone; what QubesDB would say stands on the command line.
"""
import asyncio

import xen
from firewall.main import Firewall
from firewall.rules import load
from firewall.sealed import NoNames
from log import Log

_log = Log("test")


def _address(text):
    a, b, c, d = (int(part) for part in text.split("."))
    return a << 24 | b << 16 | c << 8 | d


async def main(store, words):
    firewall = Firewall(store)
    for client in words.get("clients", "").split(","):
        if client:
            rules, _ = load({"policy": b"drop", "0000": b"action=accept"}, client, (), NoNames())
            firewall.set_rules(_address(client), rules)
    firewall.set_network(_address(words["own"]), _address(words["gateway"]))
    firewall.start()
    _log.info("memory free: %d KiB", xen.memory()[1] >> 10)
    while True:
        await asyncio.sleep(int(words.get("report", "3600")))
        counters = firewall.judge.counters
        _log.info("counters %s", [(i, n) for i, n in enumerate(counters) if n])
