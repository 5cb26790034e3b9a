"""Attached clients: the names of their lists in force, and what their own questions have taught."""
from micropython import const
from scattered import key
from steps import at_once

from firewall.names.learnt import Learnt
from firewall.names.table import FOR_EVER, SLICE
from firewall.names.wildcards import fits, number

_HOSTS = const(2048)  # learnt by all clients together
_ADDRESSES = const(8192)
_ROOM = const(32768)  # addresses in the tables of all lists, some 24 octets of heap each
_MOST = const(8192)  # of one


class Client:
    """An attached client. hosts: names of its list in force, true for those that the table has."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.hosts = {}
        self.wilds = ()  # what its list's wildcards stand for
        self.learnt = Learnt()
        self.wake = FOR_EVER  # when the next learnt address that its list may use becomes past


class Clients:
    """clients: {address: Client}. wildcards: what they stand for, by number as text. now: ms, as last told.

    ignored(address): True for one that no name may have. on_news(): tick() is to be called soon.
    """

    def __init__(self):
        self.now = 0
        self.clients = {}
        self.wildcards = {}
        self.ignored = lambda address: False
        self.on_news = lambda: None
        self._learning = True
        self._serial = 0
        self._hosts = self._addresses = 0  # learnt by all

    def room(self):
        """Entries that the tables of one list may have for addresses: an even part of what there is for all lists."""
        return min(_ROOM // max(sum([1 for known in self.clients.values() if known.hosts]), 1), _MOST)

    def learnt_by(self, client, host, past):
        """Addresses that a client has learnt for a name or a wildcard of its rules."""
        known = self.clients.get(client)
        if known is None:
            return ()
        learnt = known.learnt
        pattern = self.wildcards.get(number(host)) if number(host) else None
        if not number(host):
            return learnt.admits(host, self.now, past)
        found = []  # to join as many tuples would cost their square
        for name in learnt.hosts if pattern else ():
            if fits(name, pattern):
                found.extend(learnt.admits(name, self.now, past))
        return tuple(found)

    def asked(self, client, flow, message, now):
        """A client's question passes, to one of our resolvers. flow: a number below 65536 of the flow."""
        known = self.clients.get(client)
        if known and self._learning:
            known.learnt.ask(flow, message, now)

    def heard(self, client, flow, message, now):
        """A resolver's answer to a client passes. True: it has taught something."""
        known = self.clients.get(client)
        if known is None or not self._learning:
            return False
        learnt = known.learnt
        found = learnt.answer(flow, message)
        if found is None or not isinstance(found[1], list) or now > found[2]:
            return False
        host = found[0]
        result = [each for each in found[1] if not self.ignored(each[0])]
        if not result:
            return False
        self.now = max(self.now, now)
        hosts, addresses = len(learnt.hosts), learnt.addresses
        while self._hosts >= _HOSTS or self._addresses + len(result) > _ADDRESSES:
            largest = max(self.clients.values(), key=lambda each: each.learnt.addresses + 4 * len(each.learnt.hosts))
            if not largest.learnt.hosts:
                break  # nothing is left to forget
            self._forget(largest.learnt)
            if largest is known:
                hosts, addresses = len(learnt.hosts), learnt.addresses
        try:
            new = learnt.learn(host, result, now)
        finally:
            self._hosts += len(learnt.hosts) - hosts
            self._addresses += learnt.addresses - addresses
        if self._uses(known, host):
            until = learnt.next_past(host, now)
            if until is not None and until < known.wake:
                known.wake = until
                self.on_news()
            if new:
                self._news(known)
        return True

    def _forget(self, learnt):
        hosts, addresses = len(learnt.hosts), learnt.addresses
        try:
            learnt.forget_oldest()
        finally:
            self._hosts += len(learnt.hosts) - hosts
            self._addresses += learnt.addresses - addresses

    def _uses(self, known, host):
        return host in known.hosts or any([fits(host, pattern) for pattern in known.wilds])

    def _news(self, known):
        self._serial += 1
        known.epoch = self._serial

    def _see_past(self, known):
        """When the next learnt address that its list may use becomes past."""
        at_once(self._seeing_past(known))

    def _seeing_past(self, known):
        """_see_past() in steps (steps.py). What is learnt between them counts too; without memory it is due again."""
        known.wake = FOR_EVER
        learnt = known.learnt
        looked = 0
        try:
            for host in list(learnt.hosts):
                if looked >= SLICE:
                    looked = 0
                    yield None
                looked += 4  # that it is sought among the patterns
                if self._uses(known, host) and host in learnt.hosts:
                    looked += len(learnt.hosts[host].found)
                    until = learnt.next_past(host, self.now)
                    known.wake = known.wake if until is None else min(known.wake, until)
        except MemoryError:
            known.wake = 0
            raise
        yield known.wake

    def name_of(self, client, address, now):
        """What the client asked for when it got this address, or ""."""
        known = self.clients.get(client)
        return known.learnt.by_address.get(key(address), "") if known else ""
