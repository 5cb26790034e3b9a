"""What QubesDB says, in a form that the firewall can use: our addresses, who exists, the rules of each client.

    settings = Settings(store, firewall)
    settings.start()
    settings.attached(address), settings.detached(address)     as clients come and go

firewall gets, whenever it changes,
    set_rules(address, rule list)            of an attached client, see rulelists.py
    set_ours(address)                        the one that clients know us by, also where there is no netvm
    set_network(own, gateway, ours)          addresses on the uplink and, last, ours once more
    set_connected(addresses)                 of all clients that exist, running or not
    seeded()                                 more randomness was mixed in; at the first reading before any set_rules()
    set_policy(...), set_rates(...)          what configured.py has read
    set_shown(address, shown, gateway)       of a client that is shown another address, and gateway (0: ours)

Source: Qubes' VM interface document (vm-interface.rst); core-admin qubes/vm/mix/net.py.
"""
import binascii

import supervisor
import xen
from log import Log

from firewall.qubes import values
from firewall.qubes.configured import Configured, forgotten
from firewall.qubes.connection import Connection
from firewall.qubes.database import Database
from firewall.qubes.resolved import Resolved
from firewall.qubes.rulelists import RuleLists
from firewall.rules.names import NoNames
from firewall.wire.address import parse4, text4

_OWN = "/qubes-ip"
_GATEWAY = "/qubes-gateway"
_OURS = "/qubes-netvm-gateway"
_NETWORK = (_OWN, _GATEWAY, _OURS)
_RESOLVERS = ("/qubes-primary-dns", "/qubes-secondary-dns")
_CONNECTED = "/connected-ips"
_MAPPED = "/mapped-ip/"
_IP, _SHOWN_GATEWAY = "visible-ip", "visible-gateway"
_SEED = "/qubes-random-seed"
_READY = "/qubes-iptables-error"

_log = Log("settings")


class Settings:
    def __init__(self, store, firewall, names=None):
        """names: what host names in rules resolve to, see rules/names.py; without: the firewall's own, or none."""
        self.firewall = firewall
        self.addresses = {}  # key -> address as an int; the last good one
        self.shown = {}  # client's address -> {"visible-ip": what it believes, "visible-gateway": the same}
        self.network = None  # what set_network() was told last
        self.database = Database(self._commit, self._synced)
        self.connection = Connection(store, self.database)
        self.names = names or getattr(firewall, "names", None) or NoNames()
        self.lists = RuleLists(firewall, self.names, self.database, self.connection)
        self.configured = Configured(self.database, firewall)
        self.names.resolved = Resolved(self.database, self.connection)
        self._told = False  # that network keys are missing
        for key in _NETWORK + _RESOLVERS:
            self.database.watch(key, self._address)
        self.database.watch(_CONNECTED, self._connected)
        self.database.watch(_MAPPED, self._map, self._is_mapped)
        self.database.watch(_SEED, self._seed)

    def start(self):
        """Spawn all tasks."""
        supervisor.spawn("qubesdb", self.connection.run, supervisor.SERVICE)
        supervisor.spawn("rules", self.lists.run, supervisor.SERVICE)

    def making(self):
        """Whether a list is on its way into force."""
        return self.lists.making()

    def attached(self, address):
        """A client with this address (int) is there: put its rules in force, now or when they come."""
        self.lists.attached(address)

    def detached(self, address):
        """Its last interface is gone."""
        self.lists.detached(address)

    # ---- what the database tells --------------------------------------------------------------

    def _commit(self, text, packed):
        self.lists.commit(text, packed)

    def _synced(self):
        self.configured.synced()
        self._set_network()
        self.lists.synced()
        _log.info("%d rule trees, %d keys", len(self.database.copy.trees), len(self.database.copy.values))
        self.database.write(_READY, b"")
        missing = [key for key in (_OWN, _GATEWAY) if key not in self.addresses]
        if missing and not self._told:
            self._told = True
            _log.info("no uplink until dom0 writes %s", " and ".join(missing))

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
        resolvers = tuple(self.addresses[key] for key in _RESOLVERS if key in self.addresses)
        self.configured.set_resolvers(resolvers)
        self.names.set_resolvers(resolvers)
        self.lists.set_resolvers(resolvers)

    def _connected(self, _, value):
        if value is not None:
            found = [parse4(word) for word in _text(value).split()]
            self.firewall.set_connected(address for address in found if address >= 0)

    def _map(self, path, value):
        address, name = _mapped(path)
        if value is None and forgotten(self.database):
            return
        told = self.shown.setdefault(address, {})
        told[name] = value and values.client(_text(value))
        shown = told.get(_IP) or address
        gateway = told.get(_SHOWN_GATEWAY) or 0
        if not any(told.values()):
            del self.shown[address]
        if value is not None and not told[name]:
            _log.error("%s is no IPv4 address of a host: %r", path, value[:40])
        elif shown != address:
            _log.info("%s is shown the address %s, gateway %s", *[text4(each) for each in (address, shown, gateway)])
        show = getattr(self.firewall, "set_shown", None)
        if show:
            show(address, shown, gateway)

    def _is_mapped(self, path, value):
        """Whether a client is shown another address than its own, or gateway beside it: else its key is of no use."""
        address, name = _mapped(path)
        if address < 0:
            return False
        if name == _IP:
            return parse4(_text(value)) != address
        if name != _SHOWN_GATEWAY:
            return False
        copy = self.database.fresh or self.database.copy
        return path[: -len(name)] + _IP in copy.values or text4(address) in self.lists.in_force

    def _seed(self, _, value):
        """Mix it in; whatever it is, it makes nothing weaker."""
        if value:
            try:
                value = binascii.a2b_base64(value)
            except ValueError:
                _log.warning("%s is no base64", _SEED)
            xen.seed(value)
            self.firewall.seeded()


def _mapped(path):
    """(client's address, -1 if it is none, and the key's name) of a key below _MAPPED."""
    address, _, name = path[len(_MAPPED) :].partition("/")
    return parse4(address), name


def _text(value):
    """Octets as str; "" if they are no ASCII: then they are nothing that we expect."""
    try:
        text = value.decode()
    except ValueError:
        return ""
    return text if len(text) == len(value) else ""
