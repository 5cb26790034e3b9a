"""What names of rules resolved to, for dom0 to read: /dns/<client>/<name>, as the Linux agent writes it.

The value is the text of a Python set of networks. A name whose path is longer than QubesDB takes is left out. A key is
removed when the name is no longer in the client's rules, or has no address; that is asked of dom0 only for a key that
it has said to have on this connection, as one that is not there would cost the channel. Else it becomes the empty set.
"""
from micropython import const

from firewall.qubes import messages
from firewall.qubes.database import RESOLVED
from firewall.wire.address import text4

_KEYS = const(512)  # at most, of all clients
_VALUE = const(1500)  # octets, some 80 addresses; 256 of these may wait for dom0
_NOTHING = b"set()"


class Resolved:
    """database, connection: settings'."""

    def __init__(self, database, connection):
        self._database = database
        self._connection = connection
        self._written = {}  # path -> hash of the value

    def update(self, client, names, most):
        """Tell dom0 what is news, `most` keys or a few more; how many were told.

        names: {name: addresses} of all that the rules of this client (text) have, and that were answered.
        """
        told = 0
        base = "%s%s/" % (RESOLVED, client)
        wanted = {}
        for name, addresses in names.items():
            if addresses and messages.writable(base + name):
                wanted[base + name] = _value(addresses)
        for path in [path for path in self._written if path.startswith(base) and path not in wanted]:
            if self._database.remove(path) or self._database.write(path, _NOTHING):
                del self._written[path]
                told += 1
        for path, value in wanted.items():
            if told >= most:
                break
            if self._written.get(path) == hash(value) or path not in self._written and len(self._written) >= _KEYS:
                continue
            if self._database.write(path, value):
                self._written[path] = hash(value)
                told += 1
        self._connection.wake()
        return told


def _value(addresses):
    """{'192.0.2.1/32', '192.0.2.2/32'}, in order, as many as fit."""
    found = []
    left = _VALUE
    for address in sorted(addresses):
        text = "'%s/32'" % text4(address)
        left -= len(text) + 2
        if left < 0:
            break
        found.append(text)
    return ("{%s}" % ", ".join(found)).encode()
