"""The connection to xenstored: requests into the ring, replies to whoever waits, again from the start if need be.

One task, run(), does it all. No request has a time-out: a slow daemon is waited for (patience.py), while everything
else goes on.

xenstored is dom0's and trusted, but its octets are judged all the same. An answer without sense to one request is
that request's StoreError EPROTO. A reply nobody waits for, a length or an index that cannot be: ProtocolError ends
run(), and the supervisor starts it again with growing delay. It then begins the connection anew, and requests
without an answer are sent again; only transactions are lost (Again), and begin again by themselves.

Source: Xen docs/misc/xenstore-ring.txt, public/io/xs_wire.h.
"""
import xen
import loop
from asyncio import sleep_ms
from log import Log
from micropython import const
from xenbus.request import Request
from xenbus.ring import RING, Ring
from xenbus.wire import (
    ERROR,
    GET_DOMAIN_PATH,
    HEADER,
    RESET_WATCHES,
    WATCH_EVENT,
    Again,
    ProtocolError,
    error,
    pack,
    unpack_header,
)

_UNANSWERED_MAX = const(19)  # xenstored's quota for a domain is 20; one is kept for a probe
_CONNECTION_LOOK_MS = const(10000)  # for a daemon that has connected, should its event not have come
_RESET_MS = const(10000)  # then RESET_WATCHES is sent again, and again after twice the time
_RESET_LAST_MS = const(640000)  # at last; the ring holds 60 of them

_log = Log("xenstore")


class Connection:
    """page, port: from xen.xenstore(). on_event(payload) is called for each watch event, on_begin() whenever the
    daemon has forgotten all watches."""

    def __init__(self, page, port, on_event, on_begin):
        self.ring = Ring(page, port)
        self.on_event = on_event
        self.on_begin = on_begin
        self.number = 0  # of this connection; counts the beginnings
        self.queue = []  # Requests not yet in the ring
        self.sent = {}  # req_id -> Request without an answer
        self._next_id = 1 + int.from_bytes(xen.random(3), "little")  # a boot loader's late replies have others
        self._out = b""  # message being put into the ring
        self._out_done = 0  # octets of it that are in
        self._in = bytearray()  # what came in and is no whole message yet
        self._wake = loop.Flag()  # the ring has news, or the queue has
        self.asked = loop.Flag()  # something waits for an answer
        self.heard = loop.Flag()  # a request was answered, or will not be
        self._distrusted = None  # why the connection has to begin anew
        self._probe = None
        loop.bind(port, self._wake.set)

    async def exchange(self, request):
        """Queue the request and wait for its answer; returns it with its reply, or raises its error."""
        await self.exchange_all((request,))
        if request.error:
            raise request.error
        return request

    async def exchange_all(self, requests):
        """exchange() of several at once, which the daemon answers in order. Each has its reply or error then."""
        self.queue += requests
        self._wake.set()
        try:
            for request in requests:
                await request.answered.wait()
        except BaseException:  # cancelled, or out of memory
            for request in requests:
                self._abandon(request)
            raise

    def post(self, kind, payload, tx_id=0):
        """Send a request whose answer does not matter. Never raises: without memory the connection begins anew."""
        try:
            request = Request(kind, payload, tx_id)
            request.orphan = True
            self.queue.append(request)
        except MemoryError:
            self.distrust("no memory to end what the daemon keeps for us")
        self._wake.set()

    def probe(self):
        """A harmless request, sent before all others and beyond the quota of other requests; one at a time."""
        self._probe = Request(GET_DOMAIN_PATH, b"0\0")
        self._probe.orphan = True
        self.queue.insert(0, self._probe)
        self._wake.set()
        return self._probe

    def distrust(self, why):
        """Let the connection begin anew."""
        self._distrusted = why
        self._wake.set()

    def _abandon(self, request):
        if request in self.queue:
            self.queue.remove(request)
            request.answered.set()  # patience.py may wait for it
            self.heard.set()
        elif not request.answered.is_set():
            request.orphan = True
        elif request.late:
            request.late(request)

    # ---- moving octets ------------------------------------------------------------------------

    async def run(self):
        """For the supervisor, as a SERVICE. Ends only by ProtocolError; what was asked stays asked."""
        await self._begin()
        while True:
            if self._distrusted:
                raise ProtocolError(self._distrusted)
            moved = self._send()
            if self._receive():
                self._take_messages()
                moved = True
            if moved:
                await sleep_ms(0)  # however fast the daemon talks, other tasks have their turn
            else:
                await self._wake.wait()

    def _send(self):
        """Put requests into the ring while there is room and quota. True if anything went."""
        moved = self._put()
        while self._out_done == len(self._out) and self.queue:
            if len(self.sent) >= _UNANSWERED_MAX + (self.queue[0] is self._probe):
                break
            request = self.queue[0]
            message = pack(request.kind, self._next_id, request.tx_id, request.payload)
            self._enter(request)
            self.queue.pop(0)  # nothing is refused from here on: it is always in one of both
            self._out = message
            self._out_done = 0
            moved = self._put() or moved
        return moved

    def _enter(self, request):
        """From now on this request waits for its answer, by the next number."""
        req_id = self._next_id
        self.sent[req_id] = request
        self._next_id = req_id % 0xFFFFFFFF + 1  # 0 is for watch events
        request.req_id = req_id
        request.sent_at = request.sent_at or xen.ns()
        self.asked.set()

    def _put(self):
        n = self.ring.send(self._out, self._out_done) if self._out_done < len(self._out) else 0
        self._out_done += n
        return n > 0

    def _receive(self):
        got = self.ring.receive(RING)
        self._in += got
        return len(got) > 0

    def _take_messages(self):
        """Deal with all whole messages that have come in."""
        at = 0
        while len(self._in) - at >= HEADER:
            kind, req_id, _, octets = unpack_header(self._in, at)
            end = at + HEADER + octets
            if len(self._in) < end:
                break
            payload = bytes(self._in[at + HEADER : end])
            at = end
            if kind == WATCH_EVENT:
                self.on_event(payload)
            else:
                self._answer(kind, req_id, payload)
        self._in = self._in[at:]

    def _answer(self, kind, req_id, payload):
        request = self.sent.get(req_id)
        if request is None or (kind != request.kind and kind != ERROR):
            raise ProtocolError("reply of type %d to request %d" % (kind, req_id))
        if kind == ERROR:
            request.error = error(payload, request.about())
        else:
            request.reply = payload
        request.connection = self.number
        del self.sent[req_id]  # what needs memory is done: the request is not lost
        request.answered.set()
        self.heard.set()
        if request.orphan and request.late:
            request.late(request)

    # ---- beginning, and beginning anew --------------------------------------------------------

    async def _begin(self):
        """Begin with a daemon that knows nothing of us: no watch, no transaction.

        A daemon that can reconnect empties both rings as well. Otherwise the rest of a message half sent has to
        follow, and what comes in may start in the middle of one, or be meant for whoever was here before us: all of
        it is skipped, up to the reply to our RESET_WATCHES.
        """
        again = self.number > 0
        self.number += 1
        self._distrusted = None
        if again:
            self._fall_back()
            if self.ring.reconnect():
                self._out = b""
                self._out_done = 0
            else:
                self.ring.drop_received()
        reset = Request(RESET_WATCHES, b"\0")
        self._enter(reset)
        while not self.ring.connected():
            await self._wake.wait_ms(_CONNECTION_LOOK_MS)
        self._in = bytearray()
        delay_ms = _RESET_MS
        while not await self._reset(reset, delay_ms):
            del self.sent[reset.req_id]
            self._enter(reset)
            delay_ms = min(2 * delay_ms, _RESET_LAST_MS)
        del self.sent[reset.req_id]
        reset.answered.set()
        self.heard.set()
        self.on_begin()
        _log.debug("connection %d", self.number)

    async def _reset(self, reset, delay_ms):
        """Send RESET_WATCHES and skip octets up to its reply. False: not here in time, so send another.

        The daemon works in order: the reply to the latest comes after all others.
        """
        until = xen.ns() + delay_ms * 1000000
        self._out = self._out[self._out_done :] + pack(RESET_WATCHES, reset.req_id, 0, reset.payload)
        self._out_done = 0
        while not self._reset_answered(reset.req_id):
            left_ms = (until - xen.ns()) // 1000000
            if left_ms <= 0:
                return False
            moved = self._put()
            if self._receive() or moved:
                await sleep_ms(0)
                continue
            await self._wake.wait_ms(left_ms)
        return True

    def _fall_back(self):
        """Requests without an answer return to the queue, but those of transactions, which are over."""
        unanswered = list(self.sent.values()) + self.queue
        over = Again("EAGAIN", "connection began anew")
        queue, sent = [request for request in unanswered if not request.ends()], {}
        self.queue, self.sent = queue, sent  # nothing is refused from here on
        for request in unanswered:
            if request.ends():
                request.error = over
                request.answered.set()
                self.heard.set()

    def _reset_answered(self, req_id):
        """Skip what came in, up to and including the reply to RESET_WATCHES; False if that is not here yet."""
        for kind in (RESET_WATCHES, ERROR):  # a daemon that does not know it: nothing to be done
            at = self._in.find(pack(kind, req_id, 0, b"")[:12])
            if at < 0:
                continue
            if len(self._in) >= at + HEADER:
                end = at + HEADER + unpack_header(self._in, at)[3]
                if len(self._in) >= end:
                    self._in = self._in[end:]
                    return True
            return False
        self._in = self._in[-HEADER:]  # its beginning may be here
        return False
