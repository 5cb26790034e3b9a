"""The one table of interfaces, by number: 0 is the uplink, 1 to 1023 are clients'.

Who is attached stands here and nowhere else. neighbours.py enters an interface and takes it out; forward.py joins its rings
to it. What a burst loop needs to know of an interface is in a row of words beside the object, outside the heap:

    0 MTU       octets of a datagram that may leave by it; 0: nobody is there, or nothing passes now
    1 CLIENT    slot of the client behind it (clients.py); 0: none, it is the uplink
    2 PEER      the domain that serves or uses its rings
    3 FEATURES  what that domain takes: SG | GSO | CSUM
    4 HEADER    4 words: the Ethernet header of every IPv4 datagram that leaves, 14 octets;
    7 SIDE      in the two octets behind it: the slot, if that client is shown another address (its side, clients.py)

Object and row are written together: enter(), describe(), silence(), join(), leave().
"""
from struct import pack_into

from micropython import const

NUMBERS = const(1024)  # so a number fits 10 of the 16 bits that a flow record has for it
UPLINK = const(0)

MTU = const(0)
CLIENT = const(1)
PEER = const(2)
FEATURES = const(3)
HEADER = const(4)
SIDE = const(7)  # | the last two octets of HEADER
ROW = const(8)  # words

SG = const(1)
GSO = const(2)
CSUM = const(4)


class Interface:
    """client: whose it is, None for the uplink. mtu, header: as in its row. bucket: for ICMP about what came in here.

    ident: the IP identification that our last datagram here had, -1 before the first. owner: its Vif or Uplink; rings: that
    one's link. Both are None without rings, before forward.py has them and after. The rest is forward.py's.
    """

    def __init__(self, number, client, bucket):
        self.number = number
        self.client = client
        self.bucket = bucket
        self.header = b""
        self.mtu = 0
        self.ident = -1
        self.owner = None
        self.rings = None
        self.ring = None  # of the rings, the one that frames come from
        self.counted = None  # the rings, also when they are gone
        self.guard = None
        self.rate = None  # rates.Rate, if its client has one
        self.pieces = None  # cutting.Pieces of the frame that its last turn ended with
        self.frames = ()  # that came in, and how many of them have been judged
        self.judged = 0


class Interfaces:
    def __init__(self, words):
        """words(n): a zeroed u32 view of n words outside the heap."""
        self.by_number = [None] * NUMBERS
        self.rows = words(NUMBERS * ROW)
        self._end = UPLINK + 1  # above all numbers that were ever in use

    def free_number(self):
        """The lowest number for a client's interface that is free; -1: there is none."""
        for number in range(UPLINK + 1, NUMBERS):
            if self.by_number[number] is None:
                return number
        return -1

    def of(self, owner):
        """The interface of a Vif; None: it is not attached."""
        for number in range(UPLINK + 1, self._end):
            interface = self.by_number[number]
            if interface and interface.owner is owner:
                return interface
        return None

    def numbers(self):
        """Those in use, in order."""
        return [number for number in range(self._end) if self.by_number[number]]

    def enter(self, interface):
        """Put it into the table, under its number. No method but describe() and numbers() allocates."""
        self.by_number[interface.number] = interface
        self._end = max(self._end, interface.number + 1)
        if interface.client:
            self.rows[interface.number * ROW + CLIENT] = interface.client.slot

    def side(self, interface):
        """Set the side of its client: when it has been entered, and when that has changed."""
        at = interface.number * ROW + SIDE
        self.rows[at] = self.rows[at] & 0xFFFF | interface.client.side

    def leave(self, interface):
        """Remove it from the table; its number is free."""
        self.by_number[interface.number] = None
        at = interface.number * ROW
        for word in range(at, at + ROW):
            self.rows[word] = 0

    def describe(self, interface, header, mtu):
        """Set its Ethernet header and MTU. MemoryError: nothing has changed."""
        at = interface.number * ROW
        pack_into("14s", self.rows, (at + HEADER) * 4, header)
        self.rows[at + MTU] = interface.mtu = mtu
        interface.header = header

    def silence(self, interface):
        """Let nothing pass by it until describe()."""
        self.rows[interface.number * ROW + MTU] = interface.mtu = 0

    def join(self, interface, owner, guard):
        """Give it the rings that its owner has connected, and the guard of the packets that come by them."""
        interface.owner = owner
        interface.rings = interface.counted = rings = owner.link
        interface.ring = rings.rx if interface.number == UPLINK else rings.tx
        interface.guard = guard
        at = interface.number * ROW
        self.rows[at + PEER] = rings.domid
        self.rows[at + FEATURES] = (SG if rings.sg else 0) | (GSO if rings.gso else 0) | (CSUM if rings.csum else 0)

    def traffic(self, number):
        """(packets_from, octets_from, packets_to, octets_to) of the neighbour there since it was entered.

        Octets of Ethernet frames, their 14 of header included. From: all that was taken from its ring, dropped or not.
        To: what came whole into its pages, or into the ring that the netvm empties. No one there: zeros.
        """
        interface = self.by_number[number]
        return interface.counted.traffic() if interface and interface.counted else (0, 0, 0, 0)

    def part(self, interface):
        """Take its rings away, which are about to be closed."""
        interface.rings = interface.ring = None
