"""The page shared with xenstored: one ring of 1024 octets each way, through which messages of any size stream.

Indices run freely modulo 2**32 and need not begin at 0: a boot loader may have been here before us. Whoever waits
for room in the request ring must go on emptying the other one, or both sides stand still: send() and receive()
therefore move what is possible and never wait.

Source: Xen public/io/xs_wire.h, docs/misc/xenstore-ring.txt.
"""
import xen
from micropython import const
from xenbus.wire import ProtocolError

RING = const(1024)  # octets each way
_MASK = const(0xFFFFFFFF)
_RESPONSES = const(1024)  # offset of the second ring

# offset in u32 words, and who writes it
_REQ_CONS = const(512)  # the daemon
_REQ_PROD = const(513)  # we
_RSP_CONS = const(514)  # we
_RSP_PROD = const(515)  # the daemon
_FEATURES = const(516)  # the daemon
_CONNECTION = const(517)  # we ask, the daemon answers
_ERROR = const(518)  # the daemon

_CAN_RECONNECT = const(1)  # in features
_CONNECTED = const(0)
_RECONNECT = const(1)


class Ring:
    """page: 4096 octets; port: our event channel to the daemon."""

    def __init__(self, page, port):
        self.octets = memoryview(page)
        self.words = xen.view(page, "I")
        self.port = port

    def connected(self):
        """False while the daemon is about to begin the connection anew, or has not begun at all."""
        return self.words[_CONNECTION] == _CONNECTED

    def reconnect(self):
        """Ask the daemon to forget all about this connection, indices included. False: it cannot do that."""
        if not self.words[_FEATURES] & _CAN_RECONNECT:
            return False
        self.words[_CONNECTION] = _RECONNECT
        xen.evtchn_send(self.port)
        return True

    def drop_received(self):
        """Throw away what has come in, however much the daemon claims that is."""
        self.words[_RSP_CONS] = self.words[_RSP_PROD]
        xen.evtchn_send(self.port)

    def send(self, message, done):
        """Put what finds room of message[done:] into the ring; returns how many octets that was, often 0.

        ProtocolError: the daemon's index or its error word makes no sense.
        """
        self._check_error()
        prod = self.words[_REQ_PROD]
        used = (prod - self.words[_REQ_CONS]) & _MASK
        if used > RING:
            raise ProtocolError("request ring holds %d octets" % used)
        n = min(RING - used, len(message) - done)
        if n == 0:
            return 0
        at = prod % RING
        first = min(n, RING - at)  # up to the ring's end, the rest at its start
        self.octets[at : at + first] = message[done : done + first]
        if n > first:
            self.octets[: n - first] = message[done + first : done + n]
        xen.mb()  # the octets before the index
        self.words[_REQ_PROD] = (prod + n) & _MASK
        xen.mb()  # our index before the look at its own: what it has not taken yet it goes on with, without an event
        if self.words[_REQ_CONS] == prod:
            xen.evtchn_send(self.port)
        return n

    def receive(self, limit):
        """At most limit octets of what has come in, as bytes; b"" for nothing. ProtocolError as send()."""
        self._check_error()
        cons = self.words[_RSP_CONS]
        waiting = (self.words[_RSP_PROD] - cons) & _MASK
        if waiting > RING:
            raise ProtocolError("response ring holds %d octets" % waiting)
        n = min(waiting, limit)
        if n == 0:
            return b""
        xen.mb()  # the index before the octets
        at = cons % RING
        got = bytes(self.octets[_RESPONSES + at : _RESPONSES + min(at + n, RING)])
        if len(got) < n:
            got += bytes(self.octets[_RESPONSES : _RESPONSES + n - len(got)])
        xen.mb()  # the octets are copied before the daemon may overwrite them
        self.words[_RSP_CONS] = (cons + n) & _MASK
        xen.mb()  # our index before the look at its own: it fills the ring before, and is told, or sees the room
        if (self.words[_RSP_PROD] - cons) & _MASK >= RING:
            xen.evtchn_send(self.port)  # it waits for room
        return got

    def _check_error(self):
        if self.words[_ERROR]:
            raise ProtocolError("daemon reports error %d" % self.words[_ERROR])
