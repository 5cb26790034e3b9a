"""The firewall without QubesDB: run=forward own=A gateway=B clients=C,D; every client named may send anything.

What QubesDB would say otherwise, a test writes into our node `test`: a number of its own, a command, and lines.
The answer appears in `data/test`, behind the same number.
    1 rules ADDRESS           a line `KEY TEXT` for each node that QubesDB would have below the client's address
    1 unload ADDRESS          as if none had ever come
    1 network OWN GATEWAY     0 for the first: we have no address any longer
    1 connected A B C
    1 pairs A>B A>C
    1 figures                 answers with all that must not grow, and the counters of verdicts: name=n ...
"""
import gc

import xen
from firewall import reasons
from firewall.main import Firewall
from firewall.rules import load
from firewall.sealed import NoNames
from log import Log
from xswire import Missing

_log = Log("test")
_ACCEPT = {"policy": b"drop", "0000": b"action=accept"}
_RESOLVERS = "10.139.1.1", "10.139.1.2"


def _address(text):
    if text == "0":
        return 0
    a, b, c, d = (int(part) for part in text.split("."))
    return a << 24 | b << 16 | c << 8 | d


class _Settings:
    """In the place of QubesDB's: the rules of each address, for whenever it is attached."""

    def __init__(self, firewall):
        self.firewall = firewall
        self.rules = {}

    def set_rules(self, text, entries):
        resolvers = [_address(each) for each in _RESOLVERS]
        self.rules[_address(text)], complaint = load(entries, text, resolvers, NoNames())
        self.attached(_address(text))
        return complaint

    def attached(self, address):
        if address in self.rules:
            self.firewall.set_rules(address, self.rules[address])

    def detached(self, address):
        pass


def _figures(firewall):
    gc.collect()
    pool, flows = firewall.pool, firewall.neighbours.flows
    words = ["heap=%d" % gc.mem_alloc(), "octets=%d" % xen.memory()[1], "free=%d" % pool.free, "flows=%d" % flows.count]
    words += ["vifs=%d" % len(firewall.backends.vifs), "links=%d" % len(firewall.forwarder.ports)]
    words += ["quarantine=%d" % firewall.quarantine.size(), "watches=%d" % len(firewall.store.watches)]
    words += ["held=%d" % sum(port.rings.held_pages for port in firewall.forwarder.clients)]
    words += ["%s=%d" % (name.replace(" ", "_"), n) for name, n in zip(reasons.NAMES, firewall.judge.counters) if n]
    return " ".join(words)


def _obey(firewall, settings, words, lines):
    neighbours = firewall.neighbours
    command = words[0]
    if command == "rules":
        entries = {}
        for line in lines:
            key, _, value = line.partition(" ")
            entries[key] = value.encode()
        return settings.set_rules(words[1], entries)
    if command == "unload":
        settings.rules.pop(_address(words[1]), None)
    elif command == "network":
        firewall.set_network(_address(words[1]), _address(words[2]), neighbours.gateway)
    elif command == "connected":
        firewall.set_connected([_address(text) for text in words[1:]])
    elif command == "pairs":
        neighbours.set_pairs([tuple(_address(text) for text in word.split(">")) for word in words[1:]])
    elif command == "figures":
        return _figures(firewall)
    return ""


async def main(store, words):
    firewall = Firewall(store)
    firewall.settings = settings = _Settings(firewall)
    for client in words.get("clients", "").split(","):
        if client:
            settings.set_rules(client, _ACCEPT)
    firewall.set_network(_address(words["own"]), _address(words["gateway"]), _address(words.get("ours", words["own"])))
    firewall.start()
    _log.info("memory free: %d KiB", xen.memory()[1] >> 10)
    watch = await store.watch("test")
    while True:
        await watch.changes()
        try:
            text = (await store.read("test")).decode()
        except Missing:
            continue
        lines = text.split("\n")
        number, *command = lines[0].split()
        answer = _obey(firewall, settings, command, lines[1:])
        await store.write("data/test", "%s %s" % (number, answer))
