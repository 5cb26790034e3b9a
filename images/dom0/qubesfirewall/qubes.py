"""What `qvm-ls` says: which qubes are firewalls of our kind, and which qube has an address."""

from collections import namedtuple

from . import streams

KERNEL = "python-firewall"  # in the name of the kernel's folder: how a firewall of ours is known
MOST = 1024  # qubes looked at
FIREWALLS = 16

Qube = namedtuple("Qube", "name running address netvm kernel")


def parse(octets):
    """[Qube] of `qvm-ls --raw-data` with the fields of calls.LIST. Lines that are none are left out."""
    found = []
    for line in octets.decode("ascii", "replace").splitlines()[: MOST + 1]:
        words = [word.strip() for word in line.split("|")]
        if len(words) == 6 and words[0] != "NAME":
            name, state, _, address, netvm, kernel = (streams.clean(word) for word in words)
            found.append(
                Qube(
                    name, state.lower() in ("running", "paused", "transient"), _set(address), _set(netvm), _set(kernel)
                )
            )
    return found


def _set(word):
    return "" if word in ("-", "None", "n/a") else word.strip("*")


class Names:
    """Names by (firewall, address)."""

    def __init__(self, qubes):
        self.qubes = qubes
        self._names = {(qube.netvm, qube.address): qube.name for qube in qubes if qube.address}

    def firewalls(self, wanted=()):
        """Names of our firewalls that run, or of all wanted ones."""
        if wanted:
            return list(wanted)[:FIREWALLS]
        return [qube.name for qube in self.qubes if qube.running and KERNEL in qube.kernel][:FIREWALLS]

    def name(self, firewall, address):
        """ "" if no qube behind this firewall has the address."""
        return self._names.get((firewall, address), "")

    def find(self, name):
        """The Qube of a name, or None."""
        for qube in self.qubes:
            if qube.name == name:
                return qube
        return None
