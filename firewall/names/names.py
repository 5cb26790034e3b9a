"""All that is known of names: what the rules ask, what the settings set, what the services show.

    names.of(client)                            a View: what the rule list of this client is sealed with
    names.attached(client), names.detached(client)
    names.in_force(client, rules)               this list counts from now on: its names are asked for, others are not
    names.set_resolvers(addresses)
    names.learning, names.set_wildcards({n: "*.example.org"})
    names.name_of(client, address, now)         what the client asked for when it got this address
    names.tick(now)                             ask, ask again, let addresses become past

client: its address, as all addresses an int.
"""
from micropython import const
from scattered import Addresses
from steps import at_once

from firewall.names import asking
from firewall.names.clients import Client, Clients
from firewall.names.learnt import Learnt
from firewall.names.table import FOR_EVER, Table
from firewall.names.view import View
from firewall.names.wildcards import good, number

_STARTED = const(4)  # questions begun in a tick
_SPREAD = const(50)  # ms until the next ones
_PRUNE = const(60000)  # ms between two looks at which past addresses still have flows


class Names(Clients):
    """learning: whether clients' own questions teach anything."""

    def __init__(self, ways, random, tell):
        """ways: of asking.Questions. random(octets) -> bytes. tell(text): a line for the log."""
        super().__init__()
        self.table = Table(random, tell)
        self.questions = asking.Questions(ways, self._settle, random)
        self.up = False  # there is a way to the resolvers
        self.resolved = None  # qubes.resolved.Resolved, told what names of rules resolve to
        self.changed = set()  # clients for whose rules a name may have other addresses
        self.on_learning = lambda resolvers: None  # called with those whose answers teach from now on
        self._netvm = 0  # its address, by which the resolvers were reached last
        self._others = False  # other resolvers answer from now on, and the table does not know yet
        self._ask_at = 0  # when the next questions may begin
        self._prune_at = FOR_EVER  # when to look next which past addresses still have flows

    # ---- what others set ------------------------------------------------------------------------

    @property
    def learning(self):
        return self._learning

    @learning.setter
    def learning(self, on):
        """Switched off, all that was learnt is forgotten. MemoryError: set it again."""
        if on != self._learning:
            self.on_learning(self.questions.resolvers if on else ())
            for known in self.clients.values():
                if not on:
                    learnt, known.learnt = known.learnt, Learnt()
                    self._hosts -= len(learnt.hosts)
                    self._addresses -= learnt.addresses
                self._news(known)
            self._learning = on  # last: what has failed before is done anew

    def set_wildcards(self, patterns):
        """{n: pattern}: `wild-<n>.firewall` in a rule stands for names that end as "*.example.org" says.

        A pattern that is none stands for nothing: its rules are as those of a name without an answer.
        """
        self.wildcards = {str(n): pattern for n, pattern in patterns.items() if good(pattern)}
        for known in self.clients.values():
            self._see_wilds(known)
            self._see_past(known)  # it may have been learnt before
            self._news(known)
        self.on_news()

    def set_resolvers(self, addresses):
        """Whom to ask, the first first. Others are asked no more; what had no answer is asked for at once.

        MemoryError: call it again.
        """
        resolvers = tuple(addresses)
        if resolvers != self.questions.resolvers:
            self.on_learning(resolvers if self._learning else ())
            if any([each not in resolvers for each in self.questions.resolvers]):
                self._distrust()
            self._stop()
            self.questions.resolvers = resolvers  # last of what can fail
            self.table.soon()
            self.on_news()

    def set_up(self, up, netvm=0):
        """Whether there is a way to the resolvers, and the address of the netvm that it leads by.

        The same address is the same netvm, started again perhaps: what was learnt by it counts on.
        """
        if up and netvm != self._netvm:
            if self._netvm:
                self._distrust()
            self._netvm = netvm
        if up != self.up:
            self.up = up
            if up:
                self.table.soon()
            else:
                self._stop()
            self.on_news()

    def _distrust(self):
        """Others answer from now on: what was known admits no new flow any more, and all is asked for anew."""
        self._others = True
        for client, known in self.clients.items():
            known.learnt.end(self.now)
            known.wake = FOR_EVER
            self._news(known)
            self.changed.add(client)

    def _stop(self):
        for host in self.questions.stop():
            name = self.table.names.get(host)
            if name:
                name.asking = False

    # ---- clients --------------------------------------------------------------------------------

    def of(self, client):
        return View(self, client)

    def attached(self, client):
        if client not in self.clients:
            self._serial += 1
            self.clients[client] = Client(self._serial)

    def detached(self, client):
        """Forget it, and the names that no other client's rules have. MemoryError: call it again."""
        known = self.clients.get(client)
        if known:
            self._drop_hosts(known, list(known.hosts))
            self.changed.add(client)
            del self.clients[client]
            self._hosts -= len(known.learnt.hosts)
            self._addresses -= known.learnt.addresses
            self.on_news()

    def resolutions(self, client):
        """{name: addresses that admit} of the names in a client's rules that our own questions found."""
        known = self.clients.get(client)
        found = {}
        for host in known.hosts if known else ():
            name = self.table.names.get(host)
            if name and name.answered:
                found[host] = name.admits(self.now) or ()
        return found

    def in_force(self, client, rules, now):
        """A list of this client counts from now on. MemoryError: call it again."""
        self.now = max(self.now, now)
        known = self.clients.get(client)
        if known is None:
            return
        ours = isinstance(rules.names, View) and rules.names.names is self
        hosts = set(rules.hosts()) if ours else ()
        for host in hosts:
            if host not in known.hosts:
                used = not number(host) and self.table.use(host, now)
                try:
                    known.hosts[host] = used
                except MemoryError:
                    if used:
                        self.table.leave(host)
                    raise
        self._drop_hosts(known, [host for host in known.hosts if host not in hosts])
        self._see_wilds(known)
        self._see_past(known)
        self.changed.add(client)
        self.on_news()

    def _drop_hosts(self, known, hosts):
        for host in hosts:
            if known.hosts.pop(host):
                self.table.leave(host)
                if host not in self.table.names:
                    self.questions.cancel(host)

    def _see_wilds(self, known):
        known.wilds = tuple([self.wildcards[number(host)] for host in known.hosts if number(host) in self.wildcards])

    def waiting(self, client):
        """True while a name of the client's list may still get its first answer."""
        known = self.clients.get(client)
        for host in known.hosts if known else ():
            name = self.table.names.get(host)
            if name and name.answered is None and not name.failures and self.now < name.patience:
                return True
        return False

    # ---- time -----------------------------------------------------------------------------------

    def tick(self, now):
        """Do what is due, in one go. When to call again: ms, or FOR_EVER."""
        return at_once(self.ticking(now))

    def ticking(self, now):
        """tick() in steps, see steps.py. What comes between them and is due sooner is told by on_news()."""
        self.now = max(self.now, now)
        epoch = self.table.epoch
        if self._others:
            yield from self._ending(now)
            self._prune_at = min(self._prune_at, now + _PRUNE)
        able = self.up and len(self.questions.resolvers) > 0
        again = None
        if able:
            room = min(asking.MOST - len(self.questions.open), _STARTED) if now >= self._ask_at else 0
            for due in self.table.due(now, room):
                if due is None:
                    yield None
            for name in [each for each in due if each.users]:  # the others were left between two steps
                self._ask_at = now + _SPREAD
                self.questions.ask(name.host, now)
                name.asking = True
            again = self.questions.tick(now)
        for wake in self.table.tick(now, able):
            if wake is None:
                yield None
        if wake <= now:
            wake = max(self._ask_at, now + 1)  # some are due, and not all at once
        if again is not None:
            wake = min(wake, again)
        passed = self.table.epoch != epoch
        for known in list(self.clients.values()):
            if known.wake <= now:
                passed = True
                for until in self._seeing_past(known):
                    if until is None:
                        yield None
                self._news(known)
            wake = min(wake, known.wake)
        if passed:
            self._prune_at = min(self._prune_at, now + _PRUNE)
        yield min(wake, max(self._prune_at, now + _SPREAD))

    def _ending(self, now):
        """In steps: end what others than those who answer now have said."""
        self._others = False  # first: what comes between the steps is ended once more
        try:
            yield from self.table.end(now)
        except MemoryError:
            self._others = True
            raise

    def _settle(self, host, result, now):
        """A question of our own came to its end."""
        name = self.table.names.get(host)
        if name:
            name.asking = False  # first: without memory for what follows it is asked for again
        if isinstance(result, list):
            result = [each for each in result if not self.ignored(each[0])]
        self.table.settle(host, result, now)
        for client, known in self.clients.items():
            if host in known.hosts:
                self.changed.add(client)
        self.on_news()

    # ---- past addresses -------------------------------------------------------------------------

    def may_prune(self, now):
        """True if it is time to look which past addresses still have flows: once a minute, if there are any."""
        return now >= self._prune_at

    def past(self, now):
        """In steps: the set of all past addresses that some list may use."""
        self._prune_at = FOR_EVER
        found = Addresses()
        yield from self.table.past(now, found)
        for client in list(self.clients):
            yield None
            known = self.clients.get(client)
            for host in known.learnt.hosts if known else ():
                if self._uses(known, host):
                    for address in known.learnt.admits(host, now, True):
                        found.add(address)
        if found:
            self._prune_at = now + _PRUNE
        yield found

    def prune(self, past, in_use, now):
        """In steps: forget those of past that no flow goes to; in_use: those that one does."""
        yield from self.table.prune(past, in_use, now)
        for client in list(self.clients):
            yield None
            known = self.clients.get(client)
            if known:
                addresses = known.learnt.addresses
                try:
                    for host in list(known.learnt.hosts):
                        if self._uses(known, host):
                            known.learnt.prune(host, past, in_use, now)
                finally:
                    self._addresses += known.learnt.addresses - addresses
