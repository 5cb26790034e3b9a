"""Who is attached: clients by address, each with its interfaces, rules and what it may still use.

A client is a set of addresses, not an interface: an HVM's two vifs with one address share rules and limits. Each family
of addresses has its list of rules; limits and slot are the client's. Flow records hold the slot, a small number. Two
arrays say by it whether a record is still valid, so a commit and a detach cost the same however many flows there are:

    generations[slot]   another number after each commit of rules
    lives[slot]         another number for each client that ever had the slot; 0 for slot 0, the uplink; behind the
                        slots, mappings likewise (mappings.py)
"""
from micropython import const

from firewall.flows.record import SIDE_CLIENT, SIDE_SLOT
from firewall.flows.state import RANKS
from firewall.rules.matcher import RuleList, refusal

V4 = const(4)  # a family of addresses
SLOTS = const(1024)  # clients attached, and detached with flows not yet swept
ENDS = const(8)  # words of a client in Clients.ends: the firsts of its lists, and behind four words the lasts
_POOLS = const(3)  # of ports, see nat.py
_BURST = const(1000)  # tokens; one more comes every ms
NO_RULES = refusal()  # of a client whose list has not come yet: nothing is let out
ERROR_COST = const(20)  # tokens of an ICMP error: 50 at once, then 50 a second
ECHO_COST = const(1)  # tokens of an answered ping: 1000 a second


class Bucket:
    """Limits how many ICMP messages of our own one neighbour may cause (RFC 1812 4.3.2.8, docs/behaviours.md 65)."""

    def __init__(self):
        self._tokens = _BURST
        self._at = 0

    def has(self, cost, now):
        """True if a message of this cost may be sent now (ms)."""
        self._tokens = min(self._tokens + now - self._at, _BURST)
        self._at = now
        return self._tokens >= cost

    def take(self, cost, now):
        """As has(), and take its tokens."""
        if not self.has(cost, now):
            return False
        self._tokens -= cost
        return True


class Client:
    """address: what dom0 knows it by. addresses: all it may send from. rules: a RuleList. Both of each family.

    shown: the address that it has on its side, which its flows' records have. gateway: what it takes us for there, 0:
    what all do. side: of its flows' keys (record.py).

    flows: how many it has. first, last: ends of its lists (record + 1), one for each rank; views of Clients.ends.

    mapped: how many mappings it has, for each pool of ports (nat.POOLS). maps_first, maps_last: ends of their lists.
    """

    def __init__(self, address, slot, ends):
        self.address = address
        self.slot = slot
        self.show(address, 0)
        self.interfaces = []  # the newest last
        self.rules = {V4: NO_RULES}
        self.bucket = Bucket()
        at = slot * ENDS
        self.first, self.last = ends[at : at + RANKS], ends[at + ENDS // 2 : at + ENDS // 2 + RANKS]
        self.clear()

    def show(self, shown, gateway):
        """It has this address on its side from now on. Its flows under another are to be judged again."""
        self.shown = shown
        self.gateway = gateway
        self.addresses = {shown}
        self.side = SIDE_CLIENT if shown == self.address else self.slot << SIDE_SLOT

    def clear(self):
        """It has no flows."""
        self.flows = 0
        for rank in range(RANKS):
            self.first[rank] = self.last[rank] = 0
        self.mapped = [0] * _POOLS
        self.maps_first = [0] * (2 * _POOLS)
        self.maps_last = [0] * (2 * _POOLS)


class Clients:
    def __init__(self, words, mappings):
        """words(n): a zeroed u32 view of n words outside the heap. mappings: how many there can be."""
        self.generations = words(SLOTS)
        self.lives = words(SLOTS + mappings)
        self.ends = words(SLOTS * ENDS)  # of the clients' lists of flows
        self.by_address = {}  # attached ones
        self.by_slot = [None] * SLOTS  # leaving ones too
        self.leaving = []  # detached, with flows left
        self._next_free = words(SLOTS)  # released slots: each names the next, 0 at the end
        self._free = 0  # the first of them
        self._fresh = 1  # slots from here on were never used
        self._serial = 0

    def attach(self, address):
        """The client with this address, a new one if there is none. None: no slot is free."""
        client = self.by_address.get(address)
        if client is None and (self._free or self._fresh < SLOTS):
            client = Client(address, self._free or self._fresh, self.ends)
            self.by_address[address] = self.by_slot[client.slot] = client
            if self._free:
                self._free = self._next_free[client.slot]
            else:
                self._fresh += 1
            self.lives[client.slot] = self._next()
            self.set_rules(client, NO_RULES)  # (docs/behaviours.md 1, 2)
        return client

    def detach(self, client):
        """All its flows are invalid from now on. The table removes them later, and calls release() after the last."""
        self.leaving.append(client)  # first: it may want memory
        del self.by_address[client.address]
        self.lives[client.slot] = self._next()
        self.generations[client.slot] = self._next()
        if not client.flows:
            self.release(client)

    def release(self, client):
        """Forget a leaving client, whose last flow has been removed."""
        self.leaving.remove(client)
        self.by_slot[client.slot] = None
        self._next_free[client.slot] = self._free
        self._free = client.slot

    def set_rules(self, client, rules, family=V4):
        """The list for a family of addresses counts for the next packet of every flow."""
        assert isinstance(rules, RuleList)  # sealed: what was only read decides nothing
        client.rules[family] = rules
        self.judge_again(client)

    def judge_again(self, client):
        """Each of its flows is judged again when its next packet comes."""
        self.generations[client.slot] = self._next()

    def largest(self):
        """The attached client with most flows; None if none has any."""
        found = None
        for client in self.by_address.values():
            if client.flows and (found is None or client.flows > found.flows):
                found = client
        return found

    def largest_mapped(self, pool):
        """The client with most mappings of a pool, one that is leaving before all others; None if there are none."""
        for gone in self.leaving:
            if gone.mapped[pool]:
                return gone
        found = None
        for client in self.by_address.values():
            if client.mapped[pool] and (found is None or client.mapped[pool] > found.mapped[pool]):
                found = client
        return found

    def _next(self):
        # 2**32 commits and attachments are decades at 1 a second; no number comes twice
        self._serial += 1
        return self._serial
