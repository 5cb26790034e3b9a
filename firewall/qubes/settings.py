"""What QubesDB says, in a form that the firewall can use: our addresses, who exists, the rules of each client.

    settings = Settings(store, firewall)
    settings.start()
    settings.attached(address), settings.detached(address)     as clients come and go

firewall gets, whenever it changes,
    set_rules(address, rule list)            of an attached client; it was parsed as a whole before
    set_ours(address)                        the one that clients know us by, also where there is no netvm
    set_network(own, gateway, ours)          addresses on the uplink and, last, ours once more
    set_connected(addresses)                 of all clients that exist, running or not
    seeded()                                 more randomness was mixed in; at the first reading before any set_rules()

A list is in force until another has been committed: not until its nodes are removed, and not until dom0's daemon has
been started again with less in it than before. A client whose tree is not whole has no list: denied. So is one whose
commit fails on its way into force, whatever the reason: the list that was in force might be the wider one. Its next
commit, or the next reading of everything, is tried anew.

Memory for lists is bounded: raw rules by ruletrees, what is made of them by _ROOM of the heap, told before it is made.

Source: Qubes' VM interface document (vm-interface.rst); core-admin qubes/vm/mix/net.py.
"""
import binascii
import gc

import loop
import supervisor
import xen
from log import Log
from micropython import const
from steps import in_turns

from firewall.qubes import ruletrees
from firewall.qubes.connection import Connection
from firewall.qubes.database import Database
from firewall.rules.matcher import DENY, sealing
from firewall.rules.names import NoNames
from firewall.rules.text import RuleError, parsing
from firewall.wire.address import parse4, text4

_SLICE = const(8)  # rules parsed before the rings have their turn
_ROOM = const(5)  # parts in 12 of the heap that sealed lists may take; raw rules and packets need the rest
_MADE = const(4)  # that part of the heap is what one list may take while it is made
_NODE_OCTETS = const(700)  # of heap for each node while its list is made: text and rule, measured: at most 670
_ANEW_NS = const(60000000000)  # from one reading of everything to the next that we ask for
_OWN = "/qubes-ip"
_GATEWAY = "/qubes-gateway"
_OURS = "/qubes-netvm-gateway"
_NETWORK = (_OWN, _GATEWAY, _OURS)
_RESOLVERS = ("/qubes-primary-dns", "/qubes-secondary-dns")
_CONNECTED = "/connected-ips"
_MAPPED = "/mapped-ip/"
_SEED = "/qubes-random-seed"
_READY = "/qubes-iptables-error"

_log = Log("settings")


class NoRoom(Exception):
    """A list is larger than what is left for lists."""


class _Client:
    """An attached one. packed: nodes of the list in force, None: there is none. octets: of heap that the list takes."""

    def __init__(self, address):
        self.address = address
        self.packed = None
        self.octets = 0
        self.note = ""  # what its list has had noted in the log


class Settings:
    def __init__(self, store, firewall, names=None):
        """names: what host names in rules resolve to, see rules/names.py."""
        self.firewall = firewall
        self.names = names or NoNames()
        self.addresses = {}  # key -> address as an int; the last good one
        self.resolvers = ()
        self.mapped = {}  # client's address -> the other one that it believes to have
        self.network = None  # what set_network() was told last
        self.heap = gc.mem_alloc() + gc.mem_free()
        self.committed = {}  # address (text) -> packed nodes to be put in force; the task empties it
        self.in_force = {}  # attached address (text) -> _Client
        self._under_way = None  # the _Client whose list is being parsed, as long as that is to come into force
        self.database = Database(self._commit, self._synced)
        self.connection = Connection(store, self.database)
        self._work = loop.Flag()
        self._told = False  # that network keys are missing
        self._read_at = -_ANEW_NS  # ns; when we asked for everything anew
        for key in _NETWORK + _RESOLVERS:
            self.database.watch(key, self._address)
        self.database.watch(_CONNECTED, self._connected)
        self.database.watch(_MAPPED, self._map, _is_mapped)
        self.database.watch(_SEED, self._seed)

    def start(self):
        supervisor.spawn("qubesdb", self.connection.run, supervisor.SERVICE)
        supervisor.spawn("rules", self._load, supervisor.SERVICE)

    # ---- clients ------------------------------------------------------------------------------

    def attached(self, address):
        """A client with this address (int) is there: put its rules in force, now or when they come."""
        text = text4(address)
        if text in self.in_force:
            return
        self.in_force[text] = _Client(address)
        self.database.kept.add(text)
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
        self.database.kept.discard(text)

    # ---- rules --------------------------------------------------------------------------------

    def _commit(self, text, packed):
        client = self.in_force.get(text)
        if client is None:
            self._tell_handled(text)  # nobody is there to whom another list could apply
            return
        try:
            self._put_in_force(text, packed)
        except Exception as error:
            self._fail(text, client, error)

    def _put_in_force(self, text, packed):
        self.committed[text] = packed
        self._work.set()

    def _tell_handled(self, text):
        self.database.handled(text)
        self.connection.wake()

    async def _load(self):
        """For the supervisor, as a SERVICE: deals with what was committed."""
        while True:
            while self.committed:
                text, packed = self.committed.popitem()
                await self.take(text, packed)
            await self._work.wait()

    async def take(self, text, packed):
        """Parse a list in slices and put it in force at one blow; what fails denies this client."""
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
        """Only when it is in force dom0 hears so."""
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
        client.packed = None  # of the next reading, too, it is news
        client.octets = 0
        self.firewall.set_rules(client.address, DENY)
        try:
            _log.error("%s: denied: its rules could not be put in force: %s", text, supervisor.explain(error))
            self._tell_handled(text)
        except MemoryError:
            gc.collect()
            _log.error("%s: denied: out of memory", text)

    async def _parse(self, text, client, packed):
        """The rule list of some nodes; DENY if any of them is no rule."""
        if packed == ruletrees.SPOILED:
            raise NoRoom("more raw rules than there is memory for")
        if ruletrees.count(packed) * _NODE_OCTETS > self.heap // _MADE:
            raise NoRoom("%d nodes, more than there is memory for" % ruletrees.count(packed))
        nodes = await in_turns(ruletrees.unpacking(packed))
        try:
            rules = await in_turns(parsing(nodes, text), _SLICE)
        except RuleError as error:
            _log.warning("%s: denied: %s", text, error)
            return DENY
        if rules.note != client.note:
            client.note = rules.note
            if rules.note:
                _log.warning("%s: %s", text, rules.note)
        nodes = None
        return await self._seal(client, rules)

    async def _seal(self, client, rules):
        """Their RuleList, with the resolvers of now."""
        while True:
            resolvers = self.resolvers
            made = await in_turns(sealing(rules, resolvers, self.names, lambda octets: self._ask_room(client, octets)))
            if resolvers == self.resolvers:
                return made

    def _ask_room(self, client, octets):
        """NoRoom if so many more than this client has now are too many."""
        left = self.heap * _ROOM // 12 + client.octets
        for other in self.in_force.values():
            left -= other.octets
        if octets > left:
            raise NoRoom("%d octets are needed, of those for all clients' rules %d are left" % (octets, max(left, 0)))

    def _synced(self):
        """Everything was read. What is in force and unchanged stays as it is; what is missing now, too."""
        self._set_network()
        trees = self.database.copy.trees
        for text, client in self.in_force.items():
            fresh = trees.packed(text)
            if fresh is not None and fresh != client.packed:
                self._commit(text, fresh)
        _log.info("%d rule trees, %d keys", len(trees), len(self.database.copy.values))
        self.database.write(_READY, b"")
        missing = [key for key in (_OWN, _GATEWAY) if key not in self.addresses]
        if missing and not self._told:
            self._told = True
            _log.info("no uplink until dom0 writes %s", " and ".join(missing))

    # ---- other keys ---------------------------------------------------------------------------

    def _address(self, key, value):
        """One of our addresses. One that is removed, or no address, changes nothing: dom0 removes none."""
        if value is None:
            return
        address = parse4(_text(value))
        if address < 0:
            _log.warning("%s is no IPv4 address: %r", key, value[:40])
        elif self.addresses.get(key) != address:
            before = self.addresses.get(key)
            self.addresses[key] = address
            try:
                if key in _RESOLVERS:
                    self._set_resolvers()
                else:
                    self._set_network()
            except BaseException:
                del self.addresses[key]  # so that it is news at the next reading
                if before is not None:
                    self.addresses[key] = before
                raise

    def _set_network(self):
        # while everything is read the keys come in any order: _synced() does it then, once
        if not self.database.synced:
            return
        if _OURS in self.addresses:
            self.firewall.set_ours(self.addresses[_OURS])
        if _OWN in self.addresses and _GATEWAY in self.addresses:
            network = tuple(self.addresses.get(key, 0) for key in _NETWORK)
            if network != self.network:
                self.firewall.set_network(*network)
                self.network = network

    def _set_resolvers(self):
        """Lists are sealed with the resolvers in them: do it again, but where another is on its way, which sees to it."""
        self.resolvers = tuple(self.addresses[key] for key in _RESOLVERS if key in self.addresses)
        for text, client in self.in_force.items():
            if client.packed is not None and text not in self.committed and client is not self._under_way:
                self._commit(text, client.packed)

    def _connected(self, _, value):
        if value is not None:
            found = [parse4(word) for word in _text(value).split()]
            self.firewall.set_connected(address for address in found if address >= 0)

    def _map(self, path, value):
        address = parse4(path[len(_MAPPED) :].partition("/")[0])
        if value is None:
            self.mapped.pop(address, None)
        else:
            self.mapped[address] = parse4(_text(value))
            _log.warning("%s shows itself another address, %s: not supported", text4(address), _text(value))

    def _seed(self, _, value):
        """Mix it in; whatever it is, it makes nothing weaker."""
        if value:
            try:
                value = binascii.a2b_base64(value)
            except ValueError:
                _log.warning("%s is no base64", _SEED)
            xen.seed(value)
            self.firewall.seeded()


def _is_mapped(path, value):
    """Whether a client is shown another address than its own: only then is its key of use."""
    address, _, name = path[len(_MAPPED) :].partition("/")
    return name == "visible-ip" and parse4(_text(value)) not in (-1, parse4(address))


def _text(value):
    """Octets as str; "" if they are no ASCII: then they are nothing that we expect."""
    return value.decode() if all(octet < 0x80 for octet in value) else ""
