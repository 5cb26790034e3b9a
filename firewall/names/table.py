"""Names that rules of attached clients use: the addresses that our own questions found, and when to ask again.

An address admits new flows until its TTL ends, not under _ADMIT_LEAST; a name is asked for again before the TTL of its
answer ends, kept between _TTL_LEAST and _TTL_MOST. A name that gets no answer, or that does not exist, is told once,
and when it is back; it is asked for again after longer and longer pauses.

    found[address] = ms until it admits; later than that it is past, and stays until prune() says that no flow needs it
"""
from micropython import const

from firewall.names import dns

NAMES = const(1024)  # at most
_ADDRESSES = const(256)  # of a name, past ones too
_ALL = const(8192)  # of all names together: 24 octets of heap each, and as much in each list that uses them
_TTL_LEAST = const(30)  # s
_TTL_MOST = const(3600)
_ADMIT_LEAST = const(600)  # s; a connection may begin that long after its name was looked up
_FIRST_PAUSE = const(5000)  # ms after the first failure; then twice as long each time
_LAST_PAUSE = const(300000)
_GONE_PAUSE = const(60000)  # after the first time that it does not exist
_PATIENCE = const(5000)  # ms in which a new name may get its first answer
_STALE = const(3)  # failures in a row after which "it does not exist" is no longer believed
SLICE = const(64)  # names and addresses looked at in a step, and those of one name more
FOR_EVER = const(0x3FFFFFFFFFFFFFFF)


class Name:
    """answered: None without any answer; False: it does not exist; True: it has addresses, or had."""

    def __init__(self, host, now):
        self.host = host
        self.users = 0
        self.found = {}
        self.answered = None
        self.asking = False
        self.due = now  # ms when it is to be asked for
        self.wake = FOR_EVER  # when the next of its addresses becomes past
        self.patience = now + _PATIENCE
        self.failures = 0  # in a row
        self.gone = 0  # answers in a row that it does not exist
        self.told = False  # in the log: that it is dead

    def admits(self, now):
        """Its addresses that admit new flows; None without an answer."""
        found = tuple([address for address, until in self.found.items() if until > now])
        return found if found or self.answered is False else None


class Table:
    """names: {host: Name}. epoch: another number whenever what some name admits is another. tell(text): to the log."""

    def __init__(self, random, tell):
        """random(octets) -> bytes."""
        self.names = {}
        self.epoch = 0
        self.addresses = 0  # of all names
        self._random = random
        self._tell = tell
        self._full = False  # told that there are too many names

    def use(self, host, now):
        """A rule of one more client has this name. False: there are too many names, it is as one without an answer."""
        name = self.names.get(host)
        if name is None:
            if len(self.names) >= NAMES:
                if not self._full:
                    self._full = True
                    self._tell("more than %d names in rules: those beyond have no answer" % NAMES)
                return False
            name = self.names[host] = Name(host, now)
        name.users += 1
        return True

    def leave(self, host):
        """One client less. What nobody uses is forgotten."""
        name = self.names[host]
        name.users -= 1
        if not name.users:
            self._full = False
            self.addresses -= len(name.found)
            del self.names[host]
            self.epoch += 1

    # ---- asking ---------------------------------------------------------------------------------

    def due(self, now, most):
        """In steps: up to so many names that are to be asked for now."""
        found = []
        looked = 0
        for name in list(self.names.values()) if most > 0 else ():
            if name.due <= now and not name.asking:
                found.append(name)
                if len(found) == most:
                    break
            looked += 1
            if looked % SLICE == 0:
                yield None
        yield found

    def soon(self):
        """Ask for all that had no answer without further pause: there is a way now, or another one."""
        for name in self.names.values():
            if name.failures or name.gone:
                name.due = 0

    def end(self, now):
        """In steps: let all addresses become past, and ask for all names as if they were new."""
        looked = 0
        for name in list(self.names.values()):
            self.epoch += 1
            found = name.found
            for address in found:
                if found[address] > now:
                    found[address] = now
            name.answered = None
            name.due = now
            name.wake = FOR_EVER
            name.patience = now + _PATIENCE
            name.failures = name.gone = 0
            looked += 2 + len(found)
            if looked >= SLICE:
                looked = 0
                yield None

    def tick(self, now, able):
        """In steps: addresses become past. When to call again: ms, FOR_EVER; no later than now: something is due.

        able: questions can be asked.
        """
        wake = FOR_EVER
        looked = 0
        for name in list(self.names.values()):
            if looked >= SLICE:
                looked = 0
                yield None
            looked += 1
            if name.wake <= now:
                looked += len(name.found)
                if any([name.wake <= until <= now for until in name.found.values()]):
                    self.epoch += 1
                name.wake = min([until for until in name.found.values() if until > now] or [FOR_EVER])
            wake = min(wake, name.wake)
            if name.answered is None and now < name.patience:
                wake = min(wake, name.patience)
            if able and not name.asking:
                wake = min(wake, name.due)
        yield wake

    # ---- answers --------------------------------------------------------------------------------

    def settle(self, host, result, now):
        """What became of the question for host: dns.answer()'s result, addresses that mean somebody else left out."""
        name = self.names.get(host)
        if name is None:
            return
        name.asking = False
        self._report(name, result)
        if result == dns.FAILED:
            name.failures += 1
            name.due = now + min(_FIRST_PAUSE << min(name.failures - 1, 8), _LAST_PAUSE) + self._some(1000)
            if name.answered is False and name.failures == _STALE:
                name.answered = None
                self.epoch += 1
        elif result == dns.NONE:
            if name.answered is not False:
                name.answered = False
                self.epoch += 1
            name.due = now + min(_GONE_PAUSE << min(name.gone, 8), 2 * _LAST_PAUSE) + self._some(1000)
            name.gone += 1
            name.failures = 0
        else:
            name.failures = name.gone = 0
            if name.answered is None:
                self.epoch += 1
            name.answered = True
            ttl = min(max(min([ttl for _, ttl in result] or [0]), _TTL_LEAST), _TTL_MOST) * 1000
            name.due = now + ttl - (ttl >> 3) - self._some(ttl >> 3)  # before it ends, and not all at once
            for address, each in result:
                self._enter(name, address, now + min(max(each, _ADMIT_LEAST), _TTL_MOST) * 1000, now)

    def _enter(self, name, address, until, now):
        """The address admits new flows until then, or for longer if it did before."""
        found = name.found
        before = found.get(address)
        if before is None:
            full = len(found) >= _ADDRESSES or self.addresses >= _ALL
            if full and not found:
                return
            found[address] = until
            if full:
                del found[min(found, key=lambda each: found[each])]
            else:
                self.addresses += 1
        else:
            found[address] = until = max(until, before)
        if before is None or before <= now:
            self.epoch += 1
        name.wake = min(name.wake, until)

    def _report(self, name, result):
        if result == dns.FAILED or result == dns.NONE:
            if not name.told:
                name.told = True
                why = "gets no answer" if result == dns.FAILED else "does not exist"
                self._tell("%s %s: rules with it are without it, and it is asked for again" % (name.host, why))
        elif name.told:
            name.told = False
            self._tell("%s has addresses again" % name.host)

    def _some(self, ms):
        """A random time below so many ms, or 0."""
        two = self._random(2)
        return (two[0] << 8 | two[1]) * ms >> 16

    # ---- past addresses -------------------------------------------------------------------------

    def past(self, now, into):
        """In steps: add all past addresses to a set."""
        looked = 0
        for name in list(self.names.values()):
            for address, until in name.found.items():
                if until <= now:
                    into.add(address)
            looked += 1 + len(name.found)
            if looked >= SLICE:
                looked = 0
                yield None

    def prune(self, past, in_use, now):
        """In steps: forget those of the set past that are past still, and that no flow goes to."""
        looked = 0
        for name in list(self.names.values()):
            looked += 1 + len(name.found)
            if name.users:  # it was not forgotten between two steps, and its addresses with it
                for address in [each for each, until in name.found.items() if until <= now and each in past]:
                    if address not in in_use:
                        del name.found[address]
                        self.addresses -= 1
            if looked >= SLICE:
                looked = 0
                yield None
