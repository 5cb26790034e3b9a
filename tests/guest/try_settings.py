"""What settings tell the firewall, as lines on the console: run=try_settings [attach=A,B].

    rules A DECISION   after each list put in force: may a TCP packet to 192.0.2.7 port 443 leave?
    seeded   when more randomness was mixed in
    shown ADDRESS ANOTHER GATEWAY,
    ours A,  network OWN GATEWAY OURS,  connected A B C,  memory FREE-HEAP: each when it changes; memory every second

The words attach:A and detach:A in our xenstore node data/do (in the simulation) are obeyed, one at a time;
fail:MODULE.NAME:EXCEPTION makes the next call of that function raise; with :N behind, the one after N that do not.
"""
import asyncio
import gc

import loop
from firewall.qubes import database, rulelists, ruletrees, settings
from firewall.qubes.settings import Settings
from firewall.rules import matcher, text as rules_text
from firewall.rules.names import NoNames
from firewall.wire import ipv4
from firewall.wire.address import parse4, text4

_MODULES = {
    "database": database, "rulelists": rulelists, "ruletrees": ruletrees, "text": rules_text, "matcher": matcher, "settings": settings,
}  # fmt: skip


class _Names(NoNames):
    def set_wildcards(self, wildcards):
        pass


class Told:
    """In place of the firewall."""

    def __init__(self):
        self.names = _Names()
        self.lists = {}  # address -> the list in force

    def set_rules(self, address, rules):
        self.lists[address] = rules
        verdict = rules.decide(ipv4.TCP, parse4("192.0.2.7"), 443, -1, 0)
        print("rules %s %s" % (text4(address), "accept" if verdict[0] else "drop"))

    def seeded(self):
        print("seeded")

    def set_ours(self, ours):
        print("ours %s" % text4(ours))

    def set_network(self, own, gateway, ours):
        print("network %s" % " ".join(text4(address) for address in (own, gateway, ours)))

    def set_shown(self, address, shown, gateway):
        print("shown %s" % " ".join(text4(each) for each in (address, shown, gateway)))

    def set_policy(self, *settings):
        pass

    set_rates = set_notify = set_policy

    def set_connected(self, addresses):
        print("connected %s" % " ".join(text4(address) for address in addresses))


async def main(store, words):
    settings = Settings(store, Told())
    settings.start()
    for text in words.get("attach", "").split(","):
        if text:
            settings.attached(parse4(text))
    watch = await store.watch("data/do")
    asyncio.create_task(_obey(store, watch, settings))
    while True:
        await asyncio.sleep(1)
        gc.collect()
        print("memory %d, longest gap %d us" % (gc.mem_free(), loop.longest_gap().ns // 1000))


async def _obey(store, watch, settings):
    while True:
        await watch.changes()
        try:
            word = (await store.read("data/do")).decode()
        except Exception:
            continue
        act, _, text = word.partition(":")
        if act in ("attach", "detach"):
            getattr(settings, act + "ed")(parse4(text))
        elif act == "fail":
            _fail_once(*text.split(":"))


def _fail_once(path, exception, good="0"):
    module, *names, name = path.split(".")
    owner = _MODULES[module] if module in _MODULES else Told
    for each in names:
        owner = getattr(owner, each)
    function = getattr(owner, name)
    left = [int(good)]

    def failing(*args):
        if left[0]:
            left[0] -= 1
            return function(*args)
        setattr(owner, name, function)
        raise {"MemoryError": MemoryError, "ValueError": ValueError, "KeyError": KeyError, "OSError": OSError}[exception](5)

    setattr(owner, name, failing)
