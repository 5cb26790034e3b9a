"""Who is around: clients and their interfaces, the uplink, and the addresses that are ours or known.

Owns the flow table and the ports with it, because a neighbour that goes takes its flows along. Drivers call attach(),
detach(), uplink_up() and uplink_down(); QubesDB's task calls set_rules(), set_connected(), set_policy() and sets
gateway. Addresses are ints, Ethernet addresses 6 octets.
"""
from micropython import const

from firewall import reasons
from firewall.accounts import Accounts
from firewall.flows.clients import Bucket, Clients
from firewall.flows.nat import Nat
from firewall.flows.table import SHARE, Flows
from firewall.interfaces import UPLINK, Interface, Interfaces
from firewall.packets import replies
from firewall.packets.reassemble import Reassembly
from firewall.policy import ANY, Policy
from firewall.wire import ethernet

_DNS = const(53)  # the port


class Neighbours:
    def __init__(self, capacity, words, random, share=SHARE):
        """As flows.Flows; words_of(n) gives zeroed u32 views outside the heap."""
        self.clients = Clients(words, capacity)
        self.flows = Flows(capacity, words, random, self.clients, share)
        self.nat = Nat(self.flows, words, random)
        self.fragments = Reassembly()
        self.interfaces = Interfaces(words)
        self.accounts = Accounts(capacity, words)  # which decide nothing
        self.uplink = None  # its interface, as long as packets may go there
        self.gateway = 0  # the address clients know us by (/qubes-netvm-gateway); 0: the uplink's
        self.connected = frozenset()
        self._only = False  # whoever connected does not name gets nothing
        self._shown = {}  # client's address -> (the one that it is shown, and the gateway)
        self.policy = Policy()
        self.teachers = frozenset()  # see set_teachers()
        self.broadcast = -1  # of the uplink's network, if it is one
        self.upstream = 0  # the gateway we use
        self.gateway_known = False  # it has answered who it is
        self.mac = bytes(6)  # ours on the uplink
        self._bucket = Bucket()

    def ours(self, address, client=None):
        """True for an address that is the firewall's own, on either side, or as this client knows it."""
        known = address == self.gateway or address == self.nat.address or client and address == client.gateway
        return address != 0 and bool(known)

    def attach(self, address, number, mac, mtu=1500):
        """A client's interface is there, under a number that is free: the Interface. None: too many clients.

        Of several with one address the newest gets what no flow has a way for (behaviours: HVM's two vifs; Linux
        prefers the newest domain too). Nothing is let out until set_rules().
        """
        known = address in self.clients.by_address
        client = self.clients.attach(address)
        if client is None:
            self.flows.bury_one()
            client = self.clients.attach(address)
        if client is None:
            return None
        interface = None
        try:
            interface = Interface(number, client, client.bucket)
            if not known:
                client.show(*self._shown.get(address, (address, 0)))
                self.accounts.begin(client.slot, address)
            client.interfaces.append(interface)
            self.change(interface, mac, mtu)
            if not known:
                self._judge_again()  # others' flows to this address went on by the uplink
        except BaseException:
            if interface in client.interfaces:
                client.interfaces.remove(interface)
            if not known:
                self.clients.detach(client)
            raise
        self.interfaces.enter(interface)
        self.interfaces.side(interface)
        return interface

    def change(self, interface, mac, mtu):
        """Change the Ethernet address and MTU of a client's interface. Its flows go on."""
        self.interfaces.describe(interface, ethernet.header(mac, replies.OUR_MAC, ethernet.IPV4), mtu)

    def detach(self, number):
        """The interface is gone; with its last one the client is, and all its flows. MemoryError: nothing has changed."""
        interface = self.interfaces.by_number[number]
        if interface is None:
            return
        client = interface.client
        if len(client.interfaces) == 1:
            self.fragments.drop(client.slot)
            self.clients.detach(client)
        client.interfaces.remove(interface)
        self.interfaces.leave(interface)

    def set_rules(self, address, rules):
        """A RuleList for an attached client, in force at its next packet. False: not attached."""
        client = self.clients.by_address.get(address)
        if client is None:
            return False
        self.clients.set_rules(client, rules)
        self.accounts.ruled(client.slot, rules)
        return True

    def set_connected(self, addresses, only=False):
        """/connected-ips: clients that exist, running or not. only: no other address gets anything, attached or not.

        If there is a change, flows of all are judged again: one to an address that is a client's now must not go on by
        the uplink.
        """
        connected = frozenset(addresses)
        if connected != self.connected or only != self._only:
            self.connected = connected
            self._only = only
            self._judge_again()

    def named(self, address):
        """True unless dom0 has said which clients are ours, by the addresses they are shown, and this is none."""
        return not self._only or (self._shown[address][0] if address in self._shown else address) in self.connected

    def set_shown(self, address, shown, gateway=0):
        """A client with this address has another on its side, and a gateway (0: as all). Flows are judged again.

        All that dom0 says of the client names the first, but for set_connected(). shown: the same, if it has no other.
        """
        if shown == address:
            self._shown.pop(address, None)
        else:
            self._shown[address] = shown, gateway
        client = self.clients.by_address.get(address)
        if client:
            client.show(*self._shown.get(address, (address, 0)))
            for interface in client.interfaces:
                self.interfaces.side(interface)
        self._judge_again()

    def set_pairs(self, pairs):
        """Who may talk to whom, (sender, receiver) each; nothing else is set."""
        self.set_policy(Policy({pair: ((ANY, ANY, ANY),) for pair in pairs}))

    def set_policy(self, policy):
        """What settings say from now on. Flows of all are judged again."""
        self.policy = policy
        self._judge_again()
        self.nat.keep(policy.forwards)  # last: it may want memory

    def barred(self, src, proto, dst, port):
        """Why the client with the address src may not begin this flow to dst, whatever its rules say; 0: it may."""
        if not self.named(src):
            return reasons.DENIED
        policy = self.policy
        if policy.limited:
            barred = policy.limits(src, proto, dst, port)
            if barred:
                return barred
        if dst in self.clients.by_address:
            return policy.between(src, dst, proto, port) if self.named(dst) else reasons.OTHER_CLIENT
        if dst in self.connected or dst in self._shown:
            return reasons.NOT_ATTACHED  # not to be told to the uplink
        return policy.outside(src, proto, dst, port) if policy.lan else 0

    def inside(self, proto, port, remote):
        """(client, port) that a remote's packet to this port of ours outside is forwarded to; (None, 0): to nobody."""
        to = self.policy.inside(proto, port, remote) if self.policy.forwards else None
        client = to and self.clients.by_address.get(to[0])
        return (client, to[1]) if client and self.named(client.address) else (None, 0)

    def set_teachers(self, addresses):
        """Resolvers whose answers to clients teach names: what goes to their port 53 is for the judge, each packet."""
        self.teachers = frozenset(addresses)
        self._judge_again()

    def teaches(self, dst, port):
        """True for a flow of UDP whose packets teach names. Its generation is 0, so the fast path does not know it."""
        return port == _DNS and dst in self.teachers

    def _judge_again(self):
        for client in self.clients.by_address.values():
            self.clients.judge_again(client)

    def attach_uplink(self):
        """Enter the interface of a new uplink, and return it. Nothing passes by it before uplink_up()."""
        interface = Interface(UPLINK, None, self._bucket)
        self.interfaces.enter(interface)
        return interface

    def detach_uplink(self):
        """Remove the uplink's interface, if there is one; after uplink_down()."""
        interface = self.interfaces.by_number[UPLINK]
        if interface:
            self.interfaces.leave(interface)

    def uplink_up(self, address, mac, upstream, mtu=1500, netmask=0xFFFFFFFF):
        """Let packets pass by the uplink. Returns the frame to send on it at once, which asks who the gateway is.

        Until it is answered, and if it never is, the gateway is fe:ff:ff:ff:ff:ff, which a netvm of Qubes always is
        (docs/behaviours.md 58). With the same address as before all flows go on.
        """
        interface = self.interfaces.by_number[UPLINK] or self.attach_uplink()
        self.fragments.drop(UPLINK)
        if address != self.nat.address:
            self.nat.renumber(address)
        self.mac = mac
        self.upstream = upstream
        # a network of one or two addresses has no broadcast (RFC 3021)
        self.broadcast = address | ~netmask & 0xFFFFFFFF if netmask < 0xFFFFFFFE else -1
        self.interfaces.describe(interface, ethernet.header(replies.OUR_MAC, mac, ethernet.IPV4), mtu)
        interface.ident = -1
        self.uplink = interface
        self.gateway_known = False
        return replies.arp_request(address, mac, upstream)

    def gateway_is(self, mac):
        """Send to this Ethernet address from now on: our gateway has told it."""
        self.gateway_known = True
        self.interfaces.describe(self.uplink, ethernet.header(mac, self.mac, ethernet.IPV4), self.uplink.mtu)

    def uplink_down(self):
        """Let nothing pass by the uplink: clients are told so, and flows wait for one with the same address."""
        if self.uplink:
            self.interfaces.silence(self.uplink)
            self.uplink = None
        self.fragments.drop(UPLINK)

    def tick(self, now, visits=320):
        """Call some 20 times a second: old fragments, leaving clients, a slice of the flow table, at most 2 ms."""
        self.fragments.tick(now)
        self.flows.tick(now, visits)
