"""Rules that were read, in words: as objects, thousands of them cost each garbage collection a ms."""
from array import array

from micropython import const

_RULES = const(64)  # of an array
_WORDS = const(4)  # of a rule: what follows, lowest and highest destination, first and last port
_ACCEPT = const(1 << 14)  # above the number
_DNS = const(1 << 15)
_NEVER = const(1 << 16)
_BEYOND = const(1 << 17)
_PORTS = const(1 << 18)  # it has any
_NETWORK = const(1 << 19)  # the same
_PROTO = const(20)  # where the protocol + 1 stands
_WORD = const(0xFFFFFFFF)


class Rows:
    """As a list of rules (text.Rule); each is made anew when it is asked for."""

    def __init__(self, rule):
        """rule(number): one with nothing but this said of it."""
        self._rule = rule
        self._arrays = []
        self._count = 0
        self._others = {}  # of those with a host name, or with addresses of IPv6: host, low, high

    def __len__(self):
        return self._count

    def clear(self):
        self.__init__(self._rule)

    def append(self, rule):
        i = self._count
        at = i % _RULES * _WORDS
        if at == 0:
            self._arrays.append(array("I", bytes(4 * _WORDS * _RULES)))
        words = self._arrays[-1]
        said = rule.number | (rule.proto + 1) << _PROTO
        for bit, yes in ((_ACCEPT, rule.accept), (_DNS, rule.dns), (_NEVER, rule.never), (_BEYOND, rule.beyond)):
            said |= bit if yes else 0
        if rule.host is not None or rule.high > _WORD:
            self._others[i] = rule.host, rule.low, rule.high
        elif rule.low >= 0:
            said |= _NETWORK
            words[at + 1] = rule.low
            words[at + 2] = rule.high
        if rule.first >= 0:
            said |= _PORTS
            words[at + 3] = rule.first | rule.last << 16
        words[at] = said
        self._count += 1

    def __getitem__(self, i):
        if i < 0:
            i += self._count
        if not 0 <= i < self._count:
            raise IndexError(i)
        words, at = self._arrays[i // _RULES], i % _RULES * _WORDS
        said = words[at]
        rule = self._rule(said & _ACCEPT - 1)
        rule.accept = said & _ACCEPT != 0
        rule.proto = (said >> _PROTO) - 1
        if said & _NETWORK:
            rule.low = words[at + 1]
            rule.high = words[at + 2]
        if said & _PORTS:
            rule.first = words[at + 3] & 0xFFFF
            rule.last = words[at + 3] >> 16
        if said & (_DNS | _NEVER | _BEYOND):
            rule.dns = said & _DNS != 0
            rule.never = said & _NEVER != 0
            rule.beyond = said & _BEYOND != 0
        if i in self._others:
            rule.host, rule.low, rule.high = self._others[i]
        return rule
