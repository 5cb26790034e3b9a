"""What can be asked about nodes, alone or inside a transaction: the part that Store and Transaction share."""
from micropython import const
from xenbus.wire import (
    DIRECTORY,
    DIRECTORY_PART,
    GET_PERMS,
    MKDIR,
    READ,
    RM,
    SET_PERMS,
    WRITE,
    Denied,
    Missing,
    QuotaError,
    StoreError,
    checked,
    expect_ok,
    path_ok,
    strings,
    texts,
)

_PARTS_MAX = const(64)  # of one directory, restarts included; 1000 nodes of ours with long names are 20


class Nodes:
    """Needs ask(kind, payload) -> payload of the reply, and ask_all(kind, payloads) -> answered Requests.

    Paths are str: absolute, at most 3072 octets, or relative to our own directory, at most 2048. Every request
    suspends the task for one round trip, however long the daemon takes; the rings are served meanwhile. All raise
    Missing, Denied, QuotaError or another StoreError, as the daemon says. A path that ends in a slash is never sent.

    Source: Xen docs/misc/xenstore.txt.
    """

    async def read(self, path):
        """Value of a node, as bytes; b"" for one that exists and is empty."""
        return await self.ask(READ, strings(path_ok(path)))

    async def reads(self, paths):
        """read() of several nodes at once. None in the place of one that is missing or denied."""
        found = []
        for request in await self.ask_all(READ, [strings(path_ok(path)) for path in paths]):
            if request.error and not isinstance(request.error, (Missing, Denied)):
                raise request.error
            found.append(request.reply)
        return found

    async def write(self, path, value):
        """Set a node's value (bytes, or str in ASCII; by quota at most 2048 octets); makes it and its parents."""
        expect_ok(await self.ask(WRITE, _written(path, value)))

    async def writes(self, nodes):
        """write() of several (path, value) at once, of which the first that fails is told: in transactions only."""
        for request in await self.ask_all(WRITE, [_written(*node) for node in nodes]):
            if request.error:
                raise request.error
            expect_ok(request.reply)

    async def mkdir(self, path):
        """Make a node with an empty value, and its parents; one that exists stays as it is."""
        expect_ok(await self.ask(MKDIR, strings(path_ok(path))))

    async def rm(self, path):
        """Remove a node and all below. A missing node is no error, a missing parent is Missing."""
        expect_ok(await self.ask(RM, strings(path_ok(path))))

    async def directory(self, path):
        """Names of a node's children, as a list of str in no order."""
        try:
            return texts(await self.ask(DIRECTORY, strings(path_ok(path))))
        except QuotaError:  # E2BIG: more than one reply holds
            pass
        return await self._directory_in_parts(path)

    async def _directory_in_parts(self, path):
        """The same for a list over 4096 octets. Each part begins with a generation: if it changes, begin again."""
        generation, octets = None, b""
        for _ in range(_PARTS_MAX):
            part = await self.ask(DIRECTORY_PART, strings(path_ok(path), "%d" % len(octets)))
            end = part.find(b"\0")
            if end < 0 or len(part) == end + 1:
                raise StoreError("EPROTO", "part of a directory without a name")
            if octets and part[:end] != generation:
                generation, octets = None, b""
                continue
            generation = part[:end]
            octets += part[end + 1 :]
            if octets == b"\0" or octets.endswith(b"\0\0"):  # an empty name ends the list
                return texts(octets[:-1])
        raise StoreError("EPROTO", "directory without an end")

    async def get_perms(self, path):
        """Rights of a node, as a list of str such as "n5": the owner with everybody else's right, then others'."""
        return texts(await self.ask(GET_PERMS, strings(path_ok(path))))

    async def set_perms(self, path, perms):
        """Set them. One given to a domain that does not exist yet is accepted and void for ever."""
        expect_ok(await self.ask(SET_PERMS, strings(path_ok(path), *perms)))


def _written(path, value):
    octets = value.encode() if isinstance(value, str) else bytes(value)
    return checked(strings(path_ok(path)) + octets)
