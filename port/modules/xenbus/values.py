"""What stands in xenstore about a device, read strictly: one function for each kind of value.

A frontend's directory is the client's to fill: whatever is no plain number reads as the default, and required
numbers that are missing raise PeerError.
"""
from peererror import PeerError
from xenbus.wire import Denied, Missing


def decimal(octets, limit):
    """The number that these octets spell, 0 to limit; None if they spell none."""
    if not 0 < len(octets) <= 10:
        return None
    for octet in octets:
        if not 0x30 <= octet <= 0x39:
            return None
    value = int(octets)
    return value if value <= limit else None


def mac(octets):
    """Six octets of an Ethernet address written as aa:bb:cc:dd:ee:ff; None for anything else, a group's, or zeros."""
    parts = octets.split(b":")
    if len(parts) != 6:
        return None
    out = bytearray()
    for part in parts:
        if len(part) != 2 or any(digit not in b"0123456789abcdefABCDEF" for digit in part):
            return None
        out.append(int(part, 16))
    return None if out[0] & 1 or not any(out) else bytes(out)


async def read(store, path):
    """Value of a node, or b"" when it is not there. A node below a directory we may not read is not there."""
    try:
        return await store.read(path)
    except (Missing, Denied):
        return b""


async def reads(store, directory, names):
    """Values of several nodes of a directory, asked at once; b"" for each that is not there."""
    return [value or b"" for value in await store.reads([directory + "/" + name for name in names])]


def demanded(name, octets, limit):
    """The number that a node must hold, of what was read. PeerError."""
    value = decimal(octets, limit)
    if value is None:
        raise PeerError("%s is %r, not a number up to %d" % (name, bytes(octets[:20]), limit))
    return value
