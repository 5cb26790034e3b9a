"""The rx ring of a connection to the netvm: pages posted for what it receives, frames that came in them.

Responses are copied once into a Batch and judged there (netif.parse_responses); then the pages that they name are
revoked and become parts of frames.
"""
import xen
from micropython import const
from net import netif
from net.endpoint import Endpoint
from net.frame import HEADERS, Frame
from net.netif import RX_WORDS
from net.quarantine import TX_RESERVE
from net.slots import rx_request
from peererror import PeerError

_LAST = const(255)  # slot of a ring
_POSTED = const(32)  # pages lent in one pass: a new netvm is due 256, and each has to be cleared whole first


class Intake(Endpoint):
    """What a FrontLink does with its rx ring."""

    def post(self):
        """Lend pages for what the netvm receives, as many as there is room for; True: more than one pass's are due."""
        ring, pool, lent = self.rx, self.pool, self.rx_lent
        most = min(ring.room(), pool.free, self.quarantine.room(self.domid, self.lent()) - TX_RESERVE)
        posted = 0
        while posted < most:
            number = ring.req_prod
            id = number & _LAST
            if lent.has(id):
                break
            if posted == _POSTED:
                return True
            posted += 1
            page = pool.take()
            pool.clear(page, 0, 0)
            try:
                gref = xen.grant(pool.gfn(page), self.domid, False)
            except (OSError, MemoryError):
                pool.give(page)
                break
            lent.lend(id, page, gref, number)
            rx_request(ring.words, number, gref)
            ring.req_prod = (number + 1) & 0xFFFFFFFF
        return False

    def receive(self, batch, slots):
        """Whole frames from the rx ring, at least one and about `slots` responses of them. Raises PeerError.

        Without memory there are fewer; what was begun is lost then, and counted. batch: for the responses, in which as
        many slots may begin.
        """
        frames = []
        frame = None
        number = self.rx.rsp_cons
        n = min(self.rx.waiting(), slots + netif.CHAIN)
        batch.begin(self.rx.words, number, RX_WORDS, netif.RX_FLAGS)
        first = 0
        try:
            while first < n and first < slots:
                frame = Frame(False, False, 0)
                row = netif.parse_responses(batch, first, batch.take(first, n), number, self.rx_lent.page)
                self._take_posted(batch, row, frame)
                if not batch.bad[row]:
                    self.from_packets += 1
                    self.from_octets += batch.octets[row]
                if frame.octets:  # one that is too short the judge counts
                    frame.level(self.pool, HEADERS)
                    frames.append(frame)
                else:
                    self.failed += 1
                frame = None
                first = batch.end[row]
        except MemoryError:
            if frame:
                self.failed += 1
                frame.release(self.pool)
        except PeerError:
            if frames and self.rx.rsp_cons == (number + first) & 0xFFFFFFFF:
                return frames  # what stands in front of the lie is in order; it is found again
            frame.release(self.pool)
            for frame in frames:
                frame.release(self.pool)
            raise
        return frames

    def _take_posted(self, batch, row, frame):
        """Take the pages of a packet's responses back and make them the frame's parts. A bad packet leaves it empty."""
        ring, lent, pool = self.rx, self.rx_lent, self.pool
        part = batch.part[row]
        behind = part + batch.parts[row]
        failed = batch.bad[row] != 0
        for slot in range(batch.first[row], batch.end[row]):
            page = lent.revoke(ring.rsp_cons & _LAST)
            ring.rsp_cons = (ring.rsp_cons + 1) & 0xFFFFFFFF
            if page < 0:
                raise PeerError("rx page still held after its response")
            if part < behind and batch.slot[part] == slot:
                offset, octets = batch.offset[part], batch.length[part]
                pool.written(page, offset + octets)
                try:
                    frame.add(page, offset, octets)
                except MemoryError:  # the rest of the packet is taken all the same
                    pool.give(page)
                    failed = True
                part += 1
            else:
                pool.give(page)  # an extra info, or nothing in it
        if batch.offloads[row] or batch.gso_size[row]:
            batch.describe(row, frame)
        if failed:
            frame.release(pool)
            frame.octets = 0
