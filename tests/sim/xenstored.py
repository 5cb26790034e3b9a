"""The daemon at the other end of a guest's xenstore ring: the wire protocol, and ways to get it wrong.

    daemon = Xenstored(store)
    end = daemon.attach(ring, domid, notify)     # ring: memoryview of the page; notify(): send the event channel
    end.serve()                                  # when the guest has sent its event

What a test may bend, on an End:
    end.lies         a list of functions, or a dict {number of a reply: function}, each lie(reply) -> what to send
                     instead (see Reply); None: be honest. A list is used up from its front, one for each reply.
    end.lie          the same function for every reply
    end.chunk        at most so many octets are put into the ring at a time, with an event after each (None: as fits)
    end.silent       while True nothing is read nor answered
    end.refuse       a function of (type, payload), asked before a request is obeyed: the error to answer instead, or None
    end.send(octets) raw octets into the guest's ring

Source: docs/misc/xenstore.txt, xenstore-ring.txt; public/io/xs_wire.h.
"""
import struct

from store import PAYLOAD_MAX, StoreError

(CONTROL, DIRECTORY, READ, GET_PERMS, WATCH, UNWATCH, TRANSACTION_START, TRANSACTION_END, INTRODUCE, RELEASE,
 GET_DOMAIN_PATH, WRITE, MKDIR, RM, SET_PERMS, WATCH_EVENT, ERROR, IS_DOMAIN_INTRODUCED, RESUME,
 SET_TARGET) = range(20)
RESET_WATCHES, DIRECTORY_PART = 21, 22

HEADER = struct.Struct("<IIII")  # type, request id, transaction id, octets of payload
RING = 1024  # octets, each direction
REQ, RSP = 0, 1024  # offsets of the two rings
REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, FEATURES, CONNECTION, ERROR_FIELD = range(512, 519)  # 32-bit words
FEATURE_RECONNECTION, FEATURE_ERROR = 1, 2
ERROR_COMM, ERROR_RINGIDX, ERROR_PROTO = 1, 2, 3
OUTSTANDING = 20  # replies and events not yet in the ring: then no more requests are read


class Reply:
    """One message to the guest, as it is about to be sent. A lie may change it in place, or return octets instead."""

    def __init__(self, type, req_id, tx_id, payload):
        self.type = type
        self.req_id = req_id
        self.tx_id = tx_id
        self.payload = payload
        self.length = None  # what the header says; None: the truth

    def octets(self):
        length = len(self.payload) if self.length is None else self.length
        return HEADER.pack(self.type, self.req_id & 0xFFFFFFFF, self.tx_id & 0xFFFFFFFF, length) + self.payload


class Xenstored:
    def __init__(self, store):
        self.store = store
        self.ends = {}  # domid: End

    def attach(self, ring, domid, notify, first_index=0):
        """Serve a guest. first_index: where the ring's counters stand, as left by whoever ran there before."""
        end = End(self.store, ring, domid, notify, first_index)
        self.ends[domid] = end
        self.store.introduced.add(domid)
        return end

    def detach(self, domid):
        end = self.ends.pop(domid, None)
        if end:
            end.client.leave()
            self.store.introduced.discard(domid)


class End:
    def __init__(self, store, ring, domid, notify, first_index=0):
        self.store = store
        self.ring = ring
        self.words = ring.cast("I")
        self.notify = notify
        self.client = store.client(domid, self._event)
        self.received = bytearray()  # a request that has not come whole
        self.waiting = []  # octets of messages that found no room yet
        self.replies = 0  # sent so far, lies included
        self.requests = []  # (type, payload) of all that came, for tests to look at
        self.lies = []
        self.lie = None
        self.chunk = None
        self.silent = False
        self.refuse = None
        for word in (REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD):
            self.words[word] = first_index & 0xFFFFFFFF
        self.words[FEATURES] = FEATURE_RECONNECTION | FEATURE_ERROR

    # ---- the ring

    def serve(self):
        """Take what the guest has sent, answer it, and pass on what had no room. Returns whether anything moved."""
        if self.silent or self.words[ERROR_FIELD]:
            return False
        if self.words[CONNECTION]:
            self._reconnect()
            return True
        moved = self._flush()
        while len(self.waiting) <= OUTSTANDING and self._receive():
            moved = True
            while self._request():
                pass
        return self._flush() or moved

    def _reconnect(self):
        self.client.reset()
        self.received.clear()
        self.waiting.clear()
        for word in (REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, CONNECTION):
            self.words[word] = 0
        self.notify()

    def _fail(self, error):
        self.words[ERROR_FIELD] = error
        self.notify()

    def _receive(self):
        """Read the request ring once. True if there was anything."""
        cons, prod = self.words[REQ_CONS], self.words[REQ_PROD]
        n = (prod - cons) & 0xFFFFFFFF
        if n > RING:
            self._fail(ERROR_RINGIDX)
            return False
        at = cons % RING
        first = min(n, RING - at)
        self.received += self.ring[REQ + at : REQ + at + first]
        self.received += self.ring[REQ : REQ + n - first]
        self.words[REQ_CONS] = prod
        if n:
            self.notify()  # it may wait for room
        return n > 0

    def _flush(self):
        """Put waiting messages into the response ring, as far as they fit. True if anything was put."""
        put = False
        while self.waiting:
            cons, prod = self.words[RSP_CONS], self.words[RSP_PROD]
            room = RING - ((prod - cons) & 0xFFFFFFFF)
            if room < 0:
                self._fail(ERROR_RINGIDX)
                break
            part = self.waiting[0][: min(room, self.chunk or RING)]
            if not part:
                break
            at = prod % RING
            first = part[: RING - at]
            self.ring[RSP + at : RSP + at + len(first)] = first
            self.ring[RSP : RSP + len(part) - len(first)] = part[len(first) :]
            self.words[RSP_PROD] = (prod + len(part)) & 0xFFFFFFFF
            self.waiting[0] = self.waiting[0][len(part) :]
            if not self.waiting[0]:
                self.waiting.pop(0)
            put = True
            if self.chunk:
                break  # the guest runs before the next one
        if put:
            self.notify()
        return put

    def send(self, octets):
        """Raw octets to the guest, honest or not."""
        if octets:
            self.waiting.append(bytes(octets))
            self._flush()

    def _event(self, path, token):
        self._say(Reply(WATCH_EVENT, 0, 0, path + b"\0" + token + b"\0"))

    def _say(self, reply):
        number = self.replies
        self.replies += 1
        lie = self.lie
        if isinstance(self.lies, dict):
            lie = self.lies.get(number, lie)
        elif self.lies:
            lie = self.lies.pop(0) or lie
        octets = lie(reply) if lie else reply
        if isinstance(octets, Reply):
            octets = octets.octets()
        if octets:  # None: silence
            self.waiting.append(bytes(octets))

    # ---- requests

    def _request(self):
        """Answer one whole request. True if there was one."""
        if len(self.received) < HEADER.size:
            return False
        type, req_id, tx_id, length = HEADER.unpack_from(self.received)
        if length > PAYLOAD_MAX:
            self._fail(ERROR_PROTO)
            return False
        if len(self.received) < HEADER.size + length:
            return False
        payload = bytes(self.received[HEADER.size : HEADER.size + length])
        del self.received[: HEADER.size + length]
        self.requests.append((type, payload))
        try:
            answer = self._answer(type, payload, tx_id)
        except StoreError as error:
            type, answer = ERROR, str(error).encode() + b"\0"
        self._say(Reply(type, req_id, tx_id, answer))
        if type == WATCH:  # once up front, with the path as it was named
            self._event(*payload.split(b"\0")[:2])
        self._flush()
        return True

    def _strings(self, payload, n):
        """Exactly n strings, each ended by a NUL. EINVAL."""
        parts = payload.split(b"\0")
        if len(parts) != n + 1 or parts[-1]:
            raise StoreError("EINVAL")
        return parts[:-1]

    def _path(self, payload):
        """The path of a request that has nothing else."""
        return self._strings(payload, 1)[0]

    def _answer(self, type, payload, tx):
        word = self.refuse and self.refuse(type, payload)
        if word:
            if type == TRANSACTION_END and tx in self.client.transactions:
                self.client.end(tx, False)  # an end that fails is an end, as with both daemons
            raise StoreError(word)
        function = _ANSWERS.get(type)
        if function is None:
            raise StoreError("ENOSYS")
        return function(self, payload, tx)

    def _privileged(self, payload, tx):
        raise StoreError("EACCES")

    def _directory(self, payload, tx):
        names = b"".join(name + b"\0" for name in self.client.directory(self._path(payload), tx))
        if len(names) > PAYLOAD_MAX:
            raise StoreError("E2BIG")
        return names

    def _directory_part(self, payload, tx):
        path, offset = self._strings(payload, 2)
        if not offset.isdigit():
            raise StoreError("EINVAL")
        names = b"".join(name + b"\0" for name in self.client.directory(path, tx))
        head = b"%d\0" % self.client.generation(path, tx)
        part = names[int(offset) :]
        room = PAYLOAD_MAX - len(head) - 1
        if len(part) > room:  # whole names only
            return head + part[: part.rfind(b"\0", 0, room) + 1]
        return head + part + b"\0"  # an empty name: the end

    def _read(self, payload, tx):
        return self.client.read(self._path(payload), tx)

    def _write(self, payload, tx):
        path, separator, value = payload.partition(b"\0")
        if not separator:
            raise StoreError("EINVAL")
        self.client.write(path, value, tx)
        return b"OK\0"

    def _mkdir(self, payload, tx):
        self.client.mkdir(self._path(payload), tx)
        return b"OK\0"

    def _rm(self, payload, tx):
        self.client.remove(self._path(payload), tx)
        return b"OK\0"

    def _get_perms(self, payload, tx):
        perms = self.client.get_perms(self._path(payload), tx)
        return b"".join(b"%s%d\0" % (letter.encode(), domid) for letter, domid in perms)

    def _set_perms(self, payload, tx):
        path, *texts = payload.split(b"\0")
        if not texts or texts.pop() or any(not text[1:].isdigit() for text in texts):
            raise StoreError("EINVAL")
        self.client.set_perms(path, [(chr(text[0]), int(text[1:])) for text in texts], tx)
        return b"OK\0"

    def _watch(self, payload, tx):
        self.client.watch(*self._strings(payload, 2))
        return b"OK\0"

    def _unwatch(self, payload, tx):
        self.client.unwatch(*self._strings(payload, 2))
        return b"OK\0"

    def _reset(self, payload, tx):
        self.client.reset()
        return b"OK\0"

    def _start(self, payload, tx):
        if tx:
            raise StoreError("EBUSY")
        return b"%d\0" % self.client.start()

    def _end(self, payload, tx):
        if payload not in (b"T\0", b"F\0"):
            raise StoreError("EINVAL")
        self.client.end(tx, payload == b"T\0")
        return b"OK\0"

    def _domid(self, payload):
        text = self._path(payload)
        if not text.isdigit():
            raise StoreError("EINVAL")
        return int(text)

    def _domain_path(self, payload, tx):
        return b"/local/domain/%d\0" % self._domid(payload)

    def _introduced(self, payload, tx):
        return b"T\0" if self._domid(payload) in self.store.introduced else b"F\0"


_ANSWERS = {
    CONTROL: End._privileged,
    DIRECTORY: End._directory,
    READ: End._read,
    GET_PERMS: End._get_perms,
    WATCH: End._watch,
    UNWATCH: End._unwatch,
    TRANSACTION_START: End._start,
    TRANSACTION_END: End._end,
    INTRODUCE: End._privileged,
    RELEASE: End._privileged,
    GET_DOMAIN_PATH: End._domain_path,
    WRITE: End._write,
    MKDIR: End._mkdir,
    RM: End._rm,
    SET_PERMS: End._set_perms,
    IS_DOMAIN_INTRODUCED: End._introduced,
    RESUME: End._privileged,
    SET_TARGET: End._privileged,
    RESET_WATCHES: End._reset,
    DIRECTORY_PART: End._directory_part,
}
