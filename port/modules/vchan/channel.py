"""A channel: a stream of octets each way between two domains, whatever carries it.

memory.py has the one over shared memory (Xen's vchan), vchansocket.py the one over Unix sockets (builds for
tests only). Nothing here has a time-out: who wants one cancels the wait, and then closes the channel, since octets
read so far may be lost with it.
"""
from loop import Flag
from peererror import PeerError


class Closed(Exception):
    """The channel has ended, here or at the other side, and all that came in before has been read. Nobody's lie."""


class Channel:
    """What both kinds share. One task may read while another writes; two writers would mix their octets.

    A kind of channel has
      capacity                how large a packet can be that goes at once, in octets
      _ready(), _room()       octets that can be read or written now; PeerError if the peer's claim cannot be
      _take(n), _put(octets, start)  move what is possible: the octets, or how many
      _arm(reading, writing)  ask the peer for an event when it writes, or when it reads
      _peer_open()            False once the peer has left
      _release()              give everything back
    """

    def __init__(self, name):
        self.name = name  # for the log: "domain 0 port 111"
        self.changed = Flag()  # set by every event; whoever waits looks again
        self.closed = False

    def is_open(self):
        """Both sides are there. What the peer wrote before it left can still be read."""
        return not self.closed and self._peer_open()

    def close(self):
        """Leave, and give memory, grants and port back. Allowed twice; who waits on the channel gets Closed."""
        if not self.closed:
            self.closed = True
            self._release()
            self.changed.set()

    def ready(self):
        """How many octets can be read without waiting. Closed; PeerError (the channel is closed then)."""
        return self._judged(self._ready)

    def room(self):
        """How many octets can be written without waiting. Errors as ready()."""
        return self._judged(self._room)

    def take(self, limit):
        """What can be read now, at most limit octets, as bytes; b"" for nothing yet. Errors as ready()."""
        n = min(self.ready(), limit)
        return self._take(n) if n else b""

    def put(self, octets, start=0):
        """Write what finds room of octets[start:]; returns how many that was. Errors as ready()."""
        if not self.is_open():
            raise Closed(self.name)
        return self._put(octets, start) if start < len(octets) and self.room() else 0

    async def wait(self, octets, room):
        """Until at least so many octets can be read or written; 0: not asked for. Closed when that can never be."""
        while not self._has(octets, room):
            self._arm(octets > 0, room > 0)
            # The peer may have written and left between our look and our request for an event, which it then does
            # not send. So look once more, and at whether it is there before looking at what it wrote.
            is_open = self.is_open()
            if self._has(octets, room):
                return
            if not is_open:
                raise Closed(self.name)
            await self.changed.wait()

    async def wait_any(self, reading, writing):
        """Until something may have become possible: reading, writing (as asked for), or wake() was called. Closed."""
        self._arm(reading, writing)
        is_open = self.is_open()
        if (reading and self.ready()) or (writing and self.room()):
            return
        if not is_open:
            raise Closed(self.name)
        await self.changed.wait()

    def wake(self):
        """End a wait_any() of another task, now or the next one at once."""
        self.changed.set()

    async def read_some(self, limit):
        """1 to limit octets, as bytes. Closed, PeerError."""
        await self.wait(1, 0)
        return self.take(limit)

    async def read(self, n):
        """Exactly n octets, as bytes. Closed if it ends before, PeerError."""
        got = b""
        while len(got) < n:
            got += await self.read_some(n - len(got))
        return got

    async def write(self, octets):
        """All of octets, in as many pieces as the peer's reading makes it. Closed, PeerError."""
        done = 0
        while done < len(octets):
            await self._wait_room(1)
            done += self.put(octets, done)

    async def write_packet(self, octets):
        """All of octets at once, for a peer that waits for whole messages. Errors as write().

        PeerError too if the ring that the peer has given us is too small for it.
        """
        if len(octets) > self.capacity:
            self.close()
            raise PeerError("%s: %d octets at once into a ring of %d" % (self.name, len(octets), self.capacity))
        await self._wait_room(len(octets))
        await self.write(octets)

    async def _wait_room(self, octets):
        if not self.is_open():
            raise Closed(self.name)
        await self.wait(0, octets)

    def _has(self, octets, room):
        return (octets and self.ready() >= octets) or (room and self.room() >= room)

    def _judged(self, look):
        if self.closed:
            raise Closed(self.name)
        try:
            return look()
        except PeerError:
            self.close()
            raise
