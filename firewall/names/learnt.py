"""What one client was told about the names that it asked for: answers of our resolvers on their way to it.

A question is remembered by its flow, its identification and its name; an answer counts once, if it is that question's,
and is judged as our own answers are. So nothing comes in unasked, and of one client nothing reaches another.

    found[address] = ms until it admits; later than that it is past (table.py)

Bounded: when it is full what was learnt first goes, but for what was learnt anew since.
"""
from micropython import const
from scattered import key

from firewall.names import dns

NAMES = const(512)
ADDRESSES = const(4096)
_ADDRESSES_OF_ONE = const(256)
_QUESTIONS = const(64)  # without an answer yet
_ANSWER_MS = const(30000)  # in which an answer counts
_ADMIT_LEAST = const(300)  # s
_ADMIT_MOST = const(3600)
_SPARED = const(8)  # names learnt anew that are passed over in a search for the oldest


class _Host:
    def __init__(self):
        self.found = {}
        self.anew = False  # learnt again since it was last passed over


class Learnt:
    """hosts: {name: what is known of it}. addresses: how many, of all. by_address: {key of one: name that had it}."""

    def __init__(self):
        self.hosts = {}
        self.addresses = 0
        self.by_address = {}
        self._order = []  # names, in a ring as soon as it is full
        self._hand = 0  # the oldest
        self._asked = {}  # flow << 16 | identification -> (name, ms)
        self._questions = None  # their keys, a ring, made with the first
        self._question = 0

    def ask(self, flow, message, now):
        """The client asks: its packet, in this flow, goes to a resolver."""
        asked = dns.asked(message)
        if asked is None or asked[2] != dns.A:
            return
        which = flow << 16 | asked[0]
        if self._questions is None:
            self._questions = [-1] * _QUESTIONS
        if which not in self._asked:
            self._asked.pop(self._questions[self._question], None)
            self._questions[self._question] = which
            self._question = (self._question + 1) % _QUESTIONS
        self._asked[which] = asked[1], now

    def answer(self, flow, message):
        """(name, dns.answer()'s result, ms until which it counts) for a message to the client in this flow.

        None: it did not ask that.
        """
        which = flow << 16 | message[0] << 8 | message[1] if len(message) > 1 else -1
        asked = self._asked.get(which)
        result = asked and dns.answer(message, which & 0xFFFF, asked[0])
        if result is None:
            return None
        del self._asked[which]
        return asked[0], result, asked[1] + _ANSWER_MS

    def learn(self, host, result, now):
        """Take (address, TTL) each for addresses of a name. True: some admit that did not."""
        known = self.hosts.get(host)
        if known is None:
            if len(self.hosts) >= NAMES:
                self.forget_oldest()
            known = _Host()
            place = self._place()
            self.hosts[host] = known
            self._order[place] = host  # last: nobody is there without a place, or has two, whatever memory there is
        else:
            known.anew = True
        new = False
        for address, ttl in result:
            until = now + min(max(ttl, _ADMIT_LEAST), _ADMIT_MOST) * 1000
            before = known.found.get(address)
            if before is None:
                self._room(known, host)
            known.found[address] = until if before is None or before < until else before
            if before is None:
                self.addresses += 1
            self.by_address[key(address)] = host
            new = new or before is None or before <= now
        return new

    def admits(self, host, now, past=False):
        """Addresses of a name that admit new flows; past: those that did."""
        known = self.hosts.get(host)
        if known is None:
            return ()
        return tuple([address for address, until in known.found.items() if (until <= now) == past])

    def end(self, now):
        """Let all addresses become past. Questions that wait for an answer do so on."""
        for known in self.hosts.values():
            found = known.found
            for address in found:
                if found[address] > now:
                    found[address] = now

    def next_past(self, host, now):
        """When the next address of a name becomes past: ms, or None."""
        known = self.hosts.get(host)
        times = [until for until in known.found.values() if until > now] if known else ()
        return min(times) if times else None

    def prune(self, host, past, in_use, now):
        """Forget addresses of a name that are past still, of the set past, and that no flow goes to."""
        known = self.hosts.get(host)
        if known:
            for address in [each for each, until in known.found.items() if until <= now and each in past]:
                if address not in in_use:
                    self._drop(known, host, address)

    def forget_oldest(self, but=None):
        """Forget one name with its addresses, if there is another than this one."""
        if len(self.hosts) <= (but in self.hosts):
            return
        spared = 0
        while True:
            self._hand %= len(self._order)
            host = self._order[self._hand]
            known = self.hosts.get(host)
            if known and host != but and not (known.anew and spared < _SPARED):
                break
            if known and host != but:
                known.anew = False
                spared += 1
            self._hand += 1
        for address in list(known.found):
            self._drop(known, host, address)
        del self.hosts[host]
        self._order[self._hand] = None

    def _place(self):
        """A place in the ring that is no known name's."""
        if len(self._order) < NAMES:
            self._order.append(None)
            return len(self._order) - 1
        for _ in range(NAMES):
            self._hand %= NAMES
            self._hand += 1
            if self._order[self._hand - 1] not in self.hosts:
                return self._hand - 1
        raise AssertionError("more names than places")

    def _room(self, known, host):
        """Make room for one more address of a name."""
        if len(known.found) >= _ADDRESSES_OF_ONE:
            self._drop(known, host, min(known.found, key=lambda each: known.found[each]))
        while self.addresses >= ADDRESSES:
            if len(self.hosts) == 1:
                self._drop(known, host, min(known.found, key=lambda each: known.found[each]))
            else:
                self.forget_oldest(host)

    def _drop(self, known, host, address):
        del known.found[address]
        self.addresses -= 1
        if self.by_address.get(key(address)) == host:
            del self.by_address[key(address)]
