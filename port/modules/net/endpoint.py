"""One end of a connection over two network rings: what netback's and netfront's links have in common."""
from array import array

from net.rows import COUNTS, FROM, TO
from xennumbers import PAGE


class Endpoint:
    """name: for the log. pool: of our pages. domid: the far side's. sg, gso, csum: what the far side can receive."""

    def __init__(self, name, pool, domid, sg, gso, csum):
        self.name = name
        self.pool = pool
        self.domid = domid
        self.sg = sg
        self.gso = gso and sg and csum  # a super-frame's checksum is always blank
        self.csum = csum
        self.dropped = 0  # frames towards the far side for which there was no room
        self.failed = 0  # packets that an error has ended: told by the far side, by Xen, or of a form that is not taken
        # frames taken from the far side's ring, and those that came whole into its pages, or the ring that it empties:
        self.from_packets = self.from_octets = self.to_packets = self.to_octets = 0
        self.counts = array("I", bytes(4 * COUNTS))  # the same of those that machine code moved

    def see(self, pages, ring):
        """Lay rings over two pages, tx and rx. ring: BackRing or FrontRing."""
        octets = memoryview(pages)
        self.tx = ring(octets[:PAGE], "tx")
        self.rx = ring(octets[PAGE:], "rx")

    def traffic(self):
        """(packets from the far side, their octets, packets to it, their octets), since the connection was made."""
        return (
            self.from_packets + self._counted(FROM), self.from_octets + self._counted(FROM + 2),
            self.to_packets + self._counted(TO), self.to_octets + self._counted(TO + 2),
        )  # fmt: skip

    def _counted(self, at):
        return self.counts[at] | self.counts[at + 1] << 32

    def drop(self, frame):
        """Count the frame as lost and free its pages."""
        self.dropped += 1
        frame.release(self.pool)
