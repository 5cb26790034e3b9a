"""The tx ring of one connected client: frames that it sends.

Requests are copied once into a Batch, judged there (netif.parse), and their data copied by Xen into our own pages, one
operation a slot; then they are answered, whatever becomes of the frames.
"""
import xen
from micropython import const
from net import netif
from net.endpoint import Endpoint
from net.frame import HEADERS, Frame
from net.netif import TX_WORDS
from peererror import PeerError

_FIRST_WORD = const(16)
_LAST = const(255)  # slot of a ring
_DROPPED = const(0xFFFE0000)  # netif.DROPPED where a response has its status
_ERROR = const(0xFFFF0000)  # netif.ERROR where a response has its status


class Intake(Endpoint):
    """What a BackLink does with its tx ring."""

    def receive(self, batch, copies, slots):
        """Frames from the tx ring, in our pages, at least one and about `slots` slots of them; fewer without pages.

        All requests taken are answered. Raises PeerError. What there is no memory for stays in the client's ring.
        batch: for the requests, in which as many slots may begin; copies: for their data.
        """
        waiting = self.tx.waiting()
        if waiting == 0:
            return ()
        frames = ()
        try:
            frames = []
            taken = self._take(batch, min(waiting, slots + netif.CHAIN), slots, frames, copies)
            copies.run()
        except BaseException as exception:
            self._forget(frames, copies)
            if isinstance(exception, MemoryError):
                return ()
            raise
        return self._give(batch, frames, taken, copies)

    def _take(self, batch, n, slots, frames, copies):
        """Judge requests and order their data: a row of the batch and a Frame, or None, for each. How many slots."""
        batch.begin(self.tx.words, self.tx.req_cons, TX_WORDS, netif.TX_FLAGS)
        first = 0
        pages = min(self.pool.free, copies.room())
        while first < n and first < slots:
            try:
                row = netif.parse(batch, first, batch.take(first, n))
            except PeerError:
                if first:
                    break  # what stands in front of the lie is in order; it is found again
                raise
            parts = batch.parts[row]
            if parts > pages:
                batch.packets = row
                break  # what we have no room for stays in the client's own ring
            pages -= parts
            frame = None if batch.bad[row] else Frame(False, False, 0)
            frames.append(frame)
            if frame:
                if batch.offloads[row] or batch.gso_size[row]:
                    batch.describe(row, frame)
                self._fetch(batch, row, frame, copies)
            first = batch.end[row]
        return first

    def _fetch(self, batch, row, frame, copies):
        """Order the copies of a packet's data into pages of ours."""
        batch.operation[row] = copies.count
        part = batch.part[row]
        page = -1
        try:
            for part in range(part, part + batch.parts[row]):
                octets = batch.length[part]
                page = taken = self.pool.take()
                frame.add(page, 0, octets)
                page = -1  # it is the frame's
                copies.in_(self.domid, batch.gref[part], batch.offset[part], self.pool.gfn(taken), 0, octets)
                self.pool.written(taken, octets)
        finally:
            if page >= 0:
                self.pool.give(page)

    def _forget(self, frames, copies):
        """Nothing is taken."""
        for frame in frames:
            if frame:
                frame.release(self.pool)
        copies.forget()

    def _give(self, batch, frames, taken, copies):
        """Answer the requests; only frames that are here whole stay in the list. Allocates nothing."""
        whole = 0
        for row in range(batch.packets):
            frame = frames[row]
            if frame:
                self.from_packets += 1
                self.from_octets += batch.octets[row]
            if self._answer(batch, row, copies) and self._level(frame):
                frames[whole] = frame
                whole += 1
            else:
                self.failed += 1
                if frame:
                    frame.release(self.pool)
        while len(frames) > whole:
            frames.pop()
        self.tx.req_cons = (self.tx.req_cons + taken) & 0xFFFFFFFF
        if taken and self.tx.publish():
            xen.evtchn_send(self.port)
        return frames

    def dismiss(self):
        """Answer all requests that wait: what they ask for is dropped. How many they were.

        For a link that nobody uses any more: a frontend that goes while requests have no answer complains of each, and
        may crash of it (Linux from 6.18 on). Of one whose ring makes no sense nothing is answered. Allocates nothing.
        """
        tx = self.tx
        try:
            waiting = tx.waiting()
        except PeerError:
            return 0
        words = tx.words
        asked, told = tx.req_cons, tx.rsp_prod
        extra = more = 0
        for i in range(waiting):
            at = _FIRST_WORD + (asked + i & _LAST) * TX_WORDS
            response = netif.NULL << 16
            if extra:
                extra = words[at] >> 8 & netif.EXTRA_MORE
            else:
                flags = words[at + 1] >> 16
                extra = 0 if more else flags & netif.EXTRA_INFO
                more = flags & netif.MORE_DATA
                response = words[at + 2] & 0xFFFF | _DROPPED
            words[_FIRST_WORD + (told + i & _LAST) * TX_WORDS] = response
        tx.req_cons = asked + waiting & 0xFFFFFFFF
        tx.rsp_prod = told + waiting & 0xFFFFFFFF
        if waiting and tx.publish():
            xen.evtchn_send(self.port)
        return waiting

    def _level(self, frame):
        """Headers in one piece; False without memory for that."""
        try:
            frame.level(self.pool, HEADERS)
            return True
        except MemoryError:
            return False

    def _answer(self, batch, row, copies):
        """Responses for all slots of a packet; True if its data is here whole."""
        words = self.tx.words
        number = self.tx.rsp_prod
        first = batch.first[row]
        behind = first + batch.extras[row]
        bad = batch.bad[row]
        for slot in range(first, batch.end[row]):
            at = _FIRST_WORD + (number & _LAST) * TX_WORDS
            if first < slot <= behind:
                words[at] = netif.NULL << 16
            else:
                words[at] = batch.slots[slot * TX_WORDS + 2] & 0xFFFF | (_ERROR if bad else 0)
            number += 1
        begun, self.tx.rsp_prod = self.tx.rsp_prod, number & 0xFFFFFFFF
        if bad:
            return False
        whole = True
        part = batch.part[row]
        operation = batch.operation[row] - part
        for part in range(part, part + batch.parts[row]):
            if not copies.okay(operation + part):
                slot = batch.slot[part]
                at = _FIRST_WORD + (begun + slot - first & _LAST) * TX_WORDS
                words[at] = batch.slots[slot * TX_WORDS + 2] & 0xFFFF | _ERROR
                whole = False
        return whole
