"""Settings that dom0 makes by /vm-config/fw-*: from keys to values in force. docs/settings.md has them all.

A row of _TABLE is a kind of key. What its parser does not understand is told in the log and counts as None, which
closes what the setting was to limit and opens nothing: how, says the table.

Every change is in force at once: the firewall gets all values of a kind anew. What was read when a connection began
comes into force as a whole, by synced().
"""
from log import Log, get_level, set_level

from firewall.qubes import values

_PREFIX = "/vm-config/fw-"
_CREATED = ("/qubes-netvm-gateway", "/qubes-ip")  # what dom0 writes with the settings
_MOST = 100  # octets of a value

_log = Log("settings")

# how the key begins, parsers of what follows and of the value, what is expected, what a bad one does, what is affected
_TABLE = (
    ("allow-", values.number, values.pair, "IP>IP or IP>IP:tcp|udp:LOW-HIGH", "it allows nothing", ("policy",)),
    ("forward-", values.number, values.forward, "tcp|udp:PORT>IP:PORT, or that and :IP/LENGTH", "it forwards nothing",
     ("policy",)),
    ("lan-", values.client_or_all, values.block, "block", "it blocks", ("policy",)),
    ("only-", values.client, values.end, "tcp|udp:IP:PORT", "the client is shut", ("policy",)),
    ("rate-", values.client, values.rate, "0.01 to 100000 (Mbit/s)", "the client is shut", ("policy", "rates")),
    ("name-", values.number, values.wildcard, "*. and a name in lower case", "it stands for nothing", ("names",)),
    ("learn-names", values.nothing, values.switch, "on or off", "off", ("learning",)),
    ("notify", values.nothing, values.switch, "on or off", "off", ("notify",)),
    ("log", values.nothing, values.level, "error, warning, info or debug", "it has no effect", ("level_now",)),
)  # fmt: skip
_OPENING = ("allow-", "forward-", "name-")  # kinds that limit nobody


def forgotten(database):
    """Whether keys are missing because dom0's daemon was started anew, and has nothing any more."""
    return not database.synced and not any(key in database.copy.values for key in _CREATED)


class Configured:
    """firewall: told by set_policy(), set_rates() and set_notify(), and its names, see _put_in_force()."""

    def __init__(self, database, firewall):
        self.values = {row[0]: {} for row in _TABLE}  # kind -> {what follows in the key: value, None for a bad one}
        self.resolvers = ()
        self._database = database
        self._firewall = firewall
        self._due = set()
        self._level = get_level()
        database.watch("/vm-config/", self._changed, _is_ours)

    def synced(self):
        """Everything was read."""
        self._put_in_force()

    def set_resolvers(self, resolvers):
        """They are excepted from a local network that is blocked."""
        self.resolvers = resolvers
        self._due.add("policy")
        self._put_in_force()

    def _changed(self, path, value):
        name = path[len(_PREFIX) :]
        for row in _TABLE:
            key = row[1](name[len(row[0]) :]) if name.startswith(row[0]) else None
            if key is not None:
                self._set(row, path, key, value)
                break
        else:
            if value is not None:
                _log.error("%s: there is no such setting: it has no effect", path)

    def _set(self, row, path, key, value):
        kind, _, parse, expected, closed, effects = row
        found = self.values[kind]
        if value is not None:
            good = len(value) <= _MOST and all(0x20 < octet < 0x7F for octet in value)
            found[key] = parse(value.decode()) if good else None
            if found[key] is None:
                _log.error("%s: %r, expected: %s: %s", path, value[:40], expected, closed)  # at any level
        elif forgotten(self._database) and kind not in _OPENING:
            return  # that lifts no limit
        else:
            found.pop(key, None)
        self._due.update(effects)
        self._put_in_force()

    # ---- taking effect --------------------------------------------------------------------------

    def _put_in_force(self):
        """Whatever is due, once everything was read. What fails is due at the next reading too."""
        if not self._database.synced:
            return
        for effect in sorted(self._due):
            getattr(self, "_" + effect)()
            self._due.discard(effect)

    def _policy(self):
        pairs, forwards, found = {}, {}, self.values
        for value in found["allow-"].values():
            if value:
                pairs.setdefault(value[:2], []).append(value[2:])
        for number in sorted(found["forward-"]):
            value = found["forward-"][number]
            if value and value[0] << 16 | value[1] in forwards:
                _log.error("fw-forward-%d: another has this port: it forwards nothing", number)
            elif value:
                forwards[value[0] << 16 | value[1]] = value[2:]
        only = {client: end for client, end in found["only-"].items() if end}
        shut = [client for kind in ("only-", "rate-") for client, value in found[kind].items() if value is None]
        self._firewall.set_policy(pairs, forwards, found["lan-"], self.resolvers, only, shut)

    def _rates(self):
        self._firewall.set_rates({client: rate for client, rate in self.values["rate-"].items() if rate})

    def _notify(self):
        self._firewall.set_notify(self.values["notify"].get(0, False) is True)

    def _level_now(self):
        set_level(self.values["log"].get(0) or self._level)

    def _names(self):
        wildcards = {number: pattern for number, pattern in self.values["name-"].items() if pattern}
        self._firewall.names.set_wildcards(wildcards)

    def _learning(self):
        self._firewall.names.learning = self.values["learn-names"].get(0, True) is True


def _is_ours(path, _value):
    return path.startswith(_PREFIX)
