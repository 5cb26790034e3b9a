"""The rules of attached clients: from a committed tree in QubesDB to a list in force.

    lists.attached(address), lists.detached(address)     as clients come and go
    lists.commit(text, packed)                           a tree is whole
    lists.set_resolvers(addresses)                       what specialtarget=dns means from now on

A list is in force until another has been committed: not until its nodes are removed, and not until dom0's daemon has
been started again with less in it than before. A client whose tree is not whole has no list: denied. So is one whose
commit fails on its way into force, whatever the reason: the list that was in force might be the wider one. Its next
commit, or the next reading of everything, is tried anew.

Memory for lists is bounded: raw rules by ruletrees, what is made of them by _ROOM of the heap, told before it is made.
"""
import asyncio
import gc

import loop
import supervisor
import xen
from log import Log
from micropython import const
from steps import in_turns

from firewall.qubes import ruletrees
from firewall.rules.matcher import DENY, sealing
from firewall.rules.text import RuleError, parsing
from firewall.wire.address import text4

_SLICE = const(4)  # rules parsed, half a ms, before the rings have their turn
_ROOM = const(5)  # parts in 12 of the heap that sealed lists may take; raw rules and packets need the rest
_MADE = const(3)  # that part of the heap is what one list may take while it is made:
_DENIED = const(200)  # characters of why a list is refused that are kept
_NODE_OCTETS = const(300)  # for each rule, and twice its text: measured 136 to 330, and a long host name
_ANEW_NS = const(60000000000)  # from one reading of everything to the next that we ask for

_log = Log("settings")


class NoRoom(Exception):
    """A list is larger than what is left for lists."""


class _Client:
    """An attached client. packed: nodes of its list in force, None without one. octets: of heap that the list takes."""

    def __init__(self, address):
        self.address = address
        self.packed = None
        self.octets = 0
        self.note = ""  # of its list, as last written to the log
        self.denied = ""  # why its list is not in force


class RuleLists:
    """firewall.set_rules(address, RuleList) puts a list in force. names: what host names in rules resolve to, see
    rules/names.py. database, connection: where the trees are, and how dom0 is told.
    """

    def __init__(self, firewall, names, database, connection):
        self.firewall = firewall
        self.names = names
        self.database = database
        self.connection = connection
        self.resolvers = ()
        self.heap = xen.heap()[0]
        self.committed = {}  # address (text) -> packed nodes to be put in force; the task empties it
        self.in_force = {}  # attached address (text) -> _Client
        self._under_way = None  # the _Client whose list is being parsed, as long as that is to come into force
        self._work = loop.Flag()
        self._read_at = -_ANEW_NS  # ns; when we asked for everything anew

    # ---- clients ------------------------------------------------------------------------------

    def attached(self, address):
        """A client with this address (int) is there: put its rules in force, now or when they come."""
        text = text4(address)
        if text in self.in_force:
            return
        self.in_force[text] = _Client(address)
        self.database.keep(text)
        trees = self.database.copy.trees
        packed = trees.packed(text)
        if packed is not None:
            self._put_in_force(text, packed)
        elif trees.forgot and self.database.synced and xen.ns() - self._read_at > _ANEW_NS:
            self._read_at = xen.ns()
            _log.info("rules of %s were forgotten: reading everything again", text)
            self.connection.read_anew()

    def detached(self, address):
        """Its last interface is gone."""
        text = text4(address)
        self.in_force.pop(text, None)
        self.committed.pop(text, None)
        self.database.let_go(text)

    def denied(self, address):
        """Why everything from an attached client (int) is refused; "": it is not, or nothing has come for it."""
        client = self.in_force.get(text4(address))
        return client.denied if client else ""

    def packed(self, address):
        """The nodes of its list in force; None: there is none."""
        client = self.in_force.get(text4(address))
        return client.packed if client else None

    def making(self):
        """Whether a list is on its way into force."""
        return len(self.committed) > 0 or self._under_way is not None

    # ---- what is to come into force -----------------------------------------------------------

    def commit(self, text, packed):
        """The tree of this address is whole."""
        client = self.in_force.get(text)
        if client is None:
            if ":" not in text:  # of IPv6 nothing is in force, and nothing is said to be
                self._tell_handled(text)  # nobody is there to whom another list could apply
            return
        try:
            self._put_in_force(text, packed)
        except Exception as error:
            self._fail(text, client, error)

    def synced(self):
        """Everything was read. What is in force and unchanged stays as it is; what is missing now, too."""
        trees = self.database.copy.trees
        for text, client in self.in_force.items():
            fresh = trees.packed(text)
            if fresh is not None and fresh != client.packed:
                self.commit(text, fresh)

    def set_resolvers(self, resolvers):
        """Lists have the resolvers in them: make each again, but where another is on its way, which will have these."""
        self.resolvers = resolvers
        for text, client in self.in_force.items():
            if client.packed is not None and text not in self.committed and client is not self._under_way:
                self.commit(text, client.packed)

    def _put_in_force(self, text, packed):
        self.committed[text] = packed
        self._work.set()

    def _tell_handled(self, text):
        self.database.handled(text)
        self.connection.wake()

    # ---- the task -----------------------------------------------------------------------------

    async def run(self):
        """For the supervisor, as a SERVICE: deals with what was committed."""
        while True:
            while self.committed:
                await self._take(next(iter(self.committed)))
                await asyncio.sleep_ms(0)
            await self._work.wait()

    async def _take(self, text):
        """Parse a list in slices and put it in force as a whole; what fails denies this client."""
        packed = self.committed.pop(text)  # here, where all failures are dealt with: none is lost
        client = self.in_force.get(text)
        if client is None:
            return
        self._under_way = client
        try:
            rules = await self._parse(text, client, packed)
        except AssertionError:
            raise
        except Exception as error:
            self._fail(text, client, error)
            return
        # another commit may have come meanwhile, or failed, or the client gone
        counts = self._under_way is client and self.in_force.get(text) is client and text not in self.committed
        self._under_way = None
        if counts:
            self._set(text, client, packed, rules)

    def _set(self, text, client, packed, rules):
        """Put a list in force, then tell dom0 so."""
        try:
            client.packed = packed
            client.octets = rules.octets
            self.firewall.set_rules(client.address, rules)
            self._tell_handled(text)
        except AssertionError:
            raise
        except Exception as error:
            self._fail(text, client, error)

    def _fail(self, text, client, error):
        """Deny at once a client whose list did not come into force. Nothing here needs memory before that is done."""
        if self.in_force.get(text) is not client:
            return
        if self._under_way is client:
            self._under_way = None  # what failed may be a later commit
        client.packed = None  # so that the next reading tries again
        client.octets = 0
        client.denied = "its rules could not be put in force"
        self.firewall.set_rules(client.address, DENY)
        try:
            why = supervisor.explain(error)
            _log.error("%s: denied: its rules could not be put in force: %s", text, why)
            client.denied = ("its rules could not be put in force: " + why)[:_DENIED]
            self._tell_handled(text)
        except MemoryError:
            gc.collect()
            _log.error("%s: denied: out of memory", text)

    async def _parse(self, text, client, packed):
        """The rule list of some nodes; DENY if any of them is no rule."""
        if packed == ruletrees.SPOILED:
            raise NoRoom("more raw rules than there is memory for")
        count = await in_turns(ruletrees.count(packed))
        if count * _NODE_OCTETS + 2 * len(packed) > self.heap // _MADE:
            raise NoRoom("%d nodes, more than there is memory for" % count)
        try:
            rules = await in_turns(parsing(ruletrees.nodes_of(packed), text), _SLICE)
        except RuleError as error:
            client.denied = str(error)[:_DENIED]
            _log.warning("%s: denied: %s", text, error)
            return DENY
        client.denied = ""
        if rules.note != client.note:
            client.note = rules.note
            if rules.note:
                _log.warning("%s: %s", text, rules.note)
        return await self._seal(client, rules)

    async def _seal(self, client, rules):
        """The RuleList of these rules. Sealed again if the resolvers change meanwhile."""
        names = self.names.of(client.address)
        while True:
            resolvers = self.resolvers
            made = await in_turns(sealing(rules, resolvers, names, lambda octets: self._ask_room(client, octets)))
            if resolvers == self.resolvers:
                return made

    def _ask_room(self, client, octets):
        """NoRoom if a list of so many octets, in the place of the client's present one, is more than lists may take."""
        left = self.heap * _ROOM // 12 + client.octets
        for other in self.in_force.values():
            left -= other.octets
        if octets > left:
            raise NoRoom("%d octets are needed, of those for all clients' rules %d are left" % (octets, max(left, 0)))
