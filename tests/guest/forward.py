"""The firewall without QubesDB: run=forward own=A gateway=B clients=C,D; every client named may send anything.

With qrexec=on dom0 can call services. With making=MS a list is on its way into force until so long after the start.

What QubesDB would say otherwise, a test writes into our node `test`: a number of its own, a command, and lines.
The answer appears in `data/test`, behind the same number.
    1 nodes                   a line `KEY TEXT` for each node that QubesDB would have below a client's address: a part
    1 rules ADDRESS           of that client, with the nodes that came before and those that follow
    1 unload ADDRESS          as if none had ever come
    1 resolvers A B           what specialtarget=dns means in lists that come later
    1 names                   a line `HOST ADDRESS ...` for each name that exists; `HOST` alone: it does not; others: no answer
    1 learning on|off
    1 wildcards N=PATTERN ...
    1 name CLIENT ADDRESS     answers with what the client asked for when it got the address
    1 learnt                  answers with names and addresses of each client
    1 network OWN GATEWAY     0 for the first: we have no address any longer
    1 connected [only] A B C  only: as QubesDB's task says it, others get nothing
    1 pairs A>B A>C
    1 starve WHAT N           of what is allocated in clients' `rings`, in a `pass` of the ring service, in a `tick` or to
                              `connect` (links made and attached), the one after N more fails
    1 starved                 answers 1 if that has happened, 0 if not; what comes is allocated
    1 short N                 the next N requests about clients' devices fail for want of memory
    1 spare N                 takes all free pages of the pool but so many, for ever
    1 pages                   answers with what is wrong with the pool's pages: none may be lost, or in two places
    1 traffic                 answers with what each interface has carried: NUMBER=packets,octets from it,and to it
    1 notify on               or off: refusals are told by notifications
    1 tapped                  answers how many places tell a capture of packets
    1 figures                 answers with all that must not grow, and the counters of verdicts: name=n ...
"""
import gc

import loop
import supervisor
import xen
from firewall import reasons
from firewall.bursts.through import Bursts
from firewall.main import Firewall
from firewall.qubes.agent import Agent
from firewall.rules.matcher import load
from firewall.rules.names import NoNames
from firewall.services.table import Services
from firewall.wire.address import parse4
from log import Log
from netback.link import BackLink
from xenbus.wire import Missing

_log = Log("test")
_ACCEPT = {"policy": b"drop", "0000": b"action=accept"}
_RESOLVERS = "10.139.1.1 10.139.1.2"


def _address(text):
    return 0 if text == "0" else parse4(text)


def _addresses(words):
    return [_address(text) for text in words]


class _Names(NoNames):
    """What host names resolve to, as the test says."""

    def __init__(self, lines):
        self.found = {}
        for line in lines:
            host, *addresses = line.split()
            self.found[host] = _addresses(addresses)

    def addresses(self, host):
        return self.found.get(host)


class _Settings:
    """In the place of QubesDB's: the rules of each address, for whenever it is attached."""

    def __init__(self, firewall, making):
        self.firewall = firewall
        self._made = xen.ns() + 1000000 * making
        self.rules = {}
        self.nodes = {}  # of the list that comes next
        self.resolvers = _addresses(_RESOLVERS.split())
        self.names = None  # as the firewall itself finds out
        firewall.names.set_resolvers(self.resolvers)

    def take(self, lines):
        for line in lines:
            key, _, value = line.partition(" ")
            self.nodes[key] = value.encode()

    def set_rules(self, text):
        """Why they are refused; "" if they are not."""
        entries, self.nodes = self.nodes, {}
        names = self.names or self.firewall.names.of(_address(text))
        self.rules[_address(text)], complaint = load(entries, text, self.resolvers, names)
        self.attached(_address(text))
        return complaint or ""

    def attached(self, address):
        if address in self.rules:
            self.firewall.set_rules(address, self.rules[address])

    def detached(self, address):
        pass

    def making(self):
        return xen.ns() < self._made


def _starving(function):
    """function, with the allocations in it counted; see sim/starve.c."""
    import starve

    def wrapped(*args):
        starve.on()
        try:
            return function(*args)
        finally:
            starve.off()

    return wrapped


def _starve(firewall, what, n):
    import starve

    if what == "rings" and not hasattr(BackLink, "starving"):
        BackLink.starving = True
        for name in ("receive", "send", "retry", "finish", "rearm", "close"):
            setattr(BackLink, name, _starving(getattr(BackLink, name)))
        for name in ("_miss", "finish"):
            setattr(Bursts, name, _starving(getattr(Bursts, name)))
    elif what == "pass" and not hasattr(firewall.forwarder, "starving"):
        firewall.forwarder.starving = True
        firewall.forwarder._pass = _starving(firewall.forwarder._pass)
        if firewall.forwarder.quick:  # passes that the loop makes without Python
            loop._passes.tables[7] = _starving(loop._passes.tables[7])
    elif what == "tick" and not hasattr(firewall.stalls, "starving"):
        firewall.stalls.starving = True
        for each, name in ((firewall.neighbours, "tick"), (firewall.stalls, "tick"), (firewall, "_waits_for_time")):
            setattr(each, name, _starving(getattr(each, name)))
    elif what == "connect" and not hasattr(firewall.backends, "starving"):
        firewall.backends.starving = True
        firewall.backends.hooks = tuple(_starving(hook) for hook in firewall.backends.hooks)
    starve.after(n)


def _starved():
    import starve

    happened = starve.off()
    starve.after(-1)
    return str(int(happened))


def _short(store, n):
    left = [n]

    def short(method):
        async def asked(kind, payload):
            first = payload[0] if isinstance(payload, list) else payload
            if left[0] > 0 and bytes(first).startswith(b"backend/vif/"):
                left[0] -= 1
                raise MemoryError("for a request")
            return await method(store, kind, payload)

        return asked

    store.ask, store.ask_all = short(type(store).ask), short(type(store).ask_all)


def _failed(forwarder):
    """Packets that an error has ended, of those who are there."""
    interfaces = forwarder.clients + ([forwarder.uplink] if forwarder.uplink else [])
    return sum(interface.rings.failed + interface.guard.failed for interface in interfaces)


def _pages(firewall):
    """Where each page of the pool is, while nothing is on its way."""
    forwarder, pool, held = firewall.forwarder, firewall.pool, firewall.quarantine
    places = bytearray(pool.pages)
    twice = []

    def there(page):
        if places[page]:
            twice.append(page)
        places[page] = 1

    def of(frames):
        for frame in frames:
            for page, _, _ in frame.parts:
                there(page)

    for i in range(pool.free):
        there(pool.stack[i])
    for i in range(held._pages):
        there(held.pages[i])
    uplink = forwarder.uplink
    links = [firewall.uplink.waiting, uplink.rings if uplink else None]
    for link in links:
        if link:
            for lent in (link.tx_lent, link.rx_lent):
                count = 0
                for page in lent.page:
                    if page != 0xFFFF:
                        there(page)
                        count += 1
                if count != lent.count:
                    return "%d lent, counted %d" % (count, lent.count)
            of(link.backlog.frames)
            if len(set(link.tx_ids[: link.tx_free])) + link.tx_lent.count != 256:
                return "ids of %d, %d lent" % (link.tx_free, link.tx_lent.count)
    for interface in forwarder.clients + ([uplink] if uplink else []):
        of(list(interface.frames)[interface.judged :])
        if interface.pieces and interface.pieces.frame:
            of([interface.pieces.frame])
        if interface is not uplink:
            of([frame for _, frame in interface.rings.held])
            if interface.rate:
                of([frame for whose, frame in interface.rate.waiting if whose is interface])
            if interface.rings.sending:
                return "%s is sending" % interface.rings.name
    if twice:
        return "twice: %s" % twice
    return "" if sum(places) == pool.pages else "lost: %d" % (pool.pages - sum(places))


def _figures(firewall):
    gc.collect()
    pool, flows = firewall.pool, firewall.neighbours.flows
    words = ["heap=%d" % gc.mem_alloc(), "octets=%d" % xen.memory()[1], "free=%d" % pool.free, "flows=%d" % flows.count]
    words += ["vifs=%d" % len(firewall.backends.vifs), "links=%d" % len(firewall.neighbours.interfaces.numbers())]
    words += ["quarantine=%d" % firewall.quarantine.size(), "watches=%d" % len(firewall.store.watches)]
    words += ["lost=%d" % firewall.forwarder.delivery.lost(firewall.forwarder.uplink)]
    words += ["failed=%d" % _failed(firewall.forwarder)]
    words += ["fast=%d" % firewall.forwarder.fast.count if firewall.forwarder.fast else "fast=-1"]
    words += ["fragments=%d" % firewall.neighbours.fragments.octets]
    words += ["held=%d" % sum(interface.rings.held_pages for interface in firewall.forwarder.clients)]
    words += ["%s=%d" % (name.replace(" ", "_"), n) for name, n in zip(reasons.NAMES, firewall.judge.counters) if n]
    return " ".join(words)


def _obey(firewall, settings, words, lines):
    neighbours = firewall.neighbours
    command = words[0]
    if command == "rules" or command == "nodes":
        settings.take(lines)
        if command == "rules":
            return settings.set_rules(words[1])
    if command == "unload":
        settings.rules.pop(_address(words[1]), None)
    elif command == "network":
        firewall.set_network(_address(words[1]), _address(words[2]), neighbours.gateway)
    elif command == "connected":
        only = words[1:2] == ["only"]
        neighbours.set_connected(_addresses(words[2 if only else 1 :]), only)
    elif command == "resolvers":
        settings.resolvers = _addresses(words[1:])
        firewall.names.set_resolvers(settings.resolvers)
    elif command == "learning":
        firewall.names.learning = words[1] == "on"
    elif command == "wildcards":
        firewall.names.set_wildcards(dict(word.split("=") for word in words[1:]))
    elif command == "name":
        return firewall.names.name_of(_address(words[1]), _address(words[2]), xen.ns() // 1000000)
    elif command == "learnt":
        learnt = [each.learnt for each in firewall.names.clients.values()]
        return " ".join(["%d %d" % (len(each.hosts), each.addresses) for each in learnt])
    elif command == "names":
        settings.names = _Names(lines)
    elif command == "pairs":
        neighbours.set_pairs([tuple(_address(text) for text in word.split(">")) for word in words[1:]])
    elif command == "starve":
        _starve(firewall, words[1], int(words[2]))
    elif command == "starved":
        return _starved()
    elif command == "short":
        _short(firewall.store, int(words[1]))
    elif command == "spare":
        while firewall.pool.free > int(words[1]):
            firewall.pool.take()
    elif command == "pages":
        return _pages(firewall)
    elif command == "notify":
        firewall.set_notify(words[1] == "on")
    elif command == "tapped":
        return str(sum(each is not None for each in (firewall.forwarder.delivery.tap, firewall.forwarder.fast.tap)))
    elif command == "figures":
        return _figures(firewall)
    elif command == "traffic":
        interfaces = neighbours.interfaces
        return " ".join(["%d=%d,%d,%d,%d" % ((n,) + interfaces.traffic(n)) for n in interfaces.numbers()])
    return ""


async def main(store, words):
    making = int(words.get("making", 0))
    firewall = Firewall(store, lambda _, firewall: _Settings(firewall, making), fast=words.get("fast") != "off")
    settings = firewall.settings
    for client in words.get("clients", "").split(","):
        if client:
            settings.nodes = _ACCEPT
            settings.set_rules(client)
    firewall.set_network(_address(words["own"]), _address(words["gateway"]), _address(words.get("ours", words["own"])))
    firewall.start()
    if "qrexec" in words:
        firewall.agent = Agent(store, Services(firewall))
        firewall.agent.start()
        supervisor.spawn("notify", firewall.notifier.run, supervisor.SERVICE)
    _log.info("memory free: %d KiB", xen.memory()[1] >> 10)
    watch = await store.watch("test")
    while True:
        await watch.changes()
        try:
            text = (await store.read("test")).decode()
        except Missing:
            continue
        lines = text.split("\n")
        number, *command = lines[0].split()
        answer = _obey(firewall, settings, command, lines[1:])
        await store.write("data/test", "%s %s" % (number, answer))
